/* logger.h - `output = pipe:CMD`: its command becomes a worker too.
 *
 * The logger of worker `web` is the worker `web.log`: started before it, started again whenever it
 * ends, and stopped after it, by the end of its input instead of a signal.  One logger serves all
 * instances.
 */
#ifndef AIORUN_LOGGER_H
#define AIORUN_LOGGER_H

#include "plan/fault.h"
#include "plan/plan.h"

/* Adds the loggers to `plan->fleet`, behind its workers, and sets `logger` of those that have one.
 * Adds a fault for a worker whose name leaves no room for its logger's.  False without memory. */
bool logger_add_all(struct plan *plan, struct faults *faults);

#endif
