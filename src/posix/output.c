#include "posix/posix.h"
#include "report/log.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Where the output of workers goes.  A file and /dev/null are theirs alone.  With `prefix` it
 * comes to us by a pipe a run, and goes on line by line.  With `pipe:CMD` it goes into a pipe whose
 * both ends we keep: so it waits there when the command is started again. */

#define PIECE_MAX    ((size_t)64 << 10)  /* of a line: a longer one goes on in pieces of this */
#define READ_MAX     ((size_t)128 << 10) /* at a time */
#define LABEL_MAX    128                 /* with its colour */
#define LARGE_PIPE   (1 << 20)
#define LARGE_PIPES  16 /* more would take all that pipe(7) allows a user without privileges */
#define ENDING_READS 64 /* of a pipe that somebody else still writes to, when its run is over */
#define LAST_WORDS   (2 * SECOND) /* that our reader has to make room at the very end */

struct capture {
    ev_io io;
    uint32_t worker, instance;
    pid_t pid;
    uint32_t kept; /* bytes of a line whose end is still to come */
    bool open, held;
    uint32_t next_held;
};

/* The pipe into a logger. */
struct feed {
    int reading, writing; /* -1: not there */
    bool ended;
};

static struct {
    struct ev_loop *loop;
    const struct plan *plan;
    struct capture *list; /* by slot; NULL: nobody needs one */
    char *parts;          /* PIECE_MAX bytes a slot: pages that are never written are never there */
    uint32_t slots;
    struct feed *feeds; /* by worker; NULL: no logger */
    int label_width;
    bool plain, colours; /* not as records of our log; on a terminal */
    bool large;          /* pipes */
    uint32_t first_held;
    int opened; /* for the start that is going on, to be closed after it; -1: nothing */
} output = {.opened = -1, .first_held = NO_SLOT};

/* What was read last.  While the sink is full, the rest of it waits here, and nobody reads. */
static struct {
    char *bytes; /* PIECE_MAX for the beginning of a line that was kept, and READ_MAX */
    char *at, *scanned, *end;
    struct capture *owner; /* NULL: nothing waits */
    bool last;             /* there is no more to come of it: a line without an end is one */
} input;

static uint32_t slot_of(const struct capture *capture)
{
    return (uint32_t)(capture - output.list);
}

static char *part_of(const struct capture *capture)
{
    return output.parts + slot_of(capture) * PIECE_MAX;
}

/* ---- lines ---- */

static void write_name(const struct capture *capture, char *name, size_t size)
{
    const struct plan_worker *worker = &output.plan->workers[capture->worker];
    snprintf(name, size, worker->instances > 1 ? "%s:%u" : "%s", worker->name,
             (unsigned)capture->instance);
}

/* What a line begins with; returns its bytes. */
static size_t write_label(const struct capture *capture, char *label)
{
    static const int colours[] = {36, 33, 32, 35, 34, 96, 93, 92, 95, 94};
    char name[LABEL_MAX / 2];
    uint32_t colour = capture->worker % (sizeof colours / sizeof colours[0]);
    int length;
    write_name(capture, name, sizeof name);
    if (output.colours)
        length = snprintf(label, LABEL_MAX, "\033[%dm%-*s |\033[0m ", colours[colour],
                          output.label_width, name);
    else
        length = snprintf(label, LABEL_MAX, "%-*s | ", output.label_width, name);
    return length < LABEL_MAX ? (size_t)length : LABEL_MAX - 1;
}

/* False when there is no room now. */
static bool pass_on(const struct capture *capture, const char *label, size_t label_length,
                    const char *text, size_t length)
{
    size_t most = output.plain ? label_length + length + 1 : LOG_FORMAT_MAX(length);
    char *room = sink_room(most);
    if (room == NULL)
        return false;
    if (!output.plain) {
        sink_add(log_format(room, most, label, capture->pid, text, length));
        return true;
    }
    memcpy(room, label, label_length);
    memcpy(room + label_length, text, length);
    room[label_length + length] = '\n';
    sink_add(label_length + length + 1);
    return true;
}

static void keep_rest(struct capture *capture)
{
    capture->kept = (uint32_t)(input.end - input.at);
    memcpy(part_of(capture), input.at, capture->kept);
}

/* Passes on what was read, line by line; false when it has to wait. */
static bool pump(void)
{
    struct capture *capture = input.owner;
    char label[LABEL_MAX];
    if (capture == NULL)
        return true;
    size_t label_length = 0;
    if (output.plain)
        label_length = write_label(capture, label);
    else
        write_name(capture, label, sizeof label);
    while (input.at < input.end) {
        char *newline = memchr(input.scanned, '\n', (size_t)(input.end - input.scanned));
        bool whole = newline != NULL && (size_t)(newline - input.at) <= PIECE_MAX;
        size_t length = (size_t)((whole ? newline : input.end) - input.at);
        if (!whole && length <= PIECE_MAX && !input.last)
            break; /* its end may come next */
        length = length < PIECE_MAX ? length : PIECE_MAX;
        if (!pass_on(capture, label, label_length, input.at, length))
            return false;
        input.at += length + whole;
        input.scanned = input.at;
    }
    keep_rest(capture);
    input.owner = NULL;
    return true;
}

/* The rest of a line comes in front of what is read now. */
static void begin_input(struct capture *capture, size_t count)
{
    char *fresh = input.bytes + PIECE_MAX;
    input.at = fresh - capture->kept;
    memcpy(input.at, part_of(capture), capture->kept);
    input.scanned = fresh;
    input.end = fresh + count;
    input.owner = capture;
    input.last = count == 0;
    capture->kept = 0;
}

static void close_capture(struct capture *capture)
{
    if (!capture->open)
        return;
    ev_io_stop(output.loop, &capture->io);
    close(capture->io.fd);
    capture->open = false;
}

/* Reads once; false when there is no more for now, or nothing can be read. */
static bool take(struct capture *capture)
{
    if (!capture->open || input.owner != NULL)
        return false;
    ssize_t count = read(capture->io.fd, input.bytes + PIECE_MAX, READ_MAX);
    if (count < 0 && errno == EINTR)
        return true;
    if (count < 0 && errno == EAGAIN)
        return false;
    if (count <= 0)
        close_capture(capture);
    begin_input(capture, count > 0 ? (size_t)count : 0);
    return pump() && count > 0;
}

/* What a line has so far is one. */
static void end_line(struct capture *capture)
{
    if (capture->kept == 0 || input.owner != NULL)
        return;
    begin_input(capture, 0);
    pump();
}

/* ---- waiting ---- */

static void on_output(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct capture *capture = (struct capture *)(void *)watcher;
    (void)events;
    take(capture);
    if (input.owner == NULL || !capture->open)
        return;
    ev_io_stop(loop, watcher);
    if (capture->held)
        return;
    capture->held = true;
    capture->next_held = output.first_held;
    output.first_held = slot_of(capture);
}

static void on_drained(void)
{
    if (!pump())
        return;
    while (output.first_held != NO_SLOT) {
        struct capture *capture = &output.list[output.first_held];
        output.first_held = capture->next_held;
        capture->held = false;
        if (capture->open)
            ev_io_start(output.loop, &capture->io);
    }
}

static void watch(struct capture *capture, int fd)
{
    ev_io_init(&capture->io, on_output, fd, EV_READ);
    ev_io_start(output.loop, &capture->io);
    capture->open = true;
}

/* ---- opening ---- */

static bool is_captured(const struct plan_worker *worker)
{
    return worker->output.kind == OUTPUT_PREFIX || worker->is_logger;
}

static int open_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    if (output.large)
        fcntl(ends[1], F_SETPIPE_SZ, LARGE_PIPE); /* else it stays as it is */
    return 0;
}

/* Another end of the same pipe, with flags of its own (proc_pid_fd(5)). */
static int open_again(int fd, int flags)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, flags | O_CLOEXEC);
}

static bool open_feeds(void)
{
    const struct plan *plan = output.plan;
    output.feeds = calloc(plan->worker_count, sizeof *output.feeds);
    for (uint32_t i = 0; output.feeds != NULL && i < plan->worker_count; i++) {
        int ends[2] = {-1, -1};
        if (plan->workers[i].is_logger && open_pipe(ends) < 0)
            return false;
        output.feeds[i] = (struct feed){.reading = ends[0], .writing = ends[1]};
    }
    return output.feeds != NULL;
}

static bool open_tables(uint32_t slots)
{
    size_t size = slots * PIECE_MAX;
    bool terminal = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
    output.plain = log_style() == LOG_STYLE_TEXT || log_style() == LOG_STYLE_COLOUR;
    output.colours = output.plain && terminal;
    output.list = calloc(slots, sizeof *output.list);
    input.bytes = calloc(1, PIECE_MAX + READ_MAX + 4); /* log_format() looks beyond */
    output.parts = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return output.list != NULL && input.bytes != NULL && output.parts != MAP_FAILED &&
           sink_open(output.loop, output.plain ? STDOUT_FILENO : STDERR_FILENO, on_drained);
}

bool output_open(struct ev_loop *loop, const struct plan *plan, uint32_t slots)
{
    uint32_t pipes = 0, loggers = 0;
    output.loop = loop;
    output.plan = plan;
    output.slots = slots;
    for (uint32_t i = 0; i < plan->worker_count; i++) {
        const struct plan_worker *worker = &plan->workers[i];
        char name[LABEL_MAX / 2];
        if (!is_captured(worker))
            continue;
        struct capture last = {.worker = i, .instance = (uint32_t)worker->instances - 1};
        write_name(&last, name, sizeof name);
        if ((int)strlen(name) > output.label_width)
            output.label_width = (int)strlen(name);
        pipes += (uint32_t)worker->instances;
        loggers += worker->is_logger;
    }
    output.large = pipes <= LARGE_PIPES;
    return pipes == 0 || (open_tables(slots) && (loggers == 0 || open_feeds()));
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

/* Where something that outlived its run still holds the pipe, the next run shares it. */
static bool open_capture(struct capture *capture, struct spawn *spawn)
{
    int ends[2] = {-1, -1};
    if (capture->open) {
        end_line(capture);
        output.opened = open_again(capture->io.fd, O_WRONLY);
        if (output.opened < 0)
            close_capture(capture);
    }
    if (!capture->open) {
        if (open_pipe(ends) < 0)
            return false;
        output.opened = ends[1];
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        watch(capture, ends[0]);
    }
    pass_output(spawn, output.opened);
    return true;
}

static bool pass_feed(uint32_t logger, struct spawn *spawn)
{
    struct feed *feed = &output.feeds[logger];
    int fd = feed->writing;
    if (fd < 0) /* the logger is being stopped, its worker not */
        fd = output.opened = open_again(feed->reading, O_WRONLY);
    if (fd < 0)
        return false;
    pass_output(spawn, fd);
    return true;
}

static bool start_logger(uint32_t slot, uint32_t worker, struct spawn *spawn)
{
    struct feed *feed = &output.feeds[worker];
    close_capture(&output.list[slot]); /* we did its work */
    if (feed->writing < 0)
        feed->writing = open_again(feed->reading, O_WRONLY);
    feed->ended = false;
    spawn->null_stdin = false;
    spawn_pass(spawn, feed->reading, STDIN_FILENO);
    return feed->writing >= 0;
}

bool output_start(uint32_t slot, uint32_t index, uint32_t instance, struct spawn *spawn)
{
    const struct plan_worker *worker = &output.plan->workers[index];
    if (output.list != NULL && is_captured(worker)) {
        output.list[slot].worker = index;
        output.list[slot].instance = instance;
    }
    if (worker->is_logger && !start_logger(slot, index, spawn))
        return false;
    switch (worker->output.kind) {
    case OUTPUT_INHERIT:
        break;
    case OUTPUT_PREFIX:
        return open_capture(&output.list[slot], spawn);
    case OUTPUT_NULL:
        return open_file("/dev/null", spawn);
    case OUTPUT_FILE:
        return open_file(worker->output.text, spawn);
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
    if (output.list != NULL)
        output.list[slot].pid = pid;
}

/* ---- an end ---- */

/* There is no logger any more: what it leaves in its pipe, and what still comes, we pass on. */
static void replace_logger(uint32_t slot, const struct feed *feed)
{
    struct capture *capture = &output.list[slot];
    int fd = capture->open ? -1 : open_again(feed->reading, O_RDONLY | O_NONBLOCK);
    if (fd >= 0)
        watch(capture, fd);
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
    if (output.list == NULL)
        return;
    const struct feed *feed = feed_of(slot);
    if (feed != NULL && feed->ended)
        replace_logger(slot, feed);
    for (int i = 0; i < ENDING_READS && take(&output.list[slot]); i++)
        ;
}

void output_close(void)
{
    msec until = platform_now() + LAST_WORDS;
    bool flows = true;
    for (uint32_t slot = 0; output.list != NULL && flows && slot < output.slots; slot++) {
        struct capture *capture = &output.list[slot];
        bool more = true;
        for (int i = 0; i < ENDING_READS && flows && more; i++) {
            flows = input.owner == NULL || (sink_wait(until) && pump());
            more = flows && take(capture);
            more = more || input.owner != NULL;
        }
        end_line(capture);
    }
    flows = output.list == NULL || (flows && sink_wait(until) && pump() && sink_wait(until));
    sink_close();
    if (!flows)
        log_line(LEVEL_WARNING, "what workers wrote last is lost, since nobody reads it");
}
