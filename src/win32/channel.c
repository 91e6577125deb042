#include "win32/channel.h"

#include "report/log.h"
#include "supervisor/supervisor.h"

#include <stdlib.h>
#include <string.h>

#define SPARE     128 /* connections beyond one a run, */
#define PER_RUN   48  /* and of one run in all */
#define DRAIN_MAX 64  /* reads: a client that floods cannot keep a run's end away */

static struct {
    struct channel **list; /* by index; what they point to stays where it is */
    struct channel **next; /* what is to take its place; NULL: nothing */
    uint32_t count, next_count, slots;
    struct channel *free;
    uint32_t free_count;
    struct channel_id speaker;
} channels;

static void on_input(struct win_operation *operation, DWORD bytes, DWORD error);
static void on_output(struct win_operation *operation, DWORD bytes, DWORD error);

/* ---- the table ---- */

static struct channel *of_output(struct win_operation *operation)
{
    return (struct channel *)(void *)((char *)operation - offsetof(struct channel, output));
}

static uint32_t needed(uint32_t slots)
{
    return 2 * slots + SPARE;
}

/* Makes `list`, which has room for them, hold `count` channels. */
static bool extend(struct channel **list, uint32_t count)
{
    if (count <= channels.count)
        return true;
    struct channel *more = platform_allocate((count - channels.count) * sizeof *more);
    for (uint32_t i = channels.count; more != NULL && i < count; i++)
        list[i] = more++;
    return more != NULL;
}

static void adopt(uint32_t count)
{
    for (uint32_t i = channels.count; i < count; i++) {
        struct channel *channel = channels.list[i];
        channel->index = i;
        channel->input.done = on_input;
        channel->output.done = on_output;
        channel->next = channels.free;
        channels.free = channel;
        channels.free_count++;
    }
    if (count > channels.count)
        channels.count = count;
}

bool channel_open_all(uint32_t slots)
{
    if (!channel_prepare(slots))
        return false;
    channel_reload(slots);
    return true;
}

bool channel_prepare(uint32_t slots)
{
    uint32_t count = needed(slots) > channels.count ? needed(slots) : channels.count;
    channels.next = platform_allocate(count * sizeof(struct channel *));
    channels.next_count = count;
    return channels.next != NULL && extend(channels.next, count);
}

void channel_drop(void)
{
    if (channels.next != NULL && channels.next_count > channels.count)
        platform_free(channels.next[channels.count]); /* the first of those that are new */
    platform_free(channels.next);
    channels.next = NULL;
}

void channel_reload(uint32_t slots)
{
    if (channels.count > 0)
        memcpy(channels.next, channels.list, channels.count * sizeof(struct channel *));
    platform_free(channels.list);
    channels.list = channels.next;
    channels.next = NULL;
    channels.slots = slots;
    adopt(needed(slots));
}

struct channel_id channel_speaker(void)
{
    return channels.speaker;
}

static struct channel_id name_of(const struct channel *channel)
{
    if (!channel->attached)
        return (struct channel_id){0, 0};
    return (struct channel_id){channel->index + 1, channel->generation};
}

static struct pipe *pipe_of(const struct channel *channel)
{
    return control_pipe(channel->run.slot);
}

/* ---- opening and closing ---- */

bool channel_listen(struct pipe *pipe, bool first)
{
    struct channel *channel = channels.free;
    if (channel == NULL) {
        SetLastError(ERROR_NO_SYSTEM_RESOURCES);
        return false;
    }
    channel->pipe = pipe_make(pipe->name, first);
    if (channel->pipe == NULL)
        return false;
    if (!pipe_listen(channel->pipe, &channel->input)) {
        DWORD error = GetLastError();
        CloseHandle(channel->pipe);
        SetLastError(error);
        return false;
    }
    channels.free = channel->next;
    channels.free_count--;
    channel->generation++;
    channel->run = pipe->run;
    channel->state = CHANNEL_LISTENS;
    channel->reading = true;
    channel->attached = channel->deaf = channel->stale = channel->writing = false;
    channel->flying = channel->waiting = 0;
    memset(&channel->reader, 0, sizeof channel->reader);
    channel->next = pipe->channels;
    pipe->channels = channel;
    pipe->count++;
    pipe->listens = true;
    return true;
}

/* One instance listens, as long as there is room for a connection more: one a slot is kept for the
 * next run.  Who comes when there is none waits in WaitNamedPipe(). */
static void listen_again(struct pipe *pipe)
{
    if (!pipe->named || pipe->listens || pipe->count >= PER_RUN ||
        channels.free_count <= channels.slots)
        return;
    if (!channel_listen(pipe, false))
        log_line(LEVEL_WARNING, "a control pipe takes no more connections: %s",
                 win_error(GetLastError()));
}

/* Nothing goes on with it any more. */
static void put_back(struct channel *channel)
{
    struct pipe *pipe = pipe_of(channel);
    struct channel **link = &pipe->channels;
    while (*link != channel)
        link = &(*link)->next;
    *link = channel->next;
    CloseHandle(channel->pipe);
    channel->pipe = NULL;
    channel->state = CHANNEL_FREE;
    channel->next = channels.free;
    channels.free = channel;
    channels.free_count++;
    if (channel_is_of(channel, pipe)) {
        pipe->count--;
        listen_again(pipe);
    }
}

void channel_shut(struct channel *channel)
{
    struct pipe *pipe = pipe_of(channel);
    if (channel->state == CHANNEL_FREE || channel->state == CHANNEL_CLOSING)
        return;
    if (channel->state == CHANNEL_LISTENS && channel_is_of(channel, pipe))
        pipe->listens = false;
    channel->state = CHANNEL_CLOSING;
    passed_close(&channel->passed);
    CancelIoEx(channel->pipe, NULL);
    if (!channel->reading && !channel->writing)
        put_back(channel);
}

static bool is_open(const struct channel *channel, uint32_t generation)
{
    return channel->state == CHANNEL_OPEN && channel->generation == generation;
}

/* ---- writing ---- */

static void launch(struct channel *channel)
{
    memcpy(channel->flight, channel->backlog, channel->waiting);
    channel->flying = channel->waiting;
    channel->waiting = 0;
    channel->writing =
        pipe_write(channel->pipe, &channel->output, channel->flight, (DWORD)channel->flying);
    channel->deaf = !channel->writing; /* reading comes to the end by itself */
}

static void on_output(struct win_operation *operation, DWORD bytes, DWORD error)
{
    struct channel *channel = of_output(operation);
    channel->writing = false;
    if (channel->state == CHANNEL_CLOSING && !channel->reading)
        put_back(channel);
    else if (channel->state == CHANNEL_OPEN && (error != ERROR_SUCCESS || bytes < channel->flying))
        channel->deaf = true;
    else if (channel->state == CHANNEL_OPEN && channel->waiting > 0)
        launch(channel);
}

/* False when there is no room: whoever it is for does not read. */
static bool write_line(struct channel *channel, const char *line, size_t length)
{
    if (channel->deaf)
        return true;
    if (length > CHANNEL_BACKLOG - channel->waiting)
        return false;
    memcpy(channel->backlog + channel->waiting, line, length);
    channel->waiting += length;
    if (!channel->writing)
        launch(channel);
    return true;
}

void platform_answer(struct channel_id id, const char *line, size_t length)
{
    if (id.index == 0 || id.index > channels.count)
        return;
    struct channel *channel = channels.list[id.index - 1];
    /* Whoever asks and never reads the answers has no use for a channel. */
    if (is_open(channel, id.generation) && !write_line(channel, line, length))
        channel_shut(channel);
}

void channel_order(struct channel *channel, const char *line, size_t length)
{
    if (!write_line(channel, line, length))
        log_line(LEVEL_WARNING, "a control pipe is full, since nobody reads it: '%.*s' is lost",
                 (int)length - 1, line);
}

/* ---- lines ---- */

static void complain(struct channel *channel, const char *fault)
{
    supervisor_bad_line(loop_supervisor(), channel->run, name_of(channel), fault);
}

static void attach(struct channel *channel)
{
    static const char welcome[] = "ok 1\n";
    if (channel->attached) {
        complain(channel, "the channel is attached already");
        return;
    }
    channel->attached = true;
    channel->waiting = 0; /* orders are for the others */
    platform_answer(name_of(channel), welcome, sizeof welcome - 1);
}

static void take_line(struct channel *channel)
{
    struct control_message message;
    const char *fault;
    char *line = channel->reader.line;
    if (passed_is_line(line)) {
        passed_take(&channel->passed, channel->pipe, line);
        return;
    }
    channels.speaker = name_of(channel);
    passed_set(&channel->passed);
    if (!control_parse(line, &message, &fault))
        complain(channel, fault);
    else if (message.verb == CONTROL_ATTACH)
        attach(channel);
    else
        supervisor_message(loop_supervisor(), channel->run, name_of(channel), &message);
    passed_set(NULL);
    passed_close(&channel->passed);
}

static void take_bytes(struct channel *channel, const char *bytes, size_t count)
{
    uint32_t generation = channel->generation;
    while (count > 0 && is_open(channel, generation)) {
        size_t taken;
        enum control_read result = control_read(&channel->reader, bytes, count, &taken);
        bytes += taken;
        count -= taken;
        if (result == CONTROL_READ_LINE)
            take_line(channel);
        else if (result == CONTROL_READ_BAD)
            complain(channel, "it is too long, or not plain text");
    }
}

/* ---- reading ---- */

static void read_more(struct channel *channel)
{
    channel->reading = pipe_read(channel->pipe, &channel->input, channel->in, CHANNEL_READ_SIZE);
    if (!channel->reading)
        channel_shut(channel);
}

/* A pipe's name can be seen by all programs of its user: so a run's processes alone may use it.
 * Who is gone by now cannot be asked, and knew the name. */
static bool may_speak(const struct channel *channel)
{
    const struct run *run = runs_at(channel->run.slot);
    BOOL inside = FALSE;
    DWORD pid;
    HANDLE process = pipe_client(channel->pipe, &pid);
    if (process == NULL)
        return GetLastError() == ERROR_INVALID_PARAMETER;
    bool may = run->job != NULL && IsProcessInJob(process, run->job, &inside) && inside;
    may = may || jobs_speak_for(process, channel->run.slot);
    CloseHandle(process);
    return may;
}

/* A client has come. */
static void begin(struct channel *channel)
{
    struct pipe *pipe = pipe_of(channel);
    channel->state = CHANNEL_OPEN;
    if (channel_is_of(channel, pipe))
        pipe->listens = false;
    listen_again(pipe);
    if (!may_speak(channel)) {
        complain(channel, "its sender is no process of this run");
        channel_shut(channel);
        return;
    }
    control_repeat_order(channel);
}

/* One chunk a turn: a flood from one channel does not keep the others waiting. */
static void on_input(struct win_operation *operation, DWORD bytes, DWORD error)
{
    struct channel *channel = (struct channel *)(void *)operation;
    bool listened = channel->state == CHANNEL_LISTENS;
    bool stale = channel->stale;
    uint32_t generation = channel->generation;
    channel->reading = channel->stale = false;
    if (channel->state == CHANNEL_CLOSING) {
        if (!channel->writing)
            put_back(channel);
        return;
    }
    if (!stale && error != ERROR_SUCCESS) {
        channel_shut(channel);
        return;
    }
    if (!stale && listened)
        begin(channel);
    else if (!stale)
        take_bytes(channel, channel->in, bytes);
    if (is_open(channel, generation))
        read_more(channel);
}

/* ---- the end of a run ---- */

/* What is under way is waited for, or called off, and its packet is none any more. */
static bool settle_input(struct channel *channel, DWORD *bytes)
{
    CancelIoEx(channel->pipe, &channel->input.overlapped);
    channel->stale = true;
    return GetOverlappedResult(channel->pipe, &channel->input.overlapped, bytes, TRUE);
}

/* Takes in what waits in the pipe; the packet of what was under way goes on reading. */
void channel_drain(struct channel *channel)
{
    uint32_t generation = channel->generation;
    DWORD bytes = 0;
    bool listened = channel->state == CHANNEL_LISTENS;
    if (listened && !HasOverlappedIoCompleted(&channel->input.overlapped))
        return;
    if (!channel->reading || channel->stale)
        return;
    if (settle_input(channel, &bytes)) {
        if (listened)
            begin(channel);
        else
            take_bytes(channel, channel->in, bytes);
    }
    char buffer[CHANNEL_READ_SIZE];
    for (int n = 0; n < DRAIN_MAX && is_open(channel, generation) &&
                    pipe_read_now(channel->pipe, buffer, sizeof buffer, &bytes) && bytes > 0;
         n++)
        take_bytes(channel, buffer, bytes);
}
