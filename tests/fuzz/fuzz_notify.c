/* Any datagram on a notify socket.
 *
 * What must hold: nothing outside of it is touched; a datagram that is dropped says nothing; a
 * status may be shown on a terminal; a message written again is read as the same. */
#include "fuzz.h"
#include "protocol/notify.h"
#include "protocol/wire.h"

#include <string.h>

static bool says_nothing(const struct notify_message *message)
{
    return message->state == NOTIFY_NO_STATE && message->status == NULL && !message->watchdog &&
           !message->watchdog_trigger && !message->barrier && !message->has_extend &&
           !message->has_watchdog_time && !message->has_reload_time && !message->has_errno &&
           !message->has_exit_status && !message->has_main_pid;
}

static void check_same(const struct notify_message *a, const struct notify_message *b)
{
    MUST(a->state == b->state);
    MUST((a->status == NULL) == (b->status == NULL));
    MUST(a->status == NULL || strcmp(a->status, b->status) == 0);
    MUST(a->watchdog == b->watchdog && a->watchdog_trigger == b->watchdog_trigger);
    MUST(a->barrier == b->barrier);
    MUST(a->has_extend == b->has_extend && a->extend == b->extend);
    MUST(a->has_watchdog_time == b->has_watchdog_time && a->watchdog_time == b->watchdog_time);
    MUST(a->has_reload_time == b->has_reload_time && a->reload_usec == b->reload_usec);
    MUST(a->has_errno == b->has_errno && a->error == b->error);
    MUST(a->has_exit_status == b->has_exit_status && a->exit_status == b->exit_status);
    MUST(a->has_main_pid == b->has_main_pid && a->main_pid == b->main_pid);
}

static void check_values(const struct notify_message *message, const char *bytes, size_t size)
{
    if (message->status != NULL) {
        size_t length = strlen(message->status);
        MUST(message->status >= bytes && message->status + length <= bytes + size);
        MUST(length <= NOTIFY_STATUS_MAX && wire_is_plain(message->status, length));
    }
    MUST(!message->watchdog || !message->watchdog_trigger);
    MUST(message->extend >= 0 && message->watchdog_time >= 0);
    MUST(message->error <= NOTIFY_ERRNO_MAX && message->exit_status <= 255);
    MUST(message->has_main_pid ? message->main_pid > 0 : message->main_pid == 0);
}

static void try_datagram(const char *data, size_t size)
{
    struct notify_message message, again;
    const char *fault = NULL;
    char buffer[NOTIFY_MAX];
    char *bytes = malloc(size + 1);
    MUST(bytes != NULL);
    memcpy(bytes, data, size);
    if (!notify_parse(bytes, size, &message, &fault)) {
        MUST(fault != NULL && fault[0] != '\0');
        MUST(says_nothing(&message) && !message.malformed);
        free(bytes);
        return;
    }
    check_values(&message, bytes, size);
    size_t length = notify_format(buffer, &message);
    MUST(length <= NOTIFY_MAX && (length == 0) == says_nothing(&message));
    if (length > 0) {
        char *written = malloc(length + 1);
        MUST(written != NULL);
        memcpy(written, buffer, length);
        MUST(notify_parse(written, length, &again, &fault));
        MUST(!again.malformed);
        check_same(&message, &again);
        free(written);
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= NOTIFY_MAX)
        try_datagram((const char *)data, size);
    return 0;
}
