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
 * a worker, a job, a hook (a command of the supervisor's own, such as the shutdown
 * callback), or a companion (in which the commands around an instance run, one at a
 * time: before its start, after its end, and its health checks).  Slot 0 stands for
 * the orphans: adopted processes that belong to no run.  A life of a slot is a *run*,
 * named by slot and generation.
 *
 *            START                 exited, nothing of its tree left
 *     DOWN --------> STARTING --> UP ------------------------------> DOWN
 *                                 |                                   ^
 *                                 +-- exited, tree left --> TREE -----+
 *
 * An instance with companions, from one start to the next (any part may be absent):
 *
 *     wanted, turn come -> before-start -> START -> ready -> health, health, ... -> end of
 *     the run and its tree -> after-stop -> the delay of the restart -> before-start ...
 *
 * An instance is *wished for* when somebody wants it and every worker that it needs stands.  A
 * worker *stands* when one of its instances is wanted, or has ended well for good (its work is
 * done), and every worker that it needs stands, too.  An instance is *awaited*
 * from the moment that it is wished for until it is ready, or not wished for any more.
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
 *  P6  At the cap everything left is killed.  A limit brings the cap nearer, never farther.
 *  P7  The exit comes the moment that nothing is left, and not before: never a fixed wait.  What
 *      was killed and abandoned is not waited for, nor orphans that are to stay.
 *  P8  Nothing hangs: the exit comes at most ABANDON_AFTER after the cap, or after the first event
 *      behind it.
 *  P9  The exit status is the first error's, as policy_outcome() says.  A worker's run that is
 *      abandoned is an error, 125.
 *  P10 The first stop wave is asked when the callback and the drain delay are over, each other
 *      when the waves before it are gone or out of time; all at once when forced.
 *  P11 A late report about a finished run changes nothing.
 *  P12 A restart comes at its delay, no earlier, and within its limit.
 *  P13 Settling ends: an event causes a bounded number of actions.
 *  P14 No wake-up without a reason: each brings something to do, a wave its turn, or a run its age;
 *      with nothing to wait for core_deadline() is NEVER, and it is never in the past.
 *  P15 A full table refuses and stays as it was.
 *  P16 A job gets no signal before the cap, a forced shutdown or, during a shutdown, its own
 *      deadline.
 *  P17 What is left of a tree, and orphans, are asked before they are killed, and have the
 *      reserve between the two (half their time, where that is less), unless the shutdown is
 *      forced, or the cap comes nearer.  Whoever turns up later is asked, too, but does not put
 *      the deadline off.
 *  P18 There is one EXIT, and no action after it.
 *  P19 Submitted jobs are started in their order, no more than job_workers at a time; at the cap,
 *      or when forced, what is still queued is dropped.
 *  P20 A shutdown signal during a shutdown has an effect only as `repeat` says, and no sooner than
 *      REPEAT_AFTER after the last that had one; a different one is passed on, once.
 *  P21 The answers for people are true: core_present(), core_shielded_until(), core_kill_time(),
 *      core_is_idle().
 *  P22 A run is ready when it is reported to be, or, where nothing is to be reported, when it runs;
 *      each is told once.  All are told to be ready once, when no instance that starts by itself
 *      is awaited; never in a shutdown.
 *  P23 An awaited instance is started only when no instance of a worker that it comes after is
 *      awaited: each is ready, has ended for good, or is not to run.  A restart waits for nobody.
 *  P24 An instance is not started, and is stopped, while a worker that it needs does not stand; it
 *      starts again when that stands and is ready.  A worker that ceases to stand is asked only
 *      when nothing is there of those that need it.
 *  P25 A run fails when it is reported to fail, is not ready in time, or misses its watchdog: at
 *      that moment, no earlier, and only if nobody has stopped it.  It is told, stopped as in any
 *      stop, and its end is a failure whatever its status is.
 *  P26 A run that has its age, and one that a roll has come to, is stopped as in any stop and
 *      started again, which is no failure and counts for no limit.  Of one worker that happens to
 *      one instance at a time: the next when the last is ready again, or not wished for.  A roll
 *      ends well when all were ready, and else with the first that is not wished for.
 *  P27 Commands around an instance run one at a time: before-start before each start, which comes
 *      only when it has ended well; after-stop when a run and its tree are gone, before anything
 *      else of the instance, in a shutdown, too, but not from the cap on, nor of what was
 *      abandoned; health checks while the run is ready and is not to stop, each an interval after
 *      the last, killed at their time.
 *  P28 A reload changes nothing for what has a predecessor.  What is new has no history, and a
 *      generation that no run had before.
 *  P29 While drained, new jobs are refused.
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
#define CORE_SLOTS_MAX 1000000
#define CORE_NONE      UINT32_MAX   /* no slot, no worker */
#define ABANDON_AFTER  (5 * SECOND) /* after KILL: what is still there cannot be killed */
#define REPEAT_AFTER   SECOND       /* a repeated shutdown signal has no effect before this */
#define SETTLE_TIME    ((msec)100)  /* for a daemon to leave its session after its starter's end */
#define NOTICE_AFTER   (3 * SECOND) /* a shutdown that takes longer says who it waits for */

struct run_id {
    uint32_t slot;
    uint32_t generation;
};

/* ---- what is asked for, fixed at the start ---- */

/* What many workers have in common. */
struct core_rules {
    bool autostart;     /* wanted from the beginning */
    bool ready_told;    /* a run is ready when EVENT_READY says so; else when it is started */
    msec ready_timeout; /* from its start until then; NEVER: it may take for ever */
    msec watchdog;      /* from readiness, and from each EVENT_ALIVE, to the next; 0: none */
    msec max_age;       /* a run that is up for so long is started anew; 0: never */
    bool has_before_start, has_after_stop, has_health;
    msec health_interval;    /* > 0; from readiness, or the end of a check, to the next one */
    msec health_timeout;     /* a check that takes longer is killed, and has failed */
    uint32_t health_retries; /* so many checks that fail in a row are a failure; 0 is as 1 */
    enum policy_restart restart;
    struct policy_backoff backoff;
    struct success_set success;
    uint32_t rung_count;            /* 1..CORE_RUNGS_MAX */
    msec rung_time[CORE_RUNGS_MAX]; /* until the next rung, after the last until KILL; never more
                                       than the cap, outside a shutdown too */
    msec shield_timeout;            /* of a shield that names no deadline, once its run is asked */
};

/* Between two workers, of which one starts when the other is ready. */
struct core_link {
    uint32_t worker; /* the one to which it leads */
    bool needs;      /* the later one runs only while the other stands */
};

struct core_worker {
    const struct core_rules *rules; /* must outlive the core */
    const struct core_link *after;  /* those of a lower index that are ready before it starts */
    uint32_t after_count;
    uint32_t instances;
    uint32_t wave; /* place in the start order; stopped from the highest wave down */
    bool attends;  /* it only serves others: alone it is nothing to run on for */
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
    EVENT_WANT,        /* run (any generation), wanted: start or stop this instance.  To stop a
                          worker, say it of all its instances before the next core_next() */
    EVENT_READY,       /* run: it is ready; refused when it is already, or is to stop */
    EVENT_ALIVE,       /* run: its watchdog starts anew */
    EVENT_FAILED,      /* run, why (a failure): refused when it is to stop anyway */
    EVENT_RESTART,     /* worker: a roll, see P26; all at once where nothing of it runs, and then
                          those that nobody wants, too.  During a roll: once more after it */
    EVENT_DRAIN,       /* wanted: refuse new jobs, or take them again */
    EVENT_LIMIT,       /* until: a shutdown, this one or the next, is over by then, and no later */
    EVENT_TIME,        /* nothing but the time */
};

enum core_trigger {
    TRIGGER_SIGNAL,       /* a shutdown signal, `cause` */
    TRIGGER_REQUEST,      /* a request, perhaps with a status */
    TRIGGER_ERROR,        /* a failure, under --stop-on-unhandled-errors (the core's own) */
    TRIGGER_NOTHING_LEFT, /* nothing left to run (the core's own) */
};

/* Why the core stops a run, or lets it not start, by itself. */
enum core_why {
    WHY_NONE,     /* it does not; somebody else does */
    WHY_READY,    /* failures: it was not ready in time, */
    WHY_WATCHDOG, /* missed its watchdog, */
    WHY_HEALTH,   /* was found unwell */
    WHY_AGE,      /* renewals: it is up for its max_age, */
    WHY_RESTART,  /* somebody wants it anew */
};

/* Is it a failure? */
bool core_why_is_failure(enum core_why why);

/* The commands around an instance. */
enum core_companion {
    COMPANION_NONE,
    COMPANION_BEFORE_START,
    COMPANION_AFTER_STOP,
    COMPANION_HEALTH,
};

struct core_event {
    enum core_event_kind kind;
    struct run_id run;
    struct ending end;
    bool requested; /* it ended by, or by 128 plus, a signal that we sent it */
    bool left;      /* something of the run's tree is left */
    bool fresh;     /* some of that was never asked to stop */
    bool wanted;
    enum core_why why;
    uint32_t worker;
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
    ACTION_START,     /* run: start its program; answer EVENT_STARTED or EVENT_NOT_STARTED.
                         companion: which command, of a companion's run; it belongs to the
                         instance in the slot's `about` */
    ACTION_REQUEST,   /* run, why: tell it that it is to stop, without a signal (a job: nothing) */
    ACTION_SIGNAL,    /* run, rung: send it this rung's signal */
    ACTION_FORWARD,   /* run, cause: pass on a shutdown signal other than the one that began it */
    ACTION_STOP_TREE, /* run: ask those of its tree that were never asked (slot 0: the orphans) */
    ACTION_KILL,      /* run: kill what is left of it, tree included */
    ACTION_ABANDON,   /* run: it outlived its KILL; say what remains */
    ACTION_CENSUS,    /* answer with EVENT_TREE for every slot in CORE_TREE and for slot 0 */
    ACTION_DROP,      /* run: a queued job whose turn will not come any more; or an instance whose
                         after-stop (companion) will not run any more */
    ACTION_RETRY,     /* run, until: it will be started again then */
    ACTION_ERROR,     /* run, end: a failure that no restart handled; `first`: it is the status;
                         `hookless`: every --on-error command is busy with others */
    ACTION_READY,     /* run: it is ready */
    ACTION_ALL_READY, /* all that starts by itself is ready, for the first time */
    ACTION_FAILED,    /* run, why: it has failed, and is stopped */
    ACTION_HELD,      /* run: it is stopped, or not started, since what it needs does not stand */
    ACTION_ROLLED,    /* worker, ok: a roll is over */
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
    bool first, hookless, ok;
    msec until;
    enum core_why why;
    enum core_companion companion;
    uint32_t worker;
};

/* ---- the state ---- */

enum core_kind { CORE_ORPHANS, CORE_HOOK, CORE_WORKER, CORE_JOB, CORE_COMPANION };
enum core_hook { HOOK_HANDLER, HOOK_CALLBACK, HOOK_ERROR };

enum core_life {
    CORE_DOWN,
    CORE_STARTING,
    CORE_UP,
    CORE_TREE, /* its process is gone, others of its tree are not */
};

/* There are as many as processes: what is small stands together, so that no room is lost. */
struct core_slot {
    enum core_kind kind : 8;
    enum core_life life : 8; /* a fact */
    bool wanted;             /* a wish: somebody wants it to run */
    bool joined;             /* a job that ran before it came to us */
    uint32_t owner; /* worker's index (a job's may be none: CORE_NONE), or enum core_hook */
    uint32_t generation;
    uint32_t about; /* the slot whose failure a hook for errors is told; a companion's instance */

    msec start_at; /* a wish: not before */

    /* facts */
    msec up_since;
    struct ending end; /* of its last run; of a hook for errors: the error */
    uint32_t shields;
    uint8_t companion; /* enum core_companion: what a companion's slot runs, or ran last */
    uint8_t why;       /* enum core_why: the core stops this run by itself */
    bool ready;

    /* what was done about this run */
    uint8_t rungs_sent;
    bool requested : 1, tree_asked : 1, killed : 1, abandoned : 1;
    bool shields_overruled : 1; /* a forced shutdown waits for no shield */
    bool error_untold : 1, error_first : 1, retry_untold : 1, ready_untold : 1, why_untold : 1;

    /* lists */
    bool dirty;
    uint32_t next_dirty;
    uint32_t next_job; /* in the queue, or among the free */

    /* when it was done, and until when it counts */
    msec rung_until; /* when the rung sent last is over */
    msec asked_at;
    msec shielded_until; /* of its shields together; when the last one ended */
    msec extended_until; /* it asked for this long, at least */
    msec spared_until;   /* a job: no shutdown stops it before; 0: see core_rules.shield_timeout */
    msec kill_at;        /* of what has no ladder: hooks, trees; NEVER: by the cap.  Of what is
                            killed: when it was */
    msec settles_at;     /* who is left may leave the tree until then; 0: has had the time */
    uint64_t forwards;   /* signals to pass on, as bits */
};

/* Why nobody wants an instance to run. */
enum core_rest {
    REST_STOPPED,  /* nobody has ever wanted it to, or somebody has stopped it */
    REST_FINISHED, /* it has ended well, for good */
    REST_FAILED,   /* it has failed, and its policy does not restart it */
    REST_GIVEN_UP, /* its restarts are used up */
};

/* What an instance has beside its slot. */
struct core_member {
    uint32_t companion; /* the slot of its companion, or CORE_NONE */
    bool wished, awaited;
    bool held, held_untold; /* wanted, but something that it needs does not stand */
    bool done;              /* it has ended well, for good */
    uint8_t rest;           /* enum core_rest, while nobody wants it */
    bool prepared;          /* its before-start has ended well, and it was not started since */
    bool cleanup_due;       /* its after-stop is to run */
};

/* What only some of them need: who has a watchdog, health checks or an age, or was restarted. */
struct core_watch {
    msec alive_until;  /* its watchdog */
    msec health_at;    /* its next health check */
    uint32_t misses;   /* health checks that failed, one after the other */
    uint32_t next_due; /* in the line of those that have their age; 0: the last */
    bool in_line;
    struct policy_history history;
};

/* The instances of a worker together. */
struct core_team {
    uint32_t first;                 /* their slots, as many as there are instances */
    uint32_t wanted, done, awaited; /* of them */
    uint32_t present;               /* of them and of their companions; after-stops to come count */
    uint32_t first_dependent, dependent_count; /* links to who comes after this worker */
    uint32_t blockers;                         /* links in `after` of whom somebody is awaited */
    uint32_t unmet;                            /* links to what it needs and does not stand */
    uint32_t needers; /* links to it of who needs it, and somebody of them is present */
    bool standing;
    bool listed; /* its renewals may have something to do */
    bool moved;  /* it may stand now, or not any more */
    uint32_t next_listed, next_moved;
};

/* Their renewals, where there are any. */
struct core_roll {
    uint32_t turn;                /* the slot that is being renewed; 0: none is */
    uint32_t due_first, due_last; /* the line of those that have their age; 0: nobody */
    uint32_t next;                /* the instance that a roll comes to next */
    msec began_at;                /* a younger run is new already */
    bool rolling, again;
    bool fresh; /* it has started all at once */
    bool untold, ok;
};

struct core_wave {
    uint32_t first, end; /* its slots */
    uint32_t present;    /* of them, and of their companions, not down and not abandoned */
};

struct core {
    size_t size;
    struct core_config config;
    msec now;

    uint32_t first_companion, first_instance, first_job, wave_count;
    uint32_t slot_count; /* a job's slot is made when it is first needed, up to slot_limit */
    uint32_t slot_limit;
    uint32_t generation_floor; /* of runs before a reload: those of new slots come after it */
    /* offsets of the tables in this block: what is mostly not used stands last, and is not touched
     * before it is */
    size_t members_at, teams_at, dependents_at, waves_at, deadlines_at, slots_at;
    size_t watches_at, rolls_at, shields_at;

    /* the shutdown */
    bool begun, keyboard;
    enum core_phase phase, phase_told;
    enum core_trigger trigger;
    int cause;
    uint64_t causes; /* the signals seen during the shutdown, as bits */
    msec entered_at, cap;
    msec cap_seen; /* when it was reached, as far as we know: we may have been kept from running */
    msec length;   /* from the one to the other: the timeout, or what the limit leaves of it */
    msec limit;    /* somebody else's end for it; NEVER: there is none */
    msec reserve;  /* what whoever is asked late still gets */
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

    /* the fleet */
    uint32_t awaited; /* of the instances that start by themselves */
    bool all_ready_told;
    uint32_t team_first, team_moved; /* the teams that are listed, and those that moved */

    /* jobs */
    bool drained;
    uint32_t holders;      /* runs that hold a shield */
    uint32_t jobs_running; /* submitted ones */
    uint32_t job_free, queue_first, queue_last, submitted;

    struct policy_outcome outcome;

    uint32_t dirty_first, dirty_last;
};

static inline struct core_slot *core_slot(const struct core *core, uint32_t slot)
{
    return (struct core_slot *)((char *)(uintptr_t)core + core->slots_at) + slot;
}

/* Bytes that a core for `config` takes; 0 when `config` is out of range: workers that are not
 * ordered by wave, or come after one of no lower index, or more than CORE_SLOTS_MAX slots, among
 * others. */
size_t core_size(const struct core_config *config);

/* Makes the core_size(config) bytes at `memory` (aligned as malloc aligns, and zeroed) a core in
 * which nothing has happened yet.  What only jobs, shields, renewals and the like need is not
 * touched before they do. Copies `config`, but not its workers. */
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

/* The slot's n-th shield; NULL when it has no more. */
const struct shield *core_shield(const struct core *core, uint32_t slot, uint32_t n);

/* Until when this shield of the slot's holds as it looks now, the cap aside. */
msec core_shield_end(const struct core *core, uint32_t slot, const struct shield *shield);

/* Until when the slot's shields hold; 0 when it holds none. */
msec core_shielded_until(const struct core *core, uint32_t slot);

/* Until when the slot may be waited for beyond what its ladder grants: by its shields, its own
 * word, or because it is a job; 0: not, NEVER: for ever. */
msec core_reprieve(const struct core *core, uint32_t slot);

/* When the slot's run is killed if it does not end before; NEVER when that is not planned. */
msec core_kill_time(const struct core *core, uint32_t slot);

/* Is there no job, neither running nor queued, and no shield?  A shield counts until it is released
 * or its run ends, even when its deadline is over. */
bool core_is_idle(const struct core *core);

/* Is a roll of the worker under way, or to follow the one that is? */
bool core_is_rolling(const struct core *core, uint32_t worker);

/* Is the instance wanted, but something that it needs does not stand? */
bool core_is_held(const struct core *core, uint32_t slot);

/* Why nobody wants the instance to run, which nobody does. */
enum core_rest core_rest(const struct core *core, uint32_t slot);

/* Does the worker stand?  Those that need it are held while it does not. */
bool core_stands(const struct core *core, uint32_t worker);

/* A worker that the instance's first start waits for; CORE_NONE: there is none. */
uint32_t core_blocker(const struct core *core, uint32_t slot);

/* What runs beside the instance, or is to run before anything else of it. */
enum core_companion core_beside(const struct core *core, uint32_t slot);

/* ---- a new configuration ---- */

/* How many slots a core for `config` has; 0 when `config` is out of range. */
uint32_t core_slots(const struct core_config *config);

/* Fills `old_slot_of` with the predecessor of each of the core_slots(config) slots, or CORE_NONE.
 * `old_worker_of` has that of each worker of `config`, or CORE_NONE; its instances, their
 * companions, jobs and hooks follow in their order, as far as there are as many. */
void core_map(const struct core *old, const struct core_config *config,
              const uint32_t *old_worker_of, uint32_t *old_slot_of);

/* Makes the core_size(config) zeroed bytes at `memory` a core that goes on where `old` is, by the
 * rules of `config`.  A slot with a predecessor (of its kind; job n that of job n) keeps all its
 * state; what is new of a worker with `autostart` is wanted.  `old` must have begun, must not be in
 * a shutdown, have nothing to do (core_next() said so), and be down in all slots that have no
 * successor: what changed or goes is stopped first.  NULL when the shields or jobs that there are
 * do not fit; `old` is the one to go on with then.  Else call core_next() next.  Runs that were
 * reported by their old slots have new ones: the caller translates. */
struct core *core_reload(void *memory, const struct core *old, const struct core_config *config,
                         const uint32_t *old_slot_of, msec now);

#endif
