#include "scale.h"

#include "core/core.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FEW    10
#define MANY   10000
#define EVENTS 200000
#define ROUNDS 5
#define RATIO_MAX                                                                                  \
    10.0 /* a thousand times as many; the heap is four times as deep, caches are full */

static double nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static uint32_t shuffle(uint32_t i, uint32_t count)
{
    return (uint32_t)((uint64_t)(i * 2654435761u) * count >> 32);
}

/* Does what the core wants: what is started runs. */
static void settle(struct core *core, msec now)
{
    struct core_action action;
    while (core_next(core, &action)) {
        struct core_event started = {.kind = EVENT_STARTED, .run = action.run};
        if (action.kind == ACTION_START)
            core_step(core, now, &started);
    }
}

static void post(struct core *core, msec now, struct core_event event)
{
    core_step(core, now, &event);
    settle(core, now);
}

/* A run crashes, and is started again when its delay is over: the costliest thing in daily life.
 * About half of the fleet waits for its delay all the time. */
static void crash(struct core *core, msec *now, uint32_t slot)
{
    post(core, ++*now,
         (struct core_event){
             .kind = EVENT_EXITED, .run = core_run(core, slot), .end = {ENDING_EXITED, 1}});
    post(core, *now, (struct core_event){.kind = EVENT_REAPED});
}

/* A run takes a shield and gives it back. */
static void shield(struct core *core, msec *now, uint32_t slot)
{
    struct run_id run = core_run(core, slot);
    post(core, ++*now, (struct core_event){.kind = EVENT_HOLD, .run = run, .name = "a"});
    post(core, *now, (struct core_event){.kind = EVENT_RELEASE, .run = run, .name = "a"});
}

static double measure(uint32_t instances, void (*happen)(struct core *, msec *, uint32_t))
{
    struct core_rules rules = {.autostart = true,
                               .restart = RESTART_ALWAYS,
                               .backoff = {.min = instances / 2, .max = instances / 2},
                               .rung_count = 1,
                               .rung_time = {10 * SECOND},
                               .shield_timeout = 60 * SECOND};
    struct core_worker worker = {.rules = &rules, .instances = instances};
    struct core_config config = {.workers = &worker,
                                 .worker_count = 1,
                                 .timeout = 60 * SECOND,
                                 .forever = true,
                                 .shield_capacity = instances};
    void *memory = calloc(1, core_size(&config));
    double best = 0;
    msec now = 0;
    assert(memory != NULL);
    struct core *core = core_init(memory, &config, now);
    post(core, now, (struct core_event){.kind = EVENT_BEGIN});
    for (uint32_t round = 0; round < ROUNDS; round++) {
        double start = nanoseconds();
        for (uint32_t i = 0; i < EVENTS; i++)
            happen(core, &now, core_instance(core, 0, shuffle(i, instances)));
        double each = (nanoseconds() - start) / EVENTS;
        best = round == 0 || each < best ? each : best;
    }
    free(memory);
    return best;
}

static bool compare(const char *what, void (*happen)(struct core *, msec *, uint32_t))
{
    double few = measure(FEW, happen);
    double many = measure(MANY, happen);
    printf("%-20s %6.0f ns with %d instances, %6.0f ns with %d: %.1f times\n", what, few, FEW, many,
           MANY, many / few);
    return many / few <= RATIO_MAX;
}

bool scale_run(void)
{
    bool crashes = compare("crash and restart", crash);
    bool shields = compare("hold and release", shield);
    return crashes && shields;
}
