#include "posix/posix.h"

#include <signal.h>
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

/* Who sent it is told where a process did; a timer's number stands in the same place. */
static struct platform_signal convert(const siginfo_t *info)
{
    bool by_process = info->si_code <= 0 && info->si_code != SI_TIMER;
    return (struct platform_signal){
        .signal = info->si_signo,
        .from_kernel = info->si_code == SI_KERNEL,
        .queued = info->si_code == SI_QUEUE,
        .value = info->si_code == SI_QUEUE ? info->si_value.sival_ptr : NULL,
        .sender = by_process ? info->si_pid : 0,
    };
}

/* Our own failed write(2) raises SIGPIPE in us alone: nobody sent it. */
static bool is_own_pipe(const siginfo_t *info)
{
    return info->si_signo == SIGPIPE && info->si_code <= 0 && info->si_pid == inherited.pid;
}

/* One that was asked for with F_SETSIG (fcntl(2)); or what is left of it, when too many are queued.
 */
static bool was_asked_for(const siginfo_t *info)
{
    bool of_descriptor = info->si_code >= POLL_IN && info->si_code <= POLL_HUP;
    return info->si_signo == SIGIO && (of_descriptor || info->si_code == SI_KERNEL);
}

bool signals_take(bool wait, struct platform_signal *record, struct signals_news *news)
{
    static const struct timespec at_once;
    const kernel_sigset all = ALL_SIGNALS;
    siginfo_t info;
    record->signal = 0;
    /* Not sigwaitinfo(2): see change_mask(). */
    if (syscall(SYS_rt_sigtimedwait, &all, &info, wait ? NULL : &at_once, sizeof all) < 0)
        return false;
    /* The kernel keeps one of a signal that is no real-time signal, the first (signal(7)): one that
     * somebody has sent may hide that a descriptor is ready. */
    news->descriptor_ready = info.si_signo == SIGIO;
    if (info.si_signo == SIGCHLD) {
        news->child_ended = true;
        news->child = info.si_pid;
    } else if (!was_asked_for(&info) && !is_own_pipe(&info)) {
        *record = convert(&info);
    }
    return true;
}
