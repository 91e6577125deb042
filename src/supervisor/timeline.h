/* timeline.h - what the shutdown report is told of a supervisor's work.
 *
 *     if (!timeline_open(&supervisor)) refuse;
 *     timeline_tell(&supervisor, timeline_ended, run, end, left);
 *     timeline_tell(&supervisor, timeline_write, end);
 *
 * Facts and actions become records of report.h as they pass.  Without --report there is no report,
 * and each of them costs a comparison.
 */
#ifndef AIORUN_TIMELINE_H
#define AIORUN_TIMELINE_H

#include "supervisor/narrate.h"

/* Allocates the report that the plan asks for, if it does; false without memory. */
bool timeline_open(struct supervisor *supervisor);

/* Calls `function`, one of those below, with the supervisor and what follows, where there is a
 * report: none of them may be called without one.  Else what follows is not even looked at, which
 * takes a macro. */
#define timeline_tell(supervisor, function, ...)                                                   \
    ((supervisor)->report != NULL ? function((supervisor), __VA_ARGS__) : (void)0)

/* The supervisor has another plan by now, and its core other slots. */
void timeline_reload(struct supervisor *supervisor, const uint32_t *old_slot_of);

/* Facts. */
void timeline_signal(struct supervisor *supervisor, const struct platform_signal *arrived);
void timeline_started(struct supervisor *supervisor, struct run_id run,
                      const struct platform_started *started);
void timeline_ended(struct supervisor *supervisor, struct run_id run, struct ending end, bool left);
void timeline_adopted_ended(struct supervisor *supervisor, long pid, struct ending end);
void timeline_said(struct supervisor *supervisor, struct run_id run,
                   const struct control_message *message);

/* What the slot holds is a shield: the one called `name`, or with NULL each of them.  It has none
 * of that name any more.  Of a shutdown alone: what was held before it is told at its beginning. */
void timeline_shielded(struct supervisor *supervisor, uint32_t slot, const char *name);
void timeline_released(struct supervisor *supervisor, uint32_t slot, const char *name);

/* Nothing of the run, which was there, is left. */
void timeline_gone(struct supervisor *supervisor, struct run_id run);

/* Actions, before they are performed; and what is sent to whom. */
void timeline_action(struct supervisor *supervisor, const struct core_action *action);
void timeline_sent(struct supervisor *supervisor, struct run_id run, int signal);

/* ACTION_SIGNAL was performed.  Only now is the run's tree looked at: a report delays no signal,
 * and who is gone already was quick enough. */
void timeline_asked(struct supervisor *supervisor, const struct core_action *action);

/* What is asked beside a run's own process, before it is. */
void timeline_stop_tree(struct supervisor *supervisor, struct run_id run, int signal);

/* Writes the report, aiorun coming to `end`; says in the log when it could not. */
void timeline_write(struct supervisor *supervisor, struct ending end);

#endif
