/* check.h - all faults of a plan that no single option shows: contradictions. */
#ifndef AIORUN_CHECK_H
#define AIORUN_CHECK_H

#include "plan/fault.h"
#include "plan/plan.h"

/* Adds a fault for every contradiction in `plan`, and makes the ladder of --stop-signal and
 * --stop-timeout where --stop was not given. */
void check_plan(struct plan *plan, struct faults *faults);

#endif
