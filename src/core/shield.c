#include "core/shield.h"

#include <assert.h>
#include <string.h>

size_t shield_size(uint32_t capacity)
{
    return sizeof(struct shield_table) + capacity * sizeof(struct shield);
}

/* The link that points to the shield called `name`, or the one that ends the list. */
static uint32_t *find(struct shield_table *table, uint32_t *list, const char *name)
{
    uint32_t *link = list;
    while (*link != SHIELD_NONE && strcmp(table->cells[*link].name, name) != 0)
        link = &table->cells[*link].next;
    return link;
}

/* A cell that was used before, else a fresh one; SHIELD_NONE when all are taken. */
static uint32_t take(struct shield_table *table, uint32_t capacity)
{
    if (table->free > 0) {
        uint32_t index = table->free - 1;
        table->free = table->cells[index].next;
        return index;
    }
    return table->used < capacity ? table->used++ : SHIELD_NONE;
}

static void drop(struct shield_table *table, uint32_t *link)
{
    uint32_t index = *link;
    *link = table->cells[index].next;
    table->cells[index].next = table->free;
    table->free = index + 1;
}

bool shield_hold(struct shield_table *table, uint32_t capacity, uint32_t *list, const char *name,
                 msec until)
{
    size_t length = strlen(name);
    if (length == 0 || length > SHIELD_NAME_MAX)
        return false;
    uint32_t index = *find(table, list, name);
    if (index == SHIELD_NONE) {
        index = take(table, capacity);
        if (index == SHIELD_NONE)
            return false;
        struct shield *fresh = &table->cells[index];
        memset(fresh, 0, sizeof *fresh);
        memcpy(fresh->name, name, length + 1);
        fresh->next = *list;
        *list = index;
    }
    struct shield *shield = &table->cells[index];
    shield->holds++;
    shield->undated = shield->undated || until == SHIELD_UNDATED;
    shield->until = msec_max(shield->until, until);
    return true;
}

bool shield_release(struct shield_table *table, uint32_t *list, const char *name)
{
    uint32_t *link = find(table, list, name);
    if (*link == SHIELD_NONE)
        return false;
    if (--table->cells[*link].holds == 0)
        drop(table, link);
    return true;
}

void shield_drop(struct shield_table *table, uint32_t *list)
{
    while (*list != SHIELD_NONE)
        drop(table, list);
}

uint32_t shield_count(const struct shield_table *table, uint32_t list)
{
    uint32_t count = 0;
    for (uint32_t i = list; i != SHIELD_NONE; i = table->cells[i].next)
        count++;
    return count;
}

void shield_move(struct shield_table *to, uint32_t capacity, uint32_t *to_list,
                 const struct shield_table *from, uint32_t list)
{
    for (uint32_t i = list; i != SHIELD_NONE; i = from->cells[i].next) {
        bool held = shield_hold(to, capacity, to_list, from->cells[i].name, SHIELD_UNDATED);
        assert(held);
        struct shield *shield = &to->cells[*to_list];
        shield->since = from->cells[i].since;
        shield->until = from->cells[i].until;
        shield->undated = from->cells[i].undated;
        shield->holds = from->cells[i].holds;
    }
}

msec shield_end(const struct shield *shield, msec undated)
{
    return shield->undated ? msec_max(shield->until, undated) : shield->until;
}

bool shield_expire(struct shield_table *table, uint32_t *list, msec undated, msec now)
{
    bool dropped = false;
    uint32_t *link = list;
    while (*link != SHIELD_NONE) {
        if (shield_end(&table->cells[*link], undated) > now) {
            link = &table->cells[*link].next;
            continue;
        }
        drop(table, link);
        dropped = true;
    }
    return dropped;
}

msec shield_until(const struct shield_table *table, uint32_t list, msec undated)
{
    msec until = 0;
    for (uint32_t i = list; i != SHIELD_NONE; i = table->cells[i].next)
        until = msec_max(until, shield_end(&table->cells[i], undated));
    return until;
}
