/* The state of everything, for people and as JSON. */
#include "supervisor/admin.h"
#include "supervisor/narrate.h"

#include <stdio.h>
#include <string.h>

#define LINE_ROOM     2048 /* what one line takes at most */
#define SHIELDS_SHOWN 8    /* by their names; the rest as a number */

/* How far a status is. */
enum { PART_HEAD, PART_INSTANCES, PART_JOBS, PART_TAIL, PART_OVER };

/* ---- words ---- */

const char *admin_phase_name(enum core_phase phase)
{
    switch (phase) {
    case PHASE_RUNNING:
        return "running";
    case PHASE_ENTERED:
        return "entered";
    case PHASE_DRAIN:
        return "drain";
    case PHASE_CANCEL:
        return "cancel";
    case PHASE_ORPHANS:
        return "orphans";
    case PHASE_CLOSED:
        break;
    }
    return "closed";
}

void admin_add_string(struct text *text, const char *string)
{
    text_add(text, "\"");
    for (; *string != '\0'; string++)
        text_add(text, *string == '"' || *string == '\\' ? "\\%c" : "%c", *string);
    text_add(text, "\"");
}

void admin_add_seconds(struct text *text, msec span)
{
    text_add(text, "%lld.%03lld", (long long)(span / SECOND), (long long)(span % SECOND));
}

void admin_add_end(struct text *text, struct ending end)
{
    static const char *const kinds[] = {
        [ENDING_NONE] = "unknown",
        [ENDING_EXITED] = "exited",
        [ENDING_KILLED] = "killed",
        [ENDING_NOT_STARTED] = "not-started",
    };
    text_add(text, "{\"kind\":\"%s\",\"value\":%u}", kinds[end.kind], (unsigned)end.value);
}

/* "12s", "5m03s", "2h40m", "3d05h" */
static const char *add_age(char *buffer, size_t size, msec span)
{
    long long seconds = (long long)(span / SECOND);
    if (seconds < 60)
        snprintf(buffer, size, "%llds", seconds);
    else if (seconds < 3600)
        snprintf(buffer, size, "%lldm%02llds", seconds / 60, seconds % 60);
    else if (seconds < 24 * 3600)
        snprintf(buffer, size, "%lldh%02lldm", seconds / 3600, seconds / 60 % 60);
    else
        snprintf(buffer, size, "%lldd%02lldh", seconds / 86400, seconds / 3600 % 24);
    return buffer;
}

/* ---- which instances ---- */

const char *admin_resolve(const struct supervisor *supervisor, const char *name,
                          struct admin_cursor *cursor, char *buffer, size_t size)
{
    const struct plan *plan = supervisor->plan;
    struct admin_target target;
    uint32_t slot = supervisor->core->first_instance;
    admin_parse_target(name, &target);
    for (uint32_t i = 0; i < plan->worker_count; i++) {
        uint32_t instances = supervisor->workers[i].instances;
        const char *found = plan->workers[i].name;
        if (strlen(found) == target.length && memcmp(found, name, target.length) == 0) {
            if (target.has_instance && target.instance >= instances) {
                snprintf(buffer, size, "'%s' has %u instance%s only, and the first is 0", found,
                         (unsigned)instances, instances == 1 ? "" : "s");
                return buffer;
            }
            cursor->slot = slot + (target.has_instance ? target.instance : 0);
            cursor->end = target.has_instance ? cursor->slot + 1 : slot + instances;
            cursor->whole = !target.has_instance;
            return NULL;
        }
        slot += instances;
    }
    snprintf(buffer, size, "there is no worker '%.*s'", (int)target.length, name);
    return buffer;
}

struct admin_cursor admin_all_of(const struct supervisor *supervisor,
                                 const struct admin_request *request)
{
    struct admin_cursor cursor = {.name = request->names, .names_left = request->name_count};
    if (request->name_count == 0) {
        cursor.slot = supervisor->core->first_instance;
        cursor.end = supervisor->core->first_job;
        cursor.whole = true;
    }
    return cursor;
}

bool admin_next(const struct supervisor *supervisor, struct admin_cursor *cursor, uint32_t *slot)
{
    char fault[128];
    while (cursor->slot >= cursor->end && cursor->names_left > 0) {
        admin_resolve(supervisor, cursor->name, cursor, fault, sizeof fault);
        cursor->name = admin_next_name(cursor->name);
        cursor->names_left--;
    }
    if (cursor->slot >= cursor->end || cursor->slot >= supervisor->core->first_job)
        return false;
    *slot = cursor->slot++;
    return true;
}

/* ---- a slot ---- */

/* At most SHIELDS_SHOWN of them; returns how many there are. */
static uint32_t add_shields(const struct supervisor *supervisor, uint32_t slot, struct text *text,
                            const char *quote)
{
    const struct shield *shield;
    uint32_t count = 0;
    for (; (shield = core_shield(supervisor->core, slot, count)) != NULL; count++)
        if (count < SHIELDS_SHOWN)
            text_add(text, "%s%s%s%s", count > 0 ? "," : "", quote, shield->name, quote);
    return count;
}

static uint32_t restarts(const struct admin_life *life)
{
    return life->starts > 0 ? life->starts - 1 : 0;
}

static bool is_there(const struct core_slot *slot)
{
    return slot->life == CORE_UP || slot->life == CORE_STARTING;
}

/* What is worth saying beside the columns. */
static void add_remarks(const struct supervisor *supervisor, uint32_t index, struct text *text)
{
    const struct core_slot *slot = core_slot(supervisor->core, index);
    const struct admin_life *life = &supervisor->admin->lives[index];
    const char *between = "";
    char words[64], why[ADMIN_REASON_MAX];
    if (is_there(slot) && life->has_status) {
        text_add(text, "%s", admin_status_of(supervisor, index));
        between = "; ";
    }
    const char *reason = admin_state_reason(supervisor, index, why);
    if (reason != NULL) {
        text_add(text, "%s%s", between, reason);
        between = "; ";
    }
    if (admin_is_delayed(supervisor, index)) {
        msec rest = slot->start_at - platform_now();
        text_add(text, "%sstarts again in %s s", between,
                 narrate_span(msec_max(rest, 0), words, sizeof words));
        between = "; ";
    }
    if (core_shield(supervisor->core, index, 0) != NULL) {
        text_add(text, "%sholds ", between);
        uint32_t count = add_shields(supervisor, index, text, "");
        if (count > SHIELDS_SHOWN)
            text_add(text, " and %u more", (unsigned)(count - SHIELDS_SHOWN));
        between = "; ";
    }
    if (life->ended && slot->kind == CORE_WORKER)
        text_add(text, "%s%s%s", between, is_there(slot) ? "before: " : "",
                 narrate_ending(life->end, words, sizeof words));
}

static void add_row(const struct supervisor *supervisor, uint32_t index, int width,
                    struct text *text)
{
    const struct core_slot *slot = core_slot(supervisor->core, index);
    char pid[24] = "-", age[24] = "-", count[24] = "-";
    size_t start = text->length;
    if (is_there(slot)) {
        snprintf(pid, sizeof pid, "%d", notes_of(supervisor, index)->pid);
        add_age(age, sizeof age, msec_max(platform_now() - slot->up_since, 0));
    }
    if (slot->kind == CORE_WORKER)
        snprintf(count, sizeof count, "%u", (unsigned)restarts(&supervisor->admin->lives[index]));
    text_add(text, "%-*s  %-9s  %7s  %7s  %8s  ", width, narrate_name(supervisor, index),
             admin_state_name(supervisor, index), pid, age, count);
    add_remarks(supervisor, index, text);
    /* No blanks at the end of a line. */
    while (text->length > start && text->length < text->size &&
           text->buffer[text->length - 1] == ' ')
        text->buffer[--text->length] = '\0';
    text_add(text, "\n");
}

static void add_common_json(const struct supervisor *supervisor, uint32_t index, struct text *text)
{
    const struct core_slot *slot = core_slot(supervisor->core, index);
    text_add(text, "\"state\":\"%s\",\"pid\":", admin_state_name(supervisor, index));
    if (!is_there(slot)) {
        text_add(text, "null,\"uptime\":null");
        return;
    }
    text_add(text, "%d,\"uptime\":", notes_of(supervisor, index)->pid);
    admin_add_seconds(text, msec_max(platform_now() - slot->up_since, 0));
}

static void add_words_json(struct text *text, const char *key, const char *words)
{
    text_add(text, ",\"%s\":", key);
    if (words != NULL)
        admin_add_string(text, words);
    else
        text_add(text, "null");
}

static void add_instance_json(const struct supervisor *supervisor, uint32_t index,
                              struct text *text)
{
    const struct core_slot *slot = core_slot(supervisor->core, index);
    const struct admin_life *life = &supervisor->admin->lives[index];
    const char *name = narrate_name(supervisor, index);
    const char *number = strchr(name, ':');
    char why[ADMIN_REASON_MAX];
    text_add(text, "{\"name\":\"%s\",\"worker\":\"%s\",\"instance\":%s,", name,
             supervisor->plan->workers[slot->owner].name, number != NULL ? number + 1 : "0");
    add_common_json(supervisor, index, text);
    add_words_json(text, "reason", admin_state_reason(supervisor, index, why));
    text_add(text, ",\"restarts\":%u,\"restart_in\":", (unsigned)restarts(life));
    if (admin_is_delayed(supervisor, index))
        admin_add_seconds(text, msec_max(slot->start_at - platform_now(), 0));
    else
        text_add(text, "null");
    text_add(text, ",\"shields\":[");
    uint32_t shields = add_shields(supervisor, index, text, "\"");
    text_add(text, "],\"shield_count\":%u,\"last_end\":", (unsigned)shields);
    if (life->ended)
        admin_add_end(text, life->end);
    else
        text_add(text, "null");
    bool speaks = is_there(slot) && life->has_status;
    add_words_json(text, "status", speaks ? admin_status_of(supervisor, index) : NULL);
    text_add(text, "}");
}

static void add_slot(const struct supervisor *supervisor, struct admin_session *session,
                     uint32_t slot, struct text *text)
{
    if (session->request.json) {
        text_add(text, "%s\n  ", session->first ? "" : ",");
        if (slot < supervisor->core->first_job) {
            add_instance_json(supervisor, slot, text);
        } else {
            text_add(text, "{\"name\":\"%s\",", narrate_name(supervisor, slot));
            add_common_json(supervisor, slot, text);
            text_add(text, "}");
        }
    } else {
        add_row(supervisor, slot, session->width, text);
    }
    session->first = false;
}

/* ---- all of it ---- */

static bool is_job(const struct supervisor *supervisor, uint32_t slot)
{
    return admin_is_queued(supervisor, slot) || core_present(supervisor->core, slot);
}

static void add_summary(const struct supervisor *supervisor, struct text *text)
{
    const struct core *core = supervisor->core;
    uint32_t up = 0, running = 0, queued = 0;
    char age[24];
    for (uint32_t slot = core->first_instance; slot < core->first_job; slot++)
        up += core_slot(core, slot)->life == CORE_UP;
    for (uint32_t slot = core->first_job; slot < core->slot_count; slot++) {
        queued += admin_is_queued(supervisor, slot);
        running += core_present(core, slot) && !admin_is_queued(supervisor, slot);
    }
    text_add(
        text, "aiorun %s, pid %ld, %s, up %s: %u of %u up, %u job%s, %u queued%s\n", AIORUN_VERSION,
        supervisor->place.pid, core->phase == PHASE_RUNNING ? "running" : "shutting down",
        add_age(age, sizeof age, platform_now() - supervisor->admin->opened_at), (unsigned)up,
        (unsigned)(core->first_job - core->first_instance), (unsigned)running,
        running == 1 ? "" : "s", (unsigned)queued, supervisor->core->drained ? ", drained" : "");
}

static int widest(const struct supervisor *supervisor, const struct admin_request *request)
{
    struct admin_cursor cursor = admin_all_of(supervisor, request);
    size_t width = strlen("NAME");
    uint32_t slot;
    while (admin_next(supervisor, &cursor, &slot)) {
        size_t length = strlen(narrate_name(supervisor, slot));
        width = length > width ? length : width;
    }
    for (slot = supervisor->core->first_job; slot < supervisor->core->slot_count; slot++) {
        size_t length = is_job(supervisor, slot) ? strlen(narrate_name(supervisor, slot)) : 0;
        width = length > width ? length : width;
    }
    return (int)width;
}

static void add_head(const struct supervisor *supervisor, struct admin_session *session,
                     struct text *text)
{
    session->cursor = admin_all_of(supervisor, &session->request);
    session->slot = supervisor->core->first_job;
    session->first = true;
    session->part = PART_INSTANCES;
    if (session->request.json) {
        text_add(text,
                 "{\"version\":\"%s\",\"pid\":%ld,\"phase\":\"%s\",\"uptime\":", AIORUN_VERSION,
                 supervisor->place.pid, admin_phase_name(supervisor->core->phase));
        admin_add_seconds(text, platform_now() - supervisor->admin->opened_at);
        text_add(text, ",\"drained\":%s,\n \"workers\":[",
                 supervisor->core->drained ? "true" : "false");
        return;
    }
    session->width = widest(supervisor, &session->request);
    add_summary(supervisor, text);
    text_add(text, "%-*s  %-9s  %7s  %7s  %8s  %s\n", session->width, "NAME", "STATE", "PID", "UP",
             "RESTARTS", "STATUS");
}

static void add_instance(const struct supervisor *supervisor, struct admin_session *session,
                         struct text *text)
{
    uint32_t slot;
    if (admin_next(supervisor, &session->cursor, &slot)) {
        add_slot(supervisor, session, slot, text);
        return;
    }
    session->part = session->request.name_count > 0 ? PART_TAIL : PART_JOBS;
    if (session->request.json && session->part == PART_JOBS)
        text_add(text, "],\n \"jobs\":[");
    session->first = true;
}

static void add_job(const struct supervisor *supervisor, struct admin_session *session,
                    struct text *text)
{
    while (session->slot < supervisor->core->slot_count) {
        uint32_t slot = session->slot++;
        if (is_job(supervisor, slot)) {
            add_slot(supervisor, session, slot, text);
            return;
        }
    }
    session->part = PART_TAIL;
}

/* `web`, and where there are several `web:0`, `web:1`. */
static void add_name(const struct supervisor *supervisor, struct admin_session *session,
                     struct text *text)
{
    uint32_t slot;
    if (session->part == PART_HEAD) {
        session->cursor = admin_all_of(supervisor, &session->request);
        session->part = PART_INSTANCES;
    }
    if (!admin_next(supervisor, &session->cursor, &slot)) {
        session->part = PART_OVER;
        return;
    }
    const char *name = narrate_name(supervisor, slot);
    const char *worker = supervisor->plan->workers[core_slot(supervisor->core, slot)->owner].name;
    if (strcmp(name, worker) != 0 &&
        (slot == supervisor->core->first_instance ||
         core_slot(supervisor->core, slot - 1)->owner != core_slot(supervisor->core, slot)->owner))
        text_add(text, "%s\n", worker);
    text_add(text, "%s\n", name);
}

bool admin_show_status(const struct supervisor *supervisor, struct admin_session *session,
                       struct text *text)
{
    while (session->part != PART_OVER && text->length + LINE_ROOM < text->size) {
        if (session->request.names_only) {
            add_name(supervisor, session, text);
        } else if (session->part == PART_HEAD) {
            add_head(supervisor, session, text);
        } else if (session->part == PART_INSTANCES) {
            add_instance(supervisor, session, text);
        } else if (session->part == PART_JOBS) {
            add_job(supervisor, session, text);
        } else {
            text_add(text, "%s", session->request.json ? "]}\n" : "");
            session->part = PART_OVER;
        }
    }
    return session->part != PART_OVER;
}
