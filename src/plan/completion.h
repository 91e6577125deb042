/* completion.h - what a shell needs to complete our command lines: `aiorun completion SHELL`.
 *
 *     if (completion_shell(word, &shell)) length = completion_write(shell, buffer, size);
 *
 * Made from the option table and the verb table alone.  The names of workers are asked for when
 * they are needed: `aiorun status --names`.
 */
#ifndef AIORUN_COMPLETION_H
#define AIORUN_COMPLETION_H

#include "plan/plan.h"

/* The shell called `name`; false when there are no completions for it. */
bool completion_shell(const char *name, enum plan_shell *shell);

/* Writes the shell's script as snprintf(3) does, and returns the length that it has. */
size_t completion_write(enum plan_shell shell, char *buffer, size_t size);

#endif
