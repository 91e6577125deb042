/* posix.h - what the POSIX halves of the verbs share; nobody else includes it.
 *
 *   channel.c    the control pipe, and private channels
 *   shield.c     `aiorun shield`
 *   request.c    what `submit` has beside its line
 *   find.c       which supervisor's admin socket
 *   held.c       signals that are held back, and dying of one
 *   system.c     the rest
 *   libaiorun.c  the library, which stands by itself (aiorun.h)
 */
#ifndef AIORUN_CLIENT_POSIX_H
#define AIORUN_CLIENT_POSIX_H

#include "client/client.h"
#include "posix/descriptor.h"

#include <sys/signalfd.h>
#include <sys/types.h>

/* ---- channel.c ---- */

/* Sends a line with the descriptors `fds`, which stay ours. */
enum channel_result channel_send_with(struct channel *channel, const char *line, size_t length,
                                      const int *fds, size_t count);

/* ---- held.c ---- */

/* The kernel's own signal sets: glibc's hide the signals 32 and 33, which are passed on, too. */
typedef uint64_t kernel_sigset;

/* held_begin() blocks every signal, but those of job control, so that none is lost, and remembers
 * how they were. */

/* A signalfd(2) for all held signals; -1 with errno. */
int held_open(void);

/* Another for those alone that end us: INT, TERM, HUP and QUIT, if they were neither ignored nor
 * blocked when we began; -1 with errno. */
int held_open_ending(void);

/* Does what a held signal asks for: dies of it if it ends us, drops it if it might but was ignored
 * or blocked when we began, and passes every other on to our child `pid`, with its value if it has
 * one.  A SIGPIPE of our own is nobody's business. */
void held_obey(const struct signalfd_siginfo *arrived, pid_t pid);

/* Gives all signals back as they were given to us; for the child before it execs. */
void held_give_back(void);

#endif
