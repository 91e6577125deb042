/* The values that only a file has: names, processors, sockets, checks, outputs. */
#include "plan/parse.h"

#include <stdlib.h>
#include <string.h>

#define ALNUM         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define UNIX_PATH_MAX 107 /* unix(7): 108 bytes with the NUL */

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* ---- names ---- */

bool parse_name(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length < WORKER_NAME_MAX && strspn(text, ALNUM "._-") == length;
}

bool parse_next_name(const char **cursor, char *name)
{
    *cursor += strspn(*cursor, " \t,");
    const char *start = *cursor;
    size_t length = strcspn(start, " \t,");
    *cursor += length;
    if (length >= WORKER_NAME_MAX)
        return false;
    memcpy(name, start, length);
    name[length] = '\0';
    return length == 0 || parse_name(name);
}

/* ---- processors ---- */

/* Reads `1.5` as so many units, `decimals` of them behind the point; returns what follows, or NULL.
 */
static const char *read_decimal(const char *text, int decimals, uint32_t *value)
{
    uint32_t sum = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 6)
        return NULL;
    for (; digits > 0; digits--)
        sum = sum * 10 + (uint32_t)(*text++ - '0');
    bool point = *text == '.';
    if (point && strspn(++text, "0123456789") == 0)
        return NULL;
    for (; decimals > 0; decimals--) {
        bool digit = point && *text >= '0' && *text <= '9';
        sum = sum * 10 + (digit ? (uint32_t)(*text++ - '0') : 0);
    }
    *value = sum;
    return text;
}

bool parse_cpus(const char *text, uint32_t *thousandths)
{
    uint32_t value = 0;
    if (strcmp(text, "infinity") == 0) {
        *thousandths = 0;
        return true;
    }
    bool percent = strchr(text, '%') != NULL;
    const char *end = read_decimal(text, percent ? 1 : 3, &value);
    if (end == NULL || strcmp(end, percent ? "%" : "") != 0 || value == 0 || value > 10000 * 1000)
        return false;
    *thousandths = value;
    return true;
}

/* ---- addresses ---- */

static bool is_ipv4(const char *text)
{
    for (int i = 0; i < 4; i++) {
        size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 3 || strtol(text, NULL, 10) > 255)
            return false;
        text += digits;
        if (i < 3 && *text++ != '.')
            return false;
    }
    return *text == '\0';
}

/* RFC 4291: eight groups, of which one run of zeroes may be `::` and the last two an IPv4 address;
 * an interface may follow a `%`. */
static bool is_ipv6(char *text)
{
    int groups = 0;
    bool shortened = false;
    char *zone = strchr(text, '%');
    if (zone != NULL && (zone[1] == '\0' || strspn(zone + 1, ALNUM "._-") != strlen(zone + 1)))
        return false;
    size_t length = zone != NULL ? (size_t)(zone - text) : strlen(text);
    const char *end = text + length;
    if (length >= 1 && text[0] == ':' && text[1] != ':')
        return false;
    for (const char *c = text; c < end; groups++) {
        if (begins_with(c, "::")) {
            if (shortened)
                return false;
            shortened = true;
            c += 2;
            if (c == end)
                break;
        } else if (c > text && *c++ != ':') {
            return false;
        }
        size_t digits = strspn(c, "0123456789abcdefABCDEF");
        if (c[digits] == '.') {
            if (zone != NULL || !is_ipv4(c))
                return false;
            groups += 2;
            break;
        }
        if (digits == 0 || digits > 4)
            return false;
        c += digits;
    }
    return shortened ? groups < 8 : groups == 8;
}

/* Reads `HOST:PORT` and cuts it in two. */
static bool read_host(char *text, struct plan_listen *listen)
{
    char *colon = strrchr(text, ':');
    int64_t port;
    if (colon == NULL || colon[1] < '0' || colon[1] > '9' ||
        !parse_integer(colon + 1, 10, 1, UINT16_MAX, &port))
        return false;
    *colon = '\0';
    listen->port = (uint16_t)port;
    listen->host = text;
    if (*text == '[') {
        char *end = colon - 1;
        if (end == text || *end != ']')
            return false;
        *end = '\0';
        listen->host = ++text;
        return is_ipv6(text);
    }
    if (strcmp(text, "*") == 0)
        return true;
    bool numeric = strspn(text, "0123456789.") == strlen(text);
    if (numeric)
        return listen->kind == LISTEN_TCP && is_ipv4(text);
    return strspn(text, ALNUM "._-") == strlen(text);
}

bool parse_host(char *text, const char **host, uint16_t *port)
{
    struct plan_listen address = {.kind = LISTEN_TCP};
    if (!read_host(text, &address) || strcmp(address.host, "*") == 0 || *address.host == '\0')
        return false;
    *host = address.host;
    *port = address.port;
    return true;
}

/* Reads `/PATH` or `/PATH:MODE` and cuts the latter in two. */
static bool read_path(char *text, struct plan_listen *listen)
{
    char *colon = strrchr(text, ':');
    int64_t mode = -1;
    if (colon != NULL && colon[1] != '\0' && strspn(colon + 1, "01234567") == strlen(colon + 1)) {
        if (!parse_integer(colon + 1, 8, 0, 0777, &mode))
            return false;
        *colon = '\0';
    }
    listen->host = text;
    listen->mode = (int)mode;
    return text[0] == '/' && text[1] != '\0' && strlen(text) <= UNIX_PATH_MAX;
}

static bool read_address(char *word, struct plan_listen *listen)
{
    *listen = (struct plan_listen){.mode = -1};
    if (begins_with(word, "tcp:")) {
        listen->kind = LISTEN_TCP;
        return read_host(word + strlen("tcp:"), listen);
    }
    if (begins_with(word, "tcp6:")) {
        listen->kind = LISTEN_TCP6;
        return read_host(word + strlen("tcp6:"), listen);
    }
    listen->kind = LISTEN_UNIX;
    return begins_with(word, "unix:") && read_path(word + strlen("unix:"), listen);
}

/* Takes the comma behind a word off, as other lists may have them; false when nothing is left. */
static bool trim_comma(char *word)
{
    size_t length = strlen(word);
    if (length > 0 && word[length - 1] == ',')
        word[--length] = '\0';
    return length > 0;
}

bool parse_listen(const char *text, struct plan_listens *value)
{
    struct plan_listens found = {.text = text};
    size_t count = 0;
    if (!parse_command(text, &found.words))
        return false;
    while (found.words[count] != NULL)
        count++;
    found.items = calloc(count, sizeof *found.items);
    bool good = found.items != NULL;
    for (size_t i = 0; good && i < count; i++)
        if (trim_comma(found.words[i]))
            good = read_address(found.words[i], &found.items[found.count++]);
    good = good && found.count > 0;
    if (good)
        *value = found;
    else
        parse_free_listen(&found);
    return good;
}

void parse_free_listen(struct plan_listens *value)
{
    free(value->items);
    free(value->words);
    *value = (struct plan_listens){0};
}

/* ---- checks ---- */

/* Reads `WORD VALUE` of a check; `seen` holds a bit for each word that was there already. */
static bool read_term(const char *word, const char *argument, struct plan_health *health,
                      unsigned *seen)
{
    static const char *const words[] = {"every", "timeout", "retries"};
    unsigned which = 0;
    int64_t retries = 0;
    bool good = false;
    while (which < 3 && strcmp(word, words[which]) != 0)
        which++;
    if (which == 3 || (*seen & 1U << which) != 0)
        return false;
    *seen |= 1U << which;
    if (which == 2) {
        good = parse_integer(argument, 10, 0, 1000, &retries);
        health->retries = (uint32_t)retries;
    } else {
        msec *time = which == 0 ? &health->every : &health->timeout;
        good = parse_duration(argument, time) && *time != NEVER && *time > 0;
    }
    return good;
}

bool parse_health(const char *text, struct plan_health *value)
{
    struct plan_health found = {.text = text, .timeout = 10 * SECOND, .retries = 3};
    size_t count = 0;
    unsigned seen = 0;
    if (!parse_command(text, &found.argv))
        return false;
    while (found.argv[count] != NULL)
        count++;
    while (count > 2 && read_term(found.argv[count - 2], found.argv[count - 1], &found, &seen))
        count -= 2;
    /* A word that did not read well must not become part of the command. */
    bool every = (seen & 1) != 0;
    bool whole = count < 2 || (strcmp(found.argv[count - 2], "every") != 0 &&
                               strcmp(found.argv[count - 2], "timeout") != 0 &&
                               strcmp(found.argv[count - 2], "retries") != 0);
    if (!every || !whole) {
        parse_free_health(&found);
        return false;
    }
    found.argv[count] = NULL;
    *value = found;
    return true;
}

void parse_free_health(struct plan_health *value)
{
    free(value->argv);
    *value = (struct plan_health){0};
}

/* ---- outputs ---- */

bool parse_output(const char *text, struct plan_output *value)
{
    static const struct {
        const char *word;
        enum plan_output_kind kind;
    } words[] = {{"inherit", OUTPUT_INHERIT}, {"prefix", OUTPUT_PREFIX}, {"null", OUTPUT_NULL}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i].word) == 0) {
            value->kind = words[i].kind;
            value->text = NULL;
            return true;
        }
    }
    bool file = begins_with(text, "file:");
    char **argv;
    if (!file && !begins_with(text, "pipe:"))
        return false;
    text += strlen("file:");
    text += strspn(text, " \t");
    if (file ? *text == '\0' : !parse_command(text, &argv))
        return false;
    if (!file)
        free(argv);
    value->kind = file ? OUTPUT_FILE : OUTPUT_PIPE;
    value->text = text;
    return true;
}
