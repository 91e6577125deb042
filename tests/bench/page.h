/* page.h - the page that a victim and its observer share, and what both sides need around it.
 *
 * Stamps go through memory, not through pipes: some supervisors close every descriptor that they do
 * not know.  BENCH_PAGE in the environment names a file of one page; /proc/PID/fd/N will do. */
#ifndef BENCH_PAGE_H
#define BENCH_PAGE_H

#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE_SIZE 4096

struct page {
    _Atomic uint32_t starts;   /* how often the victim has started; a futex */
    _Atomic uint32_t signals;  /* SIGUSR1 it has handled; a futex */
    _Atomic int32_t pid;       /* the victim now */
    _Atomic int32_t status;    /* what it is to exit with on SIGUSR2 */
    _Atomic int64_t started;   /* nanoseconds: first line of main() */
    _Atomic int64_t signalled; /* first line of the handler */
    _Atomic int64_t ended;     /* its last act */
};

static inline int64_t clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline struct page *page_map(int fd)
{
    void *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return page == MAP_FAILED ? NULL : page;
}

/* Counts up, and wakes whoever waits for it. */
static inline void page_tell(_Atomic uint32_t *count)
{
    atomic_fetch_add(count, 1);
    syscall(SYS_futex, count, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Waits until *count is no longer `seen`; 0, or -1 after ten seconds. */
static inline int page_await(_Atomic uint32_t *count, uint32_t seen)
{
    const struct timespec patience = {.tv_sec = 10};
    int64_t deadline = clock_now() + 10 * (int64_t)1000000000;
    while (atomic_load(count) == seen) {
        if (clock_now() > deadline)
            return -1;
        syscall(SYS_futex, count, FUTEX_WAIT, seen, &patience, NULL, 0);
    }
    return 0;
}

#endif
