/* `aiorun shield`: nothing leaves the job object of its run, so it is the supervisor that starts
 * the job, in a job object of its own, with our streams.  What ends us, Ctrl-C or the end of the
 * run, does not end that. */
#include "client/aiorun.h"
#include "client/win32/win32.h"
#include "core/policy.h"

#include <stdlib.h>

/* Whoever reads or writes the other ends shall see when the job closes them. */
static void let_go(void)
{
    CloseHandle(GetStdHandle(STD_INPUT_HANDLE));
    CloseHandle(GetStdHandle(STD_OUTPUT_HANDLE));
}

static int fail_to_run(const struct arguments *arguments, int status)
{
    const char *program = arguments->rest[0];
    if (status == STATUS_NOT_FOUND)
        fail(arguments->verb, "cannot run '%s': no such command in PATH", program);
    else if (status == STATUS_NOT_EXECUTABLE)
        fail(arguments->verb, "cannot run '%s': it is no program, or may not be run", program);
    else
        fail(arguments->verb, "cannot run '%s': the supervisor cannot start it", program);
    return status;
}

/* Waits for the job's end, and ends like it. */
static int look_after(struct channel *channel, const struct arguments *arguments, const char *name)
{
    struct control_reply reply;
    if (!channel_read_end(channel, arguments->verb, name, &reply))
        return STATUS_OWN_FAILURE;
    int status = (int)reply.number;
    return reply.answer == ANSWER_FAILED ? fail_to_run(arguments, status) : status;
}

static int run_shielded(const struct arguments *arguments, const char *name, const msec *deadline)
{
    const struct verb *verb = arguments->verb;
    struct control_message message = {.verb = CONTROL_JOB, .name = name};
    struct channel channel;
    char line[CONTROL_LINE_MAX];
    message.has_time = deadline != NULL;
    message.time = deadline != NULL ? *deadline : 0;
    size_t length = control_format(line, &message);
    if (!request_prepare_apart(arguments))
        return STATUS_OWN_FAILURE;
    enum channel_result result = channel_attach(&channel, -1);
    if (result == CHANNEL_DONE && !channel_expect_ok(&channel, verb))
        return STATUS_OWN_FAILURE;
    if (result == CHANNEL_DONE)
        result = request_send(&channel, line, length);
    if (result != CHANNEL_DONE) {
        channel_complain(&channel, result, verb);
        return STATUS_OWN_FAILURE;
    }
    if (!channel_expect_ok(&channel, verb))
        return STATUS_OWN_FAILURE;
    let_go();
    return look_after(&channel, arguments, name);
}

/* ---- without a supervisor ---- */

static wchar_t *write_line(char *const *argv)
{
    size_t size = quote_join(NULL, 0, argv) + 1;
    char *line = malloc(size);
    wchar_t *wide = calloc(size, sizeof *wide);
    if (line != NULL && wide != NULL) {
        quote_join(line, size, argv);
        MultiByteToWideChar(CP_UTF8, 0, line, -1, wide, (int)size);
    }
    free(line);
    return wide;
}

static int run_alone(const struct arguments *arguments)
{
    STARTUPINFOW startup = {.cb = sizeof startup};
    PROCESS_INFORMATION made;
    DWORD code = STATUS_OWN_FAILURE;
    wchar_t *line = write_line(arguments->rest);
    if (line == NULL)
        return fail(arguments->verb, "out of memory");
    bool started = CreateProcessW(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &made);
    DWORD error = GetLastError();
    free(line);
    if (!started)
        return fail_to_run(arguments, error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND
                                          ? STATUS_NOT_FOUND
                                          : STATUS_NOT_EXECUTABLE);
    let_go();
    WaitForSingleObject(made.hProcess, INFINITE);
    GetExitCodeProcess(made.hProcess, &code);
    return (int)code;
}

int shield_command(const struct arguments *arguments, const char *name, const msec *deadline)
{
    if (aiorun_available())
        return run_shielded(arguments, name, deadline);
    complain(arguments->verb, LEVEL_WARNING, "there is no aiorun above: '%s' runs without a shield",
             arguments->rest[0]);
    return run_alone(arguments);
}
