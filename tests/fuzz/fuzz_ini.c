/* Any bytes as a config file.
 *
 * What must hold: the reader takes a file exactly if a plain reading of the rules in ini.h does,
 * and then every section, key and value arrives whole and in order; what is refused is refused by a
 * line of the file; a plan without a fault is printed as a file that is the same plan. */
#include "fuzz.h"
#include "plan/check.h"
#include "plan/cli.h"
#include "plan/config.h"
#include "plan/ini.h"

#include <string.h>

static struct faults faults;

static char *copy_of(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1);
    MUST(copy != NULL);
    memcpy(copy, data, size);
    return copy;
}

/* Every fault is a sentence about `file`, or a line of it, that a terminal may show. */
static void check_faults(size_t lines)
{
    MUST(faults.count <= FAULTS_MAX);
    for (size_t i = 0; i < faults.count; i++) {
        const char *text = faults.items[i].text;
        unsigned line = 1;
        MUST(memchr(text, '\0', FAULT_TEXT_MAX) != NULL);
        MUST(sscanf(text, "file:%u: ", &line) == 1 || strncmp(text, "file: ", 6) == 0);
        MUST(line >= 1 && line <= lines);
        for (; *text != '\0'; text++)
            MUST((unsigned char)*text >= 0x20 && *text != 0x7f);
    }
}

/* ---- a plain reading of the rules: a line, its end, and what it is ---- */

struct span {
    const uint8_t *start, *end;
};

struct plain_entry {
    struct span section, key, value; /* key.start NULL: a heading */
    size_t section_number;
};

struct plain {
    struct plain_entry *entries;
    size_t count;
    size_t lines;
    bool good;
};

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static struct span trim(struct span span)
{
    while (span.start < span.end && is_blank(*span.start))
        span.start++;
    while (span.start < span.end && is_blank(span.end[-1]))
        span.end--;
    return span;
}

static bool same(struct span a, struct span b)
{
    size_t length = (size_t)(a.end - a.start);
    return length == (size_t)(b.end - b.start) && memcmp(a.start, b.start, length) == 0;
}

static bool is_text(struct span line)
{
    for (const uint8_t *c = line.start; c < line.end;) {
        /* Decoded and judged by its number, not by its bytes. */
        int more = *c < 0x80 ? 0 : *c >> 5 == 6 ? 1 : *c >> 4 == 14 ? 2 : *c >> 3 == 30 ? 3 : -1;
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        if (more < 0 || line.end - c <= more)
            return false;
        uint32_t number = more == 0 ? *c : *c & (0x3fU >> more);
        for (int i = 1; i <= more; i++) {
            if (c[i] >> 6 != 2)
                return false;
            number = number << 6 | (c[i] & 0x3f);
        }
        bool control = (number < 0x20 && number != '\t') || (number >= 0x7f && number < 0xa0);
        bool surrogate = number >= 0xd800 && number < 0xe000;
        if (number < least[more] || number > 0x10ffff || surrogate || control)
            return false;
        c += more + 1;
    }
    return true;
}

/* Adds what the line is to `plain`; false when it is nothing. */
static bool read_line(struct plain *plain, struct span line, struct plain_entry *now)
{
    struct span words = trim(line);
    const uint8_t *equals = memchr(line.start, '=', (size_t)(line.end - line.start));
    if (!is_text(line))
        return false;
    if (words.start == words.end || *words.start == ';' || *words.start == '#')
        return true;
    if (words.start != line.start)
        return false;
    if (*line.start == '[') {
        const uint8_t *end = memchr(line.start, ']', (size_t)(line.end - line.start));
        if (end == NULL || end + 1 != words.end)
            return false;
        now->section = (struct span){line.start + 1, end};
        now->section_number++;
        now->key = now->value = (struct span){NULL, NULL};
    } else {
        if (equals == NULL || now->section_number == 0)
            return false;
        now->key = trim((struct span){line.start, equals});
        now->value = trim((struct span){equals + 1, line.end});
        if (now->key.start == now->key.end)
            return false;
    }
    for (size_t i = 0; i < plain->count; i++) {
        const struct plain_entry *before = &plain->entries[i];
        bool both_headings = now->key.start == NULL && before->key.start == NULL;
        bool both_keys = now->key.start != NULL && before->key.start != NULL &&
                         now->section_number == before->section_number;
        if ((both_headings && same(now->section, before->section)) ||
            (both_keys && same(now->key, before->key)))
            return false;
    }
    plain->entries[plain->count++] = *now;
    return true;
}

static struct plain read_plainly(const uint8_t *data, size_t size)
{
    struct plain plain = {.entries = calloc(size + 1, sizeof *plain.entries), .good = true};
    struct plain_entry now = {0};
    const uint8_t *end = data + size;
    MUST(plain.entries != NULL);
    if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
        data += 3;
    while (data < end) {
        struct span line = {data, memchr(data, '\n', (size_t)(end - data))};
        if (line.end == NULL)
            line.end = end;
        data = line.end + 1;
        if (line.end > line.start && line.end[-1] == '\r')
            line.end--;
        plain.lines++;
        plain.good = read_line(&plain, line, &now) && plain.good;
    }
    return plain;
}

static bool is_word(struct span span, const char *word)
{
    size_t length = (size_t)(span.end - span.start);
    return strlen(word) == length && memcmp(word, span.start, length) == 0;
}

static size_t try_reader(const uint8_t *data, size_t size)
{
    struct plain plain = read_plainly(data, size);
    struct ini_file file;
    char *text = copy_of(data, size);
    faults.count = faults.dropped = 0;
    ini_read(&file, text, size, "file", &faults);
    check_faults(plain.lines);
    MUST((faults.count == 0) == plain.good);
    for (size_t i = 0; plain.good && i < plain.count; i++) {
        const struct plain_entry *expected = &plain.entries[i];
        const struct ini_entry *entry = &file.entries[i];
        MUST(is_word(expected->section, entry->section));
        MUST((expected->key.start == NULL) == (entry->key == NULL));
        if (entry->key != NULL)
            MUST(is_word(expected->key, entry->key) && is_word(expected->value, entry->value));
        MUST(entry->line >= 1 && entry->line <= plain.lines);
    }
    MUST(!plain.good || file.count == plain.count);
    ini_free(&file);
    free(text);
    free(plain.entries);
    return plain.lines;
}

/* ---- the plan ---- */

static void load(struct plan *plan, const uint8_t *data, size_t size)
{
    char *argv[] = {"aiorun", "--config", "file", NULL};
    char *environment[] = {NULL};
    plan_init(plan);
    faults.count = faults.dropped = 0;
    cli_parse(plan, argv, environment, &faults);
    config_parse(plan, copy_of(data, size), size, &faults);
    check_plan(plan, &faults);
}

static char *print(const struct plan *plan)
{
    size_t length = cli_print_config(plan, NULL, 0);
    char *config = malloc(length + 1);
    MUST(config != NULL && cli_print_config(plan, config, length + 1) == length);
    MUST(strlen(config) == length);
    return config;
}

static void check_order(const struct plan *plan)
{
    MUST(plan->worker_count > 0);
    for (uint32_t i = 0; i < plan->worker_count; i++) {
        const struct plan_worker *worker = &plan->workers[i];
        MUST(worker->argv != NULL && worker->argv[0] != NULL && worker->rules->rung_count > 0);
        MUST(i == 0 || plan->workers[i - 1].wave <= worker->wave);
        for (uint32_t n = 0; n < worker->after_count; n++)
            MUST(worker->after[n].worker < i);
    }
}

static void try_plan(const uint8_t *data, size_t size, size_t lines)
{
    struct plan plan, again;
    load(&plan, data, size);
    check_faults(lines > 0 ? lines : 1);
    if (faults.count == 0) {
        check_order(&plan);
        char *printed = print(&plan);
        load(&again, (const uint8_t *)printed, strlen(printed));
        if (faults.count > 0)
            fprintf(stderr, "%s\n%s", faults.items[0].text, printed);
        MUST(faults.count == 0 && again.worker_count == plan.worker_count);
        bool failed = false;
        MUST(plan_settings_equal(&plan, &again, &failed));
        for (uint32_t i = 0; i < plan.worker_count; i++)
            MUST(plan_worker_equal(&plan.workers[i], &again.workers[i], &failed));
        char *printed_again = print(&again);
        MUST(strcmp(printed, printed_again) == 0);
        free(printed);
        free(printed_again);
        plan_free(&again);
    }
    plan_free(&plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t lines = try_reader(data, size);
    try_plan(data, size, lines);
    return 0;
}
