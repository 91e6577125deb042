#include "report/log.h"
#include "win32/pipe.h"

#include <string.h>

/* Output that comes to us, and goes on line by line.  A slot has one pipe for all its runs, and we
 * keep both its ends: so something that outlived its run, and still writes, shares it with the
 * next.  That somebody writes is told by a read of no bytes, so there is one buffer for all. */

#define SINK_SIZE    ((size_t)512 << 10)
#define ENDING_READS 64 /* of a pipe that somebody else still writes to, when its run is over */

struct capture {
    struct win_operation readable;
    struct line_source lines;
    HANDLE reading, writing; /* NULL: there is no pipe yet */
    bool armed;              /* the loop will come to `readable` */
    bool held;               /* there was no room, and it is to be armed when there is */
    bool gone;               /* with its slot; freed when the loop comes to it */
    struct capture *next_held;
};

static struct {
    struct capture **list; /* by slot; NULL: nobody needs one */
    uint32_t slots;
    struct capture **next; /* by slot of a new plan: for whoever is not there yet */
    uint32_t next_slots;
    struct capture *first_held;
    struct async_writer *sink;
    bool is_told; /* that it is broken */
} captures;

/* ---- where it goes ---- */

char *platform_output_room(size_t size)
{
    return async_room(captures.sink, size);
}

void platform_output_add(size_t size)
{
    async_add(captures.sink, size);
}

void capture_flush(void)
{
    DWORD error = captures.sink != NULL ? async_send(captures.sink) : ERROR_SUCCESS;
    if (error == ERROR_SUCCESS || captures.is_told)
        return;
    captures.is_told = true;
    log_line(LEVEL_WARNING, "cannot write to standard output: %s; what workers write is lost",
             win_error(error));
}

static bool wait_for_sink(msec until)
{
    msec left = until - platform_now();
    return async_wait(captures.sink, left > 0 ? (DWORD)left : 0);
}

/* ---- reading ---- */

/* Reads once; false when there is no more for now, or no room for it. */
static bool take(struct line_source *lines, HANDLE reading)
{
    DWORD count;
    if (reading == NULL || lines_waiting() != NULL)
        return false;
    if (!pipe_read_now(reading, lines_buffer(), LINES_READ_MAX, &count) || count == 0)
        return false;
    return lines_take(lines, count);
}

static void end_line(struct line_source *lines)
{
    if (lines_waiting() == NULL)
        lines_end(lines);
}

static void hold(struct capture *capture)
{
    if (capture->held)
        return;
    capture->held = true;
    capture->next_held = captures.first_held;
    captures.first_held = capture;
}

static void arm(struct capture *capture)
{
    static char nothing;
    if (!capture->armed)
        capture->armed = pipe_read(capture->reading, &capture->readable, &nothing, 0);
}

static void on_readable(struct win_operation *operation, DWORD bytes, DWORD error)
{
    struct capture *capture = CONTAINING_RECORD(operation, struct capture, readable);
    (void)bytes, (void)error;
    capture->armed = false;
    if (capture->gone) {
        platform_free(capture);
        return;
    }
    take(&capture->lines, capture->reading);
    if (lines_waiting() != NULL)
        hold(capture);
    else
        arm(capture);
}

static void on_roomy(struct win_operation *operation, DWORD bytes, DWORD error)
{
    (void)operation, (void)bytes, (void)error;
    if (!lines_pump())
        return;
    while (captures.first_held != NULL) {
        struct capture *capture = captures.first_held;
        captures.first_held = capture->next_held;
        capture->held = false;
        arm(capture);
    }
}

/* ---- the end of a source ---- */

/* Lets what waits go on, until then. */
static bool make_room(msec until)
{
    while (lines_waiting() != NULL)
        if (!wait_for_sink(until) || !lines_pump())
            return false;
    return true;
}

void capture_take_rest(struct line_source *lines, HANDLE reading, msec until)
{
    bool more = true;
    for (int i = 0; i < ENDING_READS && more && make_room(until); i++)
        more = take(lines, reading) || lines_waiting() != NULL;
    end_line(lines);
}

void capture_drop_source(struct line_source *lines, HANDLE reading, msec until)
{
    if (lines->part == NULL)
        return;
    capture_take_rest(lines, reading, until);
    make_room(until);
    if (lines_waiting() == lines) {
        log_line(LEVEL_WARNING, "what a worker wrote last is lost, since nobody reads it");
        lines_forget();
    }
    VirtualFree(lines->part, 0, MEM_RELEASE);
    lines->part = NULL;
}

/* ---- opening ---- */

bool capture_make_source(struct line_source *lines)
{
    memset(lines, 0, sizeof *lines);
    lines->part = VirtualAlloc(NULL, LINES_PIECE_MAX, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    return lines->part != NULL;
}

static struct capture *new_capture(void)
{
    struct capture *capture = platform_allocate(sizeof *capture);
    if (capture != NULL && !capture_make_source(&capture->lines)) {
        platform_free(capture);
        capture = NULL;
    }
    if (capture != NULL)
        capture->readable.done = on_readable;
    return capture;
}

static void drop(struct capture *capture, msec until)
{
    struct capture **link = &captures.first_held;
    while (*link != NULL && *link != capture)
        link = &(*link)->next_held;
    if (*link != NULL)
        *link = capture->next_held;
    capture_drop_source(&capture->lines, capture->reading, until);
    if (capture->reading != NULL) {
        CloseHandle(capture->writing);
        CloseHandle(capture->reading);
    }
    capture->gone = true;
    if (!capture->armed)
        platform_free(capture);
}

static bool is_console(HANDLE file)
{
    DWORD mode;
    return GetConsoleMode(file, &mode);
}

/* Do both go to the same place, as after `2>&1`?  Then they must not overtake each other. */
static bool are_same(HANDLE a, HANDLE b)
{
    static const char name[] = "CompareObjectHandles";
    BOOL(WINAPI * compare)
    (HANDLE, HANDLE) = (BOOL(WINAPI *)(HANDLE, HANDLE))(void *)GetProcAddress(
        GetModuleHandleW(L"kernelbase.dll"), name);
    return (is_console(a) && is_console(b)) || (compare != NULL && compare(a, b));
}

static bool open_sink(void)
{
    static struct async_writer sink = {.roomy.done = on_roomy};
    HANDLE output = GetStdHandle(STD_OUTPUT_HANDLE), log = GetStdHandle(STD_ERROR_HANDLE);
    if (captures.sink != NULL)
        return true;
    char *room = platform_reserve(2 * SINK_SIZE);
    HANDLE file = lines_are_records() ? log : output;
    if (room == NULL || !lines_open(console_has_colours(output)) ||
        !async_begin(&sink, file, room, SINK_SIZE))
        return false;
    if (file == log || are_same(output, log))
        log_lines_go_by(&sink);
    captures.sink = &sink;
    return true;
}

static bool is_old(const struct platform_map *map, uint32_t slot)
{
    return captures.list != NULL && map != NULL && map->old_slot_of[slot] < map->old_slots;
}

static void free_table(struct capture **list, uint32_t slots)
{
    for (uint32_t slot = 0; slot < slots; slot++)
        if (list[slot] != NULL)
            drop(list[slot], 0);
    platform_free(list);
}

/* A table of `slots`, with nothing for those who are in the one before; NULL without memory. */
static struct capture **make_table(uint32_t slots, const struct platform_map *map)
{
    struct capture **list = platform_allocate(slots * sizeof *list);
    bool done = list != NULL;
    for (uint32_t slot = 0; done && slot < slots; slot++) {
        if (is_old(map, slot))
            continue;
        list[slot] = new_capture();
        done = list[slot] != NULL;
    }
    if (done || list == NULL)
        return list;
    free_table(list, slots);
    return NULL;
}

bool capture_open(const struct plan *plan, uint32_t slots)
{
    lines_name_by(plan);
    if (!lines_are_needed(plan))
        return true;
    captures.slots = slots;
    captures.list = make_table(slots, NULL);
    return captures.list != NULL && open_sink();
}

/* ---- a new plan ---- */

static void drop_gone(const struct platform_map *map)
{
    msec until = platform_now() + LAST_WORDS;
    for (uint32_t slot = 0; slot < map->slots; slot++)
        if (is_old(map, slot))
            captures.list[map->old_slot_of[slot]] = NULL;
    for (uint32_t slot = 0; slot < captures.slots; slot++)
        if (captures.list[slot] != NULL)
            drop(captures.list[slot], until);
}

bool capture_prepare(const struct plan *plan, const struct platform_map *map)
{
    if (captures.list == NULL && !lines_are_needed(plan))
        return true;
    captures.next = make_table(map->slots, map);
    captures.next_slots = map->slots;
    return captures.next != NULL && open_sink();
}

void capture_drop(void)
{
    if (captures.next != NULL)
        free_table(captures.next, captures.next_slots);
    captures.next = NULL;
}

/* Takes over whoever was there, with the worker's index in the new plan. */
static void move(struct capture **list, uint32_t slot, const struct platform_map *map,
                 const uint32_t *new_worker_of)
{
    if (list[slot] != NULL) /* a job has come to be here */
        drop(list[slot], 0);
    list[slot] = captures.list[map->old_slot_of[slot]];
    struct line_source *lines = &list[slot]->lines;
    if (lines->worker < map->old_workers)
        lines->worker = new_worker_of[lines->worker];
}

void capture_reload(const struct plan *plan, const struct platform_map *map,
                    const uint32_t *new_worker_of)
{
    bool first = captures.list == NULL;
    for (uint32_t slot = 0; !first && slot < map->slots; slot++)
        if (is_old(map, slot))
            move(captures.next, slot, map, new_worker_of);
    if (!first)
        drop_gone(map);
    platform_free(captures.list);
    captures.list = captures.next;
    captures.slots = map->slots;
    captures.next = NULL;
    lines_name_by(plan);
}

/* ---- a run ---- */

HANDLE capture_start(uint32_t slot, uint32_t worker, uint32_t instance)
{
    struct capture *capture = captures.list[slot];
    if (capture->reading == NULL && !pipe_pair(&capture->reading, &capture->writing))
        return NULL;
    end_line(&capture->lines);
    capture->lines.worker = worker;
    capture->lines.instance = instance;
    if (!capture->held)
        arm(capture);
    return capture->writing;
}

void capture_started(uint32_t slot, DWORD pid)
{
    if (captures.list != NULL)
        captures.list[slot]->lines.pid = (long)pid;
}

void capture_ended(uint32_t slot, bool left)
{
    if (captures.list == NULL)
        return;
    struct capture *capture = captures.list[slot];
    for (int i = 0; i < ENDING_READS && take(&capture->lines, capture->reading); i++)
        ;
    if (!left)
        end_line(&capture->lines);
}

void capture_close(msec until)
{
    for (uint32_t slot = 0; captures.list != NULL && slot < captures.slots; slot++)
        capture_take_rest(&captures.list[slot]->lines, captures.list[slot]->reading, until);
    bool flows = captures.sink == NULL || (make_room(until) && wait_for_sink(until));
    capture_flush();
    if (!flows)
        log_line(LEVEL_WARNING, "what workers wrote last is lost, since nobody reads it");
}
