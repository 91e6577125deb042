/* config.h - a config file into a plan, through the option table.
 *
 *     cli_parse(&plan, argv, environ, &faults);
 *     config_load(&plan, &faults);
 *     check_plan(&plan, &faults);
 *
 * [aiorun] holds the options of the supervisor, each [worker:NAME] those of a worker, under their
 * long names; the attributes `env.NAME` and `limit.RESOURCE` are `--env NAME=` and
 * `--limit-RESOURCE` there.  The command line and the environment win over the file: what they say
 * of a worker's option holds for all workers.
 *
 * A reload is the same three lines for a second plan.
 */
#ifndef AIORUN_CONFIG_H
#define AIORUN_CONFIG_H

#include "plan/fault.h"
#include "plan/plan.h"

/* Reads the file that cli_parse() found in the arguments, if any, into `plan`: its defaults become
 * those of a fleet, and `fleet` holds the workers in the order of the file.  Adds a fault for
 * everything that is wrong, and goes on. */
void config_load(struct plan *plan, struct faults *faults);

/* The same of a text that is in memory; `plan->config` says what to call it.  `text`, from
 * malloc(), has a byte of room behind its `size` bytes, and is the plan's from now on. */
void config_parse(struct plan *plan, char *text, size_t size, struct faults *faults);

#endif
