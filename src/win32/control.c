#include "report/log.h"
#include "supervisor/supervisor.h"
#include "win32/channel.h"

#include <stdio.h>
#include <string.h>

static struct {
    struct pipe *pipes; /* by slot */
    struct pipe *next;  /* what is to take their place; NULL: nothing */
    uint32_t slots;
} control;

struct pipe *control_pipe(uint32_t slot)
{
    return &control.pipes[slot];
}

/* ---- orders ---- */

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
    struct pipe *pipe = run.slot < control.slots ? &control.pipes[run.slot] : NULL;
    bool there = pipe != NULL && pipe->named && pipe->run.generation == run.generation;
    return there ? pipe : NULL;
}

static void order_all(struct pipe *pipe, const char *line, size_t length, bool idle_only)
{
    struct channel *next;
    for (struct channel *channel = pipe->channels; channel != NULL; channel = next) {
        next = channel->next;
        if (channel->state == CHANNEL_OPEN && !channel->attached && channel_is_of(channel, pipe) &&
            !(idle_only && channel->writing))
            channel_order(channel, line, length);
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

void control_repeat_order(struct channel *channel)
{
    const struct pipe *pipe = control_pipe(channel->run.slot);
    char line[CONTROL_LINE_MAX];
    if (!pipe->asked || !channel_is_of(channel, pipe))
        return;
    msec left = pipe->until == NEVER ? NEVER : pipe->until - platform_now();
    channel_order(channel, line, control_format_shutdown(line, pipe->reason, left < 0 ? 0 : left));
}

/* ---- a run ---- */

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
            channel_shut(channel);
    }
}

bool control_start(struct run_id run, struct spawn *spawn)
{
    struct pipe *pipe = &control.pipes[run.slot];
    char name[PIPE_NAME_MAX];
    forget_last(pipe);
    pipe->run = run;
    if (!pipe_choose_name(pipe->name) || !channel_listen(pipe, true))
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
        forget_last(&control.pipes[run.slot]);
    jobs_started(run);
}

void control_ended(struct run_id run)
{
    struct pipe *pipe = &control.pipes[run.slot];
    struct channel *next;
    for (struct channel *channel = pipe->channels; channel != NULL; channel = next) {
        next = channel->next; /* who listens anew stands in front of it */
        bool speaks = channel->state == CHANNEL_OPEN || channel->state == CHANNEL_LISTENS;
        if (speaks && channel->run.generation == run.generation)
            channel_drain(channel);
    }
    jobs_ended(run);
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
    control.slots = slots;
    control.pipes = platform_allocate(slots * sizeof *control.pipes);
    if (control.pipes == NULL || !channel_open_all(slots) || !jobs_open(slots)) {
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
    control.next = platform_allocate(slots * sizeof *control.next);
    return control.next != NULL && channel_prepare(slots) && jobs_prepare(slots);
}

void control_drop(void)
{
    jobs_drop();
    channel_drop();
    platform_free(control.next);
    control.next = NULL;
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
    for (struct channel *channel = control.pipes[0].channels; channel != NULL; channel = next) {
        next = channel->next;
        channel_shut(channel);
    }
}

/* No line is being taken in: see supervisor_time(). */
void control_reload(const struct platform_map *map)
{
    struct pipe *old = control.pipes;
    for (uint32_t slot = 0; slot < map->slots; slot++)
        if (map->old_slot_of[slot] < map->old_slots)
            move_pipe(&old[map->old_slot_of[slot]], &control.next[slot], slot);
    for (uint32_t slot = 0; slot < map->old_slots; slot++) {
        move_channels(old[slot].channels, &control.next[0], 0);
        old[slot].channels = NULL;
    }
    platform_free(old);
    control.pipes = control.next;
    control.slots = map->slots;
    control.next = NULL;
    channel_reload(map->slots);
    close_gone();
    jobs_reload(map);
}
