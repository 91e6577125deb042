/* Any bytes on a control pipe, cut into any reads; the first byte seeds the cuts.
 *
 * What must hold: the cuts change nothing; a line is what lies between two newlines, and a good one
 * comes out whatever came before it; what is accepted as a message, an order or an answer, and
 * written again, is accepted as the same. */
#include "fuzz.h"
#include "protocol/control.h"
#include "protocol/wire.h"

#include <string.h>

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The written line in memory of its own, without its newline; it is one that can be read. */
static char *line_of(const char *buffer, size_t length)
{
    MUST(length >= 1 && length <= CONTROL_LINE_MAX && buffer[length - 1] == '\n');
    MUST(wire_is_plain(buffer, length - 1));
    char *line = malloc(length);
    MUST(line != NULL);
    memcpy(line, buffer, length - 1);
    line[length - 1] = '\0';
    return line;
}

static char *copy_of(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    MUST(copy != NULL);
    memcpy(copy, text, size);
    return copy;
}

static bool is_within(const char *text, const char *line, size_t length)
{
    return text == NULL || (text >= line && text + strlen(text) <= line + length);
}

/* A refusal has its reason. */
static void check_fault(const char *fault)
{
    MUST(fault != NULL && fault[0] != '\0');
}

static void try_message(const char *text)
{
    struct control_message message, again;
    const char *fault = NULL;
    char buffer[CONTROL_LINE_MAX];
    char *line = copy_of(text);
    if (control_parse(line, &message, &fault)) {
        MUST(is_within(message.name, line, strlen(text)));
        MUST(is_within(message.text, line, strlen(text)));
        MUST(message.name == NULL || control_is_name(message.name));
        MUST(message.has_time || message.time == 0);
        MUST(message.time >= 0 && (message.time <= CONTROL_TIME_MAX || message.time == NEVER));
        MUST(message.status <= 255);
        char *written = line_of(buffer, control_format(buffer, &message));
        MUST(control_parse(written, &again, &fault));
        MUST(again.verb == message.verb && again.wait == message.wait);
        MUST(same_text(again.name, message.name) && same_text(again.text, message.text));
        MUST(again.has_time == message.has_time && again.time == message.time);
        MUST(again.has_status == message.has_status && again.status == message.status);
        free(written);
    } else {
        check_fault(fault);
    }
    free(line);
}

static void try_order(const char *text)
{
    struct control_order_message message, again;
    const char *fault = NULL;
    char buffer[CONTROL_LINE_MAX];
    char *line = copy_of(text);
    if (control_parse_order(line, &message, &fault)) {
        MUST(is_within(message.reason, line, strlen(text)));
        size_t length = message.order == ORDER_RELOAD
                            ? control_format_reload(buffer)
                            : control_format_shutdown(buffer, message.reason, message.time);
        char *written = line_of(buffer, length);
        MUST(control_parse_order(written, &again, &fault));
        MUST(again.order == message.order && again.time == message.time);
        MUST(same_text(again.reason, message.reason));
        free(written);
    } else {
        check_fault(fault);
    }
    free(line);
}

static void try_reply(const char *text)
{
    struct control_reply reply, again;
    const char *fault = NULL;
    char buffer[CONTROL_LINE_MAX];
    char *line = copy_of(text);
    if (control_parse_reply(line, &reply, &fault)) {
        MUST(is_within(reply.text, line, strlen(text)));
        char *written = line_of(buffer, control_format_reply(buffer, &reply));
        MUST(control_parse_reply(written, &again, &fault));
        MUST(again.answer == reply.answer && again.number == reply.number);
        MUST(same_text(again.text, reply.text));
        free(written);
    } else {
        check_fault(fault);
    }
    free(line);
}

/* The line that ends before `newline` begins at `start`: does the reader say the same of it? */
static void check_line(const struct control_reader *reader, enum control_read got,
                       const char *start, const char *newline)
{
    size_t length = (size_t)(newline - start);
    bool good = length < CONTROL_LINE_MAX && wire_is_plain(start, length);
    MUST(got == (good ? CONTROL_READ_LINE : CONTROL_READ_BAD));
    if (good)
        MUST(strlen(reader->line) == length && memcmp(reader->line, start, length) == 0);
}

/* Reads all of it in pieces of 1 to `longest` bytes, and checks each line against the stream. */
static void read_in_pieces(const char *bytes, size_t size, uint32_t seed, size_t longest)
{
    struct control_reader reader = {0};
    const char *start = bytes, *at = bytes, *end = bytes + size;
    while (at < end) {
        seed = seed * 1103515245U + 12345U;
        size_t piece = 1 + (seed >> 16) % longest;
        piece = piece < (size_t)(end - at) ? piece : (size_t)(end - at);
        const char *stop = at + piece;
        while (at < stop) {
            size_t taken = 0;
            enum control_read got = control_read(&reader, at, (size_t)(stop - at), &taken);
            MUST(taken >= 1 && taken <= (size_t)(stop - at));
            MUST(memchr(at, '\n', taken - 1) == NULL);
            at += taken;
            if (got == CONTROL_READ_MORE) {
                MUST(at == stop && at[-1] != '\n');
                continue;
            }
            MUST(at[-1] == '\n');
            check_line(&reader, got, start, at - 1);
            start = at;
        }
    }
}

/* Every line of it by itself, whatever the reader would say. */
static void try_lines(const char *bytes, size_t size)
{
    struct control_reader reader = {0};
    for (size_t taken = 0; size > 0; bytes += taken, size -= taken) {
        if (control_read(&reader, bytes, size, &taken) == CONTROL_READ_LINE) {
            try_message(reader.line);
            try_order(reader.line);
            try_reply(reader.line);
        }
    }
}

/* Any text can be said, and reads back as it was cleaned. */
static void try_text(const char *bytes, size_t size)
{
    char *text = malloc(size + 1), buffer[CONTROL_LINE_MAX];
    MUST(text != NULL);
    memcpy(text, bytes, size);
    text[size] = '\0';
    struct control_message message = {.verb = CONTROL_ERROR, .text = text}, again;
    size_t length = control_format(buffer, &message);
    MUST((length == 0) == (text[0] == '\0'));
    if (length > 0) {
        const char *fault = NULL;
        char *line = line_of(buffer, length);
        MUST(control_parse(line, &again, &fault) && again.verb == CONTROL_ERROR);
        if (wire_is_plain(text, strlen(text)))
            MUST(strncmp(again.text, text, strlen(again.text)) == 0);
        free(line);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *bytes = (const char *)data + 1;
    size--;
    read_in_pieces(bytes, size, data[0], 1);
    read_in_pieces(bytes, size, data[0], 16);
    read_in_pieces(bytes, size, data[0], 700);
    try_lines(bytes, size);
    try_text(bytes, size);
    return 0;
}
