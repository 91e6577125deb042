#include "plan/signals.h"
#include "supervisor.h"
#include "win32/win32.h"

/* A console event reaches all processes of the console, or of a process group there: our command
 * too, unless it has a group of its own.  Windows starts a thread for each. */

struct event {
    struct win_operation operation;
    int signal;
};

static void on_event(struct win_operation *operation, DWORD bytes, DWORD error);

static struct event events[] = {
    [CTRL_C_EVENT] = {{.done = on_event}, SIGINT},
    [CTRL_BREAK_EVENT] = {{.done = on_event}, SIGBREAK},
    [CTRL_CLOSE_EVENT] = {{.done = on_event}, SIGHUP},
    [CTRL_LOGOFF_EVENT] = {{.done = on_event}, SIGTERM},
    [CTRL_SHUTDOWN_EVENT] = {{.done = on_event}, SIGTERM},
};

#define EVENTS (sizeof events / sizeof events[0])

static int last_signal = SIGINT;

static void on_event(struct win_operation *operation, DWORD bytes, DWORD error)
{
    const struct event *event = (const struct event *)operation;
    struct platform_signal arrived = {
        .signal = event->signal, .from_kernel = true, .to_group = true};
    (void)bytes, (void)error;
    last_signal = event->signal;
    supervisor_signal(loop_supervisor(), &arrived);
}

static BOOL WINAPI take_event(DWORD type)
{
    if (type >= EVENTS || events[type].signal == 0)
        return FALSE;
    win_loop_post(&events[type].operation);
    /* Once we return from one of the others, we are ended: our end is to come before that. */
    if (type != CTRL_C_EVENT && type != CTRL_BREAK_EVENT)
        Sleep(INFINITE);
    return TRUE;
}

void console_begin(void)
{
    SetConsoleCtrlHandler(take_event, TRUE);
}

signal_mask console_keys(void)
{
    return signal_bit(SIGINT);
}

bool console_is_there(void)
{
    return GetConsoleCP() != 0;
}

int console_last(void)
{
    return last_signal;
}

bool platform_shares(const struct platform_signal *arrived)
{
    return arrived->from_kernel && start_shares_console();
}

bool console_break(DWORD group)
{
    return GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, group);
}
