/* Whom a request on the admin socket waits for, and what is said when it has come. */
#include "supervisor/admin.h"
#include "supervisor/narrate.h"

#include <stdio.h>

/* ---- verdicts ---- */

void admin_decide(struct supervisor *supervisor, struct admin_session *session, const char *fault)
{
    if (session->stage == STAGE_PENDING)
        supervisor->admin->waiting--;
    session->stage = STAGE_VERDICT;
    session->failed = fault != NULL;
    if (fault != NULL && fault != session->text)
        snprintf(session->text, sizeof session->text, "%s", fault);
    platform_admin_wake((uint32_t)(session - supervisor->admin->sessions));
}

void admin_wait(struct supervisor *supervisor, struct admin_session *session)
{
    session->stage = STAGE_PENDING;
    supervisor->admin->waiting++;
}

/* ---- whom a request waits for ---- */

enum outcome { OUTCOME_PENDING, OUTCOME_GOOD, OUTCOME_BAD };

static bool is_serving(const struct supervisor *supervisor, uint32_t slot)
{
    return core_slot(supervisor->core, slot)->life == CORE_UP &&
           core_slot(supervisor->core, slot)->ready;
}

/* Nothing will come of it without another word. */
static bool is_stuck(struct supervisor *supervisor, struct admin_session *session, uint32_t index)
{
    const struct core_slot *slot = core_slot(supervisor->core, index);
    const char *name = narrate_name(supervisor, index);
    char why[ADMIN_REASON_MAX];
    if (admin_is_held(supervisor, index)) {
        snprintf(session->text, sizeof session->text, "%s is held: it %s", name,
                 admin_state_reason(supervisor, index, why));
        return true;
    }
    if (!is_serving(supervisor, index) || slot->requested || slot->why ||
        core_is_rolling(supervisor->core, slot->owner))
        return false;
    snprintf(session->text, sizeof session->text,
             "the restart has stopped before it came to %s: not all of it is ready", name);
    return true;
}

/* How a try to start it ended, or the before-start of that. */
static void say_end(const char *name, bool to_prepare, struct ending how, char *words, size_t size)
{
    char end[64];
    narrate_ending(how, end, sizeof end);
    if (to_prepare)
        snprintf(words, size, "before-start of %s %s", name, end);
    else if (how.kind == ENDING_NOT_STARTED)
        snprintf(words, size, "%s %s", name, end);
    else
        snprintf(words, size, "%s was not ready before it ended (%s)", name, end);
}

/* It has failed, and is still wanted: how, and when it is tried again. */
static void say_failure(const struct supervisor *supervisor, uint32_t index,
                        struct admin_session *session)
{
    const struct core_slot *slot = core_slot(supervisor->core, index);
    const struct admin_life *life = &supervisor->admin->lives[index];
    char words[160], span[32];
    say_end(narrate_name(supervisor, index), life->failed_to_prepare, life->failure, words,
            sizeof words);
    if (admin_is_delayed(supervisor, index))
        snprintf(session->text, sizeof session->text, "%s; it starts again in %s s", words,
                 narrate_span(slot->start_at - supervisor->core->now, span, sizeof span));
    else
        snprintf(session->text, sizeof session->text, "%s; it is started again", words);
}

static enum outcome judge_start(struct supervisor *supervisor, struct admin_session *session,
                                uint32_t index)
{
    const struct core_slot *slot = core_slot(supervisor->core, index);
    const struct admin_life *life = &supervisor->admin->lives[index];
    const char *name = narrate_name(supervisor, index);
    bool fresh = life->tried_at > session->since;
    bool has_ended = fresh && life->over;
    bool unprepared = admin_is_unprepared(life);
    char words[160];
    if (is_serving(supervisor, index) && (fresh || session->request.verb == ADMIN_START))
        return OUTCOME_GOOD;
    if (is_stuck(supervisor, session, index))
        return OUTCOME_BAD;
    if (slot->wanted && life->failed_at > session->since) {
        say_failure(supervisor, index, session);
        return OUTCOME_BAD;
    }
    if (slot->life != CORE_DOWN)
        return OUTCOME_PENDING;
    if (slot->wanted || reload_keeps_down(supervisor, index))
        return OUTCOME_PENDING;
    if (session->request.verb == ADMIN_RESTART && !has_ended) /* what nobody wants is not renewed */
        return OUTCOME_GOOD;
    say_end(name, unprepared, unprepared ? life->failure : life->end, words, sizeof words);
    if (has_ended)
        snprintf(session->text, sizeof session->text, "%s", words);
    else
        snprintf(session->text, sizeof session->text, "%s is not up, somebody has stopped it",
                 name);
    return OUTCOME_BAD;
}

static enum outcome judge_stop(struct supervisor *supervisor, struct admin_session *session,
                               uint32_t index)
{
    const struct core_slot *slot = core_slot(supervisor->core, index);
    if (slot->life == CORE_DOWN || slot->wanted) /* or somebody else has other wishes by now */
        return OUTCOME_GOOD;
    if (!slot->abandoned)
        return OUTCOME_PENDING;
    snprintf(session->text, sizeof session->text, "%s outlived SIGKILL",
             narrate_name(supervisor, index));
    return OUTCOME_BAD;
}

static enum outcome judge(struct supervisor *supervisor, struct admin_session *session,
                          uint32_t slot)
{
    return session->request.verb == ADMIN_STOP ? judge_stop(supervisor, session, slot)
                                               : judge_start(supervisor, session, slot);
}

/* Each instance must have come to where it was wanted once: who is past the cursor has. */
static void look_at(struct supervisor *supervisor, struct admin_session *session)
{
    enum outcome outcome = OUTCOME_GOOD;
    if (session->request.verb == ADMIN_WAIT_IDLE) {
        if (core_is_idle(supervisor->core))
            admin_decide(supervisor, session, NULL);
        return;
    }
    if (session->request.verb == ADMIN_RELOAD) {
        bool done = supervisor->reload_fault[0] == '\0';
        if (supervisor->reload == NULL)
            admin_decide(supervisor, session, done ? NULL : supervisor->reload_fault);
        return;
    }
    for (;;) {
        struct admin_cursor next = session->cursor;
        uint32_t slot;
        if (!admin_next(supervisor, &next, &slot))
            break;
        outcome = judge(supervisor, session, slot);
        if (outcome != OUTCOME_GOOD)
            break;
        session->cursor = next;
    }
    if (outcome == OUTCOME_PENDING && supervisor->core->phase != PHASE_RUNNING &&
        session->request.verb != ADMIN_STOP)
        admin_decide(supervisor, session, "a shutdown has begun");
    else if (outcome != OUTCOME_PENDING)
        admin_decide(supervisor, session, outcome == OUTCOME_BAD ? session->text : NULL);
}

void admin_look_at_all(struct supervisor *supervisor)
{
    struct admin *admin = supervisor->admin;
    admin->look_again = true;
    if (admin->looking) /* what is done here may be what another one waits for */
        return;
    admin->looking = true;
    while (admin->look_again) {
        admin->look_again = false;
        for (uint32_t i = 0; i < PLATFORM_ADMIN_CLIENTS; i++)
            if (admin->sessions[i].stage == STAGE_PENDING)
                look_at(supervisor, &admin->sessions[i]);
    }
    admin->looking = false;
}
