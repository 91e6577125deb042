/* bare.c - the least code that starts a command, passes signals on, reaps, and tells its status:
 * the limit to compare with.
 *
 *     bare COMMAND [ARG...]       bare -r COMMAND [ARG...]: starts it again whenever it ends
 *     bare                        exits with 0: the shortest command there can be
 *
 * COMMAND must be a path. */
#include "raw.h"

#include <linux/signal.h>
#include <linux/wait.h>

#define EVERY_SIGNAL (~0ul)

/* vfork(2) returns twice on one stack: both times in here, since call() is inlined. */
static long start(char **argv, char **environment, unsigned long mask)
{
    long pid = call(__NR_vfork, 0, 0, 0, 0);
    if (pid != 0)
        return pid;
    call(__NR_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, sizeof mask);
    call(__NR_execve, (long)argv[0], (long)argv, (long)environment, 0);
    leave(127);
}

/* Reaps until nobody is left to be reaped; true when `command` was among them. */
static int reap(long command, int *status)
{
    int found = 0, one;
    long pid;
    while ((pid = call(__NR_wait4, -1, (long)&one, WNOHANG, 0)) > 0) {
        if (pid == command) {
            *status = one;
            found = 1;
        }
    }
    return found;
}

_Noreturn void begin(long *stack)
{
    char **argv = (char **)(stack + 1);
    char **environment = argv + stack[0] + 1;
    unsigned long all = EVERY_SIGNAL, mask;
    int again = stack[0] > 1 && argv[1][0] == '-', status = 0;
    siginfo_t info;

    if (stack[0] < 2)
        leave(0);
    argv += 1 + again;
    call(__NR_rt_sigprocmask, SIG_BLOCK, (long)&all, (long)&mask, sizeof mask);
    long command = start(argv, environment, mask);
    for (;;) {
        long signal = call(__NR_rt_sigtimedwait, (long)&all, (long)&info, 0, sizeof all);
        if (signal == SIGTERM)
            again = 0;
        if (signal == SIGCHLD && reap(command, &status)) {
            if (!again)
                leave((status & 0x7f) != 0 ? 128 + (status & 0x7f) : status >> 8 & 0xff);
            command = start(argv, environment, mask);
        } else if (signal > 0 && signal != SIGCHLD) {
            call(__NR_kill, command, signal, 0, 0);
        }
    }
}
