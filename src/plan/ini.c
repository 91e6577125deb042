/* The library reads line by line into 200 bytes.  It cuts what is longer and takes the rest as a
 * line of its own, cuts names at 49 bytes and values at " ;", hides what follows a NUL, takes an
 * indented line as a continuation, and accepts junk behind a `]`; how much of that it does was
 * decided when it was built.  So it never sees the file's own words.  Its line reader, which is
 * ours, finds the end and the parts of a line, and hands over a short line of the same shape, with
 * decimal numbers where the words were: their places in the text.  `[worker:db]` becomes `[12]`,
 * `command = ./db` becomes `24=34`.  What the library says of sections, keys and values is said in
 * these numbers. */
#include "plan/ini.h"

#include <assert.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACE_DIGITS 20 /* at most, of a place in the text */

struct reading {
    struct ini_file *file;
    const char *path;
    struct faults *faults;
    char *text;
    size_t size;
    size_t next;     /* where the next line begins */
    uint32_t line;   /* of the last line taken */
    bool in_section; /* false before the first one */
    bool lost;       /* its heading made no sense: its keys are looked at, but nobody's */
    size_t handed;   /* keys that the library was given and has not given back */
};

static void refuse(struct reading *reading, const char *sentence)
{
    char place[FAULT_TEXT_MAX];
    snprintf(place, sizeof place, "%s:%u", reading->path, (unsigned)reading->line);
    fault_add(reading->faults, place, "%s", sentence);
}

static void add_entry(struct reading *reading, const char *section, const char *key,
                      const char *value)
{
    reading->file->entries[reading->file->count++] = (struct ini_entry){
        .section = section,
        .key = key,
        .value = value,
        .line = reading->line,
    };
}

/* ---- the bytes of a line ---- */

/* How many bytes the UTF-8 character at `c` has (RFC 3629: no overlong form, no surrogate, nothing
 * above U+10FFFF); 0 when it is none. */
static size_t measure_character(const unsigned char *c, const unsigned char *end)
{
    static const struct {
        unsigned char first, last;            /* of the first byte */
        unsigned char second_min, second_max; /* the bytes after it are 80..bf */
        size_t length;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (*c < forms[i].first || *c > forms[i].last)
            continue;
        size_t length = forms[i].length;
        if ((size_t)(end - c) < length)
            return 0;
        if (length > 1 && (c[1] < forms[i].second_min || c[1] > forms[i].second_max))
            return 0;
        for (size_t n = 2; n < length; n++) {
            if (c[n] < 0x80 || c[n] > 0xbf)
                return 0;
        }
        return length;
    }
    return 0;
}

/* What is wrong with the bytes; NULL when nothing is. */
static const char *find_bad_byte(const char *start, const char *stop)
{
    const unsigned char *c = (const unsigned char *)start;
    const unsigned char *end = (const unsigned char *)stop;
    while (c < end) {
        if (*c >= 0x20 && *c < 0x7f) { /* nearly all of them */
            c++;
            continue;
        }
        size_t length = measure_character(c, end);
        if (length == 0)
            return "it is not UTF-8";
        if (*c == '\0')
            return "it holds a NUL byte";
        if (*c == '\r')
            return "it holds a carriage return that is not at its end";
        if ((*c < 0x20 && *c != '\t') || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0))
            return "it holds a control character";
        c += length;
    }
    return NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static char *skip_blanks(char *c)
{
    while (is_blank(*c))
        c++;
    return c;
}

bool ini_can_hold(const char *value)
{
    size_t length = strlen(value);
    if (length == 0)
        return true;
    return !is_blank(value[0]) && !is_blank(value[length - 1]) &&
           find_bad_byte(value, value + length) == NULL;
}

/* ---- our half: lines ---- */

/* Takes the next line and ends it with a NUL; NULL at the end of the text. */
static char *take_line(struct reading *reading, char **end)
{
    if (reading->next >= reading->size)
        return NULL;
    char *start = reading->text + reading->next;
    char *stop = memchr(start, '\n', reading->size - reading->next);
    if (stop == NULL)
        stop = reading->text + reading->size;
    reading->next = (size_t)(stop - reading->text) + 1;
    reading->line++;
    if (stop > start && stop[-1] == '\r')
        stop--;
    *stop = '\0';
    *end = stop;
    return start;
}

static void trim_end(char *start, char *end)
{
    while (end > start && is_blank(end[-1]))
        *--end = '\0';
}

/* A heading that makes no sense must not give its keys to the section before. */
static void lose_heading(struct reading *reading, const char *start)
{
    if (*start == '[')
        reading->in_section = reading->lost = true;
}

/* Writes the place of `word` in decimal; returns where that ends.  Not printf(3), which would be
 * most of what a line costs. */
static char *put_place(const struct reading *reading, const char *word, char *out)
{
    char digits[PLACE_DIGITS];
    size_t place = (size_t)(word - reading->text), count = 0;
    do {
        digits[count++] = (char)('0' + place % 10);
        place /= 10;
    } while (place > 0);
    while (count > 0)
        *out++ = digits[--count];
    return out;
}

/* `[SECTION]`: writes the library's line to `out`; false when there is nothing for it. */
static bool take_heading(struct reading *reading, char *start, char *out)
{
    char *end = strchr(start, ']');
    lose_heading(reading, start);
    if (end == NULL) {
        refuse(reading, "the ']' of the section is missing");
        return false;
    }
    if (*skip_blanks(end + 1) != '\0') {
        refuse(reading, "only blanks may follow the ']' of a section");
        return false;
    }
    *end = '\0';
    reading->lost = false;
    add_entry(reading, start + 1, NULL, NULL);
    *out = '[';
    strcpy(put_place(reading, start + 1, out + 1), "]\n");
    return true;
}

/* `KEY = VALUE`: the same. */
static bool take_pair(struct reading *reading, char *start, char *end, char *out)
{
    char *equals = strchr(start, '=');
    if (equals == NULL) {
        refuse(reading, "it is neither '[SECTION]', nor 'KEY = VALUE', nor a comment");
        return false;
    }
    *equals = '\0';
    trim_end(start, equals);
    char *value = skip_blanks(equals + 1);
    trim_end(value, end);
    if (*start == '\0') {
        refuse(reading, "there is no key before the '='");
        return false;
    }
    if (!reading->in_section) {
        refuse(reading, "it stands before the first section, [aiorun] or [worker:NAME]");
        return false;
    }
    if (reading->lost)
        return false;
    reading->handed++;
    out = put_place(reading, start, out);
    *out++ = '=';
    strcpy(put_place(reading, value, out), "\n");
    return true;
}

/* The library's line reader, which it uses like fgets(3). */
static char *next_line(char *out, int room, void *context)
{
    struct reading *reading = context;
    char *start, *end;
    assert(room > 2 * (PLACE_DIGITS + 1));
    while ((start = take_line(reading, &end)) != NULL) {
        const char *fault = find_bad_byte(start, end);
        char *first = skip_blanks(start);
        if (fault != NULL) {
            refuse(reading, fault);
            lose_heading(reading, first);
        } else if (*first == '\0' || *first == '#' || *first == ';') {
            continue;
        } else if (first != start) {
            refuse(reading, "it begins with a blank, but no line is continued here: a section or a "
                            "key stands at the beginning of its line");
            lose_heading(reading, first);
        } else if (*first == '[' ? take_heading(reading, start, out)
                                 : take_pair(reading, start, end, out)) {
            return out;
        }
    }
    return NULL;
}

/* ---- the library's half: what it found ---- */

static bool find_word(const struct reading *reading, const char *number, const char **word)
{
    size_t place = 0;
    const char *c = number;
    for (; *c >= '0' && *c <= '9' && place <= reading->size; c++)
        place = place * 10 + (size_t)(*c - '0');
    *word = reading->text + place;
    return c != number && *c == '\0' && place <= reading->size;
}

static int take(void *context, const char *section, const char *name, const char *value)
{
    struct reading *reading = context;
    const char *words[3];
    if (!find_word(reading, section, &words[0]) || !find_word(reading, name, &words[1]) ||
        !find_word(reading, value, &words[2]))
        return 0;
    add_entry(reading, words[0], words[1], words[2]);
    reading->handed--;
    return 1;
}

/* ---- duplicates ---- */

static const char *name_of(const struct ini_entry *entry)
{
    return entry->key != NULL ? entry->key : entry->section;
}

/* By name; the same ones by line. */
static int compare(const void *a, const void *b)
{
    const struct ini_entry *first = *(struct ini_entry *const *)a;
    const struct ini_entry *second = *(struct ini_entry *const *)b;
    int order = strcmp(name_of(first), name_of(second));
    if (order == 0)
        order = first->line < second->line ? -1 : 1;
    return order;
}

static void find_twins(struct ini_entry **entries, size_t count)
{
    qsort(entries, count, sizeof *entries, compare);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(name_of(entries[i - 1]), name_of(entries[i])) == 0)
            entries[i]->twin = entries[i - 1]->line;
    }
}

/* Among the headings, and among the keys of each. */
static bool find_all_twins(struct ini_file *file)
{
    struct ini_entry **some = malloc((file->count + 1) * sizeof *some);
    size_t count = 0;
    if (some == NULL)
        return false;
    for (size_t i = 0; i < file->count; i++) {
        if (file->entries[i].key == NULL)
            some[count++] = &file->entries[i];
    }
    find_twins(some, count);
    count = 0;
    for (size_t i = 0; i <= file->count; i++) {
        if (i == file->count || file->entries[i].key == NULL) {
            find_twins(some, count);
            count = 0;
        } else {
            some[count++] = &file->entries[i];
        }
    }
    free(some);
    return true;
}

static void refuse_twins(struct reading *reading)
{
    struct ini_file *file = reading->file;
    if (!find_all_twins(file)) {
        fault_add(reading->faults, reading->path, "no memory is left to read it");
        return;
    }
    for (size_t i = 0; i < file->count; i++) {
        const struct ini_entry *entry = &file->entries[i];
        char sentence[FAULT_TEXT_MAX];
        if (entry->twin == 0)
            continue;
        reading->line = entry->line;
        snprintf(sentence, sizeof sentence,
                 entry->key == NULL ? "section [%.80s] stands on line %u already"
                                    : "key '%.80s' stands on line %u already, in the same section",
                 entry->key == NULL ? entry->section : entry->key, (unsigned)entry->twin);
        refuse(reading, sentence);
    }
}

void ini_read(struct ini_file *file, char *text, size_t size, const char *path,
              struct faults *faults)
{
    struct reading reading = {
        .file = file, .path = path, .faults = faults, .text = text, .size = size};
    size_t lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    *file = (struct ini_file){.entries = malloc(lines * sizeof *file->entries)};
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        reading.next = 3;
    int result = file->entries == NULL ? -2 : ini_parse_stream(next_line, &reading, take, &reading);
    if (result == -2)
        fault_add(faults, path, "no memory is left to read it");
    else if (result != 0 || reading.handed > 0)
        fault_add(faults, path, "the INI library does not read it as it is written");
    else
        refuse_twins(&reading);
    if (result == -2)
        ini_free(file);
}

void ini_free(struct ini_file *file)
{
    free(file->entries);
    *file = (struct ini_file){0};
}
