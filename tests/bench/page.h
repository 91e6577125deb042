/* page.h - the page of memory that a victim and its observer share.
 *
 * Stamps go through memory, not through pipes: some supervisors close every descriptor that they
 * do not know.  BENCH_PAGE in the environment names a file of one page; /proc/PID/fd/N will do. */
#ifndef BENCH_PAGE_H
#define BENCH_PAGE_H

#include <stdatomic.h>
#include <stdint.h>

#define PAGE_SIZE 4096

struct page {
    _Atomic uint32_t starts;   /* how often the victim has started; a futex */
    _Atomic uint32_t signals;  /* SIGUSR1 it has handled; a futex */
    _Atomic int32_t pid;       /* the victim now */
    _Atomic int32_t status;    /* what it is to exit with on SIGUSR2 */
    _Atomic int64_t started;   /* CLOCK_MONOTONIC in nanoseconds: its first act */
    _Atomic int64_t signalled; /* its handler's first act */
    _Atomic int64_t ended;     /* its last act */
};

#endif
