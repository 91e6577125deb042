/* c11.h - what C11 has and the C library of Windows lacks; included before every file.  See c11.c.
 */
#ifndef AIORUN_C11_H
#define AIORUN_C11_H

#include <time.h>

/* Formats are C11's, as __USE_MINGW_ANSI_STDIO has it: GCC would check those of functions of ours
 * by what Microsoft's library knows. */
#define __printf__ __gnu_printf__

#ifndef TIME_UTC
#define TIME_UTC 1

/* ISO C11 7.27.2.5: the time since 1970. */
int timespec_get(struct timespec *now, int base);
#endif

#endif
