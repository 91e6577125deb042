/* The history of a supervisor, for those who follow it. */
#include "plan/parse.h"
#include "supervisor/admin.h"
#include "supervisor/narrate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LINE_ROOM 512 /* what one event takes at most */

static const char *const fact_names[] = {
    [FACT_QUEUED] = "queued",       [FACT_STARTED] = "started",     [FACT_READY] = "ready",
    [FACT_ASKED] = "asked",         [FACT_SIGNALLED] = "signalled", [FACT_ENDED] = "ended",
    [FACT_PLANNED] = "restart",     [FACT_FAILED] = "failed",       [FACT_KILLED] = "killed",
    [FACT_ABANDONED] = "abandoned", [FACT_DROPPED] = "dropped",     [FACT_SHIELDED] = "shielded",
    [FACT_UNSHIELDED] = "released", [FACT_PHASE] = "phase",         [FACT_FORCED] = "forced",
    [FACT_UNWELL] = "unwell",       [FACT_HELD] = "held",
};

/* ---- recording ---- */

static int64_t wall_clock(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void admin_record(struct supervisor *supervisor, enum admin_fact fact, uint32_t slot,
                  int64_t number, struct ending end, const char *text)
{
    struct admin *admin = supervisor->admin;
    struct admin_event *event = &admin->ring[admin->events++ % EVENTS_KEPT];
    bool has_name = fact != FACT_PHASE && fact != FACT_FORCED;
    event->at = wall_clock();
    event->fact = fact;
    event->pid = has_name ? notes_of(supervisor, slot)->pid : 0;
    event->number = number;
    event->companion = COMPANION_NONE;
    if (has_name && narrate_kind(supervisor, slot) == CORE_COMPANION)
        event->companion = (enum core_companion)core_slot(supervisor->core, slot)->companion;
    event->end = end;
    snprintf(event->name, sizeof event->name, "%s", has_name ? narrate_name(supervisor, slot) : "");
    snprintf(event->text, sizeof event->text, "%s", text != NULL ? text : "");
    for (uint32_t i = 0; i < PLATFORM_ADMIN_CLIENTS; i++) {
        const struct admin_session *session = &admin->sessions[i];
        if (session->stage == STAGE_BODY && session->request.verb == ADMIN_EVENTS)
            platform_admin_wake(i);
    }
}

/* ---- showing ---- */

/* RFC 3339, in UTC. */
static void add_time(struct text *text, int64_t at)
{
    time_t seconds = (time_t)(at / 1000);
    const struct tm *parts = gmtime(&seconds);
    char words[32] = "";
    if (parts != NULL)
        strftime(words, sizeof words, "%Y-%m-%dT%H:%M:%S", parts);
    text_add(text, "%s.%03dZ", words, (int)(at % 1000));
}

static const char *why_name(enum core_why why)
{
    switch (why) {
    case WHY_READY:
        return "ready-timeout";
    case WHY_WATCHDOG:
        return "watchdog";
    case WHY_HEALTH:
        return "health";
    case WHY_AGE:
        return "max-age";
    case WHY_NONE:
    case WHY_RESTART:
        break;
    }
    return "restart";
}

static void add_words(struct text *text, const struct admin_event *event)
{
    char words[64];
    switch (event->fact) {
    case FACT_SIGNALLED:
        text_add(text, "is sent SIG%s", signal_name((int)event->number, words));
        break;
    case FACT_ENDED:
        text_add(text, "%s", narrate_ending(event->end, words, sizeof words));
        break;
    case FACT_PLANNED:
        text_add(text, "starts again in %s s", narrate_span(event->number, words, sizeof words));
        break;
    case FACT_FAILED:
        text_add(text, "has failed: %s", narrate_ending(event->end, words, sizeof words));
        break;
    case FACT_SHIELDED:
        text_add(text, "holds the shield '%s'", event->text);
        break;
    case FACT_UNSHIELDED:
        text_add(text, "has released the shield '%s'", event->text);
        break;
    case FACT_PHASE:
        text_add(text, "shutdown: %s", admin_phase_name((enum core_phase)event->number));
        break;
    case FACT_ASKED:
        text_add(text, "is asked to stop");
        break;
    case FACT_ABANDONED:
        text_add(text, "outlived SIGKILL and is left behind");
        break;
    case FACT_UNWELL:
        text_add(text, "is unwell: %s", why_name((enum core_why)event->number));
        break;
    case FACT_READY:
    case FACT_HELD:
    case FACT_KILLED:
    case FACT_DROPPED:
    case FACT_QUEUED:
        text_add(text, "is %s", fact_names[event->fact]);
        break;
    case FACT_STARTED:
    case FACT_FORCED:
        text_add(text, "%s", fact_names[event->fact]);
        break;
    }
}

static void add_text(struct text *text, const struct admin_event *event)
{
    add_time(text, event->at);
    text_add(text, " %s", event->name[0] != '\0' ? event->name : "aiorun");
    if (event->companion != COMPANION_NONE)
        text_add(text, " %s", narrate_companion(event->companion));
    if (event->pid != 0)
        text_add(text, " (pid %ld)", event->pid);
    text_add(text, " ");
    add_words(text, event);
    text_add(text, "\n");
}

static void add_json(struct text *text, const struct admin_event *event)
{
    char name[16];
    text_add(text, "{\"time\":\"");
    add_time(text, event->at);
    text_add(text, "\",\"event\":\"%s\"", fact_names[event->fact]);
    if (event->name[0] != '\0')
        text_add(text, ",\"name\":\"%s\"", event->name);
    if (event->companion != COMPANION_NONE)
        text_add(text, ",\"command\":\"%s\"", narrate_companion(event->companion));
    if (event->pid != 0)
        text_add(text, ",\"pid\":%ld", event->pid);
    if (event->fact == FACT_SIGNALLED)
        text_add(text, ",\"signal\":\"%s\"", signal_name((int)event->number, name));
    if (event->fact == FACT_PHASE)
        text_add(text, ",\"phase\":\"%s\"", admin_phase_name((enum core_phase)event->number));
    if (event->fact == FACT_UNWELL)
        text_add(text, ",\"reason\":\"%s\"", why_name((enum core_why)event->number));
    if (event->fact == FACT_SHIELDED || event->fact == FACT_UNSHIELDED)
        text_add(text, ",\"shield\":\"%s\"", event->text);
    if (event->fact == FACT_ENDED || event->fact == FACT_FAILED) {
        text_add(text, ",\"end\":");
        admin_add_end(text, event->end);
    }
    if (event->fact == FACT_PLANNED) {
        text_add(text, ",\"delay\":");
        admin_add_seconds(text, event->number);
    }
    text_add(text, "}\n");
}

static void add_loss(struct text *text, bool json, uint64_t count)
{
    text_add(text,
             json ? "{\"event\":\"lost\",\"count\":%" PRIu64 "}\n" : "lost %" PRIu64 " events\n",
             count);
}

void admin_show_events(const struct supervisor *supervisor, struct admin_session *session,
                       struct text *text)
{
    const struct admin *admin = supervisor->admin;
    bool json = session->request.json;
    uint64_t oldest = admin->events > EVENTS_KEPT ? admin->events - EVENTS_KEPT : 0;
    if (session->next_event < oldest) {
        add_loss(text, json, oldest - session->next_event);
        session->next_event = oldest;
    }
    while (session->next_event < admin->events && text->length + LINE_ROOM < text->size) {
        const struct admin_event *event = &admin->ring[session->next_event++ % EVENTS_KEPT];
        if (json)
            add_json(text, event);
        else
            add_text(text, event);
    }
}
