/* shield.h - who must not be interrupted yet, and until when.
 *
 *     shield_hold(table, capacity, &run->shields, "upload", now + 20 * SECOND);
 *     ...
 *     if (shield_until(table, run->shields, NEVER) <= now) stop(run);
 *
 * A run's shields are a list in a table that all runs share; the run keeps the
 * list's head.
 *
 * Promises: a shield never outlives its run (shield_drop), and a full table
 * refuses, it never forgets.
 */
#ifndef AIORUN_SHIELD_H
#define AIORUN_SHIELD_H

#include "core/msec.h"

#include <stdbool.h>
#include <stddef.h>

#define SHIELD_NAME_MAX 63
#define SHIELD_NONE     UINT32_MAX /* an empty list */
#define SHIELD_UNDATED  ((msec)0)  /* the deadline of a shield that names none */

struct shield {
    msec since; /* whoever holds a list sets it: when the first hold came */
    msec until;
    bool undated;   /* one of its holds named no deadline */
    uint32_t holds; /* nested holds of this name */
    uint32_t next;  /* in the run's list; among the free, as in `free` */
    char name[SHIELD_NAME_MAX + 1];
};

/* Zeroed memory is an empty table: nobody touches it who holds none. */
struct shield_table {
    uint32_t free; /* one more than the first cell that was used and is not any more; 0: none */
    uint32_t used; /* cells from here on were never touched */
    struct shield cells[];
};

/* Bytes a table for `capacity` shields takes. */
size_t shield_size(uint32_t capacity);

/* Holds `name` (1..SHIELD_NAME_MAX bytes) until released or `until`, which may be SHIELD_UNDATED.
 * Nests: as many releases as holds; the later deadline wins.  False when the table is full or the
 * name does not fit; nothing has changed then. */
bool shield_hold(struct shield_table *table, uint32_t capacity, uint32_t *list, const char *name,
                 msec until);

/* Takes one hold of `name` back.  False when it is not held. */
bool shield_release(struct shield_table *table, uint32_t *list, const char *name);

/* Drops every shield of the list. */
void shield_drop(struct shield_table *table, uint32_t *list);

/* How many shields the list has. */
uint32_t shield_count(const struct shield_table *table, uint32_t list);

/* Puts the shields of `list`, in `from`, into the empty list `to_list`; there must be room. */
void shield_move(struct shield_table *to, uint32_t capacity, uint32_t *to_list,
                 const struct shield_table *from, uint32_t list);

/* Drops the shields of the list whose deadline is over at `now`; false when there is none. */
bool shield_expire(struct shield_table *table, uint32_t *list, msec undated, msec now);

/* Until when this one holds; one that named no deadline until `undated`. */
msec shield_end(const struct shield *shield, msec undated);

/* Until when the list's shields hold, the latest of them; 0 when there is none.  Those that named
 * no deadline hold until `undated`. */
msec shield_until(const struct shield_table *table, uint32_t list, msec undated);

#endif
