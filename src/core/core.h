/* core.h - the judgement: facts in, actions out.
 *
 *     core_step(core, now, &event);           a fact has come in
 *     while (core_next(core, &action))        what is to be done about it
 *         perform(&action);
 *     arm_one_timer(core_deadline(core));     when to come back without one
 *
 * Nothing here touches the world: no system call, no clock, no allocation, no
 * callback.  An event is recorded as a fact; then facts are compared with
 * wishes, place by place, until nothing is left to do.  The state is one block of
 * memory without pointers into itself: memcpy copies a supervisor.
 *
 * Every process that the supervisor looks after lives in a *slot*: an instance of
 * a worker, a job, or a hook (a command of the supervisor's own, such as the
 * shutdown callback).  Slot 0 stands for the orphans: adopted processes that belong
 * to no run.  A life of a slot is a *run*, named by slot and generation.
 *
 *            START                 exited, nothing of its tree left
 *     DOWN --------> STARTING --> UP ------------------------------> DOWN
 *                                 |                                   ^
 *                                 +-- exited, tree left --> TREE -----+
 *
 * Promises, in the words of the specification; the simulation checks each by its number:
 *
 *  P1  A slot is started only when it is down and nothing of its last run's tree is left.
 *  P2  Once a shutdown is entered, no worker is started or restarted.
 *  P3  Every run that a stop reaches is asked exactly once, and the rungs of its ladder are sent
 *      in their order, none before its time, unless the shutdown is forced.
 *  P4  A run that holds a shield gets no signal before its last shield ended, unless the shutdown
 *      is forced.  What is left of its tree is spared as long, but for the reserve.
 *  P5  Nothing is killed before its deadline, unless the shutdown is forced.
 *  P6  At the cap everything left is killed.
 *  P7  The exit comes the moment that nothing is left, and not before: never a fixed wait.  What
 *      was killed and abandoned is not waited for, nor orphans that are to stay.
 *  P8  Nothing hangs: the exit comes at most ABANDON_AFTER after the cap.
 *  P9  The exit status is the first error's, as policy_outcome() says.
 *  P10 The first stop wave is asked when the callback and the drain delay are over, each other
 *      when the waves before it are gone or out of time; all at once when forced.
 *  P11 A late report about a finished run changes nothing.
 *  P12 A restart comes at its delay, no earlier, and within its limit.
 *  P13 Settling ends: an event causes a bounded number of actions.
 *  P14 No wake-up without a reason: each brings something to do, or a wave its turn; with nothing
 *      to wait for core_deadline() is NEVER, and it is never in the past.
 *  P15 A full table refuses and stays as it was.
 *  P16 A job gets no signal before the cap, a forced shutdown or, during a shutdown, its own
 *      deadline.
 *  P17 What is left of a tree, and orphans, are asked before they are killed, and have the
 *      reserve between the two (half their time, where that is less), unless the shutdown is
 *      forced.  Whoever turns up later is asked, too, but does not put the deadline off.
 *  P18 There is one EXIT, and no action after it.
 *  P19 Submitted jobs are started in their order, no more than job_workers at a time; at the cap,
 *      or when forced, what is still queued is dropped.
 *  P20 A shutdown signal during a shutdown has an effect only as `repeat` says, and no sooner than
 *      REPEAT_AFTER after the last that had one; a different one is passed on, once.
 *  P21 The answers for people are true: core_present(), core_shielded_until(), core_kill_time().
 */
#ifndef AIORUN_CORE_H
#define AIORUN_CORE_H

#include "core/msec.h"
#include "core/policy.h"
#include "core/shield.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CORE_RUNGS_MAX 8
#define ABANDON_AFTER  (5 * SECOND) /* after KILL: what is still there cannot be killed */
#define REPEAT_AFTER   SECOND       /* a repeated shutdown signal has no effect before this */
#define SETTLE_TIME    ((msec)100)  /* for a daemon to leave its session after its starter's end */
#define NOTICE_AFTER   (3 * SECOND) /* a shutdown that takes longer says who it waits for */

struct run_id {
    uint32_t slot;
    uint32_t generation;
};

/* ---- what is asked for, fixed at the start ---- */

struct core_worker {
    uint32_t instances;
    uint32_t wave; /* place in the start order; stopped from the highest wave down */
    enum policy_restart restart;
    struct policy_backoff backoff;
    struct success_set success;
    uint32_t rung_count;            /* 1..CORE_RUNGS_MAX */
    msec rung_time[CORE_RUNGS_MAX]; /* until the next rung, after the last until KILL; never more
                                       than the cap, outside a shutdown too */
    msec shield_timeout;            /* of a shield that names no deadline, once its run is asked */
};

enum core_repeat { CORE_REPEAT_IGNORE, CORE_REPEAT_ESCALATE, CORE_REPEAT_KEYBOARD };
enum core_orphans { CORE_ORPHANS_STOP, CORE_ORPHANS_WAIT, CORE_ORPHANS_LEAVE };

struct core_config {
    const struct core_worker *workers; /* ordered by wave; must outlive the core */
    uint32_t worker_count;
    msec timeout;     /* the cap of the whole shutdown */
    msec drain_delay; /* between trigger and first stop request */
    msec orphan_time; /* between the stop request to orphans and their KILL */
    enum core_repeat repeat;
    enum core_orphans orphans;
    bool launcher;     /* one command whose end is the end, but for `forever` and its restarts */
    bool daemons_stay; /* the command's exit 0, unasked, leaves orphans alone */
    bool forever;      /* run on although nothing is left to run */
    bool has_handler, has_callback, has_on_error;
    bool stop_on_unhandled_errors;
    uint32_t job_capacity;    /* running and queued */
    uint32_t job_workers;     /* submitted jobs at a time */
    uint32_t shield_capacity; /* of all runs together */
    uint32_t error_hooks;     /* --on-error commands at a time */
};

/* ---- facts ---- */

enum core_event_kind {
    EVENT_BEGIN,       /* the supervisor is ready: start what is to be started */
    EVENT_STARTED,     /* run: its program runs */
    EVENT_NOT_STARTED, /* run, end: it could not be started */
    EVENT_EXITED,      /* run, end, requested, left: its process was reaped */
    EVENT_REAPED,      /* all that was to reap is reaped: who is left may have changed */
    EVENT_TREE,        /* run, left, fresh: answers ACTION_CENSUS */
    EVENT_TRIGGER,     /* trigger, cause, keyboard, status_given, status: a shutdown is asked for */
    EVENT_HOLD,        /* run, name, until (0: the worker's default): a shield */
    EVENT_RELEASE,     /* run, name */
    EVENT_EXTEND,      /* run, until: my deadline is at least this far away */
    EVENT_ERROR,       /* run: an error that did not end the process */
    EVENT_SUBMIT,      /* run: its job, to be started when its turn comes; see core_submitted() */
    EVENT_JOIN,        /* run, until (0: as for a shield): a shielded job that already runs */
    EVENT_WANT,        /* run (any generation), wanted: start or stop this instance */
    EVENT_TIME,        /* nothing but the time */
};

enum core_trigger {
    TRIGGER_SIGNAL,       /* a shutdown signal, `cause` */
    TRIGGER_REQUEST,      /* a request, perhaps with a status */
    TRIGGER_ERROR,        /* a failure, under --stop-on-unhandled-errors (the core's own) */
    TRIGGER_NOTHING_LEFT, /* nothing left to run (the core's own) */
};

struct core_event {
    enum core_event_kind kind;
    struct run_id run;
    struct ending end;
    bool requested; /* it ended by, or by 128 plus, a signal that we sent it */
    bool left;      /* something of the run's tree is left */
    bool fresh;     /* some of that was never asked to stop */
    bool wanted;
    enum core_trigger trigger;
    int cause; /* which signal, 0..63; opaque here */
    bool keyboard;
    bool status_given;
    uint32_t status;
    const char *name;
    msec until;
};

/* ---- actions ---- */

enum core_action_kind {
    ACTION_START,     /* run: start its program; answer EVENT_STARTED or EVENT_NOT_STARTED */
    ACTION_REQUEST,   /* run: tell it that it is to stop, without a signal (a job: nothing) */
    ACTION_SIGNAL,    /* run, rung: send it this rung's signal */
    ACTION_FORWARD,   /* run, cause: pass on a shutdown signal other than the one that began it */
    ACTION_STOP_TREE, /* run: ask those of its tree that were never asked (slot 0: the orphans) */
    ACTION_KILL,      /* run: kill what is left of it, tree included */
    ACTION_ABANDON,   /* run: it outlived its KILL; say what remains */
    ACTION_CENSUS,    /* answer with EVENT_TREE for every slot in CORE_TREE and for slot 0 */
    ACTION_DROP,      /* run: a queued job whose turn will not come any more */
    ACTION_RETRY,     /* run, until: it will be started again then */
    ACTION_ERROR,     /* run, end: a failure that no restart handled; `first`: it is the status;
                         `hookless`: every --on-error command is busy with others */
    ACTION_PHASE,     /* phase, trigger, cause: the shutdown has come this far */
    ACTION_FORCED,    /* the shutdown takes a step at once, for a repeated signal */
    ACTION_WAITING,   /* the shutdown takes more than a moment: say for whom */
    ACTION_EXIT,      /* end: everything is over */
};

enum core_phase {
    PHASE_RUNNING,
    PHASE_ENTERED, /* nothing is started any more; the callback runs */
    PHASE_DRAIN,
    PHASE_CANCEL, /* runs are asked, wave by wave, and waited for */
    PHASE_ORPHANS,
    PHASE_CLOSED,
};

struct core_action {
    enum core_action_kind kind;
    struct run_id run;
    uint32_t rung;
    int cause;
    enum core_phase phase;
    enum core_trigger trigger;
    struct ending end;
    bool first, hookless;
    msec until;
};

/* ---- the state ---- */

enum core_kind { CORE_ORPHANS, CORE_HOOK, CORE_WORKER, CORE_JOB };
enum core_hook { HOOK_HANDLER, HOOK_CALLBACK, HOOK_ERROR };

enum core_life {
    CORE_DOWN,
    CORE_STARTING,
    CORE_UP,
    CORE_TREE, /* its process is gone, others of its tree are not */
};

struct core_slot {
    enum core_kind kind;
    uint32_t owner; /* worker's index, or enum core_hook */
    uint32_t generation;

    /* wishes */
    bool wanted;   /* somebody wants it to run */
    msec start_at; /* not before */

    /* facts */
    enum core_life life;
    msec up_since;
    struct ending end; /* of its last run; of a hook for errors: the error */
    uint32_t about;    /* the slot whose failure a hook for errors is told */
    uint32_t shields;
    struct policy_history history;

    /* what was done about this run */
    bool requested, tree_asked, killed, abandoned;
    bool shields_overruled; /* a forced shutdown waits for no shield */
    bool error_untold, error_first, retry_untold;
    uint32_t rungs_sent;
    msec rung_until; /* when the rung sent last is over */
    msec asked_at;
    msec shielded_until; /* of its shields together; when the last one ended */
    msec extended_until; /* it asked for this long, at least */
    msec spared_until;   /* a job: no shutdown stops it before; 0: see core_worker.shield_timeout */
    msec kill_at;        /* of what has no ladder: hooks, trees; NEVER: by the cap */
    msec killed_at;
    msec settles_at;   /* who is left may leave the tree until then; 0: has had the time */
    uint64_t forwards; /* signals to pass on, as bits */

    /* lists */
    uint32_t next_dirty;
    bool dirty;
    bool joined;       /* a job that ran before it came to us */
    uint32_t next_job; /* in the queue, or among the free */
};

struct core_wave {
    uint32_t first, end; /* its slots */
    uint32_t present;    /* of them, not down and not abandoned */
};

struct core {
    size_t size;
    struct core_config config;
    msec now;

    uint32_t first_instance, first_job, wave_count;
    uint32_t slot_count; /* a job's slot is made when it is first needed, up to slot_limit */
    uint32_t slot_limit;
    size_t waves_at, shields_at, deadlines_at; /* offsets of the tables in this block */

    /* the shutdown */
    bool begun, keyboard;
    enum core_phase phase, phase_told;
    enum core_trigger trigger;
    int cause;
    uint64_t causes; /* the signals seen during the shutdown, as bits */
    msec entered_at, cap;
    msec reserve;    /* what whoever is asked late still gets */
    msec drained_at; /* when the drain delay is over */
    msec notice_at;  /* when to say who is waited for; NEVER: said */
    msec effect_at;  /* when a shutdown signal last had an effect */
    bool forced, forced_untold, exit_told;
    bool late;          /* the cap is only the reserve away */
    uint32_t wave_open; /* this wave and all above it are asked; wave_count: none is */

    /* who is left */
    bool census_due, orphans_known;
    uint32_t workers_wanted, workers_up, workers_present, jobs_present, hooks_present;
    uint32_t trees; /* slots in CORE_TREE, the orphans' not counted */

    /* jobs */
    uint32_t jobs_running; /* submitted ones */
    uint32_t job_free, queue_first, queue_last, submitted;

    struct policy_outcome outcome;

    uint32_t dirty_first, dirty_last;
    struct core_slot slots[];
};

/* Bytes that a core for `config` takes; 0 when `config` is out of range. */
size_t core_size(const struct core_config *config);

/* Makes the core_size(config) bytes at `memory` (aligned as malloc aligns, and zeroed) a core in
 * which nothing has happened yet.  What only jobs and shields need is not touched before they do.
 * Copies `config`, but not its workers. */
struct core *core_init(void *memory, const struct core_config *config, msec now);

/* Records `event` at `now` (never before the last one's; an earlier time counts as the last).
 * False when it is refused: late (of a finished run), or a full table; nothing has changed then.
 * O(1), and O(log n) where deadlines move. */
bool core_step(struct core *core, msec now, const struct core_event *event);

/* The next thing to do; false when there is nothing for now.  Events may be recorded between
 * two calls. */
bool core_next(struct core *core, struct core_action *action);

/* When to call core_step() with EVENT_TIME if nothing happens; NEVER: only if something happens. */
msec core_deadline(const struct core *core);

/* The job that the last accepted EVENT_SUBMIT or EVENT_JOIN made. */
struct run_id core_submitted(const struct core *core);

/* The slot of instance `n` of the worker with index `worker`. */
uint32_t core_instance(const struct core *core, uint32_t worker, uint32_t n);

/* The run that slot `slot` (< core->slot_count) has now, or had last. */
struct run_id core_run(const struct core *core, uint32_t slot);

/* Is the slot there: starting, up, or with a part of its tree left; and not given up? */
bool core_present(const struct core *core, uint32_t slot);

/* Until when the slot's shields hold; 0 when it holds none. */
msec core_shielded_until(const struct core *core, uint32_t slot);

/* When the slot's run is killed if it does not end before; NEVER when that is not planned. */
msec core_kill_time(const struct core *core, uint32_t slot);

#endif
