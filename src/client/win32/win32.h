/* win32.h - what the Windows halves of the verbs share; nobody else includes it.
 *
 *   channel.c    the control pipe, and the channels to it
 *   shield.c     `aiorun shield`
 *   request.c    what `submit` and `shield` have beside their line
 *   find.c       which supervisor's admin pipe
 *   system.c     the rest
 *   libaiorun.c  the library, which stands by itself (aiorun.h)
 */
#ifndef AIORUN_CLIENT_WINDOWS_H
#define AIORUN_CLIENT_WINDOWS_H

#include "client/client.h"
#include "win32/words.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

/* Connects to the pipe; waits while others are being taken, but not for ever.  -1 with
 * GetLastError(). */
intptr_t channel_connect(const wchar_t *name);

/* Likewise request_prepare(), where a console as standard input becomes nothing. */
bool request_prepare_apart(const struct arguments *arguments);

#endif
