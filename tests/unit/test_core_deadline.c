/* The heap of deadlines, against a list that is searched. */
/* cmocka.h needs the four headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "core/deadline.h"

#include <stdlib.h>
#include <string.h>

#define OWNERS 33

static struct deadline_heap *heap;

static void begin(uint32_t capacity)
{
    free(heap);
    heap = calloc(1, deadline_size(capacity));
    assert_non_null(heap);
    deadline_init(heap, capacity);
}

static int end(void **state)
{
    (void)state;
    free(heap);
    heap = NULL;
    return 0;
}

static void nobody_waits_at_first(void **state)
{
    (void)state;
    uint32_t owner;
    begin(3);
    assert_int_equal(deadline_first(heap), NEVER);
    assert_false(deadline_expired(heap, NEVER, &owner));
}

static void the_first_is_due_first(void **state)
{
    (void)state;
    static const struct {
        uint32_t owner;
        msec when;
    } order[] = {{2, 100}, {0, 200}, {3, 300}, {1, 400}};
    uint32_t owner;
    begin(4);
    for (size_t i = 4; i-- > 0;)
        deadline_set(heap, order[i].owner, order[i].when);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(deadline_first(heap), order[i].when);
        assert_false(deadline_expired(heap, order[i].when - 1, &owner));
        assert_true(deadline_expired(heap, order[i].when, &owner));
        assert_int_equal(owner, order[i].owner);
    }
    assert_int_equal(deadline_first(heap), NEVER);
}

static void an_owner_has_one_deadline(void **state)
{
    (void)state;
    uint32_t owner;
    begin(2);
    deadline_set(heap, 0, 500);
    deadline_set(heap, 0, 100);
    assert_int_equal(deadline_first(heap), 100);
    deadline_set(heap, 0, 900);
    assert_int_equal(deadline_first(heap), 900);
    deadline_set(heap, 0, 900);
    assert_true(deadline_expired(heap, 900, &owner));
    assert_false(deadline_expired(heap, 900, &owner));
}

static void never_takes_out(void **state)
{
    (void)state;
    begin(3);
    deadline_set(heap, 1, NEVER); /* it was not there */
    deadline_set(heap, 0, 100);
    deadline_set(heap, 1, 200);
    deadline_set(heap, 0, NEVER);
    assert_int_equal(deadline_first(heap), 200);
    deadline_set(heap, 0, NEVER);
    deadline_set(heap, 1, NEVER);
    assert_int_equal(deadline_first(heap), NEVER);
}

static void what_expired_can_be_set_again(void **state)
{
    (void)state;
    uint32_t owner;
    begin(1);
    for (msec when = 0; when < 5; when++) {
        deadline_set(heap, 0, when);
        assert_true(deadline_expired(heap, when, &owner));
        assert_int_equal(owner, 0);
    }
}

static void a_copy_lives_on_its_own(void **state)
{
    (void)state;
    uint32_t owner;
    begin(2);
    deadline_set(heap, 1, 100);
    struct deadline_heap *copy = malloc(deadline_size(2));
    assert_non_null(copy);
    memcpy(copy, heap, deadline_size(2));
    deadline_set(copy, 0, 50);
    assert_int_equal(deadline_first(heap), 100);
    assert_true(deadline_expired(copy, 60, &owner));
    assert_int_equal(owner, 0);
    assert_int_equal(deadline_first(copy), 100);
    free(copy);
}

static msec earliest(const msec *list)
{
    msec first = NEVER;
    for (size_t i = 0; i < OWNERS; i++)
        first = msec_min(first, list[i]);
    return first;
}

/* Ends who is due at `now` in both, and compares. */
static void expire(msec *list, msec now)
{
    uint32_t owner;
    while (deadline_expired(heap, now, &owner)) {
        assert_true(owner < OWNERS);
        assert_int_equal(list[owner], earliest(list));
        assert_true(list[owner] <= now);
        list[owner] = NEVER;
    }
    assert_true(earliest(list) > now);
}

static void any_course_agrees_with_a_plain_list(void **state)
{
    (void)state;
    msec list[OWNERS];
    uint32_t random = 1;
    begin(OWNERS);
    for (size_t i = 0; i < OWNERS; i++)
        list[i] = NEVER;
    for (msec now = 0; now < 100000; now++) {
        random = random * 1664525u + 1013904223u;
        uint32_t owner = (random >> 8) % OWNERS;
        list[owner] = random >> 30 ? now + 1 + (random >> 16) % 64 : NEVER;
        deadline_set(heap, owner, list[owner]);
        assert_int_equal(deadline_first(heap), earliest(list));
        if (now % 3 == 0)
            expire(list, now);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_waits_at_first),
        cmocka_unit_test(the_first_is_due_first),
        cmocka_unit_test(an_owner_has_one_deadline),
        cmocka_unit_test(never_takes_out),
        cmocka_unit_test(what_expired_can_be_set_again),
        cmocka_unit_test(a_copy_lives_on_its_own),
        cmocka_unit_test(any_course_agrees_with_a_plain_list),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
