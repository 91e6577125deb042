#include "posix/posix.h"
#include "report/log.h"
#include "supervisor/lines.h"

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
 * shares it.
 *
 * A reader that is as quick as its writer is woken for every line, and waking costs the writer more
 * than the line.  So who has written little at a time for a while, one soon after the other, gets a
 * large pipe, and we look into it once in REST only, until nothing has come in between.  A line
 * after quiet goes on at once. */

#define ENDING_READS 64 /* of a pipe that somebody else still writes to, when its run is over */
#define READS_A_TURN 8  /* of a pipe that has more than a read takes */
#define LAST_WORDS   (2 * SECOND) /* that our reader has to make room at the very end */

#define REST      ((msec)1)                /* the least that libev waits for */
#define RAPID     16                       /* reads, each within REST of the one before */
#define LITTLE    ((size_t)16 << 10)       /* more is worth being woken for */
#define MUCH      ((size_t)LARGE_PIPE / 2) /* in a rest: after a longer one the writer might wait */
#define LARGE_MAX 16 /* large pipes: more would take all that pipe(7) allows a user */

struct capture {
    ev_io io;
    struct line_source lines; /* its part is in pages that are not there before they are written */
    bool open;
    bool large;    /* its pipe: the writer finds room in it while we rest */
    bool aside;    /* not watched: it rests, or there is no room for what it writes */
    uint8_t rapid; /* reads in a row, up to RAPID */
    msec read_at;
    struct capture *next_aside;
};

static struct {
    struct ev_loop *loop;
    struct capture **list; /* by slot; NULL: nobody needs one */
    uint32_t slots;
    struct capture **next; /* by slot of a new plan: for whoever is not there yet */
    uint32_t next_slots;
    uint32_t large; /* how many have large pipes */
    struct capture *first_aside;
    ev_timer rest;
} captures;

static void close_capture(struct capture *capture)
{
    if (!capture->open)
        return;
    ev_io_stop(captures.loop, &capture->io);
    close(capture->io.fd);
    capture->open = false;
    captures.large -= capture->large;
    capture->large = false;
}

/* Reads once; returns the bytes: 0 when there is no more for now, or nothing can be read. */
static size_t take(struct capture *capture)
{
    ssize_t count;
    if (!capture->open || lines_waiting() != NULL)
        return 0;
    do
        count = read(capture->io.fd, lines_buffer(), LINES_READ_MAX);
    while (count < 0 && errno == EINTR);
    if (count < 0 && errno == EAGAIN)
        return 0;
    if (count > 0) {
        lines_take(&capture->lines, (size_t)count);
        return (size_t)count;
    }
    close_capture(capture);
    lines_end(&capture->lines);
    return 0;
}

/* What a line has so far is one. */
static void end_line(struct capture *capture)
{
    if (lines_waiting() == NULL)
        lines_end(&capture->lines);
}

/* ---- waiting ---- */

/* Whoever may not have a large pipe is read as before. */
static void enlarge(struct capture *capture)
{
    if (capture->large || captures.large == LARGE_MAX ||
        fcntl(capture->io.fd, F_SETPIPE_SZ, LARGE_PIPE) < 0)
        return;
    capture->large = true;
    captures.large++;
}

static void note_pace(struct capture *capture)
{
    msec now = platform_now();
    if (now - capture->read_at > REST)
        capture->rapid = 0;
    else if (capture->rapid < RAPID && ++capture->rapid == RAPID)
        enlarge(capture);
    capture->read_at = now;
}

static void begin_rest(void)
{
    if (ev_is_active(&captures.rest))
        return;
    ev_timer_set(&captures.rest, (double)REST / SECOND, 0);
    ev_timer_start(captures.loop, &captures.rest);
}

static void put_aside(struct capture *capture)
{
    ev_io_stop(captures.loop, &capture->io);
    if (!capture->aside) {
        capture->aside = true;
        capture->next_aside = captures.first_aside;
        captures.first_aside = capture;
    }
    if (lines_waiting() == NULL) /* else on_drained() comes */
        begin_rest();
}

/* Reads what there is; who wrote less than `much` may rest. */
static void pass_on(struct capture *capture, size_t much)
{
    size_t count = take(capture), taken = count;
    for (int i = 1; i < READS_A_TURN && count == LINES_READ_MAX && lines_waiting() == NULL; i++) {
        sink_flush(); /* what is still in the processor's cache */
        count = take(capture);
        taken += count;
    }
    if (taken == 0)
        capture->rapid = 0;
    bool rests = capture->rapid == RAPID && capture->large && taken < much;
    if (capture->open && (rests || lines_waiting() != NULL))
        put_aside(capture);
    else if (capture->open && !ev_is_active(&capture->io))
        loop_watch(&capture->io);
}

static void on_output(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct capture *capture = (struct capture *)(void *)watcher;
    (void)loop;
    if (events & EV_ERROR)
        loop_watch_again(watcher);
    note_pace(capture);
    pass_on(capture, LITTLE);
}

/* Those that were put aside. */
static void go_on(void)
{
    struct capture *capture = captures.first_aside;
    captures.first_aside = NULL;
    while (capture != NULL) {
        struct capture *next = capture->next_aside;
        capture->aside = false;
        pass_on(capture, MUCH);
        capture = next;
    }
}

static void on_rested(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)timer, (void)events;
    if (lines_waiting() == NULL)
        go_on();
}

static void on_drained(void)
{
    if (lines_pump())
        go_on();
}

static void watch(struct capture *capture, int fd)
{
    ev_io_init(&capture->io, on_output, fd, EV_READ);
    loop_watch(&capture->io);
    capture->open = true;
    capture->rapid = 0;
}

/* ---- the end of a source ---- */

/* Lets what waits go on, until then: a read may become more than our output's buffer holds. */
static bool make_room(msec until)
{
    while (!lines_pump())
        if (!sink_wait(until))
            return false;
    return true;
}

/* Takes what there is, and an unfinished line for one.  False when there is no room by then. */
static bool take_rest(struct capture *capture, msec until)
{
    bool flows = make_room(until);
    for (int i = 0; i < ENDING_READS && flows && take(capture) > 0; i++)
        flows = make_room(until);
    end_line(capture);
    return flows;
}

/* ---- opening ---- */

static struct capture *new_capture(void)
{
    struct capture *capture = calloc(1, sizeof *capture);
    if (capture == NULL)
        return NULL;
    capture->lines.part = mmap(NULL, LINES_PIECE_MAX, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (capture->lines.part != MAP_FAILED)
        return capture;
    free(capture);
    return NULL;
}

static void free_capture(struct capture *capture)
{
    munmap(capture->lines.part, LINES_PIECE_MAX);
    free(capture);
}

static bool open_lines(void)
{
    bool terminal = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
    return lines_open(terminal) &&
           sink_open(captures.loop, lines_are_records() ? STDERR_FILENO : STDOUT_FILENO,
                     on_drained);
}

static void free_table(struct capture **list, uint32_t slots)
{
    for (uint32_t slot = 0; list != NULL && slot < slots; slot++)
        if (list[slot] != NULL)
            free_capture(list[slot]);
    free(list);
}

static bool is_old(const uint32_t *old_slot_of, uint32_t slot)
{
    return captures.list != NULL && old_slot_of != NULL && old_slot_of[slot] != NO_SLOT;
}

/* A table of `slots`, with nothing for those who are in the one before; NULL without memory. */
static struct capture **make_table(uint32_t slots, const uint32_t *old_slot_of)
{
    struct capture **list = calloc(slots, sizeof *list);
    bool done = list != NULL;
    for (uint32_t slot = 0; done && slot < slots; slot++) {
        if (is_old(old_slot_of, slot))
            continue;
        list[slot] = new_capture();
        done = list[slot] != NULL;
    }
    if (done)
        return list;
    free_table(list, slots);
    return NULL;
}

bool capture_open(struct ev_loop *loop, const struct plan *plan, uint32_t slots)
{
    captures.loop = loop;
    ev_init(&captures.rest, on_rested);
    lines_name_by(plan);
    if (!lines_are_needed(plan))
        return true;
    captures.slots = slots;
    captures.list = make_table(slots, NULL);
    return captures.list != NULL && open_lines();
}

/* ---- a new plan ---- */

/* Nobody's slot any more, and its run is over: what it wrote goes on until then, or not at all. */
static void drop(struct capture *capture, msec until)
{
    struct capture **link = &captures.first_aside;
    bool has_more = capture->open || capture->lines.kept > 0 || lines_waiting() == &capture->lines;
    bool flows = !has_more || (take_rest(capture, until) && make_room(until));
    if (!flows)
        log_line(LEVEL_WARNING, "what a worker wrote last is lost, since nobody reads it");
    if (lines_waiting() == &capture->lines)
        lines_forget();
    close_capture(capture);
    while (*link != NULL && *link != capture)
        link = &(*link)->next_aside;
    if (*link != NULL)
        *link = capture->next_aside;
    free_capture(capture);
}

/* Who has no place in the new table goes; the workers' indices are those of the old plan. */
static void drop_gone(uint32_t slots, const uint32_t *old_slot_of)
{
    msec until = platform_now() + LAST_WORDS;
    for (uint32_t slot = 0; slot < slots; slot++)
        if (old_slot_of[slot] != NO_SLOT)
            captures.list[old_slot_of[slot]] = NULL;
    for (uint32_t slot = 0; slot < captures.slots; slot++)
        if (captures.list[slot] != NULL)
            drop(captures.list[slot], until);
}

bool capture_prepare(const struct plan *plan, uint32_t slots, const uint32_t *old_slot_of)
{
    if (captures.list == NULL && !lines_are_needed(plan))
        return true;
    captures.next = make_table(slots, old_slot_of);
    captures.next_slots = slots;
    return captures.next != NULL && open_lines();
}

void capture_drop(void)
{
    free_table(captures.next, captures.next_slots);
    captures.next = NULL;
}

static void move(struct capture **list, uint32_t slots, const uint32_t *old_slot_of)
{
    for (uint32_t slot = 0; slot < slots; slot++) {
        if (old_slot_of[slot] == NO_SLOT)
            continue;
        if (list[slot] != NULL) /* a job has come to be here */
            free_capture(list[slot]);
        list[slot] = captures.list[old_slot_of[slot]];
    }
}

static void renumber(struct capture *capture, const struct reload *reload)
{
    struct line_source *lines = &capture->lines;
    if (lines->worker < reload->old_workers)
        lines->worker = reload->new_worker_of[lines->worker];
}

void capture_reload(const struct plan *plan, const struct reload *reload)
{
    const uint32_t *old_slot_of = reload->old_slot_of;
    struct capture **list = captures.next;
    uint32_t slots = captures.next_slots;
    bool first = captures.list == NULL;
    if (!first) {
        move(list, slots, old_slot_of);
        drop_gone(slots, old_slot_of);
    }
    for (uint32_t slot = 0; !first && slot < slots; slot++)
        if (old_slot_of[slot] != NO_SLOT)
            renumber(list[slot], reload);
    free(captures.list);
    captures.list = list;
    captures.slots = slots;
    captures.next = NULL;
    lines_name_by(plan);
    if (captures.first_aside != NULL) /* drop() may have made the room that they wait for */
        begin_rest();
}

/* ---- a run ---- */

static struct capture *begin(uint32_t slot, uint32_t worker, uint32_t instance)
{
    struct capture *capture = captures.list[slot];
    capture->lines.worker = worker;
    capture->lines.instance = instance;
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
    if (pipe2(ends, O_CLOEXEC) < 0)
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
        captures.list[slot]->lines.pid = pid;
}

void capture_drain(uint32_t slot)
{
    for (int i = 0; captures.list != NULL && i < ENDING_READS && take(captures.list[slot]) > 0; i++)
        ;
}

void capture_close(void)
{
    msec until = platform_now() + LAST_WORDS;
    bool flows = true;
    for (uint32_t slot = 0; captures.list != NULL && flows && slot < captures.slots; slot++)
        flows = take_rest(captures.list[slot], until);
    flows = captures.list == NULL || (flows && make_room(until) && sink_wait(until));
    sink_close();
    if (!flows)
        log_line(LEVEL_WARNING, "what workers wrote last is lost, since nobody reads it");
}
