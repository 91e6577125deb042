/* check.h - all faults of a plan that no single option shows: contradictions. */
#ifndef AIORUN_CHECK_H
#define AIORUN_CHECK_H

#include "plan/fault.h"
#include "plan/plan.h"

/* Adds a fault for every contradiction in `plan`, makes the ladder of --stop-signal and
 * --stop-timeout where --stop was not given, and fills in `plan->workers`. */
void check_plan(struct plan *plan, struct faults *faults);

#endif
