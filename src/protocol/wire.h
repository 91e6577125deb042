/* wire.h - what the protocols have in common: UTF-8, decimal numbers, and a buffer to write into.
 *
 *     struct wire wire = {.at = buffer, .end = buffer + size};
 *     wire_put(&wire, "STATUS=");
 *     wire_put_text(&wire, text, 1);
 *     wire_put(&wire, "\n");
 *     return (size_t)(wire.at - buffer);
 *
 * Promises: nothing here reads or writes outside of what it was given, whatever the bytes are.
 */
#ifndef AIORUN_WIRE_H
#define AIORUN_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire {
    char *at;        /* where the next byte goes */
    const char *end; /* behind the last byte there is room for */
};

/* Are these `size` bytes UTF-8 (Unicode, table 3-7: nothing overlong, no surrogates) without a
 * control character (C0, DEL, C1)? */
bool wire_is_plain(const char *text, size_t size);

/* Are they UTF-8?  NUL bytes and control characters are. */
bool wire_is_utf8(const char *text, size_t size);

/* Copies what fits of `size` bytes into the `room` bytes at `to`, and makes them plain: a control
 * character becomes a blank, a byte that is no UTF-8 a question mark.  Cuts between characters,
 * adds no NUL, and returns how many bytes it wrote, never more than `size`.  `to` may be `from`. */
size_t wire_clean(char *to, size_t room, const char *from, size_t size);

/* The value of a string that is a decimal number of at most `max`, and nothing else: no sign, no
 * blank.  False, and nothing set, when it is not. */
bool wire_number(const char *digits, uint64_t max, uint64_t *value);

#define WIRE_DIGITS_MAX 20 /* of UINT64_MAX */

/* Append; a string and a number must fit.  Async-signal-safe. */
void wire_put(struct wire *wire, const char *text);
void wire_put_number(struct wire *wire, uint64_t number);

/* Appends what fits of `text`, as wire_clean() makes it, and leaves `spare` bytes. */
void wire_put_text(struct wire *wire, const char *text, size_t spare);

#endif
