#include "report/report_private.h"
#include "report/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

void writer_flush(struct writer *writer)
{
    if (writer->length > 0 && !writer->failed)
        writer->failed = !writer->sink(writer->bytes, writer->length);
    writer->length = 0;
}

/* A line that is longer than the buffer is cut in two. */
static void add_bytes(struct writer *writer, const char *bytes, size_t length)
{
    if (length > sizeof writer->bytes - writer->length)
        writer_flush(writer);
    memcpy(writer->bytes + writer->length, bytes, length);
    writer->length += length;
    if (writer->by_line && length > 0 && bytes[length - 1] == '\n')
        writer_flush(writer);
}

void writer_add(struct writer *writer, const char *format, ...)
{
    char text[sizeof writer->bytes];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof text)
        length = sizeof text - 1;
    if (length > 0)
        add_bytes(writer, text, (size_t)length);
}

/* C0 and C1 control characters and DEL, and what XML does not know. */
static bool is_control(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    bool c1 = length == 2 && bytes[0] == 0xc2 && bytes[1] < 0xa0;
    bool noncharacter = length == 3 && bytes[0] == 0xef && bytes[1] == 0xbf && bytes[2] >= 0xbe;
    return (length == 1 && (bytes[0] < 0x20 || bytes[0] == 0x7f)) || c1 || noncharacter;
}

/* RFC 8259, section 7. */
static const char *escape_json(const char *text, size_t length, char *buffer)
{
    if (length == 0)
        return REPLACEMENT;
    if (*text != '"' && *text != '\\' && !(length == 1 && is_control(text, length)))
        return NULL;
    if ((unsigned char)*text < 0x20 || *text == 0x7f)
        snprintf(buffer, 8, "\\u%04x", (unsigned)(unsigned char)*text);
    else
        snprintf(buffer, 8, "\\%c", *text);
    return buffer;
}

static const char *escape_html(const char *text, size_t length)
{
    if (length == 0 || is_control(text, length))
        return REPLACEMENT;
    switch (*text) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    }
    return NULL;
}

void writer_add_escaped(struct writer *writer, enum writer_escape escape, const char *text)
{
    while (*text) {
        char buffer[8];
        size_t length = utf8_length(text);
        const char *escaped = NULL;
        switch (escape) {
        case ESCAPE_TEXT:
            escaped = length == 0 || is_control(text, length) ? "?" : NULL;
            break;
        case ESCAPE_JSON:
            escaped = escape_json(text, length, buffer);
            break;
        case ESCAPE_HTML:
            escaped = escape_html(text, length);
            break;
        }
        if (escaped != NULL)
            add_bytes(writer, escaped, strlen(escaped));
        else
            add_bytes(writer, text, length);
        text += length ? length : 1;
    }
}

void writer_add_json(struct writer *writer, const char *text)
{
    if (text == NULL) {
        writer_add(writer, "null");
        return;
    }
    writer_add(writer, "\"");
    writer_add_escaped(writer, ESCAPE_JSON, text);
    writer_add(writer, "\"");
}

void writer_add_seconds(struct writer *writer, msec span)
{
    msec size = span < 0 ? -span : span;
    writer_add(writer, "%s%lld.%03lld", span < 0 ? "-" : "", (long long)(size / SECOND),
               (long long)(size % SECOND));
}

void writer_add_took(struct report *report)
{
    struct writer *writer = &report->writer;
    writer_add(writer, "It took ");
    writer_add_seconds(writer, report->facts.now - report->trigger.at);
    writer_add(writer, " s");
    if (report->facts.timeout != NEVER) {
        writer_add(writer, " of at most ");
        writer_add_seconds(writer, report->facts.timeout);
        writer_add(writer, " s");
    }
}

/* Not gmtime(3): it may read the time zone's file, and allocate. */
void writer_add_date(struct writer *writer, int64_t wall, bool exact)
{
    int64_t seconds = wall / 1000, second = seconds % 86400;
    /* Years begin in March here, so that the leap day is a year's last. */
    int64_t days = seconds / 86400 + 719468; /* since 1 March of the year 0 */
    int64_t era = days / 146097, day = days % 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day -= 365 * year + year / 4 - year / 100;
    int64_t month = (5 * day + 2) / 153;
    day -= (153 * month + 2) / 5;
    year += 400 * era + (month >= 10);
    month = month < 10 ? month + 3 : month - 9;
    writer_add(writer, "%04lld-%02lld-%02lldT%02lld:%02lld:%02lld", (long long)year,
               (long long)month, (long long)day + 1, (long long)(second / 3600),
               (long long)(second / 60 % 60), (long long)(second % 60));
    if (exact)
        writer_add(writer, ".%03lld", (long long)(wall % 1000));
    writer_add(writer, "Z");
}
