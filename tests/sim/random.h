/* random.h - schedules made of chance, each from a seed that replays it. */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

/* Runs the schedule of `seed`; false when a promise is broken. */
bool random_run(uint64_t seed, bool trace);

/* Of all schedules run so far: how many events, and how often each action. */
void random_report(void);

#endif
