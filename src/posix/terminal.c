#include "posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static struct {
    enum plan_terminal mode;
    int fd;      /* the controlling terminal; -1: there is none, or nobody needs it */
    pid_t given; /* the group that we gave our foreground to last; 0: none */
} terminal = {.mode = TERMINAL_NONE, .fd = -1};

/* What termios(3) keys, a change of the window's size and a hangup send to the foreground group. */
const signal_mask terminal_keyboard =
    (signal_mask)1 << (SIGINT - 1) | (signal_mask)1 << (SIGQUIT - 1) |
    (signal_mask)1 << (SIGTSTP - 1) | (signal_mask)1 << (SIGTTIN - 1) |
    (signal_mask)1 << (SIGTTOU - 1) | (signal_mask)1 << (SIGWINCH - 1) |
    (signal_mask)1 << (SIGHUP - 1);

/* What must come before the command's own end on Ctrl-C needs the keys for itself. */
static bool needs_keys(const struct plan *plan)
{
    bool rewritten = plan->rewrite[SIGINT] != SIGINT || plan->rewrite[SIGQUIT] != SIGQUIT;
    return plan->shutdown_handler != NULL || plan->shutdown_callback != NULL || rewritten;
}

static enum plan_terminal choose(const struct plan *plan)
{
    if (plan->terminal != TERMINAL_AUTO)
        return plan->terminal;
    if (terminal.fd < 0 || needs_keys(plan))
        return TERMINAL_NONE;
    return plan->worker.rules->group ? TERMINAL_OWN : TERMINAL_SHARE;
}

void terminal_open(const struct plan *plan)
{
    if (plan->worker.argv == NULL)
        return;
    if (plan->terminal == TERMINAL_AUTO || plan->terminal == TERMINAL_OWN)
        terminal.fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC); /* ENXIO without: tty(4) */
    terminal.mode = choose(plan);
    if (terminal.mode != TERMINAL_OWN && terminal.fd >= 0) {
        close(terminal.fd);
        terminal.fd = -1;
    }
}

bool platform_shares(const struct platform_signal *arrived)
{
    /* A hangup is sent to the session's leader alone; to the group only when the leader is gone. */
    bool to_group = arrived->signal != SIGHUP || inherited.session != inherited.pid;
    return !start_missed(arrived->signal) && arrived->from_kernel &&
           (terminal_keyboard & signal_bit(arrived->signal)) && to_group &&
           terminal.mode == TERMINAL_SHARE;
}

bool platform_yields_keys(void)
{
    return terminal.mode == TERMINAL_OWN;
}

/* Started in the background, we have no foreground to give. */
static bool has_foreground(void)
{
    return terminal.fd >= 0 && tcgetpgrp(terminal.fd) == inherited.group;
}

/* Has the group that we gave the foreground to still got it, or one of which nobody is left, as
 * when a shell with jobs of its own was killed?  Any other belongs to a job that the shell has put
 * there since, or to the shell: that it was ours once, before a Ctrl-Z and a `bg`, gives no right
 * to it. */
static bool has_given(void)
{
    pid_t group = terminal.given != 0 ? tcgetpgrp(terminal.fd) : 0;
    return group > 0 && (group == terminal.given || (kill(-group, 0) < 0 && errno == ESRCH));
}

void terminal_place(struct spawn *spawn)
{
    spawn->null_stdin = false;
    switch (terminal.mode) {
    case TERMINAL_AUTO:
    case TERMINAL_SHARE:
        spawn->place = SPAWN_SHARE;
        break;
    case TERMINAL_OWN:
        spawn->place = SPAWN_GROUP;
        if (has_foreground() || has_given())
            spawn->terminal = terminal.fd;
        break;
    case TERMINAL_NONE:
        spawn->place = SPAWN_SESSION;
        spawn->null_stdin = isatty(STDIN_FILENO);
        break;
    }
}

void terminal_started(const struct spawn *spawn, pid_t pid)
{
    if (spawn->terminal >= 0)
        terminal.given = pid;
}

bool terminal_hand_over(pid_t pid)
{
    pid_t group = getpgid(pid);
    if (terminal.mode == TERMINAL_NONE || group < 0 || group == inherited.group)
        return false;
    /* SIGTTOU is blocked: this works from the background too. */
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    bool handed = fd >= 0 && tcgetpgrp(fd) == inherited.group && tcsetpgrp(fd, group) == 0;
    if (fd >= 0)
        close(fd);
    /* A command that shares our group, and went to one of its own, gives it back by itself. */
    if (handed && terminal.mode == TERMINAL_OWN)
        terminal.given = group;
    return handed;
}

void terminal_take_back(void)
{
    if (has_given())
        tcsetpgrp(terminal.fd, inherited.group);
    terminal.given = 0;
}

void terminal_close(void)
{
    terminal_take_back();
    if (terminal.fd >= 0)
        close(terminal.fd);
    terminal.fd = -1;
}
