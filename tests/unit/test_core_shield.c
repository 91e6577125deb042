/* Shields: nesting, deadlines, runs that share a table, and a table that is full. */
/* cmocka.h needs the four headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "core/shield.h"

#include <stdlib.h>
#include <string.h>

static struct shield_table *table;
static uint32_t room;
static uint32_t mine, other;

/* A fresh table for `capacity` shields, and two runs that hold none. */
static void begin(uint32_t capacity)
{
    free(table);
    table = calloc(1, shield_size(capacity));
    assert_non_null(table);
    room = capacity;
    mine = other = SHIELD_NONE;
}

static int end(void **state)
{
    (void)state;
    free(table);
    table = NULL;
    return 0;
}

static msec until(uint32_t list)
{
    return shield_until(table, list, NEVER);
}

static void a_shield_holds_until_it_is_released(void **state)
{
    (void)state;
    begin(2);
    assert_int_equal(until(mine), 0);
    assert_true(shield_hold(table, room, &mine, "upload", 500));
    assert_int_equal(until(mine), 500);
    assert_int_equal(until(other), 0);
    assert_true(shield_release(table, &mine, "upload"));
    assert_int_equal(until(mine), 0);
    assert_false(shield_release(table, &mine, "upload"));
}

static void shields_nest_by_count(void **state)
{
    (void)state;
    begin(1);
    for (int i = 0; i < 3; i++)
        assert_true(shield_hold(table, room, &mine, "a", NEVER));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(until(mine), NEVER);
        assert_true(shield_release(table, &mine, "a"));
    }
    assert_int_equal(mine, SHIELD_NONE);
}

static void the_later_deadline_wins(void **state)
{
    (void)state;
    begin(2);
    assert_true(shield_hold(table, room, &mine, "a", 500));
    assert_true(shield_hold(table, room, &mine, "a", 300));
    assert_int_equal(until(mine), 500);
    assert_true(shield_hold(table, room, &mine, "a", 900));
    assert_int_equal(until(mine), 900);
    assert_true(shield_hold(table, room, &mine, "b", 700));
    assert_int_equal(until(mine), 900);
}

static void the_latest_shield_counts_in_any_order(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c"};
    for (int first = 0; first < 3; first++) {
        begin(3);
        for (int i = 0; i < 3; i++)
            assert_true(shield_hold(table, room, &mine, names[i], 100 * (i + 1)));
        assert_true(shield_release(table, &mine, names[first]));
        assert_int_equal(until(mine), first == 2 ? 200 : 300);
    }
}

static void a_shield_without_deadline_holds_as_long_as_is_said_later(void **state)
{
    (void)state;
    begin(1);
    assert_true(shield_hold(table, room, &mine, "a", SHIELD_UNDATED));
    assert_int_equal(shield_until(table, mine, NEVER), NEVER);
    assert_int_equal(shield_until(table, mine, 800), 800);
    assert_true(shield_hold(table, room, &mine, "a", 900));
    assert_int_equal(shield_until(table, mine, 800), 900);
    assert_int_equal(shield_until(table, mine, NEVER), NEVER);
}

static void runs_do_not_see_each_others_shields(void **state)
{
    (void)state;
    begin(4);
    assert_true(shield_hold(table, room, &mine, "a", 100));
    assert_true(shield_hold(table, room, &other, "a", 200));
    assert_true(shield_hold(table, room, &mine, "b", 300));
    assert_true(shield_release(table, &other, "a"));
    assert_false(shield_release(table, &other, "b"));
    assert_int_equal(until(mine), 300);
    shield_drop(table, &mine);
    assert_int_equal(mine, SHIELD_NONE);
    assert_int_equal(until(mine), 0);
}

static void a_full_table_refuses_and_stays_as_it_was(void **state)
{
    (void)state;
    unsigned char before[1024];
    begin(2);
    assert_true(shield_hold(table, room, &mine, "a", 100));
    assert_true(shield_hold(table, room, &other, "b", 200));
    assert_true(shield_size(2) <= sizeof before);
    memcpy(before, table, shield_size(2));
    assert_false(shield_hold(table, room, &mine, "c", 300));
    assert_memory_equal(before, table, shield_size(2));
    assert_int_equal(until(mine), 100);
    assert_true(shield_hold(table, room, &mine, "a", 300)); /* nesting needs no place */
}

static void a_table_for_none_refuses_all(void **state)
{
    (void)state;
    begin(0);
    assert_false(shield_hold(table, room, &mine, "a", 100));
    assert_int_equal(mine, SHIELD_NONE);
}

static void every_place_is_used_again(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c"};
    begin(3);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 3; i++)
            assert_true(shield_hold(table, room, &mine, names[i], 100));
        assert_false(shield_hold(table, room, &other, "d", 100));
        if (round % 2) {
            shield_drop(table, &mine);
            continue;
        }
        for (int i = 0; i < 3; i++)
            assert_true(shield_release(table, &mine, names[(i + round) % 3]));
    }
}

static void only_what_is_over_expires(void **state)
{
    (void)state;
    begin(3);
    assert_true(shield_hold(table, room, &mine, "over", 100));
    assert_true(shield_hold(table, room, &mine, "held", 101));
    assert_true(shield_hold(table, room, &mine, "undated", SHIELD_UNDATED));
    assert_false(shield_expire(table, &mine, NEVER, 99));
    assert_true(shield_expire(table, &mine, NEVER, 100));
    assert_false(shield_release(table, &mine, "over"));
    assert_true(shield_expire(table, &mine, 100, 100));
    assert_false(shield_release(table, &mine, "undated"));
    assert_int_equal(until(mine), 101);
    assert_false(shield_expire(table, &other, NEVER, 100));
}

static void names_have_1_to_63_bytes(void **state)
{
    (void)state;
    char name[SHIELD_NAME_MAX + 2];
    begin(2);
    memset(name, 'n', sizeof name);
    name[SHIELD_NAME_MAX + 1] = '\0';
    assert_false(shield_hold(table, room, &mine, "", 100));
    assert_false(shield_hold(table, room, &mine, name, 100));
    name[SHIELD_NAME_MAX] = '\0';
    assert_true(shield_hold(table, room, &mine, name, 100));
    name[SHIELD_NAME_MAX - 1] = 'm';
    assert_false(shield_release(table, &mine, name));
    assert_true(shield_hold(table, room, &mine, name, 200));
    assert_true(shield_release(table, &mine, name));
    assert_int_equal(until(mine), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shield_holds_until_it_is_released),
        cmocka_unit_test(shields_nest_by_count),
        cmocka_unit_test(the_later_deadline_wins),
        cmocka_unit_test(the_latest_shield_counts_in_any_order),
        cmocka_unit_test(a_shield_without_deadline_holds_as_long_as_is_said_later),
        cmocka_unit_test(runs_do_not_see_each_others_shields),
        cmocka_unit_test(a_full_table_refuses_and_stays_as_it_was),
        cmocka_unit_test(a_table_for_none_refuses_all),
        cmocka_unit_test(every_place_is_used_again),
        cmocka_unit_test(only_what_is_over_expires),
        cmocka_unit_test(names_have_1_to_63_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
