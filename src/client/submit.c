/* `aiorun submit`: a command for the supervisor's executor. */
#include "client/aiorun.h"
#include "client/client.h"
#include "core/policy.h"
#include "protocol/admin.h"

#include <stdlib.h>

/* Waits for the job's end, and ends like it. */
static int wait_for_end(struct channel *channel, const struct verb *verb, const char *name)
{
    struct control_reply reply;
    if (!channel_read_end(channel, verb, name, &reply))
        return STATUS_OWN_FAILURE;
    if (reply.answer == ANSWER_FAILED)
        fail(verb, "job %s could not be started", name);
    return (int)reply.number;
}

/* The line for the control pipe, or for the admin socket; 0 with a complaint. */
static size_t write_line(char *line, const struct arguments *arguments, const char *name,
                         bool waits, bool to_admin)
{
    const struct control_message message = {.verb = CONTROL_SUBMIT, .name = name, .wait = waits};
    const struct admin_request request = {.verb = ADMIN_SUBMIT,
                                          .wait = waits,
                                          .worker = arguments_option(arguments, "as"),
                                          .names = name,
                                          .name_count = 1};
    size_t length = to_admin ? admin_format(line, &request) : control_format(line, &message);
    if (length == 0)
        fail(arguments->verb, "a name that begins with a dash, or is none, cannot be given");
    return length;
}

/* `channel` is open to the admin socket, or not at all. */
static int submit(struct channel *channel, const struct arguments *arguments, const char *name)
{
    const struct verb *verb = arguments->verb;
    bool waits = arguments_option(arguments, "wait") != NULL;
    char line[ADMIN_LINE_MAX];
    size_t length = write_line(line, arguments, name, waits, channel->link >= 0);

    if (channel->link >= 0)
        channel->patience = waits ? PATIENCE_TAKEN : PATIENCE_ANSWERED;
    if (length == 0 || !request_prepare(arguments))
        return STATUS_OWN_FAILURE;
    enum channel_result result = CHANNEL_DONE;
    if (channel->link < 0) {
        result = channel_attach(channel, -1);
        if (result == CHANNEL_DONE && !channel_expect_ok(channel, verb))
            return STATUS_OWN_FAILURE;
    }
    if (result == CHANNEL_DONE)
        result = request_send(channel, line, length);
    if (result == CHANNEL_CLOSED && channel->link >= 0)
        result = CHANNEL_DONE; /* who is refused at once is told so although he could not speak */
    if (result != CHANNEL_DONE) {
        channel_complain(channel, result, verb);
        return channel_status(channel);
    }
    if (!channel_expect_ok(channel, verb))
        return channel_status(channel);
    return waits ? wait_for_end(channel, verb, name) : EXIT_SUCCESS;
}

int submit_run(const struct arguments *arguments)
{
    char buffer[CONTROL_NAME_MAX + 1];
    struct channel channel = {.link = -1, .interrupt = -1};
    if (!arguments_have_command(arguments))
        return STATUS_OWN_FAILURE;
    const char *name = arguments_job_name(arguments, buffer);
    if (name == NULL)
        return STATUS_OWN_FAILURE;
    if (people_are_meant(arguments) || arguments_option(arguments, "as") != NULL) {
        if (!people_connect(&channel, arguments))
            return channel_status(&channel);
    } else if (!aiorun_available()) {
        return fail_without_pipe(arguments->verb);
    }
    return submit(&channel, arguments, name);
}
