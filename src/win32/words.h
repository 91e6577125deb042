/* words.h - what the verbs know of this folder, too: text on its way to Windows and back, and exit
 * codes.
 */
#ifndef AIORUN_WINDOWS_WORDS_H
#define AIORUN_WINDOWS_WORDS_H

#include <stddef.h>
#include <wchar.h>

/* The exit code of a process that a console event has ended: what Windows gives it (NTSTATUS). */
#define CODE_CONTROL_EVENT 0xC000013A
/* The exit code of those that we end: what a shell makes of SIGKILL. */
#define CODE_KILLED 137

/* ---- loop.c ---- */

/* What the error is in words, without the full stop; good until the next call. */
const char *win_error(unsigned long error);

/* ---- main.c ---- */

/* Between UTF-8 and UTF-16.  Memory from platform_allocate(); NULL without memory. */
wchar_t *wide_from(const char *text);
char *narrow_from(const wchar_t *text);

/* ---- quote.c ---- */

/* Writes the command line that CommandLineToArgvW() and Microsoft's C library take apart into
 * `argv` again; at most `size` bytes and a NUL always.  Returns how long it is.  The first argument
 * cannot hold a quotation mark: it is left out. */
size_t quote_join(char *line, size_t size, char *const *argv);

/* Takes a command line apart, in place: argv (room for `max` and a NULL) points into it.  Returns
 * how many arguments there are. */
size_t quote_split(char *line, char **argv, size_t max);

/* The most arguments that a line of `length` bytes can have. */
#define QUOTE_ARGUMENTS_MAX(length) ((length) / 2 + 2)

#endif
