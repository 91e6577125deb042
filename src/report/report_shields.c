/* Records put together, shield by shield. */

#include "report/report_private.h"

#include <string.h>

static bool is_open(const struct held_shield *shield, struct run_id run)
{
    return shield->ended == UNKNOWN && shield->run.slot == run.slot &&
           shield->run.generation == run.generation;
}

static struct held_shield *find(struct report *report, const struct report_record *record)
{
    for (uint32_t i = report->shield_count; i > 0; i--) {
        struct held_shield *shield = &report->shields[i - 1];
        if (is_open(shield, record->run) && strcmp(shield->name, record->command) == 0)
            return shield;
    }
    return NULL;
}

/* Its deadline may have been before. */
static void end_shield(struct held_shield *shield, msec at, enum shield_fate fate)
{
    bool over = shield->until <= at;
    shield->ended = over ? shield->until : at;
    shield->fate = over ? FATE_EXPIRED : fate;
}

static void take_shield(struct report *report, const struct report_record *record)
{
    struct held_shield *shield = find(report, record);
    if (shield == NULL && report->shield_count == SHIELDS_MAX) {
        report->shields_lost++;
        return;
    }
    if (shield == NULL) {
        shield = &report->shields[report->shield_count++];
        *shield = (struct held_shield){.run = record->run,
                                       .pid = record->pid,
                                       .name = record->command,
                                       .holder = record->name,
                                       .from = record->since,
                                       .ended = UNKNOWN};
    }
    shield->until = record->until;
}

static void take_record(struct report *report, const struct report_record *record)
{
    bool forced = record->kind == REPORT_FORCED, ended = record->kind == REPORT_ENDED;
    if (record->kind == REPORT_SHIELD)
        take_shield(report, record);
    struct held_shield *released = record->kind == REPORT_UNSHIELD ? find(report, record) : NULL;
    if (released != NULL)
        end_shield(released, record->at, FATE_RELEASED);
    for (uint32_t i = 0; i < report->shield_count && (forced || ended); i++) {
        struct held_shield *shield = &report->shields[i];
        if (forced ? shield->ended == UNKNOWN : is_open(shield, record->run))
            end_shield(shield, record->at, forced ? FATE_OVERRULED : FATE_ENDED);
    }
}

void report_make_shields(struct report *report)
{
    report->shield_count = report->shields_lost = 0;
    for (uint64_t n = report_first(report); n < report->added; n++)
        take_record(report, report_record(report, n));
    for (uint32_t i = 0; i < report->shield_count; i++) {
        struct held_shield *shield = &report->shields[i];
        if (shield->ended == UNKNOWN && shield->until <= report->facts.now)
            end_shield(shield, report->facts.now, FATE_EXPIRED);
    }
}

msec shield_over(const struct report *report, const struct held_shield *shield)
{
    return msec_min(shield->ended, report->facts.now);
}
