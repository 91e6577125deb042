/* admin.h - what people ask a supervisor over the admin socket.
 *
 *     admin_open(supervisor, slots)                    where there is to be an admin socket
 *     admin_tell(supervisor, FACT_READY, slot, 0, NULL)    whenever something happens
 *     admin_look(supervisor)                           when everything that followed is done
 *
 *     admin.c         requests: what they do
 *     admin_wait.c    whom they wait for
 *     admin_events.c  the history, for whoever follows it
 *     admin_state.c   the state of one: a word, and why
 *     admin_status.c  the state of everything
 *
 * The requests themselves come from the driver: supervisor_admin_request() and its like.  An answer
 * is made piece by piece, as its reader takes it, so that none needs memory for all of it.
 *
 * Promises: nothing is allocated after admin_open(); no client can keep the supervisor waiting;
 * what nobody follows is not recorded.
 */
#ifndef AIORUN_SUPERVISOR_ADMIN_H
#define AIORUN_SUPERVISOR_ADMIN_H

#include "plan/text.h"
#include "protocol/admin.h"
#include "supervisor/supervisor_private.h"

/* ---- the history ---- */

enum admin_fact {
    FACT_QUEUED,
    FACT_STARTED,
    FACT_READY,
    FACT_ASKED,     /* to stop */
    FACT_SIGNALLED, /* number: the signal */
    FACT_ENDED,     /* end */
    FACT_PLANNED,   /* number: ms until it starts again */
    FACT_FAILED,    /* end: no restart handled it */
    FACT_KILLED,
    FACT_ABANDONED,
    FACT_DROPPED,  /* a queued job */
    FACT_SHIELDED, /* text: the shield's name */
    FACT_UNSHIELDED,
    FACT_PHASE, /* number: enum core_phase */
    FACT_FORCED,
    FACT_UNWELL, /* number: enum core_why */
    FACT_HELD,   /* what it needs is not there */
};

#define EVENTS_KEPT 1024 /* for those who follow, and are slow */

struct admin_event {
    int64_t at; /* ms since 1970, UTC */
    enum admin_fact fact;
    long pid; /* 0: none */
    int64_t number;
    struct ending end;
    enum core_companion companion; /* of the instance `name`: it is about this command */
    char name[INSTANCE_NAME_MAX];  /* empty: the supervisor itself */
    char text[CONTROL_NAME_MAX + 1];
};

/* ---- what is remembered of an instance, or a job ---- */

#define STATUS_SHOWN 256 /* bytes of a status that are kept, with a NUL */

struct admin_life {
    uint32_t starts;
    bool ended, has_status;
    bool over;              /* the last try to start it is: it has ended, or did not begin */
    bool failed_to_prepare; /* what failed last was its before-start */
    struct ending end;      /* of the last run, when `ended` */
    struct ending failure;  /* of the last try that failed before it was ready */
    uint64_t tried_at;      /* the last try, by admin.clock; */
    uint64_t failed_at;     /* the last of them that failed; 0: none has */
};

/* Was the last try a before-start, which has failed? */
static inline bool admin_is_unprepared(const struct admin_life *life)
{
    return life->failed_to_prepare && life->failed_at == life->tried_at;
}

/* What they say of themselves stands behind the lives of all: most say nothing, and pages that are
 * never written are never there. */
static inline size_t admin_lives_size(uint32_t slots)
{
    return slots * (sizeof(struct admin_life) + STATUS_SHOWN);
}

/* Of the life with this index among so many; good where it has one. */
static inline char *admin_status_in(struct admin_life *lives, uint32_t slots, uint32_t slot)
{
    return (char *)(lives + slots) + (size_t)slot * STATUS_SHOWN;
}

/* ---- requests ---- */

/* Goes through the instances that are meant, one by one. */
struct admin_cursor {
    const char *name; /* the next one of the request; with none left the range is the last */
    uint32_t names_left;
    uint32_t slot, end;
    bool whole; /* the range is of whole workers */
};

enum admin_stage {
    STAGE_NONE,
    STAGE_PENDING, /* the first line is not known yet */
    STAGE_VERDICT, /* the first line */
    STAGE_BODY,
    STAGE_JOB,  /* a job's end is waited for */
    STAGE_LAST, /* `text` is the last line */
    STAGE_HELD, /* until we are gone */
    STAGE_OVER,
};

struct admin_session {
    enum admin_stage stage;
    enum admin_stage next; /* after the verdict */
    bool failed;
    struct admin_request request;
    struct admin_cursor cursor;
    uint64_t since;      /* by admin.clock */
    struct run_id job;   /* of submit */
    uint64_t next_event; /* of events */
    uint32_t part;       /* of status: how far it is */
    uint32_t slot;       /* the next job to show */
    int width;           /* of the names */
    bool first;          /* nothing of the list was written yet */
    char text[256];      /* the error, or the last line */
};

struct admin {
    msec opened_at;
    uint64_t clock;   /* counts tries to start something: finer than any time */
    uint32_t waiting; /* sessions in STAGE_PENDING */
    bool looking, look_again;
    struct admin_life *lives; /* by slot, so many; admin_lives_size() */
    uint32_t slots;
    uint64_t events; /* so many were recorded */
    struct admin_event ring[EVENTS_KEPT];
    struct admin_session sessions[PLATFORM_ADMIN_CLIENTS];
};

/* What the slot says of itself; good where its life has a status. */
static inline char *admin_status_of(const struct supervisor *supervisor, uint32_t slot)
{
    return admin_status_in(supervisor->admin->lives, supervisor->admin->slots, slot);
}

/* Allocates, when there is to be an admin socket; false without memory. */
bool admin_open(struct supervisor *supervisor, uint32_t slots);

/* There is a new plan and its core, with whose slots requests go on.  `lives`, zeroed, with
 * room for all slots, is the admin socket's from now on. */
void admin_reload(struct supervisor *supervisor, struct admin_life *lives,
                  const uint32_t *old_slot_of, uint32_t old_first_job);

/* A run was started; it could not be; it ended; it says this of itself; a job is over, of which
 * this was answered.  What is true of a run is so of a command beside one. */
void admin_started(struct supervisor *supervisor, uint32_t slot);
void admin_not_started(struct supervisor *supervisor, uint32_t slot, struct ending end);
void admin_ended(struct supervisor *supervisor, uint32_t slot, struct ending end);
void admin_status(struct supervisor *supervisor, uint32_t slot, const char *text);
void admin_job_ended(struct supervisor *supervisor, struct run_id job,
                     const struct control_reply *reply);

/* ---- admin_wait.c ---- */

/* The request waits until its instances are where it wants them; its first line is known:
 * `fault`, or ok (NULL). */
void admin_wait(struct supervisor *supervisor, struct admin_session *session);
void admin_decide(struct supervisor *supervisor, struct admin_session *session, const char *fault);

/* Something may have come to be that somebody waits for. */
void admin_look_at_all(struct supervisor *supervisor);
static inline void admin_look(struct supervisor *supervisor)
{
    if (supervisor->admin != NULL && supervisor->admin->waiting > 0)
        admin_look_at_all(supervisor);
}

/* ---- admin_events.c ---- */

/* Records what happened to the slot (0: to the supervisor itself), for those who follow. */
void admin_record(struct supervisor *supervisor, enum admin_fact fact, uint32_t slot,
                  int64_t number, struct ending end, const char *text);
static inline void admin_tell(struct supervisor *supervisor, enum admin_fact fact, uint32_t slot,
                              int64_t number, const char *text)
{
    if (supervisor->followers > 0)
        admin_record(supervisor, fact, slot, number, (struct ending){ENDING_NONE, 0}, text);
}
static inline void admin_tell_end(struct supervisor *supervisor, enum admin_fact fact,
                                  uint32_t slot, struct ending end)
{
    if (supervisor->followers > 0)
        admin_record(supervisor, fact, slot, 0, end, NULL);
}

/* Appends what is new to the session, as long as there is room. */
void admin_show_events(const struct supervisor *supervisor, struct admin_session *session,
                       struct text *text);

/* ---- admin_state.c ---- */

/* The state of an instance or a job as one word: "ready". */
const char *admin_state_name(const struct supervisor *supervisor, uint32_t slot);

/* Why an instance is not up, where its state does not say it all: "needs db, which is stopped".
 * What it returns may be in `buffer`; NULL when there is nothing to say. */
#define ADMIN_REASON_MAX 128
const char *admin_state_reason(const struct supervisor *supervisor, uint32_t slot, char *buffer);

/* Does it wait for its time to be started again?  Is it down, since what it needs does not stand?
 * Does the job wait for its turn? */
bool admin_is_delayed(const struct supervisor *supervisor, uint32_t slot);
bool admin_is_held(const struct supervisor *supervisor, uint32_t slot);
bool admin_is_queued(const struct supervisor *supervisor, uint32_t slot);

/* Does somebody want an instance of the worker to run? */
bool admin_is_wanted(const struct supervisor *supervisor, uint32_t worker);

/* The worker whose absence holds this one: one that it needs, or that needs in turn, and that
 * nobody wants.  CORE_NONE: everything that it needs stands. */
uint32_t admin_holder(const struct supervisor *supervisor, uint32_t worker);

/* ---- admin_status.c ---- */

/* Appends the next part of the state; false when there is no more. */
bool admin_show_status(const struct supervisor *supervisor, struct admin_session *session,
                       struct text *text);

/* The next instance that the cursor goes to; false when there is none. */
bool admin_next(const struct supervisor *supervisor, struct admin_cursor *cursor, uint32_t *slot);

/* A cursor over the request's names, or over everything when it has none. */
struct admin_cursor admin_all_of(const struct supervisor *supervisor,
                                 const struct admin_request *request);

/* The slots of a NAME or NAME:INSTANCE, in `cursor`; NULL, or what is wrong with it in `buffer`. */
const char *admin_resolve(const struct supervisor *supervisor, const char *name,
                          struct admin_cursor *cursor, char *buffer, size_t size);

/* In words: "running", "cancel"; the end as a member of a JSON object; a span as JSON has numbers;
 * a string with its quotes. */
const char *admin_phase_name(enum core_phase phase);
void admin_add_end(struct text *text, struct ending end);
void admin_add_seconds(struct text *text, msec span);
void admin_add_string(struct text *text, const char *string);

#endif
