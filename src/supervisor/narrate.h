/* narrate.h - what the log says of a supervisor's work, in the seed's words.
 *
 *     narrate_phase(supervisor, action);
 *     narrate_refusal(supervisor, action->run);    who did not go, before it is killed
 *
 * Reads the supervisor's state and changes nothing.  For supervisor.c and control.c alone.
 */
#ifndef AIORUN_NARRATE_H
#define AIORUN_NARRATE_H

#include "report/log.h"
#include "supervisor/supervisor_private.h"

/* The core's causes are 0..63, signals 1..64. */
static inline int supervisor_cause_signal(int cause)
{
    return cause + 1;
}

/* Whose slot it is, and what people call it: "main", "orphans", "shutdown-callback". */
enum core_kind narrate_kind(const struct supervisor *supervisor, uint32_t slot);
const char *narrate_name(const struct supervisor *supervisor, uint32_t slot);

/* proc(5)'s letter in words: "sleeping"; NULL when it has none. */
const char *narrate_state(char state);

/* A command around an instance, as its key is called: "after-stop". */
const char *narrate_companion(enum core_companion companion);

/* What a companion's slot runs, before the name of its instance: "before-start of "; else "". */
const char *narrate_role(const struct supervisor *supervisor, uint32_t slot);

/* "exited with status 3", "killed by SIGTERM"; and a span in seconds, "0.3" or "12".  Return
 * `buffer`. */
const char *narrate_ending(struct ending end, char *buffer, size_t size);
const char *narrate_span(msec span, char *buffer, size_t size);

/* Names the processes of a run, a line each; returns how many there are. */
size_t narrate_processes(const struct supervisor *supervisor, enum log_level level,
                         struct run_id run);

/* Names those who did not end in time, unless they were named and killed before. */
void narrate_refusal(const struct supervisor *supervisor, struct run_id run);

/* A signal came; a run was started, is ready, has ended; an instance will start again. */
void narrate_signal(const struct platform_signal *arrived);
void narrate_start(const struct supervisor *supervisor, uint32_t slot);
void narrate_no_start(const struct supervisor *supervisor, uint32_t slot, const char *sentence);
void narrate_ready(const struct supervisor *supervisor, uint32_t slot);
void narrate_retry(const struct supervisor *supervisor, const struct core_action *action);
void narrate_end(const struct supervisor *supervisor, struct run_id run, struct ending end);

/* How far the shutdown has come; for whom it waits; what failed. */
void narrate_phase(const struct supervisor *supervisor, const struct core_action *action);
void narrate_waiting(const struct supervisor *supervisor);
void narrate_failed(const struct supervisor *supervisor, const struct core_action *action);
void narrate_rolled(const struct supervisor *supervisor, const struct core_action *action);
void narrate_error(const struct supervisor *supervisor, const struct core_action *action);

#endif
