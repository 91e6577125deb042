/* supervisor.h - between the judgement and the driver.
 *
 * Gives the core its facts, performs its actions through platform.h, and says in the
 * log what happened.  What reaches it: the driver's reports below.
 *
 *     struct ending end = supervisor_run(&plan);
 *     platform_leave(end);
 */
#ifndef AIORUN_SUPERVISOR_H
#define AIORUN_SUPERVISOR_H

#include "platform.h"

/* Runs what `plan` (checked, prepared) asks for until everything is over; returns the end that
 * aiorun itself is to come to. */
struct ending supervisor_run(const struct plan *plan);

/* ---- reports of the driver ---- */

/* A signal has arrived; every one but SIGCHLD. */
void supervisor_signal(struct supervisor *supervisor, const struct platform_signal *arrived);

/* The run's process ended; `left`: something of its tree did not. */
void supervisor_ended(struct supervisor *supervisor, struct run_id run, struct ending end,
                      bool left);

/* The command was stopped by `signal` (job control). */
void supervisor_stopped(struct supervisor *supervisor, struct run_id run, int signal);

/* An adopted process ended. */
void supervisor_adopted_ended(struct supervisor *supervisor, long pid, struct ending end);

/* All that was to reap is reaped. */
void supervisor_reaped(struct supervisor *supervisor);

/* Answers platform_census(). */
void supervisor_tree(struct supervisor *supervisor, struct run_id run, bool left, bool fresh);

/* The time asked for by platform_arm() has come. */
void supervisor_time(struct supervisor *supervisor);

#endif
