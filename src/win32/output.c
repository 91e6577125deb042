#include "win32/pipe.h"

#include <string.h>

/* Where the output of workers goes.  A file and NUL are theirs alone; with `prefix` it comes to us
 * (capture.c); with `pipe:CMD` it goes into a pipe whose both ends we keep: so it waits there when
 * the command is started again. */

#define FEED_SIZE (1 << 20) /* bytes that wait in it */

/* The pipe into a logger. */
struct feed {
    HANDLE reading, writing; /* NULL: not there */
    bool ended;              /* nothing but what is left is to come */
    struct line_source rest; /* what the logger leaves at the very end, we pass on */
};

static struct {
    const struct plan *plan;
    struct feed *feeds; /* by worker */
    struct {
        const struct plan *plan;
        struct feed *feeds; /* NULL: there is none */
    } next;                 /* of a new plan */
    HANDLE opened; /* for the start that is going on, to be closed after it; NULL: nothing */
} output;

static SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};

/* ---- pipes ---- */

static bool open_feed(struct feed *feed)
{
    if (CreatePipe(&feed->reading, &feed->writing, &inherited, FEED_SIZE))
        return true;
    feed->reading = feed->writing = NULL;
    return false;
}

static void close_writing(struct feed *feed)
{
    if (feed->writing != NULL)
        CloseHandle(feed->writing);
    feed->writing = NULL;
}

static void close_feed(struct feed *feed, msec until)
{
    close_writing(feed);
    capture_drop_source(&feed->rest, feed->reading, until);
    if (feed->reading != NULL)
        CloseHandle(feed->reading);
    memset(feed, 0, sizeof *feed);
}

static void close_feeds(const struct plan *plan, struct feed *feeds)
{
    msec until = platform_now() + LAST_WORDS;
    for (uint32_t i = 0; feeds != NULL && i < plan->worker_count; i++)
        close_feed(&feeds[i], until);
    platform_free(feeds);
}

/* Those of a new plan, by worker; NULL with GetLastError(). */
static struct feed *open_feeds(const struct plan *plan)
{
    struct feed *feeds = platform_allocate((plan->worker_count + 1) * sizeof *feeds);
    bool done = feeds != NULL;
    for (uint32_t i = 0; done && i < plan->worker_count; i++) {
        if (plan->workers[i].is_logger)
            done = capture_make_source(&feeds[i].rest) && open_feed(&feeds[i]);
        feeds[i].rest.worker = i;
    }
    if (done)
        return feeds;
    DWORD error = GetLastError();
    close_feeds(plan, feeds);
    SetLastError(error);
    return NULL;
}

/* A logger that was there before keeps its pipe, and what waits in it. */
static void keep_feed(const struct plan *plan, struct feed *feeds, uint32_t old)
{
    if (output.feeds[old].reading == NULL)
        return;
    uint32_t now = plan_find_worker(plan, output.plan->workers[old].name);
    if (now == NO_WORKER || !plan->workers[now].is_logger)
        return;
    close_feed(&feeds[now], 0); /* nothing is in it */
    feeds[now] = output.feeds[old];
    feeds[now].rest.worker = now;
    memset(&output.feeds[old], 0, sizeof output.feeds[old]);
}

static void take_feeds(const struct plan *plan, struct feed *feeds)
{
    for (uint32_t i = 0; output.feeds != NULL && i < output.plan->worker_count; i++)
        keep_feed(plan, feeds, i);
    if (output.feeds != NULL)
        close_feeds(output.plan, output.feeds);
    output.feeds = feeds;
    output.plan = plan;
}

/* ---- a plan ---- */

bool output_open(const struct plan *plan, uint32_t slots)
{
    struct feed *feeds = open_feeds(plan);
    if (feeds == NULL)
        return false;
    take_feeds(plan, feeds);
    return capture_open(plan, slots);
}

bool output_prepare(const struct plan *plan, const struct platform_map *map)
{
    output.next.plan = plan;
    output.next.feeds = open_feeds(plan);
    return output.next.feeds != NULL && capture_prepare(plan, map);
}

void output_drop(void)
{
    capture_drop();
    if (output.next.feeds != NULL)
        close_feeds(output.next.plan, output.next.feeds);
    output.next.feeds = NULL;
}

void output_reload(const struct plan *plan, const struct platform_map *map,
                   const uint32_t *new_worker_of)
{
    capture_reload(plan, map, new_worker_of);
    take_feeds(plan, output.next.feeds);
    output.next.feeds = NULL;
}

/* ---- a start ---- */

static bool pass_output(struct spawn *spawn, HANDLE file)
{
    if (file != NULL)
        spawn->standard[1] = spawn->standard[2] = file;
    return file != NULL;
}

static HANDLE open_file(const char *path)
{
    wchar_t *wide = wide_from(path);
    HANDLE file = INVALID_HANDLE_VALUE;
    if (wide != NULL)
        file = CreateFileW(wide, FILE_APPEND_DATA | SYNCHRONIZE,
                           FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, &inherited,
                           OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    DWORD error = GetLastError();
    platform_free(wide);
    SetLastError(error);
    return file != INVALID_HANDLE_VALUE ? file : NULL;
}

/* Is anything of the logger left?  It reads then, and whoever reads beside it has to wait. */
static bool is_read(uint32_t logger)
{
    for (uint32_t slot = 1; slot < runs_count(); slot++)
        if (runs_at(slot)->worker == logger && runs_at(slot)->job != NULL)
            return true;
    return false;
}

/* What is to be written into has come to its end already. */
static bool renew_feed(uint32_t logger)
{
    struct feed *feed = &output.feeds[logger];
    if (feed->writing != NULL)
        return true;
    if (!is_read(logger))
        capture_take_rest(&feed->rest, feed->reading, platform_now() + LAST_WORDS);
    CloseHandle(feed->reading);
    return open_feed(feed);
}

bool output_start(struct run_id run, const struct platform_program *program, struct spawn *spawn)
{
    const struct plan_worker *worker = &output.plan->workers[program->worker];
    if (worker->is_logger) {
        if (!renew_feed(program->worker))
            return false;
        output.feeds[program->worker].ended = false;
        spawn->standard[0] = output.feeds[program->worker].reading;
    }
    switch (worker->rules->output.kind) {
    case OUTPUT_INHERIT:
        break;
    case OUTPUT_PREFIX:
        return pass_output(spawn, capture_start(run.slot, program->worker, program->instance));
    case OUTPUT_NULL:
        return pass_output(spawn, spawn_null());
    case OUTPUT_FILE:
        output.opened = open_file(worker->rules->output.text);
        return pass_output(spawn, output.opened);
    case OUTPUT_PIPE:
        return renew_feed(worker->logger) &&
               pass_output(spawn, output.feeds[worker->logger].writing);
    }
    return true;
}

void output_started(struct run_id run, DWORD pid)
{
    if (output.opened != NULL)
        CloseHandle(output.opened);
    output.opened = NULL;
    capture_started(run.slot, pid);
}

/* ---- an end ---- */

static const struct plan_worker *worker_of(const struct run *run)
{
    return run->worker != NO_WORKER ? &output.plan->workers[run->worker] : NULL;
}

/* Is somebody there who writes into it? */
static bool is_written(uint32_t logger)
{
    for (uint32_t slot = 1; slot < runs_count(); slot++) {
        const struct run *run = runs_at(slot);
        const struct plan_worker *worker = worker_of(run);
        if (run->job != NULL && worker != NULL && worker->rules->output.kind == OUTPUT_PIPE &&
            worker->logger == logger)
            return true;
    }
    return false;
}

/* The end of its input ends a logger.  A pipe of Windows that nobody can write to is at its end for
 * good, so it comes only when nobody is left who would. */
static void end_feed(uint32_t logger)
{
    if (output.feeds[logger].ended && !is_written(logger))
        close_writing(&output.feeds[logger]);
}

void platform_end_input(struct run_id run_id)
{
    const struct run *run = runs_named(run_id);
    if (run == NULL || run->process == NULL) /* what waits in the pipe waits for the next one */
        return;
    output.feeds[run->worker].ended = true;
    end_feed(run->worker);
}

void output_ended(uint32_t slot, bool left)
{
    const struct plan_worker *worker = worker_of(runs_at(slot));
    capture_ended(slot, left);
    if (worker != NULL && worker->rules->output.kind == OUTPUT_PIPE && !left)
        end_feed(worker->logger);
}

void output_close(void)
{
    msec until = platform_now() + LAST_WORDS;
    for (uint32_t i = 0; output.feeds != NULL && i < output.plan->worker_count; i++)
        if (output.feeds[i].reading != NULL && !is_read(i))
            capture_take_rest(&output.feeds[i].rest, output.feeds[i].reading, until);
    capture_close(until);
}
