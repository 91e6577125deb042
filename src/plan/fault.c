#include "plan/fault.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Would a terminal act on this byte?  The C1 controls (ESC's relatives, 0x80 to 0x9f) count, alone
 * or as the second byte of their UTF-8 form, but not where they continue a longer character. */
static bool is_control(unsigned char before, unsigned char byte)
{
    if (byte < 0x20 || byte == 0x7f)
        return true;
    return byte >= 0x80 && byte <= 0x9f && (before < 0x80 || before == 0xc2);
}

static void make_harmless(char *text)
{
    unsigned char before = 0;
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (is_control(before, byte))
            *text = '?';
        before = byte;
    }
}

void fault_add(struct faults *faults, const char *place, const char *format, ...)
{
    if (faults == NULL)
        return;
    if (faults->count == FAULTS_MAX) {
        faults->dropped++;
        return;
    }
    char *text = faults->items[faults->count++].text;
    size_t used = 0;
    if (place != NULL) {
        int length = snprintf(text, FAULT_TEXT_MAX, "%s: ", place);
        used = length < 0 ? 0 : (size_t)length;
    }
    if (used < FAULT_TEXT_MAX) {
        va_list arguments;
        va_start(arguments, format);
        int length = vsnprintf(text + used, FAULT_TEXT_MAX - used, format, arguments);
        va_end(arguments);
        used += length < 0 ? 0 : (size_t)length;
    }
    if (used >= FAULT_TEXT_MAX)
        memcpy(text + FAULT_TEXT_MAX - sizeof "...", "...", sizeof "...");
    make_harmless(text);
}
