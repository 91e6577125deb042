/* notify.h - sd_notify(3) datagrams, both ways: bytes <-> messages.
 *
 *     char bytes[NOTIFY_MAX + 1];
 *     ssize_t size = recvmsg(...);                  at most NOTIFY_MAX of them
 *     if (notify_parse(bytes, size, &message, &fault) && message.state == NOTIFY_READY)
 *         ready();
 *     close every descriptor that came along: that is the answer to a barrier
 *
 *     struct notify_message message = {.state = NOTIFY_STOPPING, .has_extend = true, .extend =
 * 5000}; send(up, bytes, notify_format(bytes, &message), MSG_NOSIGNAL);
 *
 * A datagram is assignments, one a line.  They are read as systemd reads them: of READY, RELOADING
 * and STOPPING the last one counts, of everything else the first; what is not known is ignored;
 * BARRIER=1 stands alone, or nothing of the datagram counts.  A span in microseconds becomes
 * milliseconds, rounded up, and the largest number NEVER.
 *
 * Promises: what cannot be read costs that assignment alone, except where the whole datagram is
 * no text; what notify_format() writes, notify_parse() reads back as the same message.
 */
#ifndef AIORUN_NOTIFY_H
#define AIORUN_NOTIFY_H

#include "core/msec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOTIFY_MAX        4096 /* bytes of a datagram; systemd drops what is longer, and so do we */
#define NOTIFY_STATUS_MAX 1016 /* bytes of a status: as many as a control line's `status` has */
#define NOTIFY_ERRNO_MAX  4095 /* MAX_ERRNO, Linux */

enum notify_state { NOTIFY_NO_STATE, NOTIFY_READY, NOTIFY_RELOADING, NOTIFY_STOPPING };

/* All zero: says nothing. */
struct notify_message {
    enum notify_state state; /* READY=1, RELOADING=1, STOPPING=1 */
    const char *status;      /* STATUS=: plain (wire.h), cut to NOTIFY_STATUS_MAX, "" to clear it;
                                NULL: not said */
    bool watchdog;           /* WATCHDOG=1: alive */
    bool watchdog_trigger;   /* WATCHDOG=trigger: treat me as hung */
    bool barrier;            /* BARRIER=1, and nothing else */
    bool malformed;          /* something was there that could not be read */

    bool has_extend, has_watchdog_time, has_reload_time, has_errno, has_exit_status, has_main_pid;
    msec extend;          /* EXTEND_TIMEOUT_USEC=: this long from now; NEVER: for ever */
    msec watchdog_time;   /* WATCHDOG_USEC=: the watchdog's time from now on; 0 or NEVER: none */
    uint64_t reload_usec; /* MONOTONIC_USEC=: when the reload began, CLOCK_MONOTONIC */
    uint32_t error;       /* ERRNO=: 0..NOTIFY_ERRNO_MAX */
    uint32_t exit_status; /* EXIT_STATUS=: 0..255 */
    int32_t main_pid;     /* MAINPID=: 1.. */
};

/* Reads the `size` bytes (at most NOTIFY_MAX) at `bytes`, where there must be room for one more,
 * and cuts them up in place: message->status points into them.  False when the whole datagram is to
 * be dropped: it is empty, has a NUL before its end, or says more than BARRIER=1 beside that; then
 * *fault says why, as the part of a sentence, and `message` says nothing.  Descriptors are not seen
 * here: a barrier has exactly one, and the sender waits until it is closed. */
bool notify_parse(char *bytes, size_t size, struct notify_message *message, const char **fault);

/* Writes the message into NOTIFY_MAX bytes and returns its length, 0 when it says nothing.  A
 * status is made plain and cut (wire_clean()); spans below 0 count as 0.  With `barrier`, nothing
 * else is said.  `malformed` is not looked at. */
size_t notify_format(char *buffer, const struct notify_message *message);

#endif
