/* What people ask for over the admin socket. */
#include "supervisor/admin.h"

#include "plan/parse.h"
#include "protocol/wire.h"
#include "supervisor/narrate.h"

#include <stdio.h>
#include <string.h>

/* ---- opening ---- */

bool admin_open(struct supervisor *supervisor, uint32_t slots)
{
    const struct plan *plan = supervisor->plan;
    if (plan->control == NULL && plan->mode != MODE_FLEET)
        return true;
    supervisor->admin = platform_reserve(sizeof *supervisor->admin);
    if (supervisor->admin == NULL)
        return false;
    supervisor->admin->opened_at = platform_now();
    supervisor->admin->slots = slots;
    supervisor->admin->lives = platform_allocate(admin_lives_size(slots));
    return supervisor->admin->lives != NULL;
}

/* ---- what is remembered ---- */

void admin_started(struct supervisor *supervisor, uint32_t slot)
{
    if (supervisor->admin == NULL)
        return;
    struct admin_life *life = &supervisor->admin->lives[slot];
    life->starts++;
    life->tried_at = ++supervisor->admin->clock;
    life->over = false;
    life->has_status = false;
    if (slot >= supervisor->core->first_job)
        supervisor->jobs[slot - supervisor->core->first_job].queued = false;
    admin_tell(supervisor, FACT_STARTED, slot, 0, NULL);
}

/* For who waits until it is ready: by then the next try may be under way. */
static void note_failure(struct admin_life *life, bool to_prepare, struct ending end)
{
    life->failed_at = life->tried_at;
    life->failed_to_prepare = to_prepare;
    life->failure = end;
}

/* A before-start that fails is a start that has failed, of the instance that it is about. */
static void note_preparation(struct supervisor *supervisor, uint32_t index, struct ending end)
{
    const struct core_slot *slot = core_slot(supervisor->core, index);
    bool failed = !slot->requested && (end.kind != ENDING_EXITED || end.value != 0);
    if (slot->kind != CORE_COMPANION || slot->companion != COMPANION_BEFORE_START || !failed)
        return;
    struct admin_life *life = &supervisor->admin->lives[slot->about];
    life->starts++;
    life->tried_at = ++supervisor->admin->clock;
    life->over = true;
    note_failure(life, true, end);
}

void admin_not_started(struct supervisor *supervisor, uint32_t slot, struct ending end)
{
    if (supervisor->admin == NULL)
        return;
    struct admin_life *life = &supervisor->admin->lives[slot];
    life->starts++;
    life->tried_at = ++supervisor->admin->clock;
    admin_ended(supervisor, slot, end);
}

void admin_ended(struct supervisor *supervisor, uint32_t slot, struct ending end)
{
    if (supervisor->admin == NULL)
        return;
    struct admin_life *life = &supervisor->admin->lives[slot];
    life->ended = life->over = true;
    life->end = end;
    const struct core_slot *run = core_slot(supervisor->core, slot);
    if (!run->ready && (!run->requested || core_why_is_failure((enum core_why)run->why)))
        note_failure(life, false, end);
    note_preparation(supervisor, slot, end);
    admin_tell_end(supervisor, FACT_ENDED, slot, end);
}

void admin_status(struct supervisor *supervisor, uint32_t slot, const char *text)
{
    if (supervisor->admin == NULL)
        return;
    char *status = admin_status_of(supervisor, slot);
    size_t length = wire_clean(status, STATUS_SHOWN - 1, text, strlen(text));
    status[length] = '\0';
    supervisor->admin->lives[slot].has_status = length > 0;
}

/* ---- requests ---- */

static struct admin_session *session_at(struct supervisor *supervisor, uint32_t client)
{
    return &supervisor->admin->sessions[client];
}

/* What is wrong with the request's names; NULL: nothing. */
static const char *check_names(const struct supervisor *supervisor, struct admin_session *session)
{
    struct admin_cursor cursor;
    const char *name = session->request.names;
    const char *fault = NULL;
    for (uint32_t i = 0; i < session->request.name_count && fault == NULL; i++) {
        fault = admin_resolve(supervisor, name, &cursor, session->text, sizeof session->text);
        name = admin_next_name(name);
    }
    return fault;
}

static void want(struct supervisor *supervisor, uint32_t slot, bool wanted)
{
    if (supervisor->reload != NULL && !wanted)
        reload_forget(supervisor, slot);
    supervisor_post(supervisor, &(struct core_event){.kind = EVENT_WANT,
                                                     .run = core_run(supervisor->core, slot),
                                                     .wanted = wanted});
}

/* Whoever is to run gets what it needs, too, where nobody wants that: what it needs stands then. */
static void want_needs(struct supervisor *supervisor, uint32_t worker)
{
    const struct plan_worker *plan = &supervisor->plan->workers[worker];
    for (uint32_t i = 0; i < plan->after_count; i++) {
        uint32_t needed = plan->after[i].worker;
        if (!plan->after[i].needs || core_stands(supervisor->core, needed))
            continue;
        want_needs(supervisor, needed);
        if (core_stands(supervisor->core, needed)) /* it was held itself, and is not any more */
            continue;
        uint32_t first = core_instance(supervisor->core, needed, 0);
        for (uint32_t n = 0; n < supervisor->workers[needed].instances; n++)
            want(supervisor, first + n, true);
    }
}

static void want_all_needs(struct supervisor *supervisor, struct admin_cursor cursor)
{
    uint32_t slot;
    while (admin_next(supervisor, &cursor, &slot))
        want_needs(supervisor, core_slot(supervisor->core, slot)->owner);
}

/* A worker rolls; an instance that is named is stopped and started at once. */
static void restart(struct supervisor *supervisor, struct admin_cursor cursor)
{
    uint32_t slot;
    while (admin_next(supervisor, &cursor, &slot)) {
        uint32_t worker = core_slot(supervisor->core, slot)->owner;
        if (cursor.whole) {
            supervisor_post(supervisor,
                            &(struct core_event){.kind = EVENT_RESTART, .worker = worker});
            cursor.slot = slot + supervisor->workers[worker].instances; /* the next worker */
            continue;
        }
        if (core_slot(supervisor->core, slot)->life != CORE_DOWN) {
            want(supervisor, slot, false);
            supervisor_settle(supervisor); /* it is asked: whatever comes, it stops */
        }
        want(supervisor, slot, true);
    }
}

static const char *change(struct supervisor *supervisor, struct admin_session *session)
{
    struct admin_cursor cursor = session->cursor;
    uint32_t slot;
    if (supervisor->plan->mode != MODE_FLEET)
        return "only the workers of a file are started and stopped: 'shutdown' ends everything";
    if (supervisor->core->phase != PHASE_RUNNING)
        return "a shutdown has begun";
    if (session->request.verb != ADMIN_STOP)
        want_all_needs(supervisor, cursor);
    if (session->request.verb == ADMIN_RESTART)
        restart(supervisor, cursor);
    while (session->request.verb != ADMIN_RESTART && admin_next(supervisor, &cursor, &slot))
        want(supervisor, slot, session->request.verb == ADMIN_START);
    supervisor_settle(supervisor);
    if (!session->request.no_wait)
        admin_wait(supervisor, session);
    return NULL;
}

static const char *send_signals(struct supervisor *supervisor, struct admin_session *session)
{
    struct admin_cursor cursor = session->cursor;
    bool sent = false;
    uint32_t slot;
    int signal;
    if (!parse_signal(session->request.signal, &signal)) {
        snprintf(session->text, sizeof session->text, "there is no signal '%.80s'",
                 session->request.signal);
        return session->text;
    }
    while (admin_next(supervisor, &cursor, &slot)) {
        if (core_slot(supervisor->core, slot)->life != CORE_UP)
            continue;
        signals_send(supervisor, core_run(supervisor->core, slot), signal);
        sent = true;
    }
    return sent ? NULL : "nothing of that is up";
}

static const char *shut_down(struct supervisor *supervisor, struct admin_session *session)
{
    const struct core_event event = {.kind = EVENT_TRIGGER,
                                     .trigger = TRIGGER_REQUEST,
                                     .status_given = session->request.has_status,
                                     .status = session->request.status};
    if (!supervisor_post(supervisor, &event))
        return "everything is over already";
    if (!session->request.no_wait)
        session->next = STAGE_HELD;
    return NULL;
}

/* The first worker, or the one that is named: whose rights the job gets. */
static const char *submit(struct supervisor *supervisor, struct admin_session *session)
{
    struct admin_cursor cursor = {.slot = supervisor->core->first_instance};
    const char *fault = NULL;
    if (supervisor->plan->worker_count == 0)
        return "there is no worker whose rights a job could have";
    if (session->request.worker != NULL)
        fault = admin_resolve(supervisor, session->request.worker, &cursor, session->text,
                              sizeof session->text);
    if (fault == NULL)
        fault = control_submit(supervisor, core_run(supervisor->core, cursor.slot),
                               session->request.names, &session->job);
    if (fault == NULL && session->request.wait) {
        uint32_t client = (uint32_t)(session - supervisor->admin->sessions);
        supervisor->jobs[session->job.slot - supervisor->core->first_job].client = client + 1;
        session->next = STAGE_JOB;
    }
    return fault;
}

void admin_job_ended(struct supervisor *supervisor, struct run_id job,
                     const struct control_reply *reply)
{
    struct job_notes *notes = &supervisor->jobs[job.slot - supervisor->core->first_job];
    char line[CONTROL_LINE_MAX];
    if (notes->client == 0)
        return;
    struct admin_session *session = session_at(supervisor, notes->client - 1);
    notes->client = 0;
    size_t length = control_format_reply(line, reply);
    snprintf(session->text, sizeof session->text, "%.*s", (int)length, line);
    session->next = STAGE_LAST;
    if (session->stage == STAGE_JOB)
        session->stage = STAGE_LAST;
    platform_admin_wake((uint32_t)(session - supervisor->admin->sessions));
}

/* Does what is asked for; NULL, or why not. */
static const char *obey(struct supervisor *supervisor, struct admin_session *session)
{
    const struct admin_request *request = &session->request;
    const char *fault = request->verb == ADMIN_SUBMIT ? NULL : check_names(supervisor, session);
    if (fault != NULL)
        return fault;
    session->cursor = admin_all_of(supervisor, request);
    session->since = supervisor->admin->clock;
    switch (request->verb) {
    case ADMIN_STATUS:
        session->next = STAGE_BODY;
        return NULL;
    case ADMIN_START:
    case ADMIN_STOP:
    case ADMIN_RESTART:
        return change(supervisor, session);
    case ADMIN_RELOAD:
        if (!supervisor_reload(supervisor))
            return supervisor->reload_fault;
        supervisor_settle(supervisor);
        admin_wait(supervisor, session);
        return NULL;
    case ADMIN_SIGNAL:
        return send_signals(supervisor, session);
    case ADMIN_DRAIN:
        supervisor_post(supervisor,
                        &(struct core_event){.kind = EVENT_DRAIN, .wanted = !request->off});
        return NULL;
    case ADMIN_WAIT_IDLE:
        admin_wait(supervisor, session);
        return NULL;
    case ADMIN_EVENTS:
        supervisor->followers++;
        session->next_event = supervisor->admin->events;
        session->next = STAGE_BODY;
        return NULL;
    case ADMIN_SHUTDOWN:
        return shut_down(supervisor, session);
    case ADMIN_SUBMIT:
        return submit(supervisor, session);
    }
    return NULL;
}

void supervisor_admin_request(struct supervisor *supervisor, uint32_t client, char *line,
                              size_t length)
{
    struct admin_session *session = session_at(supervisor, client);
    const char *fault = NULL;
    memset(session, 0, sizeof *session);
    session->next = STAGE_OVER;
    if (!admin_parse(line, length, &session->request, &fault)) {
        admin_decide(supervisor, session, fault);
        return;
    }
    fault = obey(supervisor, session);
    if (fault != NULL || session->stage == STAGE_NONE)
        admin_decide(supervisor, session, fault);
    supervisor_settle(supervisor);
    admin_look(supervisor);
}

/* ---- answers ---- */

static void add_verdict(struct admin_session *session, struct text *text)
{
    if (session->failed)
        text_add(text, "error %s\n", session->text);
    else
        text_add(text, "ok\n");
    session->stage = session->failed ? STAGE_OVER : session->next;
}

size_t supervisor_admin_more(struct supervisor *supervisor, uint32_t client, char *buffer,
                             size_t size, bool *over)
{
    struct admin_session *session = session_at(supervisor, client);
    struct text text = {.buffer = buffer, .size = size};
    switch (session->stage) {
    case STAGE_VERDICT:
        add_verdict(session, &text);
        break;
    case STAGE_BODY:
        if (session->request.verb == ADMIN_EVENTS)
            admin_show_events(supervisor, session, &text);
        else if (!admin_show_status(supervisor, session, &text))
            session->stage = STAGE_OVER;
        break;
    case STAGE_LAST:
        text_add(&text, "%s", session->text);
        session->stage = STAGE_OVER;
        break;
    case STAGE_NONE:
    case STAGE_OVER:
    case STAGE_PENDING:
    case STAGE_JOB:
    case STAGE_HELD:
        break;
    }
    *over = text.length == 0 && (session->stage == STAGE_OVER || session->stage == STAGE_NONE);
    return text.length;
}

void supervisor_admin_gone(struct supervisor *supervisor, uint32_t client)
{
    struct admin_session *session = session_at(supervisor, client);
    uint32_t first_job = supervisor->core->first_job;
    if (session->stage == STAGE_PENDING)
        supervisor->admin->waiting--;
    if (session->request.verb == ADMIN_EVENTS && session->next == STAGE_BODY)
        supervisor->followers--;
    for (uint32_t slot = first_job; slot < supervisor->core->slot_count; slot++)
        if (supervisor->jobs[slot - first_job].client == client + 1)
            supervisor->jobs[slot - first_job].client = 0;
    memset(session, 0, sizeof *session);
}

/* ---- a new plan ---- */

/* Who is the slot's successor?  CORE_NONE: nobody. */
static uint32_t successor(const struct supervisor *supervisor, const uint32_t *old_slot_of,
                          uint32_t was)
{
    for (uint32_t slot = 0; slot < supervisor->core->slot_limit; slot++)
        if (old_slot_of[slot] == was)
            return slot;
    return CORE_NONE;
}

/* A list goes on with the next one that is still there; whoever waits looks at all of his again. */
static void move_session(struct supervisor *supervisor, struct admin_session *session,
                         const uint32_t *old_slot_of, uint32_t old_first_job)
{
    bool lists = session->stage == STAGE_BODY || session->stage == STAGE_VERDICT;
    if (session->stage == STAGE_PENDING && session->request.verb != ADMIN_RELOAD &&
        session->request.verb != ADMIN_WAIT_IDLE) {
        const char *fault = check_names(supervisor, session);
        session->cursor = admin_all_of(supervisor, &session->request);
        if (fault != NULL && session->request.verb != ADMIN_STOP)
            admin_decide(supervisor, session, fault);
    } else if (lists && session->request.verb == ADMIN_STATUS) {
        struct admin_cursor *cursor = &session->cursor;
        uint32_t first_job = supervisor->core->first_job, left = cursor->end - cursor->slot;
        uint32_t slot = successor(supervisor, old_slot_of, cursor->slot);
        for (; slot == CORE_NONE && left > 0; left--)
            slot = successor(supervisor, old_slot_of, ++cursor->slot);
        cursor->slot = slot < first_job ? slot : first_job;
        cursor->end = left < first_job - cursor->slot ? cursor->slot + left : first_job;
        if (session->slot != 0)
            session->slot = first_job + session->slot - old_first_job;
    }
    if (session->job.slot != 0)
        session->job.slot += supervisor->core->first_job - old_first_job;
}

void admin_reload(struct supervisor *supervisor, struct admin_life *lives,
                  const uint32_t *old_slot_of, uint32_t old_first_job)
{
    struct admin *admin = supervisor->admin;
    uint32_t slots = supervisor->core->slot_limit;
    for (uint32_t slot = 0; slot < slots; slot++) {
        uint32_t was = old_slot_of[slot];
        if (was == CORE_NONE)
            continue;
        lives[slot] = admin->lives[was];
        if (lives[slot].has_status)
            memcpy(admin_status_in(lives, slots, slot),
                   admin_status_in(admin->lives, admin->slots, was), STATUS_SHOWN);
    }
    platform_free(admin->lives);
    admin->lives = lives;
    admin->slots = slots;
    for (uint32_t i = 0; i < PLATFORM_ADMIN_CLIENTS; i++)
        move_session(supervisor, &admin->sessions[i], old_slot_of, old_first_job);
}
