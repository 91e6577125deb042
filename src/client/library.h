/* library.h - what libaiorun is on every system: lines.  Included once, by posix/libaiorun.c or
 * win32/libaiorun.c, which define the pipe that they go over: so the library stays one object that
 * shares nothing with the program.
 */
#ifndef AIORUN_LIBRARY_H
#define AIORUN_LIBRARY_H

#include "client/aiorun.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define LINE_MAX_BYTES 1024        /* with the newline */
#define LONGEST        315360000.0 /* seconds: ten years; what is longer is `infinity` */
#define NUMBER_MAX     ULLONG_MAX

typedef unsigned long long number;

/* ---- the system's half ---- */

/* Sends a whole line, or nothing of it; without an aiorun above, nothing, which is 0, too.  -1 with
 * errno. */
static int pipe_send(const char *text, size_t length);

/* Reads digits and moves *text behind them; false when there are none, or too many. */
static bool read_number(const char **text, number max, number *value)
{
    const char *digit = *text;
    number sum = 0;
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        number next = (number)(*digit - '0');
        if (next > max || sum > (max - next) / 10)
            return false;
        sum = sum * 10 + next;
    }
    bool any = digit != *text;
    *text = digit;
    *value = sum;
    return any;
}

/* ---- lines to send ---- */

struct line {
    char text[LINE_MAX_BYTES];
    size_t length;
    int error; /* errno; 0: none so far */
};

static void put(struct line *line, const char *text, size_t length)
{
    if (length >= sizeof line->text - line->length) { /* the newline needs one */
        line->error = line->error != 0 ? line->error : EMSGSIZE;
        return;
    }
    memcpy(line->text + line->length, text, length);
    line->length += length;
}

static void put_word(struct line *line, const char *word)
{
    put(line, word, strlen(word));
}

/* The length of the character that `text` begins with; 0 when that is not UTF-8, or a control
 * character.  A NUL ends it anywhere. */
static size_t measure_character(const unsigned char *text)
{
    if (text[0] < 0x80)
        return text[0] >= 0x20 && text[0] != 0x7f;
    size_t length = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
    if (text[0] < 0xc2 || text[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    bool control = text[0] == 0xc2 && text[1] < 0xa0;
    bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    bool surrogate = text[0] == 0xed && text[1] >= 0xa0;
    bool beyond = text[0] == 0xf4 && text[1] >= 0x90;
    return control || overlong || surrogate || beyond ? 0 : length;
}

static void put_text(struct line *line, const char *text)
{
    const unsigned char *next = (const unsigned char *)text;
    if (text == NULL || *next == '\0') {
        line->error = EINVAL;
        return;
    }
    while (*next != '\0') {
        size_t length = measure_character(next);
        if (length == 0) {
            line->error = EINVAL;
            return;
        }
        next += length;
    }
    put_word(line, text);
}

static void put_name(struct line *line, const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789._-";
    size_t length = name != NULL ? strspn(name, letters) : 0;
    if (length == 0 || length > AIORUN_NAME_MAX || name[length] != '\0')
        line->error = EINVAL;
    else
        put(line, name, length);
}

/* Not printf(3): its decimal point is the locale's. */
static void put_number(struct line *line, number value, int least)
{
    char digits[24];
    char *first = digits + sizeof digits;
    for (; value > 0 || least > 0; value /= 10, least--)
        *--first = (char)('0' + value % 10);
    put(line, first, (size_t)(digits + sizeof digits - first));
}

static void put_seconds(struct line *line, double seconds)
{
    if (!(seconds >= 0)) { /* or no number at all */
        line->error = EINVAL;
    } else if (seconds > LONGEST) {
        put_word(line, "infinity");
    } else {
        number milliseconds = (number)(seconds * 1000);
        milliseconds += (double)milliseconds < seconds * 1000;
        put_number(line, milliseconds / 1000, 1);
        if (milliseconds % 1000 != 0) {
            put_word(line, ".");
            put_number(line, milliseconds % 1000, 3);
        }
    }
}

static int say(struct line *line)
{
    if (line->error != 0) {
        errno = line->error;
        return -1;
    }
    line->text[line->length++] = '\n';
    return pipe_send(line->text, line->length);
}

static int say_word(const char *word)
{
    struct line line = {.length = 0};
    put_word(&line, word);
    return say(&line);
}

static int say_text(const char *verb, const char *text)
{
    struct line line = {.length = 0};
    put_word(&line, verb);
    put_text(&line, text);
    return say(&line);
}

int aiorun_ready(void)
{
    return say_word("ready");
}

int aiorun_watchdog(void)
{
    return say_word("watchdog");
}

int aiorun_status(const char *text)
{
    return say_text("status ", text);
}

int aiorun_error(const char *text)
{
    return say_text("error ", text);
}

int aiorun_shield(const char *name, double seconds)
{
    struct line line = {.length = 0};
    put_word(&line, "shield ");
    put_name(&line, name);
    if (!(seconds < 0)) {
        put_word(&line, " ");
        put_seconds(&line, seconds);
    }
    return say(&line);
}

int aiorun_unshield(const char *name)
{
    struct line line = {.length = 0};
    put_word(&line, "unshield ");
    put_name(&line, name);
    return say(&line);
}

int aiorun_extend(double seconds)
{
    struct line line = {.length = 0};
    put_word(&line, "extend ");
    put_seconds(&line, seconds);
    return say(&line);
}

int aiorun_shutdown(int status)
{
    struct line line = {.length = 0};
    put_word(&line, "shutdown");
    if (status < -1 || status > 255)
        line.error = EINVAL;
    if (status >= 0) {
        put_word(&line, " ");
        put_number(&line, (number)status, 1);
    }
    return say(&line);
}

/* ---- lines received ---- */

/* Reads SECONDS up to the end of the line. */
static bool read_seconds(const char *text, double *seconds)
{
    number whole;
    double place = 1;
    *seconds = HUGE_VAL;
    if (strcmp(text, "infinity") == 0)
        return true;
    if (!read_number(&text, NUMBER_MAX, &whole))
        return false;
    *seconds = (double)whole;
    if (*text == '.' && text[1] != '\0')
        for (text++; *text >= '0' && *text <= '9'; text++)
            *seconds += (*text - '0') * (place /= 10);
    return *text == '\0';
}

/* Reads a line that ends in a NUL.  What is not of this protocol is none of our business. */
static bool understand(const char *line, struct aiorun_order *order)
{
    static const char shutdown_verb[] = "shutdown ";
    memset(order, 0, sizeof *order);
    if (strcmp(line, "reload") == 0) {
        order->kind = AIORUN_RELOAD;
        return true;
    }
    if (strncmp(line, shutdown_verb, strlen(shutdown_verb)) != 0)
        return false;
    line += strlen(shutdown_verb);
    size_t length = strspn(line, "abcdefghijklmnopqrstuvwxyz");
    if (length == 0 || length > AIORUN_NAME_MAX || line[length] != ' ')
        return false;
    order->kind = AIORUN_SHUTDOWN;
    memcpy(order->reason, line, length);
    return read_seconds(line + length + 1, &order->seconds);
}

#endif
