#include "win32/c11.h"

#include "win32/win32.h"

#define TICKS_A_SECOND 10000000             /* of FILETIME */
#define SECONDS_1601   INT64_C(11644473600) /* from its beginning to 1970 */

int timespec_get(struct timespec *now, int base)
{
    FILETIME time;
    ULARGE_INTEGER ticks;
    if (base != TIME_UTC)
        return 0;
    GetSystemTimePreciseAsFileTime(&time);
    ticks.LowPart = time.dwLowDateTime;
    ticks.HighPart = time.dwHighDateTime;
    now->tv_sec = (time_t)((int64_t)(ticks.QuadPart / TICKS_A_SECOND) - SECONDS_1601);
    now->tv_nsec = (long)(ticks.QuadPart % TICKS_A_SECOND) * 100;
    return base;
}
