#include "protocol/wire.h"

#include <assert.h>
#include <string.h>

/* The bytes of the character that `text` begins with, and its number; 0 when it is not UTF-8. */
static size_t decode(const char *text, size_t size, uint32_t *character)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* for this many bytes */
    unsigned char first = (unsigned char)text[0];
    size_t length = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length == 0 || length > size || first > 0xf4)
        return 0;
    uint32_t value = length == 1 ? first : first & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        unsigned char next = (unsigned char)text[i];
        if ((next & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (next & 0x3f);
    }
    bool surrogate = value >= 0xd800 && value <= 0xdfff;
    if (value < least[length] || value > 0x10ffff || surrogate)
        return 0;
    *character = value;
    return length;
}

static bool is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character < 0xa0);
}

static bool is_text(const char *text, size_t size, bool controls)
{
    for (size_t i = 0; i < size;) {
        uint32_t character = 0;
        size_t length = decode(text + i, size - i, &character);
        if (length == 0 || (!controls && is_control(character)))
            return false;
        i += length;
    }
    return true;
}

bool wire_is_plain(const char *text, size_t size)
{
    return is_text(text, size, false);
}

bool wire_is_utf8(const char *text, size_t size)
{
    return is_text(text, size, true);
}

size_t wire_clean(char *to, size_t room, const char *from, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < size;) {
        uint32_t character = 0;
        size_t length = decode(from + i, size - i, &character);
        bool plain = length > 0 && !is_control(character);
        size_t added = plain ? length : 1;
        if (added > room - used)
            break;
        if (plain)
            memmove(to + used, from + i, length);
        else
            to[used] = length > 0 ? ' ' : '?';
        used += added;
        i += length > 0 ? length : 1;
    }
    return used;
}

bool wire_number(const char *digits, uint64_t max, uint64_t *value)
{
    uint64_t number = 0;
    if (*digits == '\0')
        return false;
    for (; *digits != '\0'; digits++) {
        if (*digits < '0' || *digits > '9')
            return false;
        uint64_t digit = (uint64_t)(*digits - '0');
        if (digit > max || number > (max - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *value = number;
    return true;
}

void wire_put(struct wire *wire, const char *text)
{
    size_t length = strlen(text);
    assert(length <= (size_t)(wire->end - wire->at));
    memcpy(wire->at, text, length);
    wire->at += length;
}

void wire_put_number(struct wire *wire, uint64_t number)
{
    char digits[WIRE_DIGITS_MAX + 1];
    char *first = digits + sizeof digits - 1;
    *first = '\0';
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    wire_put(wire, first);
}

void wire_put_text(struct wire *wire, const char *text, size_t spare)
{
    size_t room = (size_t)(wire->end - wire->at);
    assert(spare <= room);
    wire->at += wire_clean(wire->at, room - spare, text, strlen(text));
}
