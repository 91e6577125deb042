/* fleet_bare.c - the least code that starts many, ends them all on TERM, and reaps them: the limit
 * that a supervisor of fleets is compared with.  Each has a session of its own, as below every
 * supervisor: where the kernel schedules by session (sched(7), autogroup), a thousand of them take
 * five times as long as a thousand in one, whoever starts them.
 *
 *     fleet_bare COUNT COMMAND          COMMAND must be a path
 *     fleet_bare COUNT COMMAND ARG      beside them one more, with the argument, which is started
 *                                       again whenever it ends */
#include "raw.h"

#include <linux/signal.h>
#include <linux/wait.h>
#include <stddef.h>

#define FLEET_MAX 32768

static int pids[FLEET_MAX];

/* vfork(2) returns twice on one stack: both times in here, since call() is inlined. */
static int start(char **argv, char **environment, unsigned long mask)
{
    long pid = call(__NR_vfork, 0, 0, 0, 0);
    if (pid != 0)
        return (int)pid;
    call(__NR_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, sizeof mask);
    call(__NR_setsid, 0, 0, 0, 0);
    call(__NR_execve, (long)argv[0], (long)argv, (long)environment, 0);
    leave(127);
}

static long number(const char *text)
{
    long value = 0;
    while (*text >= '0' && *text <= '9')
        value = 10 * value + (*text++ - '0');
    return value < FLEET_MAX ? value : FLEET_MAX;
}

_Noreturn void begin(long *stack)
{
    char **argv = (char **)(stack + 1);
    char **environment = argv + stack[0] + 1;
    unsigned long wanted = 1ul << (SIGTERM - 1) | 1ul << (SIGCHLD - 1), mask;
    char *quiet[] = {argv[2], NULL};

    if (stack[0] < 3)
        leave(2);
    long count = number(argv[1]);
    call(__NR_rt_sigprocmask, SIG_BLOCK, (long)&wanted, (long)&mask, sizeof mask);
    for (long i = 0; i < count; i++)
        pids[i] = start(quiet, environment, mask);
    if (stack[0] > 3)
        start(argv + 2, environment, mask);
    while (call(__NR_rt_sigtimedwait, (long)&wanted, 0, 0, sizeof wanted) != SIGTERM)
        while (call(__NR_wait4, -1, 0, WNOHANG, 0) > 0)
            start(argv + 2, environment, mask);
    for (long i = 0; i < count; i++)
        call(__NR_kill, pids[i], SIGTERM, 0, 0);
    while (call(__NR_wait4, -1, 0, 0, 0) > 0)
        ;
    leave(0);
}
