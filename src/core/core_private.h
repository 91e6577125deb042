/* core_private.h - what the core's own files share; nobody else includes it.
 *
 *     core.c         the block of memory, and the questions from outside
 *     core_record.c  core_step(): a fact is recorded
 *     core_settle.c  core_next(): what follows from the facts
 *     core_state.c   the questions that those two ask, and the changes that are counted
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

#define NONE UINT32_MAX /* the end of a list of slots */

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
    return (uint32_t)(slot - core->slots);
}

/* ---- questions ---- */

/* Whose ladder and times a slot's run has: a job its submitter's, others plain ones. */
const struct core_worker *core_worker_of(const struct core *core, const struct core_slot *slot);

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

/* Gives a job's slot back. */
void core_free_job(struct core *core, struct core_slot *slot);

/* A new run: nothing has been done about it yet. */
void core_renew(struct core *core, struct core_slot *slot);

void core_enter_shutdown(struct core *core, enum core_trigger trigger, int cause);

#endif
