/* supervisor.h - between the judgement and the driver.
 *
 * Gives the core its facts, performs its actions through platform.h, and says in the
 * log what happened.  What reaches it: the driver's reports below.
 *
 *     struct ending end = supervisor_run(&plan, load);
 *     platform_leave(end);
 */
#ifndef AIORUN_SUPERVISOR_H
#define AIORUN_SUPERVISOR_H

#include "platform.h"

/* Makes the uninitialised `plan` what the command line, the environment and the file ask for now,
 * checked; adds a fault for everything that is wrong.  plan_free() comes after it in any case. */
typedef void supervisor_load(struct plan *plan, struct faults *faults);

/* Runs what `plan` (checked, prepared) asks for until everything is over; returns the end that
 * aiorun itself is to come to.  `load` reads the plan of a file anew. */
struct ending supervisor_run(const struct plan *plan, supervisor_load *load);

/* ---- reports of the driver ---- */

/* A signal has arrived; every one but SIGCHLD. */
void supervisor_signal(struct supervisor *supervisor, const struct platform_signal *arrived);

/* We shall be ended at `until` (monotonic ms), whatever we do: what is to be done is done before.
 */
void supervisor_limit(struct supervisor *supervisor, msec until);

/* The run's process ended; `left`: something of its tree did not. */
void supervisor_ended(struct supervisor *supervisor, struct run_id run, struct ending end,
                      bool left);

/* The run was stopped by `signal`: of a command, job control. */
void supervisor_stopped(struct supervisor *supervisor, struct run_id run, int signal);

/* An adopted process ended. */
void supervisor_adopted_ended(struct supervisor *supervisor, long pid, struct ending end);

/* The run sent this line on its pipe, or on the private channel `channel`; or one that is none, for
 * the reason `fault`.  The message is good until the call returns. */
void supervisor_message(struct supervisor *supervisor, struct run_id run, struct channel_id channel,
                        const struct control_message *message);
void supervisor_bad_line(struct supervisor *supervisor, struct run_id run,
                         struct channel_id channel, const char *fault);

/* The run told of itself by sd_notify(3). */
void supervisor_notified(struct supervisor *supervisor, struct run_id run,
                         const struct notify_message *message);

/* The run is ready, by its readiness descriptor, or by its time. */
void supervisor_ready(struct supervisor *supervisor, struct run_id run);

/* A client on the admin socket has said this line (without its newline, and with room for a NUL),
 * which stays as it is, and its, until supervisor_admin_gone(). */
void supervisor_admin_request(struct supervisor *supervisor, uint32_t client, char *line,
                              size_t length);

/* Writes the next piece of the client's answer into the PLATFORM_ADMIN_PIECE bytes of `buffer` and
 * returns its length.  0 when there is none now: then *over says that none will come any more. */
size_t supervisor_admin_more(struct supervisor *supervisor, uint32_t client, char *buffer,
                             size_t size, bool *over);

/* The connection is closed, by whomever.  Once for each request. */
void supervisor_admin_gone(struct supervisor *supervisor, uint32_t client);

/* An aiorun around us says that we are to stop, and have so long; has told us to, and its signal
 * did not follow; has told us to read our configuration again. */
void supervisor_outer_limit(struct supervisor *supervisor, msec time);
void supervisor_outer_shutdown(struct supervisor *supervisor);
void supervisor_outer_reload(struct supervisor *supervisor);

/* All that was to reap is reaped. */
void supervisor_reaped(struct supervisor *supervisor);

/* Answers platform_census(). */
void supervisor_tree(struct supervisor *supervisor, struct run_id run, bool left, bool fresh);

/* The time asked for by platform_arm() has come.  Nothing else is being reported meanwhile: what
 * moves everything, a reload, is done here. */
void supervisor_time(struct supervisor *supervisor);

#endif
