#include "report/log.h"

#include "report/utf8.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MESSAGE_MAX    4000
#define LINE_MAX_BYTES 4096 /* what a pipe takes whole or not at all: PIPE_BUF of pipe(7) */

static struct {
    enum log_level threshold;
    enum log_style style;
    log_sink *sink;
    unsigned long dropped, owned_up;
} log_state = {.threshold = LEVEL_CRITICAL};

struct line {
    char *bytes;
    size_t size, length;
};

static const char *const level_names[] = {
    [LEVEL_DEBUG] = "DEBUG", [LEVEL_INFO] = "INFO",         [LEVEL_WARNING] = "WARNING",
    [LEVEL_ERROR] = "ERROR", [LEVEL_CRITICAL] = "CRITICAL",
};

/* What text lines say in front; DEBUG and INFO speak for themselves. */
static const char *const level_words[] = {
    [LEVEL_DEBUG] = "",
    [LEVEL_INFO] = "",
    [LEVEL_WARNING] = "warning: ",
    [LEVEL_ERROR] = "error: ",
    [LEVEL_CRITICAL] = "critical: ",
};

static const char *const level_colours[] = {
    [LEVEL_DEBUG] = "\033[2m",  [LEVEL_INFO] = "\033[36m",       [LEVEL_WARNING] = "\033[33m",
    [LEVEL_ERROR] = "\033[31m", [LEVEL_CRITICAL] = "\033[1;31m",
};

/* sd-daemon(3)'s priorities are syslog's. */
static const char level_priorities[] = {
    [LEVEL_DEBUG] = '7', [LEVEL_INFO] = '6',     [LEVEL_WARNING] = '4',
    [LEVEL_ERROR] = '3', [LEVEL_CRITICAL] = '2',
};

void log_open(enum log_level threshold, enum log_style style, log_sink *sink)
{
    log_state.threshold = threshold;
    log_state.style = style;
    log_state.sink = sink;
}

bool log_enabled(enum log_level level)
{
    return log_state.sink != NULL && level >= log_state.threshold;
}

static void add_bytes(struct line *line, const char *text, size_t length)
{
    size_t room = line->size - 1 - line->length; /* the newline's place stays */
    if (length > room)
        length = room;
    memcpy(line->bytes + line->length, text, length);
    line->length += length;
}

static void add(struct line *line, const char *text)
{
    add_bytes(line, text, strlen(text));
}

/* Bytes that stand for themselves in a string of JSON. */
static size_t count_plain(const char *text, size_t length)
{
    size_t count = 0;
    while (count < length && (unsigned char)text[count] >= 0x20 &&
           (unsigned char)text[count] < 0x7f && text[count] != '"' && text[count] != '\\')
        count++;
    return count;
}

/* A string of JSON (RFC 8259, section 7), which is UTF-8 whatever an argument may hold. */
static void add_json_bytes(struct line *line, const char *text, size_t left)
{
    add(line, "\"");
    while (left > 0) {
        char escaped[8] = {0};
        size_t room = line->size - line->length - 4; /* so that the object still ends as one */
        size_t plain = count_plain(text, left < room ? left : room);
        size_t length = plain > 0 ? plain : utf8_length(text);
        if (length > left) /* the sequence is cut */
            length = 0;
        if (plain == 0 && length == 0)
            strcpy(escaped, "\\ufffd");
        else if (*text == '"' || *text == '\\')
            snprintf(escaped, sizeof escaped, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)*text);
        const char *shown = escaped[0] ? escaped : text;
        size_t size = escaped[0] ? strlen(escaped) : length;
        if (size > room)
            break;
        add_bytes(line, shown, size);
        length += length == 0;
        text += length;
        left -= length;
    }
    add(line, "\"");
}

static void add_json(struct line *line, const char *text)
{
    add_json_bytes(line, text, strlen(text));
}

static void add_json_time(struct line *line)
{
    struct timespec now;
    char text[64];
    timespec_get(&now, TIME_UTC);
    const struct tm *utc = gmtime(&now.tv_sec);
    size_t length = utc ? strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", utc) : 0;
    snprintf(text + length, sizeof text - length, ".%03ldZ", now.tv_nsec / 1000000);
    add(line, "{\"time\":\"");
    add(line, text);
    add(line, "\"");
}

static void format_json(struct line *line, enum log_level level, const char *worker, long pid,
                        const char *message, size_t length)
{
    char number[32];
    add_json_time(line);
    add(line, ",\"level\":\"");
    add(line, level_names[level]);
    add(line, "\"");
    if (worker != NULL) {
        add(line, ",\"worker\":");
        add_json(line, worker);
    }
    if (pid != 0) {
        snprintf(number, sizeof number, ",\"pid\":%ld", pid);
        add(line, number);
    }
    add(line, ",\"message\":");
    add_json_bytes(line, message, length);
    add(line, "}");
}

static void format_text(struct line *line, enum log_level level, const char *message)
{
    const char priority[] = {'<', level_priorities[level], '>', 0};
    switch (log_state.style) {
    case LOG_STYLE_JOURNAL:
        add(line, priority);
        add(line, message);
        break;
    case LOG_STYLE_COLOUR:
        add(line, level_colours[level]);
        add(line, "aiorun: ");
        add(line, level_words[level]);
        add(line, "\033[0m");
        add(line, message);
        break;
    case LOG_STYLE_TEXT:
    case LOG_STYLE_JSON:
        add(line, "aiorun: ");
        add(line, level_words[level]);
        add(line, message);
        break;
    }
}

static bool emit(enum log_level level, const char *worker, long pid, const char *message)
{
    char bytes[LINE_MAX_BYTES];
    struct line line = {.bytes = bytes, .size = sizeof bytes};
    if (log_state.style == LOG_STYLE_JSON)
        format_json(&line, level, worker, pid, message, strlen(message));
    else
        format_text(&line, level, message);
    line.bytes[line.length++] = '\n';
    return log_state.sink(line.bytes, line.length);
}

enum log_style log_style(void)
{
    return log_state.style;
}

size_t log_format(char *buffer, size_t size, const char *worker, long pid, const char *text,
                  size_t length)
{
    struct line line = {.bytes = buffer, .size = size};
    if (log_state.style == LOG_STYLE_JSON) {
        format_json(&line, LEVEL_INFO, worker, pid, text, length);
    } else {
        add(&line, log_state.style == LOG_STYLE_JOURNAL ? "<6>" : "");
        add(&line, worker);
        add(&line, " | ");
        add_bytes(&line, text, length);
    }
    line.bytes[line.length++] = '\n';
    return line.length;
}

static void own_up(void)
{
    char message[96];
    unsigned long lost = log_state.dropped - log_state.owned_up;
    if (lost == 0)
        return;
    snprintf(message, sizeof message, "%lu log line%s could not be written and %s lost", lost,
             lost == 1 ? "" : "s", lost == 1 ? "is" : "are");
    if (emit(LEVEL_WARNING, NULL, 0, message))
        log_state.owned_up = log_state.dropped;
}

static void write_message(enum log_level level, const char *worker, long pid, const char *format,
                          va_list arguments)
{
    char message[MESSAGE_MAX];
    int length = vsnprintf(message, sizeof message, format, arguments);
    if (length >= (int)sizeof message)
        memcpy(message + sizeof message - 4, "...", 4);
    for (char *byte = message; length > 0 && *byte; byte++)
        if ((unsigned char)*byte < 0x20 || *byte == 0x7f)
            *byte = '?';
    own_up();
    if (!emit(level, worker, pid, message))
        log_state.dropped++;
}

void log_line(enum log_level level, const char *format, ...)
{
    va_list arguments;
    if (!log_enabled(level))
        return;
    va_start(arguments, format);
    write_message(level, NULL, 0, format, arguments);
    va_end(arguments);
}

void log_about(enum log_level level, const char *worker, long pid, const char *format, ...)
{
    va_list arguments;
    if (!log_enabled(level))
        return;
    va_start(arguments, format);
    write_message(level, worker, pid, format, arguments);
    va_end(arguments);
}
