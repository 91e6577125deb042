#include "plan/signals.h"
#include "report/log.h"
#include "supervisor/supervisor.h"
#include "win32/win32.h"

/* A console event reaches all processes of the console, or of a process group there: our command
 * too, unless it has a group of its own.  Windows starts a thread of ours for each. */

/* HandlerRoutine's documentation: five seconds after these events (the defaults of
 * HungAppTimeout and WaitToKillAppTimeout) a process is ended, and one that returns from its
 * handler at once.  We keep a second of them for what is left to write. */
#define TIME_GRANTED (4 * SECOND)

struct event {
    struct win_operation operation;
    int signal;
    bool is_last; /* we are ended after it */
};

static void on_event(struct win_operation *operation, DWORD bytes, DWORD error);

static struct event events[] = {
    [CTRL_C_EVENT] = {{.done = on_event}, SIGINT, false},
    [CTRL_BREAK_EVENT] = {{.done = on_event}, SIGBREAK, false},
    [CTRL_CLOSE_EVENT] = {{.done = on_event}, SIGHUP, true},
    [CTRL_LOGOFF_EVENT] = {{.done = on_event}, SIGTERM, true},
    [CTRL_SHUTDOWN_EVENT] = {{.done = on_event}, SIGTERM, true},
};

#define EVENTS (sizeof events / sizeof events[0])

static int last_signal = SIGINT;
static unsigned count;

static void on_event(struct win_operation *operation, DWORD bytes, DWORD error)
{
    const struct event *event = CONTAINING_RECORD(operation, struct event, operation);
    struct platform_signal arrived = {
        .signal = event->signal, .from_kernel = true, .to_group = true};
    (void)bytes, (void)error;
    last_signal = event->signal;
    count++;
    if (event->is_last)
        supervisor_limit(loop_supervisor(), msec_add(platform_now(), TIME_GRANTED));
    supervisor_signal(loop_supervisor(), &arrived);
}

/* A service is told when any user logs off (HandlerRoutine's documentation), which is no reason for
 * it to end.  Services are in session 0. */
static bool concerns_us(DWORD type)
{
    DWORD session = 0;
    return type != CTRL_LOGOFF_EVENT ||
           (ProcessIdToSessionId(GetCurrentProcessId(), &session) && session != 0);
}

static BOOL WINAPI take_event(DWORD type)
{
    if (type >= EVENTS || events[type].signal == 0)
        return FALSE;
    if (!concerns_us(type))
        return TRUE;
    win_loop_post(&events[type].operation);
    /* To return would be our end: it comes sooner only if we leave by ourselves. */
    if (events[type].is_last)
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

unsigned console_count(void)
{
    return count;
}

bool platform_shares(const struct platform_signal *arrived)
{
    return arrived->from_kernel && start_shares_console();
}

/* Only who is on the same console can send it: where we have none, we visit that of the group
 * (CREATE_NO_WINDOW has given it one). */
bool console_break(DWORD group)
{
    if (console_is_there())
        return GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, group);
    if (!AttachConsole(group))
        return false;
    bool sent = GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, group);
    DWORD error = GetLastError();
    FreeConsole();
    SetLastError(error);
    return sent;
}
