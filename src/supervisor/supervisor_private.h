/* supervisor_private.h - the state that supervisor.c and the files beside it share; nobody else
 * includes it.
 *
 *     supervisor.c  core and driver: actions, ends
 *     signals.c     signals: what is sent, and what those that arrive mean
 *     setup.c       from a plan to a core
 *     reload.c      from one plan to the next
 *     admin*.c      what people ask: the admin socket
 *     control.c     what runs say: the control pipe, sd_notify(3), readiness
 *     upwards.c     what stands above us says and is told: a service manager, an aiorun around us
 *     narrate.c     the log
 *     timeline.c    the report
 *     lines.c       the output of workers, line by line
 */
#ifndef AIORUN_SUPERVISOR_PRIVATE_H
#define AIORUN_SUPERVISOR_PRIVATE_H

#include "supervisor/supervisor.h"

/* What is remembered of a run beside what the core knows. */
struct run_notes {
    signal_mask sent; /* signals we sent it, KILL not counted */
    msec asked_at;
    long pid;
    bool scolded; /* one of its lines was wrong, and the log has said so */
    bool refused; /* a shield was, likewise */
    bool ended;   /* and the log has not said how */
};

#define INSTANCE_NAME_MAX (CONTROL_NAME_MAX + 8) /* "web:12" */

/* What a job is beside a run. */
struct job_notes {
    char name[CONTROL_NAME_MAX + 1];
    struct channel_id waiter; /* who is to be told of its end; index 0: nobody */
    uint32_t client;          /* the same on the admin socket, counted from 1; 0: nobody */
    bool queued;
};

/* By slot, from core->first_instance on, in as many bytes as the longest of them takes. */
struct instance_names {
    char *first; /* NULL: each worker has one instance, and its name */
    size_t size;
};

struct reload;

struct supervisor {
    const struct plan *plan;       /* in force */
    const struct plan *first_plan; /* that we were started with; stays, for what stays */
    supervisor_load *load;
    struct reload *reload;             /* that is under way; NULL: none */
    bool reload_again;                 /* somebody has asked for one meanwhile */
    char reload_fault[FAULT_TEXT_MAX]; /* of the last; empty: it was done */
    struct core *core;
    struct core_worker *workers; /* by index in the plan */
    struct platform_slots notes; /* struct run_notes, by slot */
    struct job_notes *jobs;      /* by slot, from core->first_job on */
    struct instance_names names;
    struct platform_surroundings place;
    signal_mask triggers;  /* the shutdown signals that were not ignored when we started */
    signal_mask delivered; /* shutdown signals that the kernel gave to the command itself */
    struct admin *admin;   /* NULL: there is no admin socket */
    uint32_t followers;    /* of the history, on it */
    bool drained;          /* no new job is taken */
    bool performing;
    bool unsettled;      /* there may be more to do: supervisor_time() comes at once, and goes on */
    bool spoken;         /* the command has used its control pipe: it knows whom it runs under */
    bool told_ready;     /* whoever is above us */
    bool reloading;      /* so the command has told by sd_notify(3) */
    bool outer_asked;    /* an aiorun around us has: its signal follows */
    msec outer_shielded; /* until when it knows of a shield of ours; 0: it knows of none */
    uint32_t error_slot; /* whose `error TEXT` is being dealt with; 0: nobody's, */
    const char *error_text; /* and what it says */
    msec extended_until;    /* as whoever is above us was told last */
    struct ending end;
    struct report *report; /* NULL: nobody wants one */
};

static inline struct run_notes *notes_of(const struct supervisor *supervisor, uint32_t slot)
{
    return platform_slot(&supervisor->notes, slot);
}

/* The worker whose run this slot has; NULL: it is no worker's. */
static inline const struct plan_worker *worker_of(const struct supervisor *supervisor,
                                                  uint32_t slot)
{
    const struct core_slot *owned = core_slot(supervisor->core, slot);
    return owned->kind == CORE_WORKER ? &supervisor->plan->workers[owned->owner] : NULL;
}

/* The run of a launcher's command. */
static inline struct run_id main_run(const struct supervisor *supervisor)
{
    return core_run(supervisor->core, core_instance(supervisor->core, 0, 0));
}

static inline bool supervisor_is_launcher(const struct supervisor *supervisor)
{
    return supervisor->plan->mode == MODE_LAUNCH;
}

/* The end that aiorun itself is to come to, now that everything is over. */
struct ending supervisor_outcome(const struct supervisor *supervisor);

/* Records a fact; false when the core refuses it.  What follows from it is done by
 * supervisor_settle(). */
bool supervisor_post(struct supervisor *supervisor, const struct core_event *event);
void supervisor_settle(struct supervisor *supervisor);

/* Both at once. */
void supervisor_step(struct supervisor *supervisor, const struct core_event *event);

/* ---- signals.c ---- */

/* Sends `signal`, rewritten, to the run, and remembers it: a death by it was asked for. */
void signals_send(struct supervisor *supervisor, struct run_id run, int signal);

/* Performs ACTION_SIGNAL, ACTION_FORWARD. */
void signals_stop(struct supervisor *supervisor, const struct core_action *action);
void signals_forward(struct supervisor *supervisor, const struct core_action *action);

/* What asks the leftovers of a run, or the orphans (slot 0), to end. */
int signals_of_tree(const struct supervisor *supervisor, uint32_t slot);

/* Was the run's end by, or by 128 plus, a signal that we sent? */
bool signals_asked_for(const struct supervisor *supervisor, struct run_id run, struct ending end);

/* ---- setup.c ---- */

/* Fills `config` from `plan`; returns its workers, which platform_free() frees, or NULL. */
struct core_worker *setup_convert(const struct supervisor *supervisor, const struct plan *plan,
                                  struct core_config *config);

/* Makes the names of instances, as in struct supervisor.  False without memory. */
bool setup_names(const struct plan *plan, struct instance_names *names);

/* What the plan says of the log, of shutdown signals. */
void setup_log(const struct plan *plan);
void setup_triggers(struct supervisor *supervisor);

/* ---- reload.c ---- */

/* Reads the file anew, and begins to go on by what it says: until supervisor->reload is NULL again.
 * False when that is refused, and nothing has changed, with the reason in supervisor->reload_fault.
 * Allocates.  supervisor_settle() comes after. */
bool supervisor_reload(struct supervisor *supervisor);

/* Somebody has asked by signal: later, if one is under way. */
void reload_by_signal(struct supervisor *supervisor);

/* Has somebody wished for an instance that the reload needs down?  Not any more: there is something
 * to do about that then. */
bool reload_holds_down(struct supervisor *supervisor);

/* Somebody else has stopped this instance: should nothing come of the reload, it stays so. */
void reload_forget(struct supervisor *supervisor, uint32_t slot);

/* Is it down for a reload alone? */
bool reload_keeps_down(const struct supervisor *supervisor, uint32_t slot);

/* Everything that follows from the last event is done: has everybody stopped who is to stop?  Then
 * supervisor_time() is to come at once, */
bool reload_is_due(const struct supervisor *supervisor);

/* and to call this, after its own business. */
void reload_switch(struct supervisor *supervisor);

/* ---- control.c ---- */

/* A run is asked to stop; a job ended, or was dropped. */
void control_asked(struct supervisor *supervisor, const struct core_action *action);
void control_job_ended(struct supervisor *supervisor, struct run_id job, struct ending end,
                       bool dropped);

/* Takes the submission that came with the line as a job of the instance `run`'s worker.  NULL and
 * its run in *job, or what is wrong with it.  supervisor_settle() comes after. */
const char *control_submit(struct supervisor *supervisor, struct run_id run, const char *name,
                           struct run_id *job);

/* Everybody who goes on after a reload is to read his own configuration again, too. */
void control_reloaded(const struct supervisor *supervisor);

/* ---- upwards.c: whoever is above us is told ---- */

/* Everything that starts by itself is ready; a reload begins (NOTIFY_RELOADING), or is over,
 * however it ended (NOTIFY_READY); the shutdown has come this far. */
void upwards_ready(struct supervisor *supervisor);
void upwards_reload(const struct supervisor *supervisor, enum notify_state state);
void upwards_phase(struct supervisor *supervisor, enum core_phase phase);

/* Somebody may be worth waiting for longer. */
void upwards_extend(struct supervisor *supervisor);

/* Somebody may hold a shield now, or nobody any more: tells the aiorun around us, which is there.
 */
void upwards_shield(struct supervisor *supervisor);

#endif
