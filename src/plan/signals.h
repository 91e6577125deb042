/* signals.h - which signals there are, and their numbers.
 *
 * POSIX systems have theirs in <signal.h>.  Windows has none: a console event stands for INT (a
 * Ctrl-C), for BREAK (a Ctrl-Break) or for HUP (the console is closed), and TERM and KILL are what
 * we ask for.  They have Linux's numbers there, and BREAK that of Microsoft's C library, so that a
 * status or a report means the same everywhere; what that library calls signals besides is of no
 * use between processes.
 */
#ifndef AIORUN_SIGNALS_H
#define AIORUN_SIGNALS_H

#include <signal.h>

#ifdef SIGKILL
#define SHUTDOWN_SIGNALS "INT TERM"
#else
#undef SIGILL
#undef SIGABRT
#undef SIGFPE
#undef SIGSEGV
#define SIGHUP           1
#define SIGKILL          9
#define SHUTDOWN_SIGNALS "INT TERM HUP BREAK"
#endif

#endif
