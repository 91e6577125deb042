/* facts.h - what the specification says of a virtual world, asked of its record. */
#ifndef SIM_FACTS_H
#define SIM_FACTS_H

#include "world.h"

/* The worker whose ladder and times this run has. */
const struct core_worker *fact_worker(const struct world *world, const struct record *record);

static inline const struct core_rules *fact_rules(const struct world *world,
                                                  const struct record *record)
{
    return fact_worker(world, record)->rules;
}

/* Section 3.4: waves, trees and orphans keep 2 s, scaled down to fit half the cap. */
msec fact_reserve(const struct world *world);

/* When a run is out of time, whatever its ladder says; NEVER before a shutdown. */
msec fact_limit(const struct world *world, const struct record *record);

/* How long a rung lasts, and all from `first` on. */
msec fact_rung_time(const struct world *world, const struct record *record, uint32_t rung);
msec fact_rungs_time(const struct world *world, const struct record *record, uint32_t first);

/* How long what is left of a tree has, and how long at least. */
msec fact_tree_time(const struct world *world, const struct record *record);
msec fact_tree_reserve(const struct world *world, const struct record *record);

/* Until when a shield holds; 0: a shield whose holds are all taken back. */
msec fact_hold_until(const struct world *world, const struct record *record,
                     const struct hold *hold);

/* Until when a run's shields hold that a forced shutdown did not overrule; 0: there are none. */
msec fact_shielded_until(const struct world *world, const struct record *record);
bool fact_is_shielded(const struct world *world, const struct record *record);

/* When the rung sent last is over. */
msec fact_rung_end(const struct world *world, const struct record *record);

/* When the ladder comes to KILL, if nothing changes. */
msec fact_ladder_end(const struct world *world, const struct record *record);

/* Until when a job is not touched, but for the cap. */
msec fact_spared_until(const struct world *world, const struct record *record);

/* When the drain delay is over. */
msec fact_drain_end(const struct world *world);

/* When a hook is out of time. */
msec fact_hook_end(const struct world *world, const struct record *record);

/* Are orphans left alone? */
bool fact_orphans_stay(const struct world *world);

/* Has a stop reached this run? */
bool fact_is_reached(const struct world *world, const struct record *record);

/* Do those who need this worker run, as far as it goes? */
bool fact_stands(const struct world *world, uint32_t worker);
bool fact_is_wished(const struct world *world, const struct record *record);

/* Is it awaited, and one of those that it comes after, too? */
bool fact_is_blocked(const struct world *world, const struct record *record);

/* Does its worker not stand, while there is somebody who needs that? */
bool fact_is_in_use(const struct world *world, const struct record *record);

/* Is it up, and nobody has stopped it? */
bool fact_is_watched(const struct world *world, const struct record *record);

/* Does its run serve: ready, and not to stop? */
bool fact_serves(const struct record *record);

/* When a run that does not get ready, or says nothing, fails; when it has its age. */
msec fact_ready_limit(const struct world *world, const struct record *record);
msec fact_alive_limit(const struct world *world, const struct record *record);
msec fact_age_limit(const struct world *world, const struct record *record);

/* Is it of no use any more what a companion runs? */
bool fact_is_moot(const struct world *world, const struct record *record);

/* What a companion that is free is to run now. */
enum core_companion fact_companion_due(const struct world *world, const struct record *record);

/* Is everything that starts by itself ready, or not to be waited for? */
bool fact_is_all_ready(const struct world *world);

/* Does a hook run, or is it about to? */
bool fact_is_busy(const struct record *hook);

uint32_t fact_workers_up(const struct world *world);
uint32_t fact_jobs_running(const struct world *world);
bool fact_has_orphans(const struct world *world);

/* Is anything there that the exit waits for? */
bool fact_is_anything_left(const struct world *world);

/* Is nothing there to be done any more, before a shutdown? */
bool fact_is_work_done(const struct world *world);

/* Has the cap of the shutdown come? */
bool fact_is_over(const struct world *world);

/* The exit status of section 5. */
struct ending fact_exit(const struct world *world);

#endif
