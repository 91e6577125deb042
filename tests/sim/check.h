/* check.h - the promises of core.h, each checked by its number against the world's record. */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H

#include "world.h"

/* An action, before the world does it. */
void check_action(struct world *world, const struct core_action *action);

/* All that was to be done is done. */
void check_settled(struct world *world);

/* Time is about to go on to `next`. */
void check_time(struct world *world, msec next);

/* A fact was refused, or not; `expected` comes from the world's record.  `before` is the core as it
 * was: a refusal leaves it so. */
void check_refusal(struct world *world, const void *before, const struct core_event *event,
                   bool expected, bool accepted, int promise);

/* The core that took the place of `old`, before anything follows from it. */
void check_reload(struct world *world, const struct core *old, const uint32_t *old_slot_of);

/* The promise is broken: says so and ends the schedule. */
/* What was broken last. */
extern char broken_text[256];
extern int broken_promise;

_Noreturn __attribute__((format(printf, 3, 4))) void broken(struct world *world, int promise,
                                                            const char *format, ...);

#endif
