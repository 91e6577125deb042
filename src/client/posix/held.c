#include "client/posix/posix.h"
#include "core/policy.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIGNAL_COUNT 64
#define ALL_SIGNALS  (~(kernel_sigset)0)

static struct {
    kernel_sigset mask, ignored;
} given;

static kernel_sigset bit(int signal_number)
{
    return (kernel_sigset)1 << (signal_number - 1);
}

static kernel_sigset change_mask(int how, kernel_sigset set)
{
    kernel_sigset old = 0;
    syscall(SYS_rt_sigprocmask, how, &set, &old, sizeof set);
    return old;
}

/* These act on us as on any process. */
static kernel_sigset job_control(void)
{
    return bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU) | bit(SIGCONT);
}

void held_begin(void)
{
    given.mask = change_mask(SIG_BLOCK, ALL_SIGNALS & ~job_control());
    for (int number = 1; number <= SIGNAL_COUNT; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            given.ignored |= bit(number);
    }
    /* Ignored, it would have the kernel reap our child and drop its status (waitpid(2)). */
    if (given.ignored & bit(SIGCHLD))
        signal(SIGCHLD, SIG_DFL);
}

/* With its value if it has one. */
static void pass_on(const struct signalfd_siginfo *arrived, pid_t pid)
{
    int number = (int)arrived->ssi_signo;
    siginfo_t info = {.si_signo = number, .si_code = SI_QUEUE};
    if (number == SIGPIPE && arrived->ssi_pid == (uint32_t)getpid())
        return; /* our own failed write */
    if (arrived->ssi_code != SI_QUEUE) {
        kill(pid, number);
        return;
    }
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = (void *)(uintptr_t)arrived->ssi_ptr;
    syscall(SYS_rt_sigqueueinfo, pid, number, &info);
}

/* Those that are the caller's, and not the job's. */
static kernel_sigset of_caller(void)
{
    return bit(SIGINT) | bit(SIGTERM) | bit(SIGHUP) | bit(SIGQUIT);
}

/* Those of them that end us. */
static kernel_sigset ending(void)
{
    return of_caller() & ~given.ignored & ~given.mask;
}

void held_obey(const struct signalfd_siginfo *arrived, pid_t pid)
{
    int number = (int)arrived->ssi_signo;
    if (bit(number) & ending())
        die_of(number);
    if (!(bit(number) & of_caller()))
        pass_on(arrived, pid);
}

static int open_for(kernel_sigset set)
{
    return descriptor_keep_away(
        (int)syscall(SYS_signalfd4, -1, &set, sizeof set, SFD_CLOEXEC | SFD_NONBLOCK));
}

int held_open(void)
{
    return open_for(ALL_SIGNALS & ~job_control());
}

int held_open_ending(void)
{
    return open_for(ending());
}

void held_give_back(void)
{
    if (given.ignored & bit(SIGCHLD))
        signal(SIGCHLD, SIG_IGN);
    change_mask(SIG_SETMASK, given.mask);
}

_Noreturn void die_of(int signal_number)
{
    /* One core file is enough: the command has written it. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (signal_number <= SIGNAL_COUNT) {
        signal(signal_number, SIG_DFL);
        kill(getpid(), signal_number);
        change_mask(SIG_UNBLOCK, bit(signal_number));
    }
    _exit(STATUS_SIGNAL_BASE + signal_number);
}
