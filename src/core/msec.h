/* msec.h - time as the whole program counts it.
 *
 * Milliseconds on a monotonic clock, or a span of them.  A clock jump changes
 * nothing, and no arithmetic overflows: NEVER plus anything is NEVER.
 */
#ifndef AIORUN_MSEC_H
#define AIORUN_MSEC_H

#include <stdint.h>

typedef int64_t msec;

#define NEVER  INT64_MAX
#define SECOND ((msec)1000)

/* `when` plus `span`; NEVER when either is, or when the sum does not fit.
 * Both must be >= 0. */
static inline msec msec_add(msec when, msec span)
{
    return when > NEVER - span ? NEVER : when + span;
}

/* `when` minus `span`, which must be finite; NEVER stays NEVER. */
static inline msec msec_before(msec when, msec span)
{
    return when == NEVER ? NEVER : when - span;
}

static inline msec msec_min(msec a, msec b)
{
    return a < b ? a : b;
}

static inline msec msec_max(msec a, msec b)
{
    return a > b ? a : b;
}

#endif
