#include "protocol/notify.h"

#include "protocol/wire.h"

#include <string.h>

#define SPAN_MAX (INT64_MAX / 1000) /* milliseconds that microseconds can say */

/* ---- bytes to messages ---- */

/* The next line that is not empty, NUL-terminated in place; NULL when there is none.  A carriage
 * return ends a line as well: systemd does it so. */
static char *take_line(char **rest)
{
    char *line = *rest + strspn(*rest, "\r\n");
    if (*line == '\0')
        return NULL;
    char *end = line + strcspn(line, "\r\n");
    *rest = *end == '\0' ? end : end + 1;
    *end = '\0';
    return line;
}

/* What follows `name` (with its `=`) in `line`; NULL when it is another assignment. */
static char *value_of(char *line, const char *name)
{
    size_t length = strlen(name);
    return strncmp(line, name, length) == 0 ? line + length : NULL;
}

/* Each reads one value; false when it cannot be read. */
static bool read_status(char *text, const char **status)
{
    size_t length = strlen(text);
    if (!wire_is_utf8(text, length))
        return false;
    text[wire_clean(text, NOTIFY_STATUS_MAX, text, length)] = '\0';
    *status = text;
    return true;
}

static bool read_span(const char *digits, msec *span)
{
    uint64_t usec = 0;
    if (!wire_number(digits, UINT64_MAX, &usec))
        return false;
    uint64_t rounded = usec / 1000 + (usec % 1000 != 0);
    *span = rounded > SPAN_MAX ? NEVER : (msec)rounded;
    return true;
}

static bool read_small(const char *digits, uint32_t max, uint32_t *number)
{
    uint64_t value = 0;
    if (!wire_number(digits, max, &value))
        return false;
    *number = (uint32_t)value;
    return true;
}

static bool read_pid(const char *digits, int32_t *pid)
{
    uint64_t value = 0;
    if (!wire_number(digits, INT32_MAX, &value) || value == 0)
        return false;
    *pid = (int32_t)value;
    return true;
}

static bool read_watchdog(const char *value, struct notify_message *message)
{
    message->watchdog = strcmp(value, "1") == 0;
    message->watchdog_trigger = strcmp(value, "trigger") == 0;
    return message->watchdog || message->watchdog_trigger;
}

enum field { STATUS, WATCHDOG, EXTEND, WATCHDOG_TIME, RELOAD_TIME, ERRNO, EXIT_STATUS, MAIN_PID };

static const char *const names[] = {
    [STATUS] = "STATUS=",
    [WATCHDOG] = "WATCHDOG=",
    [EXTEND] = "EXTEND_TIMEOUT_USEC=",
    [WATCHDOG_TIME] = "WATCHDOG_USEC=",
    [RELOAD_TIME] = "MONOTONIC_USEC=",
    [ERRNO] = "ERRNO=",
    [EXIT_STATUS] = "EXIT_STATUS=",
    [MAIN_PID] = "MAINPID=",
};

#define FIELD_COUNT (sizeof names / sizeof names[0])

static bool read_field(enum field field, char *value, struct notify_message *message)
{
    switch (field) {
    case STATUS:
        return read_status(value, &message->status);
    case WATCHDOG:
        return read_watchdog(value, message);
    case EXTEND:
        return message->has_extend = read_span(value, &message->extend);
    case WATCHDOG_TIME:
        return message->has_watchdog_time = read_span(value, &message->watchdog_time);
    case RELOAD_TIME:
        return message->has_reload_time = wire_number(value, UINT64_MAX, &message->reload_usec);
    case ERRNO:
        return message->has_errno = read_small(value, NOTIFY_ERRNO_MAX, &message->error);
    case EXIT_STATUS:
        return message->has_exit_status = read_small(value, 255, &message->exit_status);
    case MAIN_PID:
        return message->has_main_pid = read_pid(value, &message->main_pid);
    }
    return false;
}

/* `seen`: the fields that a line before this one has named. */
static void read_line(char *line, unsigned *seen, struct notify_message *message)
{
    if (strcmp(line, "READY=1") == 0)
        message->state = NOTIFY_READY;
    else if (strcmp(line, "RELOADING=1") == 0)
        message->state = NOTIFY_RELOADING;
    else if (strcmp(line, "STOPPING=1") == 0)
        message->state = NOTIFY_STOPPING;
    for (size_t field = 0; field < FIELD_COUNT; field++) {
        char *value = value_of(line, names[field]);
        if (value == NULL || (*seen >> field & 1))
            continue;
        *seen |= 1U << field;
        if (!read_field((enum field)field, value, message))
            message->malformed = true;
    }
}

bool notify_parse(char *bytes, size_t size, struct notify_message *message, const char **fault)
{
    unsigned seen = 0, lines = 0;
    char *rest = bytes;
    memset(message, 0, sizeof *message);
    bytes[size] = '\0';
    /* One NUL at the end is let pass, as systemd does: some send their string with it. */
    size_t length = strlen(bytes);
    if (length + 1 < size) {
        *fault = "it has a NUL before its end";
        return false;
    }
    for (char *line; (line = take_line(&rest)) != NULL; lines++) {
        message->barrier = message->barrier || strcmp(line, "BARRIER=1") == 0;
        read_line(line, &seen, message);
    }
    if (lines == 0 || (message->barrier && lines > 1)) {
        *fault = lines == 0 ? "it is empty" : "BARRIER=1 is not alone";
        memset(message, 0, sizeof *message);
        return false;
    }
    return true;
}

/* ---- messages to bytes ---- */

static void put_number(struct wire *wire, enum field field, uint64_t number)
{
    wire_put(wire, names[field]);
    wire_put_number(wire, number);
    wire_put(wire, "\n");
}

static void put_span(struct wire *wire, enum field field, msec span)
{
    put_number(wire, field, span > SPAN_MAX ? UINT64_MAX : (uint64_t)msec_max(span, 0) * 1000);
}

static void put_state(struct wire *wire, enum notify_state state)
{
    switch (state) {
    case NOTIFY_NO_STATE:
        break;
    case NOTIFY_READY:
        wire_put(wire, "READY=1\n");
        break;
    case NOTIFY_RELOADING:
        wire_put(wire, "RELOADING=1\n");
        break;
    case NOTIFY_STOPPING:
        wire_put(wire, "STOPPING=1\n");
        break;
    }
}

static void put_status(struct wire *wire, const char *status)
{
    wire_put(wire, names[STATUS]);
    wire_put_text(wire, status, (size_t)(wire->end - wire->at) - NOTIFY_STATUS_MAX);
    wire_put(wire, "\n");
}

size_t notify_format(char *buffer, const struct notify_message *message)
{
    struct wire wire = {.at = buffer, .end = buffer + NOTIFY_MAX};
    if (message->barrier) {
        wire_put(&wire, "BARRIER=1");
        return (size_t)(wire.at - buffer);
    }
    put_state(&wire, message->state);
    if (message->status != NULL)
        put_status(&wire, message->status);
    if (message->watchdog)
        wire_put(&wire, "WATCHDOG=1\n");
    else if (message->watchdog_trigger)
        wire_put(&wire, "WATCHDOG=trigger\n");
    if (message->has_extend)
        put_span(&wire, EXTEND, message->extend);
    if (message->has_watchdog_time)
        put_span(&wire, WATCHDOG_TIME, message->watchdog_time);
    if (message->has_reload_time)
        put_number(&wire, RELOAD_TIME, message->reload_usec);
    if (message->has_errno)
        put_number(&wire, ERRNO, message->error);
    if (message->has_exit_status)
        put_number(&wire, EXIT_STATUS, message->exit_status);
    if (message->has_main_pid)
        put_number(&wire, MAIN_PID, (uint64_t)message->main_pid);
    return (size_t)(wire.at - buffer);
}
