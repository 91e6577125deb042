/* utf8.h - how long the next character is.
 *
 *     size_t length = utf8_length(text);
 *     if (length == 0) write U+FFFD, and go on after one byte
 */
#ifndef AIORUN_UTF8_H
#define AIORUN_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* How many bytes the UTF-8 sequence at `text` (which ends in a NUL) has (RFC 3629); 0 when it is
 * none. */
static inline size_t utf8_length(const char *text)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t length = bytes[0] < 0x80   ? 1
                    : bytes[0] < 0xc2 ? 0
                    : bytes[0] < 0xe0 ? 2
                    : bytes[0] < 0xf0 ? 3
                                      : 4;
    if (bytes[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (bytes[0] == 0xe0 && bytes[1] < 0xa0) || (bytes[0] == 0xf0 && bytes[1] < 0x90);
    bool surrogate = bytes[0] == 0xed && bytes[1] >= 0xa0;
    bool beyond = bytes[0] == 0xf4 && bytes[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

#endif
