#include "posix/posix.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static struct {
    enum terminal_mode mode;
    int fd;          /* the controlling terminal; -1: there is none */
    bool given_away; /* the command's group has the foreground */
} terminal = {.mode = TERMINAL_NONE, .fd = -1};

bool terminal_find(void)
{
    terminal.fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC); /* ENXIO without one: tty(4) */
    return terminal.fd >= 0;
}

/* What must come before the command's own end on Ctrl-C needs the keys for itself. */
static bool needs_keys(const struct plan *plan)
{
    bool rewritten = plan->rewrite[SIGINT] != SIGINT || plan->rewrite[SIGQUIT] != SIGQUIT;
    return plan->shutdown_handler != NULL || plan->shutdown_callback != NULL || rewritten;
}

enum terminal_mode terminal_choose(const struct plan *plan)
{
    if (!terminal_find() || plan->worker.argv == NULL)
        terminal.mode = TERMINAL_NONE;
    else if (plan->worker.group)
        terminal.mode = TERMINAL_OWN;
    else
        terminal.mode = needs_keys(plan) ? TERMINAL_NONE : TERMINAL_SHARE;
    return terminal.mode;
}

enum terminal_mode terminal_mode(void)
{
    return terminal.mode;
}

void terminal_place(struct spawn *spawn)
{
    spawn->null_stdin = false;
    switch (terminal.mode) {
    case TERMINAL_SHARE:
        spawn->place = SPAWN_SHARE;
        break;
    case TERMINAL_OWN:
        spawn->place = SPAWN_GROUP;
        /* Started in the background, we have no foreground to give. */
        if (tcgetpgrp(terminal.fd) == inherited.group) {
            spawn->terminal = terminal.fd;
            terminal.given_away = true;
        }
        break;
    case TERMINAL_NONE:
        spawn->place = SPAWN_SESSION;
        spawn->null_stdin = isatty(STDIN_FILENO);
        break;
    }
}

void terminal_close(void)
{
    /* SIGTTOU is blocked: this works from the background. */
    if (terminal.given_away)
        tcsetpgrp(terminal.fd, inherited.group);
    if (terminal.fd >= 0)
        close(terminal.fd);
    terminal.fd = -1;
    terminal.given_away = false;
}
