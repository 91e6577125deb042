#include "client/client.h"
#include "core/policy.h"

static enum channel_result fill(struct channel *channel)
{
    channel->start = channel->end = 0;
    return channel_take(channel, channel->bytes, sizeof channel->bytes, &channel->end);
}

enum channel_result channel_read(struct channel *channel, struct control_reply *reply)
{
    for (;;) {
        const char *fault;
        size_t taken = 0;
        if (channel->start == channel->end) {
            enum channel_result result = fill(channel);
            if (result != CHANNEL_DONE)
                return result;
        }
        enum control_read got = control_read(&channel->reader, channel->bytes + channel->start,
                                             channel->end - channel->start, &taken);
        channel->start += taken;
        if (got == CONTROL_READ_LINE && control_parse_reply(channel->reader.line, reply, &fault))
            return CHANNEL_DONE;
    }
}

bool channel_complain(const struct channel *channel, enum channel_result result,
                      const struct verb *verb)
{
    struct channel_peer peer;
    switch (result) {
    case CHANNEL_CLOSED:
        fail(verb, "the supervisor does not answer: it is gone, or has closed the channel");
        break;
    case CHANNEL_FAILED:
        fail(verb, "cannot talk to the supervisor: %s", system_reason());
        break;
    case CHANNEL_SILENT:
        channel_look(channel, &peer);
        fail(verb, "the supervisor%s does not answer%s", peer.whom, peer.state);
        break;
    case CHANNEL_DONE:
    case CHANNEL_INTERRUPTED:
        break;
    }
    return false;
}

int channel_status(const struct channel *channel)
{
    return channel->silent ? STATUS_NO_ANSWER : STATUS_OWN_FAILURE;
}

bool channel_expect_ok(struct channel *channel, const struct verb *verb)
{
    struct control_reply reply;
    enum channel_result result = channel_read(channel, &reply);
    if (result != CHANNEL_DONE)
        return channel_complain(channel, result, verb);
    switch (reply.answer) {
    case ANSWER_OK:
        return true;
    case ANSWER_ERROR:
        fail(verb, "the supervisor refuses: %s", reply.text);
        return false;
    case ANSWER_EXITED:
    case ANSWER_KILLED:
    case ANSWER_FAILED:
    case ANSWER_DROPPED:
        break;
    }
    fail(verb, "the supervisor tells of an end before it has accepted anything");
    return false;
}

bool channel_read_end(struct channel *channel, const struct verb *verb, const char *name,
                      struct control_reply *reply)
{
    enum channel_result result = channel_read(channel, reply);
    if (result != CHANNEL_DONE)
        return channel_complain(channel, result, verb);
    switch (reply->answer) {
    case ANSWER_EXITED:
    case ANSWER_FAILED:
        return true;
    case ANSWER_KILLED:
        die_of((int)reply->number);
    case ANSWER_DROPPED:
        fail(verb, "job %s was dropped: its turn never came", name);
        return false;
    case ANSWER_OK:
    case ANSWER_ERROR:
        break;
    }
    fail(verb, "the supervisor does not tell how job %s ended", name);
    return false;
}
