/* Restart policies, delays and limits, success, reserves, and the exit status. */
/* cmocka.h needs the four headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "core/policy.h"

#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { SIGNAL_INT = 2, SIGNAL_KILL = 9, SIGNAL_SEGV = 11, SIGNAL_TERM = 15, SIGNAL_LAST = 64 };

static struct ending exited(uint32_t status)
{
    return (struct ending){ENDING_EXITED, status};
}

static struct ending killed(uint32_t signal)
{
    return (struct ending){ENDING_KILLED, signal};
}

static struct ending not_started(uint32_t status)
{
    return (struct ending){ENDING_NOT_STARTED, status};
}

static void assert_ending(struct ending end, struct ending expected)
{
    assert_int_equal(end.kind, expected.kind);
    assert_int_equal(end.value, expected.value);
}

/* ---- success ---- */

static void exit_0_is_the_only_success_by_default(void **state)
{
    (void)state;
    const struct success_set none = {0};
    assert_true(policy_is_success(&none, exited(0), false));
    for (uint32_t status = 1; status <= 256; status++)
        assert_false(policy_is_success(&none, exited(status), true));
    for (uint32_t signal = 1; signal <= SIGNAL_LAST; signal++)
        assert_false(policy_is_success(&none, killed(signal), true));
}

static void listed_codes_and_signals_are_success(void **state)
{
    (void)state;
    struct success_set set = {0};
    success_add_code(&set, 3);
    success_add_code(&set, 255);
    success_add_signal(&set, SIGNAL_INT);
    success_add_signal(&set, SIGNAL_LAST);
    static const struct {
        struct ending end;
        bool success;
    } rows[] = {
        {{ENDING_EXITED, 0}, true},
        {{ENDING_EXITED, 3}, true},
        {{ENDING_EXITED, 2}, false},
        {{ENDING_EXITED, 255}, true},
        {{ENDING_EXITED, 254}, false},
        {{ENDING_EXITED, 256 + 3}, false}, /* Windows has 32 bits */
        {{ENDING_KILLED, SIGNAL_INT}, true},
        {{ENDING_KILLED, SIGNAL_TERM}, false},
        {{ENDING_KILLED, SIGNAL_LAST}, true},
        {{ENDING_KILLED, SIGNAL_LAST - 1}, false},
        {{ENDING_EXITED, 128 + SIGNAL_INT}, false},
    };
    for (size_t i = 0; i < LENGTH(rows); i++)
        assert_int_equal(policy_is_success(&set, rows[i].end, false), rows[i].success);
}

static void code_143_also_means_death_by_TERM(void **state)
{
    (void)state;
    struct success_set set = {0};
    success_add_code(&set, 143);
    assert_true(policy_is_success(&set, exited(143), false));
    assert_true(policy_is_success(&set, killed(SIGNAL_TERM), false));
    assert_false(policy_is_success(&set, killed(SIGNAL_INT), false));
}

static void requested_means_our_own_signal(void **state)
{
    (void)state;
    const struct success_set set = {.requested = true};
    assert_true(policy_is_success(&set, killed(SIGNAL_TERM), true));
    assert_true(policy_is_success(&set, exited(143), true));
    assert_false(policy_is_success(&set, killed(SIGNAL_TERM), false));
    assert_false(policy_is_success(&set, exited(143), false));
}

static void what_never_ran_is_no_success(void **state)
{
    (void)state;
    struct success_set set = {.requested = true};
    success_add_code(&set, 127);
    assert_false(policy_is_success(&set, not_started(127), true));
    assert_false(policy_is_success(&set, (struct ending){ENDING_NONE, 0}, true));
}

/* ---- restarts ---- */

static void policies_restart_after_what_they_say(void **state)
{
    (void)state;
    static const struct {
        enum policy_restart restart;
        bool after_success, after_failure;
    } rows[] = {
        {RESTART_NEVER, false, false},
        {RESTART_ON_FAILURE, false, true},
        {RESTART_ALWAYS, true, true},
    };
    for (size_t i = 0; i < LENGTH(rows); i++) {
        assert_int_equal(policy_wants_restart(rows[i].restart, true), rows[i].after_success);
        assert_int_equal(policy_wants_restart(rows[i].restart, false), rows[i].after_failure);
    }
}

static void the_delay_doubles_up_to_max(void **state)
{
    (void)state;
    const struct policy_backoff backoff = {.min = 100, .max = 1000};
    static const msec delays[] = {100, 200, 400, 800, 1000, 1000};
    struct policy_history history = {0};
    for (size_t i = 0; i < LENGTH(delays); i++)
        assert_int_equal(policy_next_start(&backoff, &history, 5000, 10), 5000 + delays[i]);
}

static void the_delay_is_min_again_after_30_seconds_up(void **state)
{
    (void)state;
    const struct policy_backoff backoff = {.min = 100, .max = 30 * SECOND};
    struct policy_history history = {0};
    assert_int_equal(policy_next_start(&backoff, &history, 0, 0), 100);
    assert_int_equal(policy_next_start(&backoff, &history, 0, 30 * SECOND - 1), 200);
    assert_int_equal(policy_next_start(&backoff, &history, 0, 30 * SECOND), 100);
    assert_int_equal(policy_next_start(&backoff, &history, 0, 0), 200);
}

static void a_delay_of_nothing_stays_nothing(void **state)
{
    (void)state;
    const struct policy_backoff backoff = {.min = 0, .max = 0};
    struct policy_history history = {0};
    for (int i = 0; i < 3; i++)
        assert_int_equal(policy_next_start(&backoff, &history, 7, 0), 7);
}

static void the_delay_survives_the_end_of_time(void **state)
{
    (void)state;
    const struct policy_backoff backoff = {.min = NEVER / 2 + 1, .max = NEVER};
    struct policy_history history = {0};
    assert_int_equal(policy_next_start(&backoff, &history, NEVER / 2 + 1, 0), NEVER);
    assert_int_equal(policy_next_start(&backoff, &history, 0, 0), NEVER);
}

static void the_limit_holds_in_its_window(void **state)
{
    (void)state;
    const struct policy_backoff backoff = {
        .min = 1, .max = 1, .limit = 2, .limit_window = 60 * SECOND};
    static const struct {
        msec now;
        bool restarts;
    } rows[] = {
        {1000, true},         {2000, true},   {3000, false},   {60999, false},
        {1000 + 60000, true}, /* a new window begins with this restart */
        {61001, true},        {61002, false}, {120999, false}, {61000 + 60000, true},
    };
    struct policy_history history = {0};
    for (size_t i = 0; i < LENGTH(rows); i++) {
        msec next = policy_next_start(&backoff, &history, rows[i].now, 0);
        assert_int_equal(next, rows[i].restarts ? rows[i].now + 1 : NEVER);
    }
}

static void a_limit_of_0_is_none(void **state)
{
    (void)state;
    const struct policy_backoff backoff = {.min = 1, .max = 1, .limit_window = 60 * SECOND};
    struct policy_history history = {0};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(policy_next_start(&backoff, &history, 5, 0), 6);
}

/* ---- reserves ---- */

static void the_reserve_is_2_seconds_where_they_fit_half_the_cap(void **state)
{
    (void)state;
    static const struct {
        msec cap;
        uint32_t waves;
        msec reserve;
    } rows[] = {
        {60 * SECOND, 1, 2 * SECOND},
        {NEVER, 1, 2 * SECOND},
        {NEVER, 1000, 2 * SECOND},
        {8 * SECOND, 1, 2 * SECOND}, /* trees and orphans: twice 2 s are half of 8 s */
        {4 * SECOND, 1, 1 * SECOND},
        {1, 1, 0},
        {0, 1, 0},
        {60 * SECOND, 14, 2 * SECOND}, /* 13 waves are followed by one; 15 times 2 s are 30 s */
        {60 * SECOND, 29, 1 * SECOND},
    };
    for (size_t i = 0; i < LENGTH(rows); i++)
        assert_int_equal(policy_reserve(rows[i].cap, rows[i].waves), rows[i].reserve);
}

static void all_reserves_fit_half_the_cap(void **state)
{
    (void)state;
    for (msec cap = 0; cap < 20 * SECOND; cap += 37)
        for (uint32_t waves = 1; waves < 40; waves++)
            assert_true(policy_reserve(cap, waves) * (waves + 1) <= cap / 2);
}

/* ---- the exit status ---- */

static void the_first_that_matches_is_the_end(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct policy_outcome outcome;
        struct ending end;
    } rows[] = {
        {"launcher: the command's own end",
         {.launcher = true, .command = {ENDING_EXITED, 7}},
         {ENDING_EXITED, 7}},
        {"launcher: the command's own death",
         {.launcher = true, .command = {ENDING_KILLED, SIGNAL_SEGV}},
         {ENDING_KILLED, SIGNAL_SEGV}},
        {"launcher: an earlier error wins over the command's end",
         {.launcher = true, .first_error = {ENDING_EXITED, 1}, .command = {ENDING_EXITED, 0}},
         {ENDING_EXITED, 1}},
        {"launcher: `shutdown 3` wins over errors",
         {.launcher = true,
          .status_given = true,
          .status = 3,
          .first_error = {ENDING_EXITED, 1},
          .command = {ENDING_KILLED, SIGNAL_TERM}},
         {ENDING_EXITED, 3}},
        {"launcher: `shutdown 0` is a status, too",
         {.launcher = true, .status_given = true, .command = {ENDING_EXITED, 9}},
         {ENDING_EXITED, 0}},
        {"launcher: a command that never started wins over all",
         {.launcher = true,
          .never_started = {ENDING_NOT_STARTED, 127},
          .status_given = true,
          .status = 3,
          .first_error = {ENDING_NOT_STARTED, 127},
          .command = {ENDING_NOT_STARTED, 127}},
         {ENDING_NOT_STARTED, 127}},
        {"launcher: no command yet", {.launcher = true}, {ENDING_EXITED, 0}},
        {"fleet: a clean shutdown, though the last run died of our signal",
         {.command = {ENDING_KILLED, SIGNAL_TERM}},
         {ENDING_EXITED, 0}},
        {"fleet: the first error",
         {.first_error = {ENDING_KILLED, SIGNAL_SEGV}, .command = {ENDING_EXITED, 0}},
         {ENDING_KILLED, SIGNAL_SEGV}},
        {"fleet: one of many that did not start is an error like others",
         {.never_started = {ENDING_NOT_STARTED, 126},
          .first_error = {ENDING_EXITED, 4},
          .command = {ENDING_EXITED, 0}},
         {ENDING_EXITED, 4}},
    };
    for (size_t i = 0; i < LENGTH(rows); i++) {
        print_message("  %s\n", rows[i].name);
        assert_ending(policy_outcome(&rows[i].outcome), rows[i].end);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_0_is_the_only_success_by_default),
        cmocka_unit_test(listed_codes_and_signals_are_success),
        cmocka_unit_test(code_143_also_means_death_by_TERM),
        cmocka_unit_test(requested_means_our_own_signal),
        cmocka_unit_test(what_never_ran_is_no_success),
        cmocka_unit_test(policies_restart_after_what_they_say),
        cmocka_unit_test(the_delay_doubles_up_to_max),
        cmocka_unit_test(the_delay_is_min_again_after_30_seconds_up),
        cmocka_unit_test(a_delay_of_nothing_stays_nothing),
        cmocka_unit_test(the_delay_survives_the_end_of_time),
        cmocka_unit_test(the_limit_holds_in_its_window),
        cmocka_unit_test(a_limit_of_0_is_none),
        cmocka_unit_test(the_reserve_is_2_seconds_where_they_fit_half_the_cap),
        cmocka_unit_test(all_reserves_fit_half_the_cap),
        cmocka_unit_test(the_first_that_matches_is_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
