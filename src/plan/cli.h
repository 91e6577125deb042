/* cli.h - the command line and AIORUN_OPT_* into a plan, through the option table.
 *
 * The command line wins over the environment, and that over the defaults.  GNU style: `--name
 * value`, `--name=value`, unambiguous prefixes are NOT accepted (a script must
 * not change its meaning when an option is added), `-p SIG`, `-pSIG`, `-vvg`.
 */
#ifndef AIORUN_CLI_H
#define AIORUN_CLI_H

#include "plan/fault.h"
#include "plan/plan.h"

/* An AIORUN_OPT_* that an option of the command line overrides or contradicts is not looked at.
 * Started as tini, dumb-init or catatonit, the timeout is infinite by default and the command needs
 * no `--`, as their users expect.
 *
 * Reads `argv` (ends in NULL; argv[0] is our name) and `environment` into `plan`, which
 * plan_init() made.  Adds a fault for everything that is wrong.  A command's argv is kept as a
 * pointer into `argv`. */
void cli_parse(struct plan *plan, char **argv, char **environment, struct faults *faults);

/* Is the environment entry NAME=VALUE one of AIORUN_OPT_*, which children do not get? */
bool cli_is_own_variable(const char *entry);

/* Writers for the modes that only print.  They fill `buffer` as snprintf does and return the
 * length the whole text has.
 *
 * cli_list_options: a line for each option, tabs between name, letter, scope (cli, supervisor,
 * worker), type, argument, default, help, key of the file, default with a file, and place (cli,
 * both, file); `-` where there is none.  The type `toggle` is a switch with a --no-NAME beside it.
 *
 * cli_print_config: the checked plan in the syntax of a file, which is read back as the same plan.
 */
size_t cli_help(char *buffer, size_t size);
size_t cli_verb_help(const struct verb *verb, char *buffer, size_t size);
size_t cli_list_options(char *buffer, size_t size);
size_t cli_print_config(const struct plan *plan, char *buffer, size_t size);

#endif
