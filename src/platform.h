/* platform.h - the seam: the few things that only a system can do.
 *
 * One driver is linked in: src/posix or src/win32.  It touches everything and
 * decides nothing: it reports what happened to the supervisor (supervisor/supervisor.h) and does
 * what the supervisor asks through the functions here.
 *
 *     platform_begin();                        first instruction of main()
 *     platform_prepare(plan, &faults)          what only the system can check
 *     platform_open(supervisor, plan, slots)
 *     platform_loop()                          until platform_finish()
 *     platform_leave(end)                      the process ends as `end` says
 *
 * A run is named by its run_id everywhere; process numbers appear only as `long`, for people to
 * read.  No function here allocates after platform_open() but those that say so.
 *
 * "Windows:" says what is otherwise there.
 */
#ifndef AIORUN_PLATFORM_H
#define AIORUN_PLATFORM_H

#include "core/core.h"
#include "plan/fault.h"
#include "plan/plan.h"
#include "protocol/control.h"
#include "protocol/notify.h"

struct supervisor;

/* Closes the door behind us: from here on no signal is lost, and what we inherited (signal mask,
 * ignored signals, parent) is known.  Must be the first call of main().
 * Windows: a handler of console events that queues. */
void platform_begin(void);

/* Looks up and allocates everything the plan needs to start its command later: users and groups,
 * environment, the places where the program may be, the event loop's backend, and opens the file
 * of --report.  Adds a fault for each thing that is not there.  `plan` must outlive the driver.
 * Windows: builds the command line and the environment block; refuses what has no meaning. */
void platform_prepare(const struct plan *plan, struct faults *faults);

/* Zeroed memory; NULL when there is none.  For the start and a reload alone.  platform_reserve() is
 * for what most supervisors never touch: it shares no page with what they do.  platform_free()
 * takes the memory of these two alone, not malloc(3)'s.  What is given back after a reload is free
 * again, unless it is of the little that a start finds in our own pages.
 * Windows: HeapAlloc, HeapFree. */
void *platform_allocate(size_t size);
void *platform_reserve(size_t size);
void platform_free(void *memory);

/* A zeroed table with `size` bytes for each of `count` slots.  Those that every supervisor uses
 * come first, and share pages with what else it uses; the others are in reserve.  False without
 * memory; platform_free_slots() comes after it in any case. */
struct platform_slots {
    size_t size;
    char *first, *others;
};
bool platform_allocate_slots(struct platform_slots *table, uint32_t count, size_t size);
void *platform_slot(const struct platform_slots *table, uint32_t slot);
void platform_free_slots(struct platform_slots *table);

/* Opens the loop.  `slots`: run_id.slot is below this.  0, or -1 with errno and a sentence logged.
 * Windows: a completion port. */
int platform_open(struct supervisor *supervisor, const struct plan *plan, uint32_t slots);

/* Would who reads this file have to wait for somebody to write it (a FIFO)?  One that is not there
 * is no such file.  Windows: never. */
bool platform_must_wait(const char *path);

/* Where everybody is after a reload, as core_map() has it. */
struct platform_map {
    uint32_t slots, old_slots, old_workers; /* how many there are, and were */
    const uint32_t *old_slot_of, *old_worker_of;
};

/* A new plan, in three steps.  platform_prepare_reload() does for it what platform_prepare() has
 * done for the one in force, which it leaves alone; sockets with the same address are shared.
 * False with faults added, and nothing has changed.  Else platform_reserve_reload() allocates and
 * opens all that everything is to move into, before anybody is stopped for it; `map` is as it would
 * be now, and only jobs may find a place by then that have none yet.  False with errno, which says
 * what there was too little of.  Then platform_reload() puts it in force, or
 * platform_drop_reload(), which may come after any of these, forgets it.
 * Windows: likewise, but errno stays as it was. */
bool platform_prepare_reload(const struct plan *plan, struct faults *faults);
bool platform_reserve_reload(const struct plan *plan, const struct platform_map *map);
void platform_drop_reload(void);

/* The slots are those of `plan` from now on; whoever has no place any more is down.  For
 * supervisor_time() alone: nothing else of the driver may be going on.  The old plan must still be
 * there, and is not needed any more afterwards.  False when nothing was changed, with a sentence
 * logged: the address of a socket that had to make room for another one (listen) is not free. */
bool platform_reload(const struct plan *plan, const struct platform_map *map);

/* Monotonic milliseconds.  Windows: QueryPerformanceCounter. */
msec platform_now(void);

/* What kind of place this is; valid after platform_begin(). */
struct platform_surroundings {
    long pid;             /* our own, for people */
    bool is_init;         /* PID 1 of a namespace.  Windows: never */
    bool is_unit;         /* systemd started us: SYSTEMD_EXEC_PID is our pid */
    bool has_outer;       /* an aiorun around us has given us its control pipe */
    bool has_manager;     /* somebody wants to be told by sd_notify(3).  Windows: never */
    uint32_t processors;  /* that we may run on */
    signal_mask keyboard; /* signals that a terminal's keys and its hangup make */
};
struct platform_surroundings platform_surroundings(void);

/* Those of `among` that were ignored when we started (but SIGCHLD).  Windows: none. */
signal_mask platform_ignored(signal_mask among);

/* ---- runs ---- */

enum platform_what {
    PLATFORM_COMMAND, /* a worker's command, with its attributes */
    PLATFORM_JOB,     /* what platform_keep() kept, with the attributes of its submitter's worker */
    PLATFORM_BEFORE_START, /* the commands around a worker's instance, with its attributes */
    PLATFORM_AFTER_STOP,
    PLATFORM_HEALTH,
    PLATFORM_HANDLER,  /* --shutdown-handler */
    PLATFORM_CALLBACK, /* --shutdown-callback */
    PLATFORM_ON_ERROR, /* --on-error */
};

/* Told to an --on-error command in its environment. */
struct platform_error {
    const char *worker;
    long pid;
    struct ending end;
    const char *text; /* what it has said of it: at most CONTROL_LINE_MAX bytes; NULL: nothing */
};

struct platform_started {
    bool ok;
    long pid;
    struct ending end;  /* when not ok: ENDING_NOT_STARTED with 125, 126 or 127 */
    char sentence[512]; /* when not ok: what failed, with its object and reason */
};

/* What to start. */
struct platform_program {
    enum platform_what what;
    uint32_t worker;             /* of a command, a job, a companion: its index in the plan */
    uint32_t instance;           /* of a command, a companion: which of the worker's, from 0 */
    struct platform_error error; /* PLATFORM_ON_ERROR */
};

/* Starts `program` as `run`.  Returns when it runs or has failed to.  Its end is reported by
 * supervisor_ended().
 * Windows: in a job object of its own from its first instruction on. */
void platform_start(struct run_id run, const struct platform_program *program,
                    struct platform_started *started);

/* Where a signal came from, so that it can be passed on as it was. */
struct platform_signal {
    int signal;
    bool from_kernel; /* the terminal, a timer: nobody's kill(2) */
    bool to_group;    /* the kernel sent it to our whole process group */
    bool queued;      /* sigqueue(3): it has a value */
    void *value;
    long sender; /* pid; 0: unknown, or outside our namespace */
};

/* Has the kernel given this signal to the command too, because it shares our process group? */
bool platform_shares(const struct platform_signal *arrived);

/* Sends `signal` to the run's process, or to its whole group with `group`; `arrived` (or NULL) is
 * the signal that is passed on.  A stopped process is continued when `wake`, so that it can obey.
 * A process that is gone is no error; one that may not be signalled is logged.
 * Windows: whatever it is but KILL, a Ctrl-Break to the run's process group. */
void platform_send(struct run_id run, int signal, bool group, const struct platform_signal *arrived,
                   bool wake);

/* The run is a logger's: once those that write to it are gone, its standard input ends. */
void platform_end_input(struct run_id run);

/* Is the run's process stopped (job control)?  Windows: never. */
bool platform_stopped(struct run_id run);

/* Stops ourselves by `signal` (TSTP, TTIN or TTOU), as job control stops a job; returns when
 * somebody has continued us.  False when the kernel would not have it: nobody could ever continue a
 * process group that is orphaned (setpgid(2)).  Windows: false. */
bool platform_stop(int signal);

/* Gives the run the terminal's foreground when it is to have it and we have it; true when it did.
 * Windows: false. */
bool platform_hand_over(struct run_id run);

/* Do the terminal's keys belong to the command even when they reach us: because it has a process
 * group of its own, which we were about to give the foreground?  Windows: false. */
bool platform_yields_keys(void);

/* The run's process number for people; 0 when it has none any more. */
long platform_pid(struct run_id run);

/* ---- trees: who is left ---- */

/* Sends `signal` to every process of the run's tree (slot 0: the orphans) that was never asked,
 * but not to the run's own process; continues the stopped ones.  Rescans until no new one turns up.
 * Windows: a Ctrl-Break to the run's process group; a tree that cannot be sent one is killed. */
void platform_stop_tree(struct run_id run, int signal);

/* Kills the run's process and its tree (slot 0: the orphans), likewise.
 * Windows: ends the job object. */
void platform_kill(struct run_id run);

/* Does what the two above have been asked for so far, all in one go: until then they only take note
 * of it.  It comes at the end of every step, or there is no telling who is left.
 * Windows: does nothing. */
void platform_flush(void);

/* Reports by supervisor_tree() for every run whose process is gone but its tree was not, and
 * for slot 0.  Windows: who is in its job object; nobody is in slot 0. */
void platform_census(void);

struct platform_process {
    long pid;
    bool killed;       /* it was sent KILL already */
    char state;        /* as in proc(5): R, S, D, T, Z ... */
    msec age;          /* -1: unknown */
    char where[48];    /* kernel wait channel; empty: unknown */
    char command[160]; /* command line, or the name in brackets; control characters as '?' */
};

/* The processes of a run and its tree (slot 0: the orphans), at most `max`; returns how many there
 * are in all: as they are now, or were since the last platform_flush(). */
size_t platform_list(struct run_id run, struct platform_process *list, size_t max);

/* ---- the control pipe ----
 *
 * Lines come by supervisor_message(), each with the run that it speaks for.  While one is being
 * reported, the descriptors that came with it can be judged and taken; what is not taken is closed.
 * Windows: a named pipe a run, and handles that are duplicated from the sender (pipe.h). */

/* A private channel, where every line is answered; index 0: a run's own pipe, where none is. */
struct channel_id {
    uint32_t index, generation;
};

/* Writes a line to the run's pipe, to a private channel.  Never waits: who does not read loses it.
 * A channel that is closed by now is no error. */
void platform_order(struct run_id run, const char *line, size_t length);
void platform_answer(struct channel_id channel, const char *line, size_t length);

/* The same as platform_order(), for what need not be said twice: not while the run has something to
 * read that it has not read. */
void platform_remind(struct run_id run, const char *line, size_t length);

/* Says a line to the aiorun around us.  False when it has to be said again, later. */
bool platform_tell_outer(const char *line, size_t length);

/* Is what came with this line the process of a shielded job (a pidfd; of `run`, and nobody
 * else's), or the four descriptors of a submission?  NULL, or what is wrong with it.
 * Windows: nothing leaves a job object, so a shielded job comes as a submission does. */
const char *platform_judge_job(struct run_id run);
const char *platform_judge_submission(void);

/* The process that was judged is `job` from now on: its end is reported by supervisor_ended(), and
 * it is nobody else's.  Never fails.
 * Windows: it is started now, in a job object of its own.  Who asked is told of its end, too, and
 * that it could not be started is an end. */
void platform_join(struct run_id job);

/* Keeps the submission that was judged, to be started as `job`, or dropped. */
void platform_keep(struct run_id job);
void platform_drop(struct run_id job);

/* Does the run have the user that we have?  Windows: always. */
bool platform_is_our_user(struct run_id run);

/* Tells our service manager, if there is one, by sd_notify(3).  False when that failed, with a
 * warning logged.  Windows: does nothing. */
bool platform_notify(const struct notify_message *message);

/* ---- the admin socket ----
 *
 * The driver has it at plan->control, or in a default place where there is a fleet, and lets only
 * root and our own user speak.  A client, a number below PLATFORM_ADMIN_CLIENTS, says one line,
 * which comes by supervisor_admin_request(), and gets its answer piece by piece, as fast as it
 * reads. Descriptors that came with the line are judged and taken as those of a control pipe.
 * Windows: a named pipe that only its owner can open, and one instance of it a client. */
#define PLATFORM_ADMIN_CLIENTS 64
#define PLATFORM_ADMIN_PIECE   4096 /* bytes, the most that are asked for at a time */

/* There is more for this client, whose answer was not over when there was no more. */
void platform_admin_wake(uint32_t client);

/* ---- the loop ---- */

/* Calls supervisor_time() at `when` (monotonic ms), instead of at an earlier wish; NEVER: not. */
void platform_arm(msec when);

/* Gives up what was inherited for commands that will not be started any more: every descriptor
 * but standard error, so that readers of our pipes see their end when the command does.
 * Windows: nothing was inherited beyond the standard handles. */
void platform_release(void);

/* Waits and reports until platform_finish() was called. */
void platform_loop(void);
void platform_finish(void);

/* Gives the terminal back, and unlinks sockets.  Comes after platform_prepare() without faults,
 * whatever has failed since.  Memory and descriptors are left to the kernel: platform_leave() is
 * next. */
void platform_close(void);

/* Writes one log line to standard error; never waits.  See log_sink. */
bool platform_write_log(const char *line, size_t length);

/* What workers write is collected here and goes out when there is nothing else to do.  Room for
 * lines of at most `size` bytes, behind those that are there; NULL: there is none now, and the
 * driver calls lines_pump() (lines.h) when there is.  platform_output_add() says how many bytes
 * they became. */
char *platform_output_room(size_t size);
void platform_output_add(size_t size);

/* Writes to the file of --report, which platform_prepare() has opened and refused a plan for if it
 * could not.  No file makes it wait longer than `until`; false with errno when not all was written.
 */
bool platform_write_report(const char *bytes, size_t length, msec until);

/* How log lines are to look by themselves: journal(7), a terminal, or neither. */
enum plan_log_format platform_log_format(bool *terminal);

/* Ends the process: with the exit status, or by the signal.  As PID 1, which no signal of
 * its own can end: 128 plus the signal.  Windows: ExitProcess. */
_Noreturn void platform_leave(struct ending end);

#endif
