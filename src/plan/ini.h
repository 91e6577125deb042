/* ini.h - the text of a config file into sections, keys and values: each whole, or refused by line.
 *
 *     struct ini_file file;
 *     ini_read(&file, text, size, "shop.ini", &faults);
 *     for (size_t i = 0; i < file.count; i++)
 *         take(&file.entries[i]);
 *     ini_free(&file);
 *
 * A file is UTF-8; a byte order mark at its start and a carriage return at the end of a line are no
 * part of it.  A line is one of
 *
 *     [SECTION]        nothing but blanks may follow
 *     KEY = VALUE      blanks around both are no part of them; nothing else is taken away
 *     # TEXT, ; TEXT   a comment, blanks before it allowed
 *
 * or empty.  There is no comment behind a value, no quoting and no continuation: a line that begins
 * with a blank is refused, since other readers take it as a part of the one before.  So are a
 * second section or key of the same name, control characters and bytes that are not UTF-8.
 *
 * Promises: no value, key or section is ever cut, merged, or taken for another, however long it is;
 * each fault names its line; what follows a faulty line is read all the same.
 */
#ifndef AIORUN_INI_H
#define AIORUN_INI_H

#include "plan/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INI_SIZE_MAX (1024 * 1024)

struct ini_entry {
    const char *section;
    const char *key; /* NULL: the heading of the section */
    const char *value;
    uint32_t line; /* from 1 */
    uint32_t twin; /* the line before where the same stands, so that this is a fault; 0: none */
};

struct ini_file {
    struct ini_entry *entries; /* in the order of the file */
    size_t count;
};

/* Reads `text`, which has a byte of room behind its `size` bytes and is changed: the strings of
 * `file` point into it.  Adds a fault for each line that makes no sense, and leaves that line out;
 * duplicates are told as well, but are among the entries.  `path` is what the faults call the file.
 * Without memory there is a fault and no entry. */
void ini_read(struct ini_file *file, char *text, size_t size, const char *path,
              struct faults *faults);

void ini_free(struct ini_file *file);

/* Can `value` stand in a file as the value of a key, and be read back as it is? */
bool ini_can_hold(const char *value);

#endif
