/* world.h - a virtual world on virtual time for the core to look after.
 *
 *     world_init(&world, &setting, seed);
 *     world_signal(&world, cause, true);      a fact for the core,
 *     world_settle(&world);                   and what follows from it
 *     ...
 *
 * The world answers actions as a driver does, and keeps a record of its own of all that was
 * asked, sent and killed, and when.  The checks (check.h) read that record and the
 * specification, never the core.  All of it is plain memory: memcpy copies a world.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "core/core.h"

#include <setjmp.h>

#define WORKERS_MAX 4
#define RECORDS_MAX 32
#define PROCS_MAX   64 /* of which so many as there are records are kept for runs */
#define NAMES       3  /* of shields */
#define CORE_BYTES  14336
#define QUEUE_MAX   8
#define ACTIONS_MAX 400 /* that one event may cause here */

/* What a schedule is about; fixed while it runs. */
struct setting {
    struct core_worker workers[WORKERS_MAX];
    struct core_rules rules[WORKERS_MAX]; /* of each */
    struct core_link after[WORKERS_MAX][WORKERS_MAX];
    struct core_config config;
    bool lazy;       /* timers come late */
    bool silent;     /* the search decides all: processes do nothing by themselves */
    bool unkillable; /* some processes outlive KILL */
    bool orderly;    /* every process obeys */
    uint32_t events; /* from outside, before the world is brought to its end */
};

/* A process. */
struct proc {
    bool alive, is_main, asked, killed, unkillable;
    bool known;         /* a census found it */
    bool adopted;       /* its end is reported to the supervisor */
    uint8_t slot;       /* 0: an orphan */
    uint8_t heirs;      /* so many fresh ones, one after the other, when it is asked */
    uint8_t obeys_rung; /* and none before */
    bool obeys_request;
    uint8_t pings; /* so many more, before it hangs */
    uint32_t generation;
    msec dies_at;
    msec ready_at, pings_at; /* NEVER: it says nothing */
    msec obeys_after;        /* NEVER: it ignores */
    struct ending end, obeyed;
};

struct hold {
    uint32_t holds;
    msec until;
    bool undated;
};

enum life { GONE, UP, TREE };

/* What the world knows of a slot and its run. */
struct record {
    enum core_kind kind;
    enum life life;
    uint32_t generation, owner;
    uint32_t wave;
    bool wanted, queued, joined, about_to_start;

    /* of instances */
    bool wished, awaited, held, held_untold, done;
    bool ready, ready_untold, why_untold;
    enum core_why why;
    msec alive_until, health_at;
    uint32_t misses;
    uint32_t roll_from; /* the generation at the beginning of a roll */
    bool to_roll, rolled, renewing;

    /* of instances and their companions */
    uint32_t companion; /* the companion's record, or the companion's instance; 0: none */
    bool prepared, cleanup_due;
    enum core_companion runs;

    msec started_at, restart_at; /* NEVER: it is not to start */
    msec ended_at;

    bool requested, tree_asked, killed, abandoned, overruled;
    msec requested_at, rung_at, tree_asked_at, killed_at;
    msec left_since; /* since when it is known that something of the tree is left */
    msec settles_at; /* of a tree that may be a daemon's: it is asked no earlier */
    msec planned;    /* of a tree that was asked before its run ended: when that was to be killed */
    uint32_t errors; /* that were not told yet */
    bool error_first;
    uint32_t rungs;
    msec extended;
    struct hold shields[NAMES];
    uint64_t forwards;
    msec spared; /* a joined job's own deadline */

    msec delay, window_start; /* of restarts */
    uint32_t window_count;
};

struct world {
    const struct setting *setting;
    uint64_t random;
    jmp_buf *failed;
    bool trace;
    msec now;

    uint32_t record_count, first_companion, first_instance, first_job, waves;
    struct record records[RECORDS_MAX];
    uint32_t proc_count;
    struct proc procs[PROCS_MAX];
    uint32_t queue[QUEUE_MAX], queue_count;

    bool rolling[WORKERS_MAX], roll_again[WORKERS_MAX], at_once[WORKERS_MAX];
    msec rolled_at[WORKERS_MAX];
    bool all_ready_told, drained;

    bool begun, entered, exited, forced, settling;
    enum core_phase phase; /* as it was told */
    enum core_trigger trigger;
    bool keyboard;
    int handler_cause; /* the signal that the handler was asked about */
    uint64_t causes;
    msec cap_seen;                       /* the first event behind the cap; NEVER: none yet */
    msec cap, length, limit, limited_at; /* limited_at: when the limit shortened it; -1: never */
    msec entered_at, drain_from, forced_at, effect_at, handler_forced_at;
    bool force_expected;
    bool cancel; /* stop requests have begun */

    struct ending first_error, command, never_started;
    bool ever_started, status_given;
    uint32_t status;

    uint32_t actions; /* since the last event */
    uint64_t done;    /* actions in all */
    msec told_at;     /* the time that the core knows */
    msec script_at;
    uint32_t script_left, idle_steps;
    bool ending; /* the script is over: everything is brought to its end */

    _Alignas(16) unsigned char block[CORE_BYTES];
};

static inline struct core *world_core(struct world *world)
{
    return (struct core *)world->block;
}

/* Makes a world in which nothing has happened yet. */
void world_init(struct world *world, const struct setting *setting, uint64_t seed);

/* Copies what is in use of a world. */
void world_copy(struct world *to, const struct world *from);

/* A number below n; in a silent world always 0. */
uint32_t world_pick(struct world *world, uint32_t n);

/* Records a fact with the core, without what follows; what the core said. */
bool world_record(struct world *world, const struct core_event *event);

/* Does what the core wants until it wants nothing more. */
void world_settle(struct world *world);

/* Wakes the core at the time that it asked for. */
void world_wake(struct world *world);

/* Ends a process; what that means for the supervisor is recorded.  True: it is to be told that
 * something was reaped. */
bool world_end(struct world *world, struct proc *proc);

struct proc *world_fork(struct world *world, uint32_t slot, uint32_t generation);

/* The process of a run that starts. */
void world_new_main(struct world *world, uint32_t slot);

struct proc *world_main(struct world *world, uint32_t slot);

bool world_has_members(const struct world *world, uint32_t slot, uint32_t generation);

/* ---- facts from outside ---- */

void world_begin(struct world *world);
void world_signal(struct world *world, int cause, bool keyboard);
void world_ask(struct world *world, bool status_given, uint32_t status);
void world_hold(struct world *world, uint32_t slot, uint32_t name, msec until);
void world_release(struct world *world, uint32_t slot, uint32_t name);
void world_extend(struct world *world, uint32_t slot, msec until);
void world_error(struct world *world, uint32_t slot);
void world_submit(struct world *world, uint32_t slot);
void world_join(struct world *world, uint32_t slot, msec until);
void world_want(struct world *world, uint32_t slot, bool wanted);
void world_want_worker(struct world *world, uint32_t worker, bool wanted);
void world_ready(struct world *world, uint32_t slot);
void world_alive(struct world *world, uint32_t slot);
void world_fail(struct world *world, uint32_t slot, enum core_why why);
void world_restart(struct world *world, uint32_t worker);
void world_drain(struct world *world, bool drained);
void world_limit(struct world *world, msec until);

/* A reload with the same configuration; one that is down is `changed`, 0: none. */
void world_reload(struct world *world, uint32_t changed);
void world_reaped(struct world *world);
void world_time(struct world *world);

#endif
