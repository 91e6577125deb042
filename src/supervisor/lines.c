#include "supervisor/lines.h"

#include "platform.h"
#include "report/log.h"

#include <stdio.h>
#include <string.h>

#define LABEL_MAX 128                /* with its colour; whole blocks */
#define BLOCK     16                 /* bytes that are copied at a time */
#define ROOM      ((size_t)64 << 10) /* asked for at a time, for as many lines as fit */

static struct {
    const struct plan *plan;
    int label_width;
    bool plain, colours; /* not as records of our log; on a terminal */
} lines;

/* What was read last. */
static struct {
    char *bytes; /* LINES_PIECE_MAX for the beginning of a line that was kept, and LINES_READ_MAX */
    char *at, *scanned, *end;
    struct line_source *owner; /* NULL: nothing waits */
    bool last;                 /* there is no more to come of it: a line without an end is one */
} input;

/* ---- labels ---- */

static void write_name(const struct plan_worker *worker, uint32_t instance, char *name, size_t size)
{
    snprintf(name, size, worker->rules->instances > 1 ? "%s:%u" : "%s", worker->name,
             (unsigned)instance);
}

static void write_source(const struct line_source *source, char *name, size_t size)
{
    write_name(&lines.plan->workers[source->worker], source->instance, name, size);
}

/* What a line begins with; returns its bytes. */
static size_t write_label(const struct line_source *source, char *label)
{
    static const int colours[] = {36, 33, 32, 35, 34, 96, 93, 92, 95, 94};
    char name[LABEL_MAX / 2];
    uint32_t colour = source->worker % (sizeof colours / sizeof colours[0]);
    int length;
    write_source(source, name, sizeof name);
    if (lines.colours)
        length = snprintf(label, LABEL_MAX, "\033[%dm%-*s |\033[0m ", colours[colour],
                          lines.label_width, name);
    else
        length = snprintf(label, LABEL_MAX, "%-*s | ", lines.label_width, name);
    return length < LABEL_MAX ? (size_t)length : LABEL_MAX - 1;
}

static bool is_captured(const struct plan_worker *worker)
{
    return worker->rules->output.kind == OUTPUT_PREFIX || worker->is_logger;
}

/* Names of the longest width get no blanks behind them. */
void lines_name_by(const struct plan *plan)
{
    lines.plan = plan;
    lines.label_width = 0;
    for (uint32_t i = 0; i < plan->worker_count; i++) {
        char name[LABEL_MAX / 2];
        if (!is_captured(&plan->workers[i]))
            continue;
        write_name(&plan->workers[i], (uint32_t)plan->workers[i].rules->instances - 1, name,
                   sizeof name);
        if ((int)strlen(name) > lines.label_width)
            lines.label_width = (int)strlen(name);
    }
}

/* ---- opening ---- */

bool lines_are_needed(const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->worker_count; i++)
        if (is_captured(&plan->workers[i]))
            return true;
    return false;
}

bool lines_are_records(void)
{
    return log_style() != LOG_STYLE_TEXT && log_style() != LOG_STYLE_COLOUR;
}

bool lines_open(bool colours)
{
    lines.plain = !lines_are_records();
    lines.colours = lines.plain && colours;
    /* copy() and log_format() look beyond. */
    if (input.bytes == NULL)
        input.bytes = platform_reserve(LINES_PIECE_MAX + LINES_READ_MAX + BLOCK);
    return input.bytes != NULL;
}

/* ---- passing on ---- */

/* What is ours to fill at the end of our output's buffer. */
static struct {
    char *at;
    size_t used, left;
} room;

static void leave_room(void)
{
    if (room.used > 0)
        platform_output_add(room.used);
    room.used = room.left = 0;
}

/* False when there is none now. */
static bool make_room(size_t size)
{
    if (room.left >= size)
        return true;
    leave_room();
    size = size > ROOM ? size : ROOM;
    room.at = platform_output_room(size);
    room.left = room.at != NULL ? size : 0;
    return room.at != NULL;
}

/* Most lines are short: for them this is quicker than a call of memcpy(3).  Reads and writes up to
 * BLOCK - 1 bytes more than asked for. */
static void copy(char *to, const char *from, size_t length)
{
    for (size_t i = 0; i < length; i += BLOCK)
        memcpy(to + i, from + i, BLOCK);
}

/* False when there is no room now. */
static bool pass_on(const struct line_source *source, const char *label, size_t label_length,
                    const char *text, size_t length)
{
    size_t size = lines.plain ? label_length + length + 1 : LOG_FORMAT_MAX(length);
    if (!make_room(size + BLOCK))
        return false;
    char *line = room.at + room.used;
    if (lines.plain) {
        copy(line, label, label_length);
        copy(line + label_length, text, length);
        line[size - 1] = '\n';
    } else {
        size = log_format(line, size, label, source->pid, text, length);
    }
    room.used += size;
    room.left -= size;
    return true;
}

static void keep_rest(struct line_source *source)
{
    source->kept = (uint32_t)(input.end - input.at);
    memcpy(source->part, input.at, source->kept);
}

/* False when there was not enough room for all whole lines. */
static bool pass_on_lines(const struct line_source *source)
{
    char label[LABEL_MAX];
    size_t label_length = 0;
    if (lines.plain)
        label_length = write_label(source, label);
    else
        write_source(source, label, sizeof label);
    while (input.at < input.end) {
        char *newline = memchr(input.scanned, '\n', (size_t)(input.end - input.scanned));
        bool whole = newline != NULL && (size_t)(newline - input.at) <= LINES_PIECE_MAX;
        size_t length = (size_t)((whole ? newline : input.end) - input.at);
        if (!whole && length <= LINES_PIECE_MAX && !input.last)
            break; /* its end may come next */
        length = length < LINES_PIECE_MAX ? length : LINES_PIECE_MAX;
        if (!pass_on(source, label, label_length, input.at, length))
            return false;
        input.at += length + whole;
        input.scanned = input.at;
    }
    return true;
}

bool lines_pump(void)
{
    struct line_source *source = input.owner;
    if (source == NULL)
        return true;
    bool passed = pass_on_lines(source);
    leave_room();
    if (!passed)
        return false;
    keep_rest(source);
    input.owner = NULL;
    return true;
}

/* The rest of a line comes in front of what is read now. */
static void begin_input(struct line_source *source, size_t count)
{
    char *fresh = lines_buffer();
    input.at = fresh - source->kept;
    memcpy(input.at, source->part, source->kept);
    input.scanned = fresh;
    input.end = fresh + count;
    input.owner = source;
    input.last = count == 0;
    source->kept = 0;
}

char *lines_buffer(void)
{
    return input.bytes + LINES_PIECE_MAX;
}

bool lines_take(struct line_source *source, size_t count)
{
    begin_input(source, count);
    return lines_pump();
}

bool lines_end(struct line_source *source)
{
    if (source->kept > 0)
        begin_input(source, 0);
    return lines_pump();
}

const struct line_source *lines_waiting(void)
{
    return input.owner;
}

void lines_forget(void)
{
    input.owner = NULL;
}
