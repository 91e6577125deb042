#include "posix/posix.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where the output of workers goes.  A file and /dev/null are theirs alone; with `prefix` it comes
 * to us (capture.c); with `pipe:CMD` it goes into a pipe whose both ends we keep: so it waits there
 * when the command is started again. */

#define LARGE_PIPES 16 /* more would take all that pipe(7) allows a user without privileges */

/* The pipe into a logger. */
struct feed {
    int reading, writing; /* -1: not there */
    bool ended;
};

static struct {
    const struct plan *plan;
    struct feed *feeds; /* by worker */
    struct {
        const struct plan *plan;
        struct feed *feeds; /* NULL: there is none */
    } next;                 /* of a new plan */
    int opened;             /* for the start that is going on, to be closed after it; -1: nothing */
} output = {.opened = -1};

/* ---- pipes ---- */

static int make_pipe(int ends[2], bool large)
{
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    if (large)
        fcntl(ends[1], F_SETPIPE_SZ, LARGE_PIPE); /* else it stays as it is */
    return 0;
}

int output_open_again(int fd, int flags)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, flags | O_CLOEXEC);
}

static void close_feed(struct feed *feed)
{
    if (feed->reading >= 0)
        close(feed->reading);
    if (feed->writing >= 0)
        close(feed->writing);
    *feed = (struct feed){-1, -1, true};
}

/* The feed of the logger with this name, in force; NULL: there is none. */
static struct feed *find_feed(const char *logger)
{
    for (uint32_t i = 0; output.feeds != NULL && i < output.plan->worker_count; i++)
        if (output.feeds[i].reading >= 0 && strcmp(output.plan->workers[i].name, logger) == 0)
            return &output.feeds[i];
    return NULL;
}

static void close_feeds(const struct plan *plan, struct feed *feeds)
{
    for (uint32_t i = 0; feeds != NULL && i < plan->worker_count; i++)
        close_feed(&feeds[i]);
    free(feeds);
}

static bool has_few_pipes(const struct plan *plan)
{
    uint32_t pipes = 0;
    for (uint32_t i = 0; i < plan->worker_count; i++)
        pipes += plan->workers[i].is_logger;
    return pipes <= LARGE_PIPES;
}

/* Those of a new plan, by worker; NULL with errno.  A logger that is there already will keep its
 * pipe, and what waits in it. */
static struct feed *open_feeds(const struct plan *plan)
{
    bool large = has_few_pipes(plan);
    struct feed *feeds = calloc(plan->worker_count + 1, sizeof *feeds);
    bool done = feeds != NULL;
    for (uint32_t i = 0; done && i < plan->worker_count; i++)
        feeds[i] = (struct feed){-1, -1, true};
    for (uint32_t i = 0; done && i < plan->worker_count; i++) {
        int ends[2];
        if (!plan->workers[i].is_logger || find_feed(plan->workers[i].name) != NULL)
            continue;
        done = make_pipe(ends, large) == 0;
        if (done)
            feeds[i] = (struct feed){ends[0], ends[1], false};
    }
    if (done)
        return feeds;
    int error = errno;
    close_feeds(plan, feeds);
    errno = error;
    return NULL;
}

static void take_feeds(const struct plan *plan, struct feed *feeds)
{
    for (uint32_t i = 0; i < plan->worker_count; i++) {
        struct feed *kept = plan->workers[i].is_logger ? find_feed(plan->workers[i].name) : NULL;
        if (kept == NULL)
            continue;
        feeds[i] = *kept;
        *kept = (struct feed){-1, -1, true};
    }
    close_feeds(output.plan, output.feeds);
    output.feeds = feeds;
    output.plan = plan;
}

/* ---- a plan ---- */

bool output_open(struct ev_loop *loop, const struct plan *plan, uint32_t slots)
{
    struct feed *feeds = open_feeds(plan);
    if (feeds == NULL)
        return false;
    take_feeds(plan, feeds);
    return capture_open(loop, plan, slots);
}

bool output_prepare(const struct plan *plan, uint32_t slots, const uint32_t *old_slot_of)
{
    output.next.plan = plan;
    output.next.feeds = open_feeds(plan);
    if (output.next.feeds == NULL)
        return false;
    errno = ENOMEM;
    return capture_prepare(plan, slots, old_slot_of);
}

void output_drop(void)
{
    capture_drop();
    close_feeds(output.next.plan, output.next.feeds);
    output.next.feeds = NULL;
}

void output_reload(const struct plan *plan, const struct reload *reload)
{
    capture_reload(plan, reload);
    take_feeds(plan, output.next.feeds);
    output.next.feeds = NULL;
}

/* ---- a start ---- */

static void pass_output(struct spawn *spawn, int fd)
{
    spawn_pass(spawn, fd, STDOUT_FILENO);
    spawn_pass(spawn, fd, STDERR_FILENO);
}

/* A FIFO that nobody reads would keep us waiting: O_NONBLOCK makes that an error, and goes. */
static bool open_file(const char *path, struct spawn *spawn)
{
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
    output.opened = open(path, flags, 0644);
    if (output.opened < 0 || fcntl(output.opened, F_SETFL, O_APPEND) < 0)
        return false;
    pass_output(spawn, output.opened);
    return true;
}

static bool pass_feed(uint32_t logger, struct spawn *spawn)
{
    struct feed *feed = &output.feeds[logger];
    int fd = feed->writing;
    if (fd < 0) /* the logger is being stopped, its worker not */
        fd = output.opened = output_open_again(feed->reading, O_WRONLY);
    if (fd < 0)
        return false;
    pass_output(spawn, fd);
    return true;
}

static bool start_logger(uint32_t slot, uint32_t worker, struct spawn *spawn)
{
    struct feed *feed = &output.feeds[worker];
    capture_stop(slot); /* we did its work */
    if (feed->writing < 0)
        feed->writing = output_open_again(feed->reading, O_WRONLY);
    feed->ended = false;
    spawn->null_stdin = false;
    spawn_pass(spawn, feed->reading, STDIN_FILENO);
    return feed->writing >= 0;
}

bool output_start(uint32_t slot, uint32_t index, uint32_t instance, struct spawn *spawn)
{
    if (output.plan == NULL) /* a launcher's command has ours */
        return true;
    const struct plan_worker *worker = &output.plan->workers[index];
    if (worker->is_logger && !start_logger(slot, index, spawn))
        return false;
    switch (worker->rules->output.kind) {
    case OUTPUT_INHERIT:
        break;
    case OUTPUT_PREFIX:
        output.opened = capture_start(slot, index, instance);
        if (output.opened >= 0)
            pass_output(spawn, output.opened);
        return output.opened >= 0;
    case OUTPUT_NULL:
        return open_file("/dev/null", spawn);
    case OUTPUT_FILE:
        return open_file(worker->rules->output.text, spawn);
    case OUTPUT_PIPE:
        return pass_feed(worker->logger, spawn);
    }
    return true;
}

void output_started(uint32_t slot, pid_t pid)
{
    if (output.opened >= 0)
        close(output.opened);
    output.opened = -1;
    capture_started(slot, pid);
}

/* ---- an end ---- */

/* There is no logger any more: what it leaves in its pipe, and what still comes, we pass on. */
static void replace_logger(uint32_t slot, const struct feed *feed)
{
    if (capture_is_open(slot))
        return;
    int fd = output_open_again(feed->reading, O_RDONLY | O_NONBLOCK);
    if (fd >= 0)
        capture_watch(slot, runs_at(slot)->worker, fd);
}

static struct feed *feed_of(uint32_t slot)
{
    uint32_t worker = runs_at(slot)->worker;
    bool logs =
        output.feeds != NULL && worker != NO_WORKER && output.plan->workers[worker].is_logger;
    return logs ? &output.feeds[worker] : NULL;
}

void platform_end_input(struct run_id run)
{
    struct feed *feed = feed_of(run.slot);
    if (feed == NULL || runs_named(run) == NULL)
        return;
    feed->ended = true;
    if (feed->writing >= 0)
        close(feed->writing);
    feed->writing = -1;
    if (runs_at(run.slot)->pid == 0)
        replace_logger(run.slot, feed);
}

void output_ended(uint32_t slot)
{
    const struct feed *feed = feed_of(slot);
    if (feed != NULL && feed->ended)
        replace_logger(slot, feed);
    capture_drain(slot);
}
