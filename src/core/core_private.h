/* core_private.h - what the core's own files share; nobody else includes it.
 *
 *     core.c            the block of memory, and the questions from outside
 *     core_record.c     core_step(): a fact is recorded
 *     core_trigger.c    what asks for a shutdown, or again
 *     core_settle.c     core_next(): what follows from the facts
 *     core_phase.c      what follows for the whole: the phases of a shutdown
 *     core_state.c      the questions that those two ask, and the changes that are counted
 *     core_team.c       what the instances of a worker, and workers among each other, wait for
 *     core_roll.c       renewals: one instance of a worker at a time
 *     core_watch.c      readiness, and what a run fails of
 *     core_companion.c  the commands around an instance
 *     core_reload.c     a new configuration
 */
#ifndef AIORUN_CORE_PRIVATE_H
#define AIORUN_CORE_PRIVATE_H

#include "core/core.h"
#include "core/deadline.h"

enum {
    SLOT_ORPHANS = 0,
    SLOT_HANDLER = 1,
    SLOT_CALLBACK = 2,
    SLOT_ERRORS = 3, /* and up to first_instance */
};

#define NONE CORE_NONE /* the end of a list of slots */

/* ---- the block of memory ---- */

static inline struct core_wave *core_waves(const struct core *core)
{
    return (struct core_wave *)((char *)(uintptr_t)core + core->waves_at);
}

static inline struct shield_table *core_shields(const struct core *core)
{
    return (struct shield_table *)((char *)(uintptr_t)core + core->shields_at);
}

static inline struct deadline_heap *core_deadlines(const struct core *core)
{
    return (struct deadline_heap *)((char *)(uintptr_t)core + core->deadlines_at);
}

static inline uint32_t core_index(const struct core *core, const struct core_slot *slot)
{
    return (uint32_t)(slot - core_slot(core, 0));
}

/* What instance `slot` has beside its slot. */
static inline struct core_member *core_member(const struct core *core, const struct core_slot *slot)
{
    struct core_member *members =
        (struct core_member *)((char *)(uintptr_t)core + core->members_at);
    return &members[core_index(core, slot) - core->first_instance];
}

/* What it has beside that, where it needs it. */
static inline struct core_watch *core_watch_of(const struct core *core,
                                               const struct core_slot *slot)
{
    struct core_watch *watches = (struct core_watch *)((char *)(uintptr_t)core + core->watches_at);
    return &watches[core_index(core, slot) - core->first_instance];
}

static inline struct core_team *core_teams(const struct core *core)
{
    return (struct core_team *)((char *)(uintptr_t)core + core->teams_at);
}

/* The team of an instance or a companion. */
static inline struct core_team *core_team_of(const struct core *core, const struct core_slot *slot)
{
    return &core_teams(core)[slot->owner];
}

/* The renewals of the worker with this index, and of a team. */
static inline struct core_roll *core_roll(const struct core *core, uint32_t worker)
{
    return (struct core_roll *)((char *)(uintptr_t)core + core->rolls_at) + worker;
}

static inline struct core_roll *core_roll_of(const struct core *core, const struct core_team *team)
{
    return core_roll(core, (uint32_t)(team - core_teams(core)));
}

static inline struct core_link *core_dependents(const struct core *core)
{
    return (struct core_link *)((char *)(uintptr_t)core + core->dependents_at);
}

bool core_has_companion(const struct core_worker *worker);

/* Counts and offsets, the same for all who ask.  False when `config` is out of range. */
bool core_lay_out(struct core *core, const struct core_config *config);

/* ---- questions ---- */

/* Whose ladder and times a slot's run has: a job its submitter's, others plain ones. */
const struct core_worker *core_worker_of(const struct core *core, const struct core_slot *slot);

static inline const struct core_rules *core_rules_of(const struct core *core,
                                                     const struct core_slot *slot)
{
    return core_worker_of(core, slot)->rules;
}

bool core_is_shutdown(const struct core *core);

/* Is the run's process itself there? */
bool core_is_up(const struct core_slot *slot);

/* Is anything of the run there that is waited for? */
bool core_is_present(const struct core_slot *slot);

bool core_is_shielded(const struct core *core, const struct core_slot *slot);

/* Has a stop reached this slot? */
bool core_is_stopping(const struct core *core, const struct core_slot *slot);

/* Does the slot run as soon as it is down and start_at is over? */
bool core_may_start(const struct core *core, const struct core_slot *slot);

/* Does a hook run, or is it about to?  One that was killed is not waited for. */
bool core_is_busy(const struct core_slot *hook);

/* Are orphans left alone? */
bool core_orphans_stay(const struct core *core);

/* How long the ladder's rung `rung` lasts. */
msec core_rung_time(const struct core *core, const struct core_slot *slot, uint32_t rung);

/* When the rung sent last is over, and the next one due; 0: at once. */
msec core_rung_end(const struct core *core, const struct core_slot *slot);

/* When this wave is out of time. */
msec core_wave_limit(const struct core *core, uint32_t wave);

/* How long a run may take at most; NEVER for what has a ladder. */
msec core_run_time(const struct core *core, const struct core_slot *slot);

/* When what is there of the slot is killed. */
msec core_slot_kill_time(const struct core *core, const struct core_slot *slot);

/* The same, with a ladder that is to begin counted in: what a run is told when it is asked. */
msec core_slot_planned_end(const struct core *core, const struct core_slot *slot);

/* How long what is left of a tree, or the orphans, have after they were asked. */
msec core_tree_length(const struct core *core, const struct core_slot *slot);

/* When those of a living run's tree that were never asked are asked. */
msec core_tree_time(const struct core *core, const struct core_slot *slot);

/* When what was killed is not waited for any more. */
msec core_abandon_time(const struct core *core, const struct core_slot *slot);

/* Until when a job is not touched. */
msec core_spared_until(const struct core *core, const struct core_slot *slot);

/* What a shield that names no deadline means now. */
msec core_undated(const struct core *core, const struct core_slot *slot);

/* ---- changes ---- */

/* The slot may have something to do. */
void core_touch(struct core *core, struct core_slot *slot);
void core_touch_range(struct core *core, uint32_t first, uint32_t end);

void core_set_life(struct core *core, struct core_slot *slot, enum core_life life);
void core_set_wanted(struct core *core, struct core_slot *slot, bool wanted);

/* Stops waiting for what cannot be killed. */
void core_set_abandoned(struct core *core, struct core_slot *slot);

/* Makes zeroed memory a slot that never ran. */
void core_init_slot(struct core_slot *slot, enum core_kind kind, uint32_t owner);

/* Takes a job's slot, used before or new (NONE when all are taken), and gives it back. */
uint32_t core_take_job(struct core *core);
void core_free_job(struct core *core, struct core_slot *slot);

/* One more (1), or one less (-1), that is there of the slot's worker and wave, or of the hooks. */
void core_count_presence(struct core *core, const struct core_slot *slot, uint32_t change);

/* A new run: nothing has been done about it yet. */
void core_renew(struct core *core, struct core_slot *slot);

void core_record_trigger(struct core *core, const struct core_event *event);
void core_enter_shutdown(struct core *core, enum core_trigger trigger, int cause);

/* The shutdown is over at the limit, if that comes before its cap. */
void core_shorten(struct core *core);

/* The run's shields were changed; it held some before, or not. */
void core_count_holders(struct core *core, const struct core_slot *slot, bool held);

/* Makes an action of `kind` about `slot`, or about none; always true. */
bool core_act(struct core *core, const struct core_slot *slot, enum core_action_kind kind,
              struct core_action *action);

/* ---- the whole ---- */

/* Takes the shutdown on by one step; false when it has to wait. */
bool core_settle_steps(struct core *core);

/* What is to be said of the whole, and was not said yet. */
bool core_settle_phase(struct core *core, struct core_action *action);

/* Everything that starts by itself has come up: said last, when nothing else is to be done. */
bool core_settle_all_ready(struct core *core, struct core_action *action);

/* When the shutdown's own clocks are to be looked at again. */
msec core_phase_deadline(const struct core *core);

/* ---- teams ---- */

/* Does the instance wait for workers that it comes after? */
bool core_is_blocked(const struct core *core, const struct core_slot *slot);

/* Is there somebody of those who need the instance's worker, which does not stand any more? */
bool core_is_in_use(const struct core *core, const struct core_slot *slot);

/* Somebody wants the instance to run, or does not any more. */
void core_set_instance_wanted(struct core *core, struct core_slot *slot, bool wanted);

void core_set_done(struct core *core, const struct core_slot *slot, bool done);
void core_set_awaited(struct core *core, const struct core_slot *slot, bool awaited);

/* Workers that stand now, or not any more: tells those that need them. */
void core_settle_standings(struct core *core);

/* The number of the instances, or of their companions, or of the after-stops to come, changes. */
void core_count_team(struct core *core, struct core_team *team, uint32_t change);

/* The team may have something to do. */
void core_list_team(struct core *core, struct core_team *team);

/* Takes the teams that are listed on, up to the next action; false when there is none. */
bool core_settle_teams(struct core *core, struct core_action *action);

/* ---- renewals ---- */

bool core_record_restart(struct core *core, uint32_t worker);

/* Are restarts of the instance remembered?  From now on none is. */
bool core_was_restarted(const struct core_watch *watch);
void core_forget_restarts(struct core *core, struct core_slot *slot);

/* The run has its age. */
void core_line_up(struct core *core, struct core_slot *slot);

/* Goes on with whose turn it is; true: there is an action. */
bool core_settle_renewals(struct core *core, struct core_team *team, struct core_action *action);

/* ---- what is watched ---- */

/* Is it up, and nobody has stopped it? */
bool core_is_watched(const struct core *core, const struct core_slot *slot);

/* Does the core stop it by itself? */
bool core_is_replaced(const struct core_slot *slot);

void core_set_ready(struct core *core, struct core_slot *slot);
bool core_record_ready(struct core *core, struct core_slot *slot);
bool core_record_alive(struct core *core, struct core_slot *slot);

/* The run has failed; false when it is to stop anyway. */
bool core_fail(struct core *core, struct core_slot *slot, enum core_why why);

/* Looks whether the run is late, and tells what is to be told of it. */
bool core_settle_watch(struct core *core, struct core_slot *slot, struct core_action *action);

/* When that is to be looked at again. */
msec core_watch_deadline(const struct core *core, const struct core_slot *slot);

/* ---- companions ---- */

/* The companion of an instance; NULL: it has none. */
struct core_slot *core_companion_of(struct core *core, const struct core_slot *slot);

bool core_has_busy_companion(const struct core *core, const struct core_slot *slot);

/* Is nothing to be run before the instance may start? */
bool core_is_prepared(const struct core *core, const struct core_slot *slot);

/* Is what the companion runs of no use any more? */
bool core_is_moot(const struct core *core, const struct core_slot *companion);

/* What the companion, which is down, is to run now; and when to look again. */
enum core_companion core_companion_due(const struct core *core, const struct core_slot *companion);
msec core_companion_deadline(const struct core *core, const struct core_slot *companion);

void core_record_companion_end(struct core *core, struct core_slot *companion, struct ending end);

/* An after-stop is to run, or not any more. */
void core_set_cleanup_due(struct core *core, const struct core_slot *slot, bool due);

/* What follows from the end of an instance's run, or of what was to come before it. */
void core_record_instance_end(struct core *core, struct core_slot *slot, struct ending end,
                              bool requested);

#endif
