/* Records put together, process by process. */

#include "report/report_private.h"

#include <string.h>

static bool same_run(struct run_id a, struct run_id b)
{
    return a.slot == b.slot && a.generation == b.generation;
}

static struct lane *find_run(struct report *report, struct run_id run)
{
    for (uint32_t i = report->lane_count; i > 0; i--) {
        struct lane *lane = &report->lanes[i - 1];
        if (!lane->member && same_run(lane->run, run))
            return lane;
    }
    return NULL;
}

/* The newest that has not ended: a pid may be used again. */
static struct lane *find_member(struct report *report, long pid)
{
    for (uint32_t i = report->lane_count; i > 0; i--) {
        struct lane *lane = &report->lanes[i - 1];
        if (lane->member && lane->pid == pid && lane->ended == UNKNOWN)
            return lane;
    }
    return NULL;
}

/* A slot's last run that was over before the shutdown: it makes room for the next one. */
static struct lane *find_outdated(struct report *report, uint32_t slot)
{
    for (uint32_t i = 0; i < report->lane_count; i++) {
        struct lane *lane = &report->lanes[i];
        if (!lane->member && lane->run.slot == slot && lane->ended < report->trigger.at)
            return lane;
    }
    return NULL;
}

static struct lane *make_lane(struct report *report, const struct report_record *record,
                              bool member)
{
    struct lane *lane = member ? NULL : find_outdated(report, record->run.slot);
    if (lane == NULL && report->lane_count == LANES_MAX) {
        report->lanes_lost++;
        return NULL;
    }
    if (lane == NULL)
        lane = &report->lanes[report->lane_count++];
    memset(lane, 0, sizeof *lane);
    lane->run = record->run;
    lane->pid = record->pid;
    lane->member = member;
    lane->name = record->name;
    lane->started = lane->asked = lane->killed = lane->ended = lane->missing = UNKNOWN;
    return lane;
}

/* The lane of the run that a record is about; NULL for the orphans, which are no run. */
static struct lane *run_lane(struct report *report, const struct report_record *record)
{
    if (record->run.slot == 0)
        return NULL;
    struct lane *lane = find_run(report, record->run);
    if (lane == NULL)
        lane = make_lane(report, record, false);
    if (lane != NULL && lane->started == UNKNOWN && record->since > 0)
        lane->started = record->since; /* whose start is not in the ring any more */
    bool is_command = record->kind != REPORT_NOT_STARTED && record->kind != REPORT_SAID;
    if (lane != NULL && lane->command == NULL && is_command)
        lane->command = record->command[0] ? record->command : NULL;
    return lane;
}

static void mark_ended(struct lane *lane, const struct report_record *record)
{
    if (lane == NULL || lane->ended != UNKNOWN)
        return;
    lane->ended = record->at;
    lane->end = record->end;
}

static void mark_killed(struct lane *lane, const struct report_record *record)
{
    if (lane == NULL || lane->killed != UNKNOWN || lane->ended != UNKNOWN)
        return;
    lane->killed = record->at;
    lane->why = record->why;
}

/* Nobody of the run is there any more, unless what follows says that he is. */
static void miss_members(struct report *report, const struct report_record *record)
{
    for (uint32_t i = 0; i < report->lane_count; i++) {
        struct lane *lane = &report->lanes[i];
        if (lane->member && same_run(lane->run, record->run))
            lane->missing = msec_min(lane->missing, record->at);
    }
}

/* Not all who are there were listed just now. */
static void find_again(struct report *report, const struct report_record *record)
{
    for (uint32_t i = 0; i < report->lane_count; i++)
        if (same_run(report->lanes[i].run, record->run))
            report->lanes[i].missing = UNKNOWN;
}

static void take_process(struct report *report, const struct report_record *record)
{
    struct lane *lane = find_run(report, record->run);
    bool own = lane != NULL && lane->pid == record->pid;
    if (!own)
        lane = find_member(report, record->pid);
    if (lane == NULL)
        lane = make_lane(report, record, true);
    if (lane == NULL)
        return;
    lane->run = record->run;
    lane->name = record->name;
    lane->command = record->command;
    lane->state = record->state;
    lane->where = record->where[0] ? record->where : NULL;
    lane->missing = UNKNOWN;
    if (lane->started == UNKNOWN)
        lane->started = record->since;
    if (record->listed_for == REPORT_STOP_TREE && !own && lane->asked == UNKNOWN)
        lane->asked = record->at;
    if (record->listed_for == REPORT_KILL)
        mark_killed(lane, record);
}

static void take_record(struct report *report, const struct report_record *record)
{
    struct lane *lane;
    switch (record->kind) {
    case REPORT_STARTED:
        lane = run_lane(report, record);
        if (lane != NULL)
            lane->started = record->at;
        break;
    case REPORT_NOT_STARTED:
    case REPORT_ENDED:
        mark_ended(run_lane(report, record), record);
        if (!record->tree_left)
            miss_members(report, record);
        break;
    case REPORT_REQUEST:
        lane = run_lane(report, record);
        if (lane != NULL && lane->asked == UNKNOWN)
            lane->asked = record->at;
        break;
    case REPORT_KILL:
        mark_killed(run_lane(report, record), record);
        miss_members(report, record);
        break;
    case REPORT_GONE:
        miss_members(report, record);
        break;
    case REPORT_MORE:
        find_again(report, record);
        break;
    case REPORT_PROCESS:
        take_process(report, record);
        break;
    case REPORT_ADOPTED:
        mark_ended(find_member(report, record->pid), record);
        break;
    case REPORT_ARRIVED:
    case REPORT_RETRY:
    case REPORT_ERROR:
    case REPORT_PHASE:
    case REPORT_SENT:
    case REPORT_SHIELD:
    case REPORT_UNSHIELD:
    case REPORT_SAID:
    case REPORT_STOP_TREE:
    case REPORT_WAITING:
    case REPORT_FORCED:
    case REPORT_DROPPED:
    case REPORT_ABANDONED:
        break;
    }
}

void report_make_lanes(struct report *report)
{
    report->lane_count = report->lanes_lost = 0;
    for (uint64_t n = report_first(report); n < report->added; n++)
        take_record(report, report_record(report, n));
}

msec lane_end(const struct report *report, const struct lane *lane)
{
    return msec_min(lane->ended != UNKNOWN ? lane->ended : lane->missing, report->facts.now);
}

long report_lane_of(const struct report *report, const struct report_record *record)
{
    bool by_pid = record->kind == REPORT_PROCESS || record->kind == REPORT_ADOPTED;
    for (uint32_t i = report->lane_count; i > 0; i--) {
        const struct lane *lane = &report->lanes[i - 1];
        if (by_pid ? lane->pid == record->pid
                   : !lane->member && record->run.slot != 0 && same_run(lane->run, record->run))
            return (long)i - 1;
    }
    return -1;
}

msec report_phase_end(const struct report *report, enum core_phase phase)
{
    for (int next = (int)phase + 1; next < PHASE_COUNT; next++)
        if (report->phase_at[next] != UNKNOWN)
            return report->phase_at[next];
    return report->facts.now;
}

long report_phase_holder(const struct report *report, enum core_phase phase)
{
    long holder = -1;
    msec from = report->phase_at[phase], to = report_phase_end(report, phase);
    if (phase == PHASE_DRAIN || phase == PHASE_CLOSED || from == to)
        return -1;
    for (uint32_t i = 0; i < report->lane_count; i++) {
        const struct lane *lane = &report->lanes[i];
        bool within = lane->ended != UNKNOWN && lane->ended > from && lane->ended <= to;
        if (within && (holder < 0 || lane->ended > report->lanes[holder].ended))
            holder = (long)i;
    }
    return holder;
}
