/* A fleet as its user sees it: who starts and stops after whom, and what a reload leaves alone. */
/* cmocka.h needs the four headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "core/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* Workers are called a, b, c ... by the place in their own table, wherever the core has them. */
#define WORKERS_MAX 4

static struct core_worker workers[WORKERS_MAX], others[WORKERS_MAX];
static struct core_rules rules[WORKERS_MAX], other_rules[WORKERS_MAX]; /* of each */
static struct core_config config;
static const char *names; /* of the workers by their index */
static struct core *core;
static msec now;
static char told[4096]; /* what the core wanted since it was last asked */

static const struct core_rules plain = {.autostart = true,
                                        .ready_timeout = NEVER,
                                        .restart = RESTART_ON_FAILURE,
                                        .backoff = {.min = 100, .max = 100},
                                        .rung_count = 1,
                                        .rung_time = {10 * SECOND},
                                        .shield_timeout = NEVER};

static int begin(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(workers); i++) {
        rules[i] = other_rules[i] = plain;
        workers[i] = (struct core_worker){.rules = &rules[i], .instances = 1};
        others[i] = (struct core_worker){.rules = &other_rules[i], .instances = 1};
    }
    config = (struct core_config){.workers = workers,
                                  .timeout = 60 * SECOND,
                                  .orphan_time = SECOND,
                                  .forever = true,
                                  .job_capacity = 4,
                                  .job_workers = 1,
                                  .shield_capacity = 4};
    names = "abcd";
    now = 1000;
    return 0;
}

static int end(void **state)
{
    (void)state;
    free(core);
    core = NULL;
    return 0;
}

static void note(const char *verb, uint32_t slot)
{
    size_t length = strlen(told);
    const struct core_slot *about = core_slot(core, slot);
    char name = about->kind == CORE_JOB ? 'j' : names[about->owner];
    snprintf(told + length, sizeof told - length, "%s%s %c", length ? ", " : "", verb, name);
}

/* Does what the core wants: what is started runs, what is signalled ends well. */
static void settle(void)
{
    static const char *const commands[] = {"start", "prepare", "clean", "check"};
    struct core_action action;
    while (core_next(core, &action)) {
        struct core_event event = {.run = action.run, .end = {ENDING_EXITED, 0}};
        if (action.kind == ACTION_START) {
            note(commands[action.companion], action.run.slot);
            event.kind = EVENT_STARTED;
            core_step(core, now, &event);
        } else if (action.kind == ACTION_SIGNAL) {
            note("stop", action.run.slot);
            event.kind = EVENT_EXITED;
            core_step(core, now, &event);
        } else if (action.kind == ACTION_HELD) {
            note("hold", action.run.slot);
        } else if (action.kind == ACTION_FAILED) {
            note("failed", action.run.slot);
        } else if (action.kind == ACTION_ALL_READY) {
            strcat(told, ", all ready");
        } else if (action.kind == ACTION_ROLLED) {
            strcat(told, action.ok ? ", rolled" : ", not rolled");
        }
    }
}

static bool post(struct core_event event)
{
    bool accepted = core_step(core, now, &event);
    settle();
    return accepted;
}

static void assert_told(const char *expected)
{
    assert_string_equal(told, expected);
    told[0] = '\0';
}

static void start(uint32_t count)
{
    config.worker_count = count;
    assert_int_not_equal(core_size(&config), 0);
    core = core_init(calloc(1, core_size(&config)), &config, now);
    told[0] = '\0';
    post((struct core_event){.kind = EVENT_BEGIN});
}

static struct run_id run_of(uint32_t worker)
{
    return core_run(core, core_instance(core, worker, 0));
}

static void say_ready(uint32_t worker)
{
    assert_true(post((struct core_event){.kind = EVENT_READY, .run = run_of(worker)}));
}

static void want(uint32_t worker, bool wanted)
{
    post((struct core_event){.kind = EVENT_WANT, .run = run_of(worker), .wanted = wanted});
}

static void crash(uint32_t worker)
{
    post((struct core_event){
        .kind = EVENT_EXITED, .run = run_of(worker), .end = {ENDING_EXITED, 1}});
}

static void wait_for(msec span)
{
    now += span;
    post((struct core_event){.kind = EVENT_TIME});
}

/* ---- order ---- */

static const struct core_link after_first[] = {{.worker = 0}}, after_second[] = {{.worker = 1}};
static const struct core_link needs_first[] = {{.worker = 0, .needs = true}};
static const struct core_link needs_second[] = {{.worker = 1, .needs = true}};

static void come_after(struct core_worker *worker, const struct core_link *which)
{
    worker->after = which;
    worker->after_count = 1;
}

static void each_starts_when_the_one_before_is_ready(void **state)
{
    (void)state;
    rules[0].ready_told = rules[1].ready_told = true;
    come_after(&workers[1], after_first);
    come_after(&workers[2], after_second);
    start(3);
    assert_told("start a");
    say_ready(0);
    assert_told("start b");
    say_ready(1);
    assert_told("start c, all ready");
    /* A restart waits for nobody, and nobody for it. */
    crash(0);
    crash(2);
    wait_for(100);
    assert_told("start a, start c");
}

static void a_failed_start_is_waited_for_as_long_as_it_is_tried_again(void **state)
{
    (void)state;
    rules[0].ready_told = true;
    rules[0].backoff.limit = 1;
    rules[0].backoff.limit_window = 60 * SECOND;
    come_after(&workers[1], after_first);
    start(2);
    crash(0);
    assert_told("start a");
    wait_for(100);
    assert_told("start a");
    crash(0); /* and is given up */
    assert_told("start b, all ready");
}

static enum core_rest rest_of(uint32_t worker)
{
    return core_rest(core, core_instance(core, worker, 0));
}

static void who_is_down_for_good_is_so_for_a_reason(void **state)
{
    (void)state;
    rules[0].backoff.limit = 1;
    rules[0].backoff.limit_window = 60 * SECOND;
    rules[1].restart = RESTART_NEVER;
    rules[3].autostart = false;
    start(4);
    crash(0);
    wait_for(100);
    crash(0);
    crash(1);
    post((struct core_event){.kind = EVENT_EXITED, .run = run_of(2), .end = {ENDING_EXITED, 0}});
    assert_int_equal(rest_of(0), REST_GIVEN_UP);
    assert_int_equal(rest_of(1), REST_FAILED);
    assert_int_equal(rest_of(2), REST_FINISHED);
    assert_int_equal(rest_of(3), REST_STOPPED);
    /* Whoever has the last word is the reason. */
    want(0, false);
    assert_int_equal(rest_of(0), REST_STOPPED);
    want(2, true);
    want(2, false);
    assert_int_equal(rest_of(2), REST_STOPPED);
}

static void what_cannot_start_is_tried_again_later(void **state)
{
    struct core_action action;
    (void)state;
    rules[0].backoff = (struct policy_backoff){0};
    config.worker_count = 1;
    core = core_init(calloc(1, core_size(&config)), &config, now);
    core_step(core, now, &(struct core_event){.kind = EVENT_BEGIN});
    for (int i = 0; i < 3; i++, now++) {
        int starts = 0;
        core_step(core, now, &(struct core_event){.kind = EVENT_TIME});
        while (core_next(core, &action)) {
            assert_int_equal(starts += action.kind == ACTION_START, 1);
            if (action.kind != ACTION_START)
                continue;
            core_step(core, now,
                      &(struct core_event){.kind = EVENT_NOT_STARTED,
                                           .run = action.run,
                                           .end = {ENDING_NOT_STARTED, 127}});
        }
        assert_int_equal(core_deadline(core), now + 1);
    }
}

static void what_is_needed_stops_last_and_comes_back_first(void **state)
{
    (void)state;
    rules[0].ready_told = true;
    come_after(&workers[1], needs_first);
    come_after(&workers[2], needs_second);
    start(3);
    say_ready(0);
    assert_told("start a, start b, start c, all ready");
    want(0, false);
    assert_told("hold b, hold c, stop c, stop b, stop a");
    want(0, true);
    assert_told("start a");
    say_ready(0);
    assert_told("start b, start c");
}

static void a_migration_that_has_ended_well_is_no_stop(void **state)
{
    (void)state;
    rules[0].ready_told = true;
    come_after(&workers[1], needs_first);
    start(2);
    assert_told("start a");
    post((struct core_event){.kind = EVENT_EXITED, .run = run_of(0), .end = {ENDING_EXITED, 0}});
    assert_told("start b, all ready");
}

static void a_long_chain_stops_from_its_end(void **state)
{
    enum { COUNT = 20000 };
    (void)state;
    struct core_worker *chain = calloc(COUNT, sizeof *chain);
    struct core_link *before = calloc(COUNT, sizeof *before);
    uint32_t stopped = 0;
    struct core_action action;
    for (uint32_t i = 0; i < COUNT; i++) {
        chain[i] = (struct core_worker){.rules = &plain, .instances = 1};
        before[i] = (struct core_link){.worker = i - 1, .needs = true};
        if (i > 0)
            come_after(&chain[i], &before[i]);
    }
    config.workers = chain;
    config.worker_count = COUNT;
    core = core_init(calloc(1, core_size(&config)), &config, now);
    core_step(core, now, &(struct core_event){.kind = EVENT_BEGIN});
    while (core_next(core, &action))
        if (action.kind == ACTION_START)
            core_step(core, now, &(struct core_event){.kind = EVENT_STARTED, .run = action.run});
    core_step(core, now, &(struct core_event){.kind = EVENT_WANT, .run = run_of(0)});
    while (core_next(core, &action)) {
        if (action.kind != ACTION_SIGNAL)
            continue;
        assert_int_equal(action.run.slot, core_instance(core, COUNT - 1 - stopped++, 0));
        core_step(core, now,
                  &(struct core_event){
                      .kind = EVENT_EXITED, .run = action.run, .end = {ENDING_EXITED, 0}});
    }
    assert_int_equal(stopped, COUNT);
    free(chain);
    free(before);
}

/* ---- failures and companions ---- */

static void a_missed_watchdog_is_a_failure(void **state)
{
    (void)state;
    rules[0].watchdog = 500;
    start(1);
    wait_for(400);
    post((struct core_event){.kind = EVENT_ALIVE, .run = run_of(0)});
    wait_for(400);
    assert_told("start a, all ready");
    assert_int_equal(core_deadline(core), now + 100);
    wait_for(100);
    assert_told("failed a, stop a");
    wait_for(100);
    assert_told("start a");
}

static void commands_surround_each_run(void **state)
{
    (void)state;
    rules[0].has_before_start = rules[0].has_after_stop = true;
    start(1);
    assert_told("prepare a");
    uint32_t companion = core->first_companion;
    struct core_event ended = {.kind = EVENT_EXITED, .end = {ENDING_EXITED, 0}};
    ended.run = core_run(core, companion);
    post(ended);
    assert_told("start a, all ready");
    crash(0);
    wait_for(200); /* longer than the delay: the after-stop comes first */
    assert_told("clean a");
    ended.run = core_run(core, companion);
    post(ended);
    assert_told("prepare a");
}

/* ---- reloads ---- */

/* Goes on with `count` of the other workers; where each was before, or CORE_NONE. */
static bool reload(uint32_t count, const uint32_t *old_worker_of, const char *new_names)
{
    uint32_t map[64];
    config.workers = others;
    config.worker_count = count;
    core_map(core, &config, old_worker_of, map);
    struct core *old = core;
    void *memory = calloc(1, core_size(&config));
    struct core *fresh = core_reload(memory, old, &config, map, now);
    free(fresh == NULL ? memory : old);
    if (fresh == NULL)
        return false;
    core = fresh;
    names = new_names;
    settle();
    return true;
}

static void a_reload_touches_only_what_changed(void **state)
{
    static const uint32_t old_worker_of[] = {2, CORE_NONE, 0};
    (void)state;
    start(3);
    assert_told("start a, start b, start c, all ready");
    crash(2);
    wait_for(100);
    crash(2);
    assert_told("start c");
    struct run_id was = run_of(0);
    post((struct core_event){.kind = EVENT_HOLD, .run = was, .name = "upload"});
    want(1, false);
    assert_told("stop b");
    assert_true(reload(3, old_worker_of, "cna"));
    assert_told("start n");
    assert_int_equal(run_of(2).generation, was.generation);
    assert_true(core_present(core, run_of(2).slot));
    assert_true(run_of(1).generation > 2); /* no run of before had it */
    assert_false(core_is_idle(core));
    assert_true(
        post((struct core_event){.kind = EVENT_RELEASE, .run = run_of(2), .name = "upload"}));
    assert_true(core_is_idle(core));
    wait_for(100); /* c still waits for its delay */
    assert_told("start c");
}

static void what_needs_a_changed_worker_comes_back(void **state)
{
    static const uint32_t old_worker_of[] = {CORE_NONE, 1};
    (void)state;
    come_after(&workers[1], needs_first);
    come_after(&others[1], needs_first);
    other_rules[0].ready_told = true;
    start(2);
    want(0, false);
    assert_told("start a, start b, all ready, hold b, stop b, stop a");
    assert_true(reload(2, old_worker_of, "ab"));
    assert_told("start a");
    say_ready(0);
    assert_told("start b");
}

static void what_was_stopped_stays_so_in_a_reload(void **state)
{
    static const uint32_t old_worker_of[] = {0, 1};
    (void)state;
    start(2);
    want(1, false);
    assert_told("start a, start b, all ready, stop b");
    assert_true(reload(2, old_worker_of, "ab"));
    assert_told("");
}

static void jobs_keep_their_order_in_a_reload(void **state)
{
    static const uint32_t old_worker_of[] = {CORE_NONE, 0};
    struct run_id jobs[3];
    (void)state;
    start(1);
    for (size_t i = 0; i < LENGTH(jobs); i++) {
        assert_true(post((struct core_event){.kind = EVENT_SUBMIT, .run = run_of(0)}));
        jobs[i] = core_submitted(core);
    }
    assert_told("start a, all ready, start j");
    uint32_t old_first = core->first_job;
    assert_true(reload(2, old_worker_of, "na"));
    assert_told("start n");
    for (size_t i = 0; i < LENGTH(jobs); i++) {
        struct run_id job = {jobs[i].slot - old_first + core->first_job, jobs[i].generation};
        assert_int_equal(core_slot(core, job.slot)->life, CORE_UP);
        assert_int_equal(core_slot(core, job.slot)->owner, 1);
        post((struct core_event){.kind = EVENT_EXITED, .run = job, .end = {ENDING_EXITED, 0}});
    }
    assert_told("start j, start j");
    assert_true(core_is_idle(core));
    for (uint32_t i = 0; i < config.job_capacity; i++)
        assert_true(post((struct core_event){.kind = EVENT_SUBMIT, .run = run_of(0)}));
    assert_false(post((struct core_event){.kind = EVENT_SUBMIT, .run = run_of(0)}));
}

static void a_reload_is_refused_when_something_does_not_fit(void **state)
{
    static const uint32_t old_worker_of[] = {0};
    (void)state;
    start(1);
    post((struct core_event){.kind = EVENT_HOLD, .run = run_of(0), .name = "upload"});
    post((struct core_event){.kind = EVENT_SUBMIT, .run = run_of(0)});
    config.shield_capacity = 0;
    assert_false(reload(1, old_worker_of, "a"));
    config.shield_capacity = 1;
    config.job_capacity = 0;
    assert_false(reload(1, old_worker_of, "a"));
    config.job_capacity = 1;
    assert_true(reload(1, old_worker_of, "a"));
}

/* ---- ranges ---- */

static void workers_come_only_after_those_before_them(void **state)
{
    (void)state;
    config.worker_count = 2;
    come_after(&workers[1], after_second);
    assert_int_equal(core_size(&config), 0);
    come_after(&workers[1], after_first);
    assert_int_not_equal(core_size(&config), 0);
    rules[1].has_health = true; /* with an interval of 0 */
    assert_int_equal(core_size(&config), 0);
}

static void an_instance_takes_a_quarter_of_a_kilobyte_at_most(void **state)
{
    (void)state;
    config.worker_count = 1;
    size_t one = core_size(&config);
    workers[0].instances = 1001;
    assert_true(core_size(&config) - one <= 1000 * 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_starts_when_the_one_before_is_ready, begin, end),
        cmocka_unit_test_setup_teardown(who_is_down_for_good_is_so_for_a_reason, begin, end),
        cmocka_unit_test_setup_teardown(a_failed_start_is_waited_for_as_long_as_it_is_tried_again,
                                        begin, end),
        cmocka_unit_test_setup_teardown(what_cannot_start_is_tried_again_later, begin, end),
        cmocka_unit_test_setup_teardown(what_is_needed_stops_last_and_comes_back_first, begin, end),
        cmocka_unit_test_setup_teardown(a_migration_that_has_ended_well_is_no_stop, begin, end),
        cmocka_unit_test_setup_teardown(a_long_chain_stops_from_its_end, begin, end),
        cmocka_unit_test_setup_teardown(a_missed_watchdog_is_a_failure, begin, end),
        cmocka_unit_test_setup_teardown(commands_surround_each_run, begin, end),
        cmocka_unit_test_setup_teardown(a_reload_touches_only_what_changed, begin, end),
        cmocka_unit_test_setup_teardown(what_needs_a_changed_worker_comes_back, begin, end),
        cmocka_unit_test_setup_teardown(what_was_stopped_stays_so_in_a_reload, begin, end),
        cmocka_unit_test_setup_teardown(jobs_keep_their_order_in_a_reload, begin, end),
        cmocka_unit_test_setup_teardown(a_reload_is_refused_when_something_does_not_fit, begin,
                                        end),
        cmocka_unit_test_setup_teardown(workers_come_only_after_those_before_them, begin, end),
        cmocka_unit_test_setup_teardown(an_instance_takes_a_quarter_of_a_kilobyte_at_most, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
