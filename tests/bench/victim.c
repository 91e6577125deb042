/* victim.c - the command that is supervised while something is measured.
 *
 * It sleeps until a signal tells it otherwise, and stamps the shared page, where BENCH_PAGE names
 * one.  USR1: handled.  USR2: ends with the page's status.  TERM: ends with 0.  With the argument
 * `again` it ends at once, with 1; any other says nothing to it: s6 gives a service one. */
#include "page.h"
#include "raw.h"

#include <asm/fcntl.h>
#include <linux/futex.h>
#include <linux/mman.h>
#include <linux/signal.h>
#include <linux/time_types.h>
#include <stddef.h>

static struct page *page;

static int64_t clock_now(void)
{
    struct __kernel_timespec now;
    call(__NR_clock_gettime, 1 /* CLOCK_MONOTONIC */, (long)&now, 0, 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void tell(_Atomic uint32_t *count)
{
    atomic_fetch_add(count, 1);
    call(__NR_futex, (long)count, FUTEX_WAKE, 1, 0);
}

static void on_signal(int signal)
{
    int64_t now = clock_now();
    if (signal == SIGUSR1 && page != NULL) {
        page->signalled = now;
        tell(&page->signals);
    } else if (signal == SIGUSR2 || signal == SIGTERM) {
        int status = signal == SIGUSR2 && page != NULL ? page->status : 0;
        if (page != NULL)
            page->ended = clock_now();
        leave(status);
    }
}

/* x86-64 has no way back from a handler but the one that it is given (sigreturn(2)). */
void come_back(void);
__asm__("come_back: mov $15, %eax\n"
        "           syscall\n");

static void handle(int signal)
{
    const struct sigaction action = {
        .sa_handler = on_signal, .sa_flags = SA_RESTORER, .sa_restorer = come_back};
    call(__NR_rt_sigaction, signal, (long)&action, 0, sizeof action.sa_mask);
}

static const char *find_page(char **environment)
{
    static const char name[] = "BENCH_PAGE=";
    for (; *environment != NULL; environment++) {
        size_t length = 0;
        while (name[length] != '\0' && (*environment)[length] == name[length])
            length++;
        if (name[length] == '\0')
            return *environment + length;
    }
    return NULL;
}

static struct page *map_page(const char *path)
{
    register long descriptor __asm__("r8") = call(__NR_open, (long)path, O_RDWR, 0, 0);
    register long offset __asm__("r9") = 0;
    long result;
    register long flags __asm__("r10") = MAP_SHARED;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(__NR_mmap), "D"(0L), "S"((long)PAGE_SIZE),
                       "d"((long)(PROT_READ | PROT_WRITE)), "r"(flags), "r"(descriptor), "r"(offset)
                     : "rcx", "r11", "memory");
    if (result < 0 && result > -4096)
        leave(111);
    return (struct page *)result;
}

static int is_again(const char *word)
{
    static const char again[] = "again";
    size_t length = 0;
    while (length < sizeof again && word[length] == again[length])
        length++;
    return length == sizeof again;
}

_Noreturn void begin(long *stack)
{
    int64_t now = clock_now();
    const char *path = find_page((char **)(stack + stack[0] + 2));

    if (path != NULL)
        page = map_page(path);
    handle(SIGUSR1);
    handle(SIGUSR2);
    handle(SIGTERM);
    if (page != NULL) {
        page->started = now;
        page->pid = (int32_t)call(__NR_getpid, 0, 0, 0, 0);
        tell(&page->starts);
    }
    if (stack[0] > 1 && is_again((const char *)stack[2]))
        leave(1);
    for (;;)
        call(__NR_pause, 0, 0, 0, 0);
}
