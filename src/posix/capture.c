#include "posix/posix.h"
#include "report/log.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Output that comes to us by a pipe a run, and goes on line by line.  A slot's pipe is closed when
 * nobody writes to it any more; where something that outlived its run still does, the next run
 * shares it. */

#define PIECE_MAX    ((size_t)64 << 10)  /* of a line: a longer one goes on in pieces of this */
#define READ_MAX     ((size_t)128 << 10) /* at a time */
#define LABEL_MAX    128                 /* with its colour */
#define ENDING_READS 64 /* of a pipe that somebody else still writes to, when its run is over */
#define LAST_WORDS   (2 * SECOND) /* that our reader has to make room at the very end */

struct capture {
    ev_io io;
    uint32_t slot, worker, instance;
    pid_t pid;
    uint32_t kept; /* bytes of a line whose end is still to come */
    char *part;    /* and they: PIECE_MAX, in pages that are not there before they are written */
    bool open, held;
    struct capture *next_held;
};

static struct {
    struct ev_loop *loop;
    const struct plan *plan;
    struct capture **list; /* by slot; NULL: nobody needs one */
    uint32_t slots;
    int label_width;
    bool plain, colours; /* not as records of our log; on a terminal */
    struct capture *first_held;
} captures;

/* What was read last.  While the sink is full, the rest of it waits here, and nobody reads. */
static struct {
    char *bytes; /* PIECE_MAX for the beginning of a line that was kept, and READ_MAX */
    char *at, *scanned, *end;
    struct capture *owner; /* NULL: nothing waits */
    bool last;             /* there is no more to come of it: a line without an end is one */
} input;

/* ---- lines ---- */

static void write_name(const struct capture *capture, char *name, size_t size)
{
    const struct plan_worker *worker = &captures.plan->workers[capture->worker];
    snprintf(name, size, worker->rules->instances > 1 ? "%s:%u" : "%s", worker->name,
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
    if (captures.colours)
        length = snprintf(label, LABEL_MAX, "\033[%dm%-*s |\033[0m ", colours[colour],
                          captures.label_width, name);
    else
        length = snprintf(label, LABEL_MAX, "%-*s | ", captures.label_width, name);
    return length < LABEL_MAX ? (size_t)length : LABEL_MAX - 1;
}

/* False when there is no room now. */
static bool pass_on(const struct capture *capture, const char *label, size_t label_length,
                    const char *text, size_t length)
{
    size_t most = captures.plain ? label_length + length + 1 : LOG_FORMAT_MAX(length);
    char *room = sink_room(most);
    if (room == NULL)
        return false;
    if (!captures.plain) {
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
    memcpy(capture->part, input.at, capture->kept);
}

/* Passes on what was read, line by line; false when it has to wait. */
static bool pump(void)
{
    struct capture *capture = input.owner;
    char label[LABEL_MAX];
    if (capture == NULL)
        return true;
    size_t label_length = 0;
    if (captures.plain)
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
    memcpy(input.at, capture->part, capture->kept);
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
    ev_io_stop(captures.loop, &capture->io);
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
    if (events & EV_ERROR)
        loop_watch_again(watcher);
    take(capture);
    if (input.owner == NULL || !capture->open)
        return;
    ev_io_stop(loop, watcher);
    if (capture->held)
        return;
    capture->held = true;
    capture->next_held = captures.first_held;
    captures.first_held = capture;
}

static void on_drained(void)
{
    if (!pump())
        return;
    while (captures.first_held != NULL) {
        struct capture *capture = captures.first_held;
        captures.first_held = capture->next_held;
        capture->held = false;
        if (capture->open)
            loop_watch(&capture->io);
    }
}

static void watch(struct capture *capture, int fd)
{
    ev_io_init(&capture->io, on_output, fd, EV_READ);
    loop_watch(&capture->io);
    capture->open = true;
}

/* ---- opening ---- */

static struct capture *new_capture(uint32_t slot)
{
    struct capture *capture = calloc(1, sizeof *capture);
    if (capture == NULL)
        return NULL;
    capture->slot = slot;
    capture->part = mmap(NULL, PIECE_MAX, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (capture->part != MAP_FAILED)
        return capture;
    free(capture);
    return NULL;
}

static void free_capture(struct capture *capture)
{
    munmap(capture->part, PIECE_MAX);
    free(capture);
}

static bool is_captured(const struct plan_worker *worker)
{
    return worker->rules->output.kind == OUTPUT_PREFIX || worker->is_logger;
}

/* Names of the longest width get no blanks behind them. */
static bool measure(const struct plan *plan)
{
    bool any = false;
    captures.plan = plan;
    captures.label_width = 0;
    for (uint32_t i = 0; i < plan->worker_count; i++) {
        struct capture last = {.worker = i,
                               .instance = (uint32_t)plan->workers[i].rules->instances - 1};
        char name[LABEL_MAX / 2];
        if (!is_captured(&plan->workers[i]))
            continue;
        any = true;
        write_name(&last, name, sizeof name);
        if ((int)strlen(name) > captures.label_width)
            captures.label_width = (int)strlen(name);
    }
    return any;
}

static bool open_input(void)
{
    bool terminal = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
    captures.plain = log_style() == LOG_STYLE_TEXT || log_style() == LOG_STYLE_COLOUR;
    captures.colours = captures.plain && terminal;
    input.bytes = calloc(1, PIECE_MAX + READ_MAX + 4); /* log_format() looks beyond */
    return input.bytes != NULL &&
           sink_open(captures.loop, captures.plain ? STDOUT_FILENO : STDERR_FILENO, on_drained);
}

/* A table of `slots`, with what has been in another one before; NULL without memory. */
static struct capture **make_table(uint32_t slots, const uint32_t *old_slot_of)
{
    struct capture **list = calloc(slots, sizeof *list);
    bool done = list != NULL;
    for (uint32_t slot = 0; done && slot < slots; slot++) {
        bool old = captures.list != NULL && old_slot_of != NULL && old_slot_of[slot] != NO_SLOT;
        list[slot] = old ? captures.list[old_slot_of[slot]] : new_capture(slot);
        done = list[slot] != NULL;
    }
    for (uint32_t slot = 0; !done && list != NULL && slot < slots && list[slot] != NULL; slot++)
        if (captures.list == NULL || old_slot_of == NULL || old_slot_of[slot] == NO_SLOT)
            free_capture(list[slot]);
    if (!done)
        free(list);
    return done ? list : NULL;
}

bool capture_open(struct ev_loop *loop, const struct plan *plan, uint32_t slots)
{
    captures.loop = loop;
    if (!measure(plan))
        return true;
    captures.slots = slots;
    captures.list = make_table(slots, NULL);
    return captures.list != NULL && open_input();
}

/* ---- a new plan ---- */

/* Nobody's slot any more, and its run is over: what it wrote goes on until then, or not at all. */
static void drop(struct capture *capture, msec until)
{
    struct capture **link = &captures.first_held;
    bool waits = capture->open || capture->kept > 0 || input.owner == capture;
    if (waits && input.owner != NULL && !(sink_wait(until) && pump())) {
        log_line(LEVEL_WARNING, "what a worker wrote last is lost, since nobody reads it");
        input.owner = input.owner == capture ? NULL : input.owner;
    }
    for (int i = 0; i < ENDING_READS && take(capture); i++)
        ;
    end_line(capture);
    close_capture(capture);
    while (*link != NULL && *link != capture)
        link = &(*link)->next_held;
    if (*link != NULL)
        *link = capture->next_held;
    input.owner = input.owner == capture ? NULL : input.owner;
    free_capture(capture);
}

bool capture_reload(const struct plan *plan, uint32_t slots, const uint32_t *old_slot_of)
{
    const struct plan *old_plan = captures.plan;
    bool first = captures.list == NULL;
    if (!measure(plan) && first)
        return true;
    struct capture **list = make_table(slots, old_slot_of);
    if (list == NULL || (first && !open_input())) {
        measure(old_plan);
        return false;
    }
    for (uint32_t slot = 0; slot < slots; slot++) {
        struct capture *capture = list[slot];
        bool old = !first && old_slot_of[slot] != NO_SLOT;
        if (old)
            captures.list[old_slot_of[slot]] = NULL;
        if (old && capture->worker < old_plan->worker_count)
            capture->worker = plan_find_worker(plan, old_plan->workers[capture->worker].name);
    }
    captures.plan = old_plan; /* whose names those have who go */
    msec until = platform_now() + LAST_WORDS;
    for (uint32_t slot = 0; !first && slot < captures.slots; slot++)
        if (captures.list[slot] != NULL)
            drop(captures.list[slot], until);
    captures.plan = plan;
    free(captures.list);
    captures.list = list;
    captures.slots = slots;
    for (uint32_t slot = 0; slot < slots; slot++)
        list[slot]->slot = slot;
    return true;
}

/* ---- a run ---- */

static struct capture *begin(uint32_t slot, uint32_t worker, uint32_t instance)
{
    struct capture *capture = captures.list[slot];
    capture->worker = worker;
    capture->instance = instance;
    return capture;
}

int capture_start(uint32_t slot, uint32_t worker, uint32_t instance)
{
    struct capture *capture = begin(slot, worker, instance);
    int ends[2];
    if (capture->open) {
        end_line(capture);
        int fd = output_open_again(capture->io.fd, O_WRONLY);
        if (fd >= 0)
            return fd;
        close_capture(capture);
    }
    if (output_pipe(ends) < 0)
        return -1;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    watch(capture, ends[0]);
    return ends[1];
}

void capture_watch(uint32_t slot, uint32_t worker, int fd)
{
    watch(begin(slot, worker, 0), fd);
}

bool capture_is_open(uint32_t slot)
{
    return captures.list[slot]->open;
}

void capture_stop(uint32_t slot)
{
    end_line(captures.list[slot]);
    close_capture(captures.list[slot]);
}

void capture_started(uint32_t slot, pid_t pid)
{
    if (captures.list != NULL)
        captures.list[slot]->pid = pid;
}

void capture_drain(uint32_t slot)
{
    for (int i = 0; captures.list != NULL && i < ENDING_READS && take(captures.list[slot]); i++)
        ;
}

void capture_close(void)
{
    msec until = platform_now() + LAST_WORDS;
    bool flows = true;
    for (uint32_t slot = 0; captures.list != NULL && flows && slot < captures.slots; slot++) {
        struct capture *capture = captures.list[slot];
        bool more = true;
        for (int i = 0; i < ENDING_READS && flows && more; i++) {
            flows = input.owner == NULL || (sink_wait(until) && pump());
            more = flows && take(capture);
            more = more || input.owner != NULL;
        }
        end_line(capture);
    }
    flows = captures.list == NULL || (flows && sink_wait(until) && pump() && sink_wait(until));
    sink_close();
    if (!flows)
        log_line(LEVEL_WARNING, "what workers wrote last is lost, since nobody reads it");
}
