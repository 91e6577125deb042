/* check_fleet.h - what the workers of a file are to each other: who waits for whom, who listens
 * where. */
#ifndef AIORUN_CHECK_FLEET_H
#define AIORUN_CHECK_FLEET_H

#include "plan/fault.h"
#include "plan/plan.h"

/* Adds a fault for every name that is no worker's, every circle of workers that wait for each
 * other, and every address that is listened at twice.  Finds out which waves the workers start in,
 * and sorts `plan->fleet` by them; workers of a wave stay in the order of the file. */
void check_fleet(struct plan *plan, struct faults *faults);

#endif
