/* supervisor_private.h - the state that supervisor.c, control.c and narrate.c share; nobody else
 * includes it.
 *
 *     supervisor.c  core and driver: signals, ends, actions
 *     control.c     what runs say: the control pipe, sd_notify(3), readiness
 *     narrate.c     the log
 */
#ifndef AIORUN_SUPERVISOR_PRIVATE_H
#define AIORUN_SUPERVISOR_PRIVATE_H

#include "supervisor.h"

/* What is remembered of a run beside what the core knows. */
struct run_notes {
    signal_mask sent; /* signals we sent it, KILL not counted */
    msec asked_at;
    long pid;
    bool ready;
    bool scolded; /* one of its lines was wrong, and the log has said so */
    bool refused; /* a shield was, likewise */
};

#define INSTANCE_NAME_MAX (CONTROL_NAME_MAX + 8) /* "web:12" */

/* What a job is beside a run. */
struct job_notes {
    char name[CONTROL_NAME_MAX + 1];
    struct channel_id waiter; /* who is to be told of its end; index 0: nobody */
};

struct supervisor {
    const struct plan *plan;
    struct core *core;
    struct core_worker *workers;      /* by index in the plan */
    struct run_notes *notes;          /* by slot */
    struct job_notes *jobs;           /* by slot, from core->first_job on */
    char (*names)[INSTANCE_NAME_MAX]; /* by slot, from core->first_instance on; NULL: each
                                         worker has one instance, and its name */
    struct platform_surroundings place;
    signal_mask triggers;  /* the shutdown signals that were not ignored when we started */
    signal_mask delivered; /* shutdown signals that the kernel gave to the command itself */
    bool performing;
    bool spoken;         /* the command has used its control pipe: it knows whom it runs under */
    bool told_ready;     /* whoever is above us */
    bool reloading;      /* so the command has told by sd_notify(3) */
    bool outer_asked;    /* an aiorun around us has: its signal follows */
    msec extended_until; /* as whoever is above us was told last */
    struct ending end;
    struct report *report; /* NULL: nobody wants one */
};

/* Records a fact; false when the core refuses it.  What follows from it is done by
 * supervisor_settle(). */
bool supervisor_post(struct supervisor *supervisor, const struct core_event *event);
void supervisor_settle(struct supervisor *supervisor);

/* ---- control.c ---- */

/* Everything that is to be started at the beginning is. */
void control_begun(struct supervisor *supervisor);

/* A run was started, or is asked to stop; a job ended, or was dropped. */
void control_started(struct supervisor *supervisor, struct run_id run);
void control_asked(struct supervisor *supervisor, const struct core_action *action);
void control_job_ended(struct supervisor *supervisor, struct run_id job, struct ending end,
                       bool dropped);

/* The shutdown has come this far: tells whoever is above us. */
void control_phase(struct supervisor *supervisor, enum core_phase phase);

#endif
