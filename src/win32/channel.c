/* The control pipes: one named pipe a run, and any number of connections to it.  A connection is
 * the run's own, and gets no answers, until it says `attach`: from then on it is private. */
#include "report/log.h"
#include "supervisor.h"
#include "win32/pipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPARE     128 /* connections beyond one a run, */
#define PER_RUN   48  /* and of one run in all */
#define READ_SIZE 1024
#define DRAIN_MAX 64   /* reads: a client that floods cannot keep a run's end away */
#define BACKLOG   2048 /* bytes for a client that does not read; the kernel keeps some, too */

enum channel_state {
    CHANNEL_FREE,
    CHANNEL_LISTENS,
    CHANNEL_OPEN,
    CHANNEL_CLOSING, /* until what goes on with it is over */
};

struct channel {
    struct win_operation input, output; /* the client's coming, and reading; writing */
    HANDLE pipe;
    enum channel_state state;
    uint32_t index, generation;
    struct run_id run;
    struct channel *next; /* of the same slot, or free */
    bool reading, writing;
    bool stale; /* what the reading has brought was taken already */
    bool attached;
    bool deaf; /* its client is gone, but may have said something */
    struct control_reader reader;
    struct passed passed;
    size_t flying, waiting; /* bytes that are being written, and those after them */
    char in[READ_SIZE], flight[BACKLOG], backlog[BACKLOG];
};

/* A slot's pipe: of the run that it has, or had last. */
struct pipe {
    struct run_id run;
    struct channel *channels; /* all of the slot, those of runs before included */
    uint32_t count;           /* of them, those of this run */
    bool named, listens;
    bool asked; /* to stop, for the `reason`, `until` then */
    msec until;
    char reason[CONTROL_NAME_MAX + 1];
    wchar_t name[PIPE_NAME_MAX];
};

static struct {
    struct channel **list; /* by index; what they point to stays where it is */
    uint32_t count, room;
    struct channel *free;
    uint32_t free_count;
    struct pipe *pipes; /* by slot */
    uint32_t slots;
    struct pipe *next_pipes; /* what is to take their place; NULL: nothing */
    struct channel **next_list;
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
    uint32_t count = needed(slots);
    channels.slots = slots;
    channels.pipes = platform_allocate(slots * sizeof *channels.pipes);
    channels.list = platform_allocate(count * sizeof(struct channel *));
    if (channels.pipes == NULL || channels.list == NULL || !extend(channels.list, count))
        return false;
    adopt(count);
    return true;
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
    return &channels.pipes[channel->run.slot];
}

static bool is_of(const struct channel *channel, const struct pipe *pipe)
{
    return channel->run.generation == pipe->run.generation;
}

/* ---- opening and closing ---- */

/* Takes a free channel for an instance of the slot's pipe; false with GetLastError(). */
static bool listen(struct pipe *pipe, bool first)
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
    if (!listen(pipe, false))
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
    if (is_of(channel, pipe)) {
        pipe->count--;
        listen_again(pipe);
    }
}

/* What was written stays there for the client to read. */
static void close_channel(struct channel *channel)
{
    struct pipe *pipe = pipe_of(channel);
    if (channel->state == CHANNEL_FREE || channel->state == CHANNEL_CLOSING)
        return;
    if (channel->state == CHANNEL_LISTENS && is_of(channel, pipe))
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
    if (length > BACKLOG - channel->waiting)
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
        close_channel(channel);
}

/* ---- orders ---- */

static void order(struct channel *channel, const char *line, size_t length)
{
    if (!write_line(channel, line, length))
        log_line(LEVEL_WARNING, "a control pipe is full, since nobody reads it: '%.*s' is lost",
                 (int)length - 1, line);
}

/* Whoever connects later is told, too: the pipe of POSIX keeps it until somebody reads. */
static void note_order(struct pipe *pipe, const char *line, size_t length)
{
    char copy[CONTROL_LINE_MAX];
    struct control_order_message message;
    const char *fault;
    memcpy(copy, line, length);
    copy[length - 1] = '\0';
    if (!control_parse_order(copy, &message, &fault) || message.order != ORDER_SHUTDOWN)
        return;
    pipe->asked = true;
    pipe->until = message.time == NEVER ? NEVER : platform_now() + message.time;
    snprintf(pipe->reason, sizeof pipe->reason, "%s", message.reason);
}

/* The pipe of a run that is there; NULL: it has none. */
static struct pipe *pipe_of_run(struct run_id run)
{
    struct pipe *pipe = run.slot < channels.slots ? &channels.pipes[run.slot] : NULL;
    bool there = pipe != NULL && pipe->named && pipe->run.generation == run.generation;
    return there ? pipe : NULL;
}

static void order_all(struct pipe *pipe, const char *line, size_t length, bool idle_only)
{
    struct channel *next;
    for (struct channel *channel = pipe->channels; channel != NULL; channel = next) {
        next = channel->next;
        if (channel->state == CHANNEL_OPEN && !channel->attached && is_of(channel, pipe) &&
            !(idle_only && channel->writing))
            order(channel, line, length);
    }
}

void platform_order(struct run_id run, const char *line, size_t length)
{
    struct pipe *pipe = pipe_of_run(run);
    if (pipe == NULL)
        return;
    note_order(pipe, line, length);
    order_all(pipe, line, length, false);
}

/* What the pipe itself still holds cannot be seen from here: only what does not fit in it. */
void platform_remind(struct run_id run, const char *line, size_t length)
{
    struct pipe *pipe = pipe_of_run(run);
    if (pipe != NULL)
        order_all(pipe, line, length, true);
}

static void repeat_order(struct channel *channel)
{
    const struct pipe *pipe = pipe_of(channel);
    char line[CONTROL_LINE_MAX];
    if (!pipe->asked || !is_of(channel, pipe))
        return;
    msec left = pipe->until == NEVER ? NEVER : pipe->until - platform_now();
    order(channel, line, control_format_shutdown(line, pipe->reason, left < 0 ? 0 : left));
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
    channel->reading = pipe_read(channel->pipe, &channel->input, channel->in, READ_SIZE);
    if (!channel->reading)
        close_channel(channel);
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
    if (is_of(channel, pipe))
        pipe->listens = false;
    listen_again(pipe);
    if (!may_speak(channel)) {
        complain(channel, "its sender is no process of this run");
        close_channel(channel);
        return;
    }
    repeat_order(channel);
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
        close_channel(channel);
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
static void drain(struct channel *channel)
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
    char buffer[READ_SIZE];
    for (int n = 0; n < DRAIN_MAX && is_open(channel, generation) &&
                    pipe_read_now(channel->pipe, buffer, sizeof buffer, &bytes) && bytes > 0;
         n++)
        take_bytes(channel, buffer, bytes);
}

void control_ended(struct run_id run)
{
    struct pipe *pipe = &channels.pipes[run.slot];
    struct channel *next;
    for (struct channel *channel = pipe->channels; channel != NULL; channel = next) {
        next = channel->next; /* who listens anew stands in front of it */
        bool speaks = channel->state == CHANNEL_OPEN || channel->state == CHANNEL_LISTENS;
        if (speaks && channel->run.generation == run.generation)
            drain(channel);
    }
    jobs_ended(run);
}

/* ---- the start of a run ---- */

/* The connections of the run before; private ones live as long as their clients want. */
static void forget_last(struct pipe *pipe)
{
    struct channel *next;
    pipe->named = pipe->listens = pipe->asked = false;
    pipe->run.generation = 0;
    pipe->count = 0;
    for (struct channel *channel = pipe->channels; channel != NULL; channel = next) {
        next = channel->next;
        if (!channel->attached)
            close_channel(channel);
    }
}

bool control_start(struct run_id run, struct spawn *spawn)
{
    struct pipe *pipe = &channels.pipes[run.slot];
    char name[PIPE_NAME_MAX];
    forget_last(pipe);
    pipe->run = run;
    if (!pipe_choose_name(pipe->name) || !listen(pipe, true))
        return false;
    pipe->named = true;
    WideCharToMultiByte(CP_UTF8, 0, pipe->name, -1, name, sizeof name, NULL, NULL);
    spawn_add(spawn, "AIORUN_CONTROL_PIPE=%s", name);
    spawn_add(spawn, "AIORUN_PROTOCOL=1");
    return true;
}

void control_started(struct run_id run, bool ok)
{
    if (!ok)
        forget_last(&channels.pipes[run.slot]);
    jobs_started(run);
}

/* ---- all of it ---- */

bool platform_is_our_user(struct run_id run)
{
    (void)run;
    return true;
}

bool control_open(const struct plan *plan, uint32_t slots)
{
    if (!pipe_open()) {
        log_line(LEVEL_CRITICAL, "cannot make the rights of the control pipes: %s",
                 win_error(GetLastError()));
        return false;
    }
    if (!channel_open_all(slots) || !jobs_open(slots)) {
        log_line(LEVEL_CRITICAL, "cannot allocate the table of control pipes");
        return false;
    }
    outer_open(plan);
    return admin_pipe_open(plan);
}

void control_close(void)
{
    admin_pipe_close();
}

/* ---- a new plan ---- */

bool control_prepare(uint32_t slots)
{
    uint32_t count = needed(slots) > channels.count ? needed(slots) : channels.count;
    channels.next_pipes = platform_allocate(slots * sizeof *channels.next_pipes);
    channels.next_list = platform_allocate(count * sizeof(struct channel *));
    return channels.next_pipes != NULL && channels.next_list != NULL && jobs_prepare(slots) &&
           extend(channels.next_list, count);
}

void control_drop(void)
{
    jobs_drop();
    platform_free(channels.next_pipes);
    platform_free(channels.next_list);
    channels.next_pipes = NULL;
    channels.next_list = NULL;
}

/* Their slots are theirs as long as they are there; slot 0 has no pipe of its own. */
static void move_channels(struct channel *first, struct pipe *to, uint32_t slot)
{
    struct channel *next;
    for (struct channel *channel = first; channel != NULL; channel = next) {
        next = channel->next;
        channel->run.slot = slot;
        channel->next = to->channels;
        to->channels = channel;
    }
}

static void move_pipe(struct pipe *from, struct pipe *to, uint32_t slot)
{
    struct channel *first = from->channels;
    *to = *from;
    to->run.slot = slot;
    to->channels = NULL;
    from->channels = NULL;
    move_channels(first, to, slot);
}

/* What is in slot 0 is nobody's any more. */
static void close_gone(void)
{
    struct channel *next;
    for (struct channel *channel = channels.pipes[0].channels; channel != NULL; channel = next) {
        next = channel->next;
        close_channel(channel);
    }
}

/* No line is being taken in: see supervisor_time(). */
void control_reload(const struct platform_map *map)
{
    struct pipe *old = channels.pipes;
    uint32_t count = needed(map->slots);
    for (uint32_t slot = 0; slot < map->slots; slot++)
        if (map->old_slot_of[slot] < map->old_slots)
            move_pipe(&old[map->old_slot_of[slot]], &channels.next_pipes[slot], slot);
    for (uint32_t slot = 0; slot < map->old_slots; slot++) {
        move_channels(old[slot].channels, &channels.next_pipes[0], 0);
        old[slot].channels = NULL;
    }
    memcpy(channels.next_list, channels.list, channels.count * sizeof(struct channel *));
    platform_free(channels.list);
    platform_free(channels.pipes);
    channels.list = channels.next_list;
    channels.pipes = channels.next_pipes;
    channels.slots = map->slots;
    channels.next_list = NULL;
    channels.next_pipes = NULL;
    adopt(count);
    close_gone();
    jobs_reload(map);
}
