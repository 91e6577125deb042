#include "plan/parse.h"

#include <stdlib.h>
#include <string.h>

#define WORD_MAX 64 /* longer than any signal or sane number */

/* Copies `length` bytes into a string of WORD_MAX bytes; false when they do not fit. */
static bool copy_word(char *word, const char *from, size_t length)
{
    if (length >= WORD_MAX)
        return false;
    memcpy(word, from, length);
    word[length] = '\0';
    return true;
}

/* Copies the next word of a list that has blanks and commas between its words, and moves the cursor
 * behind it.  `*word` is empty at the end of the list; false when a word is too long. */
static bool next_word(const char **cursor, char *word)
{
    *cursor += strspn(*cursor, " \t,");
    size_t length = strcspn(*cursor, " \t,");
    bool fits = copy_word(word, *cursor, length);
    *cursor += length;
    return fits;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- numbers ---- */

/* Reads digits up to the first other byte; false when there is none or the number passes `max`. */
static bool read_digits(const char **cursor, int base, uint64_t max, uint64_t *value)
{
    const char *start = *cursor;
    uint64_t sum = 0;
    for (; **cursor >= '0' && **cursor < '0' + base; ++*cursor) {
        uint64_t digit = (uint64_t)(**cursor - '0');
        if (sum > (max - digit) / (uint64_t)base)
            return false;
        sum = sum * (uint64_t)base + digit;
    }
    *value = sum;
    return *cursor != start;
}

bool parse_integer(const char *text, int base, int64_t min, int64_t max, int64_t *value)
{
    bool negative = *text == '-';
    if (negative)
        text++;
    uint64_t size;
    if (!read_digits(&text, base, INT64_MAX, &size) || *text != '\0')
        return false;
    int64_t number = negative ? -(int64_t)size : (int64_t)size;
    if (number < min || number > max)
        return false;
    *value = number;
    return true;
}

/* ---- durations ---- */

#define NANO           1000000000
#define DURATION_LIMIT (100 * INT64_C(365) * 24 * 3600 * SECOND)

/* How many milliseconds one `unit` has; 0 when it is none. */
static msec unit_length(const char *unit)
{
    static const struct {
        const char *name;
        msec length;
    } units[] = {
        {"", SECOND}, {"ms", 1}, {"s", SECOND}, {"m", 60 * SECOND}, {"h", 3600 * SECOND},
    };
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(unit, units[i].name) == 0)
            return units[i].length;
    }
    return 0;
}

/* Reads `.5` as billionths, rounded up; nothing there is 0.  False when no digit follows the point.
 */
static bool read_fraction(const char **cursor, int64_t *billionths)
{
    *billionths = 0;
    if (**cursor != '.')
        return true;
    ++*cursor;
    if (!is_digit(**cursor))
        return false;
    bool more = false;
    for (int64_t weight = NANO / 10; is_digit(**cursor); weight /= 10, ++*cursor) {
        *billionths += weight * (**cursor - '0');
        more = more || (weight == 0 && **cursor != '0');
    }
    *billionths += more;
    return true;
}

bool parse_duration(const char *text, msec *value)
{
    if (strcmp(text, "infinity") == 0) {
        *value = NEVER;
        return true;
    }
    uint64_t whole;
    int64_t billionths;
    if (!read_digits(&text, 10, DURATION_LIMIT, &whole) || !read_fraction(&text, &billionths))
        return false;
    msec unit = unit_length(text);
    if (unit == 0 || (msec)whole > DURATION_LIMIT / unit)
        return false;
    msec sum = (msec)whole * unit + (billionths * unit + NANO - 1) / NANO;
    if (sum > DURATION_LIMIT)
        return false;
    *value = sum;
    return true;
}

bool parse_delay_range(const char *text, msec *min, msec *max)
{
    const char *dots = strstr(text, "..");
    char word[WORD_MAX];
    msec first, last;
    if (!copy_word(word, text, dots != NULL ? (size_t)(dots - text) : strlen(text)) ||
        !parse_duration(word, &first) || !parse_duration(dots != NULL ? dots + 2 : word, &last))
        return false;
    if (first > last || last == NEVER)
        return false;
    *min = first;
    *max = last;
    return true;
}

bool parse_rate(const char *text, uint32_t *times, msec *window)
{
    uint64_t number;
    msec span;
    if (!read_digits(&text, 10, UINT32_MAX, &number) || number == 0 || *text != '/')
        return false;
    if (!parse_duration(text + 1, &span) || span == 0 || span == NEVER)
        return false;
    *times = (uint32_t)number;
    *window = span;
    return true;
}

/* ---- lists and pairs of signals ---- */

bool parse_signals(const char *text, signal_mask *value)
{
    signal_mask mask = 0;
    char word[WORD_MAX];
    for (;;) {
        int signal;
        if (!next_word(&text, word))
            return false;
        if (word[0] == '\0')
            break;
        if (!parse_signal(word, &signal))
            return false;
        mask |= signal_bit(signal);
    }
    if (mask == 0)
        return false;
    *value = mask;
    return true;
}

bool parse_rewrite(const char *text, int *from, int *to)
{
    const char *colon = strchr(text, ':');
    char word[WORD_MAX];
    int first, second = 0;
    if (colon == NULL || !copy_word(word, text, (size_t)(colon - text)))
        return false;
    if (!parse_signal(word, &first))
        return false;
    if (strcmp(colon + 1, "0") != 0 && !parse_signal(colon + 1, &second))
        return false;
    *from = first;
    *to = second;
    return true;
}

/* ---- what success is, ladders, limits ---- */

static bool add_status(struct success_set *set, const char *word)
{
    int64_t code;
    int signal;
    if (parse_integer(word, 10, 0, 255, &code))
        success_add_code(set, (unsigned)code);
    else if (strcmp(word, "requested") == 0)
        set->requested = true;
    else if (!is_digit(word[0]) && parse_signal(word, &signal))
        success_add_signal(set, (unsigned)signal);
    else
        return false;
    return true;
}

bool parse_statuses(const char *text, struct success_set *value)
{
    struct success_set set = *value;
    char word[WORD_MAX];
    bool empty = true;
    for (;; empty = false) {
        if (!next_word(&text, word))
            return false;
        if (word[0] == '\0')
            break;
        if (!add_status(&set, word))
            return false;
    }
    if (empty)
        return false;
    *value = set;
    return true;
}

/* Reads `SIGNAL` or `SIGNAL TIME`, blanks around it allowed. */
static bool read_rung(const char *text, struct plan_rung *rung)
{
    char signal[WORD_MAX], time[WORD_MAX], rest[WORD_MAX];
    if (!next_word(&text, signal) || !next_word(&text, time) || !next_word(&text, rest))
        return false;
    if (rest[0] != '\0' || !parse_signal(signal, &rung->signal))
        return false;
    rung->time = NEVER;
    if (time[0] == '\0')
        return true;
    /* KILL ends the ladder: there is nothing to wait for after it. */
    return rung->signal != SIGNAL_KILL && parse_duration(time, &rung->time);
}

bool parse_ladder(const char *text, struct plan_rung *rungs, uint32_t *count)
{
    struct plan_rung found[PLAN_RUNGS_MAX + 1]; /* one more for the KILL that is not stored */
    uint32_t used = 0;
    for (bool more = true; more; used++) {
        char word[WORD_MAX];
        size_t length = strcspn(text, ",");
        if (used == PLAN_RUNGS_MAX + 1 || !copy_word(word, text, length) ||
            !read_rung(word, &found[used]))
            return false;
        more = text[length] == ',';
        text += length + more;
    }
    for (uint32_t i = 0; i + 1 < used; i++) {
        if (found[i].signal == SIGNAL_KILL)
            return false;
    }
    if (used > 1 && found[used - 1].signal == SIGNAL_KILL)
        used--;
    if (used > PLAN_RUNGS_MAX)
        return false;
    for (uint32_t i = 0; i + 1 < used; i++) {
        if (found[i].time == NEVER)
            return false;
    }
    for (uint32_t i = 0; i < used; i++) { /* not what is between them: see plan_share_rules() */
        rungs[i].signal = found[i].signal;
        rungs[i].time = found[i].time;
    }
    *count = used;
    return true;
}

bool parse_amount(const char *text, uint64_t *amount)
{
    if (strcmp(text, "infinity") == 0) {
        *amount = PLAN_UNLIMITED;
        return true;
    }
    uint64_t number;
    if (!read_digits(&text, 10, UINT64_MAX - 1, &number))
        return false;
    const char *units = "KMGT";
    const char *unit = *text == '\0' ? NULL : strchr(units, *text);
    unsigned shift = 0;
    if (unit != NULL) {
        shift = 10 * (unsigned)(unit - units + 1);
        text++;
    }
    if (*text != '\0' || number > (UINT64_MAX - 1) >> shift)
        return false;
    *amount = number << shift;
    return true;
}

bool parse_limit(const char *text, struct plan_limit_value *value)
{
    const char *colon = strchr(text, ':');
    char word[WORD_MAX];
    uint64_t soft, hard;
    if (!copy_word(word, text, colon != NULL ? (size_t)(colon - text) : strlen(text)))
        return false;
    if (!parse_amount(word, &soft) || !parse_amount(colon != NULL ? colon + 1 : word, &hard))
        return false;
    if (soft > hard)
        return false;
    *value = (struct plan_limit_value){.set = true, .soft = soft, .hard = hard};
    return true;
}

static bool is_address(const char *text)
{
    char words[PLAN_READY_TCP_MAX + 1];
    const char *host;
    uint16_t port;
    if (strlen(text) >= sizeof words)
        return false;
    strcpy(words, text);
    return parse_host(words, &host, &port);
}

static bool is_command(const char *text)
{
    char **argv;
    bool good = parse_command(text, &argv);
    if (good)
        free(argv);
    return good;
}

bool parse_ready(const char *text, struct plan_ready *value)
{
    static const struct {
        const char *word;
        enum plan_ready_kind kind;
    } words[] = {{"exec", READY_EXEC}, {"notify", READY_NOTIFY}, {"control", READY_CONTROL}};
    struct plan_ready ready = {0};
    int64_t fd = 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i].word) == 0)
            ready.kind = words[i].kind;
    }
    if (strncmp(text, "fd:", 3) == 0 && parse_integer(text + 3, 10, 3, 1023, &fd))
        ready.kind = READY_FD;
    else if (strncmp(text, "after:", 6) == 0 && parse_duration(text + 6, &ready.time) &&
             ready.time != NEVER)
        ready.kind = READY_AFTER;
    else if (strncmp(text, "tcp:", 4) == 0 && is_address(text + 4))
        ready = (struct plan_ready){.kind = READY_TCP, .text = text + 4};
    else if (strncmp(text, "exec:", 5) == 0 && is_command(text + 5))
        ready = (struct plan_ready){.kind = READY_COMMAND, .text = text + 5};
    ready.fd = (int)fd;
    if (ready.kind != READY_AUTO)
        *value = ready;
    return ready.kind != READY_AUTO;
}

/* ---- variables ---- */

const char *parse_env_line(const char *line)
{
    size_t length = strcspn(line, "=");
    if (length == 0 || line[length] == '\0')
        return "is not NAME=VALUE";
    return strcspn(line, "\t ") < length ? "has a blank in its NAME" : NULL;
}
