#include "posix/posix.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

struct inherited inherited;

#define ALL_SIGNALS (~(kernel_sigset)0)

static kernel_sigset change_mask(int how, kernel_sigset set)
{
    kernel_sigset old = 0;
    /* Not sigprocmask(2): glibc's leaves out the two signals it uses between threads. */
    syscall(SYS_rt_sigprocmask, how, &set, &old, sizeof set);
    return old;
}

void signals_set_mask(kernel_sigset mask)
{
    change_mask(SIG_SETMASK, mask);
}

void platform_begin(void)
{
    inherited.mask = change_mask(SIG_BLOCK, ALL_SIGNALS);
    inherited.parent = getppid();
    inherited.pid = getpid();
    inherited.session = getsid(0);
    inherited.group = getpgrp();
    /* Ignored, it would have the kernel reap our children and drop their statuses (waitpid(2)). */
    inherited.ignores_children = signals_ignored(SIGCHLD);
    if (inherited.ignores_children)
        signal(SIGCHLD, SIG_DFL);
}

bool signals_ignored(int signal_number)
{
    struct sigaction action;
    return sigaction(signal_number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

signal_mask platform_ignored(signal_mask among)
{
    signal_mask ignored = 0;
    for (int signal = 1; signal <= PLAN_SIGNAL_MAX; signal++)
        if ((among & signal_bit(signal)) && signals_ignored(signal))
            ignored |= signal_bit(signal);
    return ignored;
}

int signals_open(void)
{
    kernel_sigset all = ALL_SIGNALS;
    return (int)syscall(SYS_signalfd4, -1, &all, sizeof all, SFD_CLOEXEC);
}

static kernel_sigset read_pending(void)
{
    kernel_sigset pending = 0;
    syscall(SYS_rt_sigpending, &pending, sizeof pending);
    return pending;
}

bool platform_stop(int signal)
{
    kernel_sigset all = ALL_SIGNALS;
    kernel_sigset open = ~signal_bit(signal);
    kill(inherited.pid, signal);
    change_mask(SIG_SETMASK, open); /* here we stop, and go on when somebody continues us */
    change_mask(SIG_SETMASK, all);
    return read_pending() & signal_bit(SIGCONT);
}

static void convert(const struct signalfd_siginfo *info, struct platform_signal *record)
{
    memset(record, 0, sizeof *record);
    record->signal = (int)info->ssi_signo;
    record->from_kernel = info->ssi_code == SI_KERNEL;
    record->queued = info->ssi_code == SI_QUEUE;
    record->value = (void *)(uintptr_t)info->ssi_ptr;
    record->sender = (long)info->ssi_pid;
}

/* Our own failed write(2) raises SIGPIPE in us alone: nobody sent it. */
static bool is_own_pipe(const struct signalfd_siginfo *info)
{
    return info->ssi_signo == SIGPIPE && info->ssi_pid == (uint32_t)inherited.pid;
}

bool signals_waiting(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, 0) == 1;
}

/* One that was asked for with F_SETSIG (fcntl(2)); or what is left of it, when too many are queued.
 */
static bool is_descriptor_ready(const struct signalfd_siginfo *info)
{
    bool asked_for = info->ssi_code >= POLL_IN && info->ssi_code <= POLL_HUP;
    return info->ssi_signo == SIGIO && (asked_for || info->ssi_code == SI_KERNEL);
}

size_t signals_read(int fd, struct platform_signal *records, struct signals_news *news)
{
    struct signalfd_siginfo info[SIGNALS_AT_A_TIME];
    size_t filled = 0;
    ssize_t length = read(fd, info, sizeof info);
    size_t count = length > 0 ? (size_t)length / sizeof info[0] : 0;
    for (size_t i = 0; i < count; i++) {
        if (info[i].ssi_signo == SIGCHLD) {
            news->child_ended = true;
            news->child = (pid_t)info[i].ssi_pid;
        } else if (is_descriptor_ready(&info[i])) {
            news->descriptor_ready = true;
        } else if (!is_own_pipe(&info[i])) {
            convert(&info[i], &records[filled++]);
        }
    }
    news->more = count == SIGNALS_AT_A_TIME && signals_waiting(fd);
    return filled;
}
