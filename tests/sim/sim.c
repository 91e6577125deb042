/* sim - the core in a virtual world: millions of schedules in which every promise of core.h is
 * checked by its number.
 *
 *     sim                    half a million random schedules, then every course of some small
 * worlds sim --schedules N      so many random schedules, from --seed on sim --seed N --trace   one
 * of them again, with all that happens sim --small            every course of some small worlds sim
 * --quick            a little of both sim --scale            what an event costs with 10 instances
 * and with 10,000
 */

#include "check.h"
#include "random.h"
#include "scale.h"
#include "small.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t current_seed;

/* An assertion of the core's: what was about to be tried must not be lost. */
static void report_abort(int signal)
{
    char text[64];
    int length =
        snprintf(text, sizeof text, "aborted at seed %llu\n", (unsigned long long)current_seed);
    if (write(STDERR_FILENO, text, (size_t)length) < 0)
        _exit(3);
    _exit(128 + signal);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool run_schedules(uint64_t seed, uint64_t count)
{
    double start = seconds();
    for (uint64_t i = 0; i < count; i++) {
        current_seed = seed + i;
        if (random_run(seed + i, false))
            continue;
        random_run(seed + i, true);
        printf("P%d is broken: %s\nreplay: sim --seed %llu --trace\n", broken_promise, broken_text,
               (unsigned long long)(seed + i));
        return false;
    }
    printf("%llu schedules keep all promises (%.1f s)\n", (unsigned long long)count,
           seconds() - start);
    random_report();
    return true;
}

static bool trace_schedule(uint64_t seed)
{
    current_seed = seed;
    return random_run(seed, true);
}

static uint32_t run_small_worlds(uint32_t shallower)
{
    double start = seconds();
    uint32_t failed = 0;
    for (uint32_t i = 0; i < small_count(); i++)
        failed += !small_run(i, shallower);
    printf("every course of %u small worlds (%.1f s)\n", small_count(), seconds() - start);
    return failed;
}

static _Noreturn void refuse(const char *what)
{
    fprintf(stderr, "sim: %s\n", what);
    exit(2);
}

static uint64_t number(const char *text)
{
    char *end;
    if (text == NULL)
        refuse("a number is missing");
    uint64_t value = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0')
        refuse("that is no number");
    return value;
}

struct choices {
    uint64_t seed, schedules;
    uint32_t shallower;
    bool trace, random, small, scale;
};

static void read_choices(struct choices *choices, char **argv)
{
    *choices = (struct choices){.seed = 1, .schedules = 500000, .random = true, .small = true};
    while (*++argv != NULL) {
        if (strcmp(*argv, "--seed") == 0) {
            choices->seed = number(*++argv);
        } else if (strcmp(*argv, "--schedules") == 0) {
            choices->schedules = number(*++argv);
            choices->small = false;
        } else if (strcmp(*argv, "--trace") == 0) {
            choices->trace = true;
        } else if (strcmp(*argv, "--small") == 0) {
            choices->random = false;
        } else if (strcmp(*argv, "--quick") == 0) {
            choices->schedules = 30000;
            choices->shallower = 2;
        } else if (strcmp(*argv, "--scale") == 0) {
            choices->scale = true;
        } else {
            refuse("usage: sim [--seed N] [--schedules N] [--trace] [--small] [--quick] [--scale]");
        }
    }
}

int main(int argc, char **argv)
{
    struct choices choices;
    uint32_t tests = 0, failed = 0;
    (void)argc;
    read_choices(&choices, argv);
    signal(SIGABRT, report_abort);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (choices.scale)
        return scale_run() ? 0 : 1;
    if (choices.trace)
        return trace_schedule(choices.seed) ? 0 : 1;
    if (choices.random) {
        tests++;
        failed += !run_schedules(choices.seed, choices.schedules);
    }
    if (choices.small) {
        tests += small_count();
        failed += run_small_worlds(choices.shallower);
    }
    printf("%u passed, %u failed\n", tests - failed, failed);
    return failed > 0;
}
