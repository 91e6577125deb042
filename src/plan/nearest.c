#include "plan/nearest.h"

#include <assert.h>
#include <string.h>

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters must be put in, left out or replaced to make `b` of `a` (Levenshtein's distance,
 * with one row of the table kept). */
static size_t distance(const char *a, size_t a_length, const char *b)
{
    size_t row[NEAREST_MAX + 1];
    size_t b_length = strlen(b);
    assert(b_length <= NEAREST_MAX);
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_length];
}

/* One more than the letters in which what is near may differ from a name of this length. */
static size_t too_far(size_t length)
{
    return least(length / 3, 3) + 1;
}

const struct option *nearest_option(const char *name, size_t length,
                                    bool (*suits)(const struct option *option))
{
    if (length > NEAREST_MAX)
        return NULL;
    for (size_t i = 0; i < option_count && length >= 3; i++) {
        if (suits(&option_table[i]) && strncmp(option_table[i].name, name, length) == 0)
            return &option_table[i];
    }
    const struct option *nearest = NULL;
    size_t nearer_than = too_far(length);
    for (size_t i = 0; i < option_count && nearer_than > 1; i++) {
        size_t steps =
            suits(&option_table[i]) ? distance(name, length, option_table[i].name) : nearer_than;
        if (steps < nearer_than) {
            nearest = &option_table[i];
            nearer_than = steps;
        }
    }
    return nearest;
}

const struct verb *nearest_verb(const char *name)
{
    size_t length = strlen(name);
    if (length > NEAREST_MAX)
        return NULL;
    for (size_t i = 0; i < verb_count && length >= 3; i++) {
        if (strncmp(verb_table[i].name, name, length) == 0)
            return &verb_table[i];
    }
    const struct verb *nearest = NULL;
    size_t nearer_than = too_far(length);
    for (size_t i = 0; i < verb_count; i++) {
        size_t steps = distance(name, length, verb_table[i].name);
        if (steps < nearer_than) {
            nearest = &verb_table[i];
            nearer_than = steps;
        }
    }
    return nearest;
}
