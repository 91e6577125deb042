#include "plan/signals.h"
#include "win32/win32.h"

#include <string.h>

/* Standard error may be a pipe that nobody reads, or a console that stands still while somebody
 * marks text in it, and Windows has no write that does not wait.  So another thread writes; it is
 * given a moment for each line, so that what we say and what the command says stay in their order.
 * Where it is held up it gets none until it has caught up, and once too much waits for it, lines
 * are lost. */

#define ROOM        65536
#define MOMENT      50   /* ms */
#define TIME_AT_END 1000 /* ms */

static struct {
    SRWLOCK lock;
    CONDITION_VARIABLE filled, emptied;
    HANDLE thread;
    bool held_up; /* it did not finish a line in its moment */
    size_t length;
    char bytes[ROOM];
} waiting = {
    .lock = SRWLOCK_INIT, .filled = CONDITION_VARIABLE_INIT, .emptied = CONDITION_VARIABLE_INIT};

/* A console takes UTF-16, whatever its code page is. */
static void write_bytes(HANDLE file, const char *bytes, DWORD length)
{
    static wchar_t wide[ROOM];
    DWORD mode, done;
    if (!GetConsoleMode(file, &mode)) {
        WriteFile(file, bytes, length, &done, NULL);
        return;
    }
    int count = MultiByteToWideChar(CP_UTF8, 0, bytes, (int)length, wide, ROOM);
    WriteConsoleW(file, wide, (DWORD)count, &done, NULL);
}

static DWORD WINAPI write_lines(void *context)
{
    static char taken[ROOM];
    HANDLE file = GetStdHandle(STD_ERROR_HANDLE);
    (void)context;
    AcquireSRWLockExclusive(&waiting.lock);
    for (;;) {
        while (waiting.length == 0)
            SleepConditionVariableSRW(&waiting.filled, &waiting.lock, INFINITE, 0);
        DWORD length = (DWORD)waiting.length;
        memcpy(taken, waiting.bytes, length);
        ReleaseSRWLockExclusive(&waiting.lock);
        write_bytes(file, taken, length);
        AcquireSRWLockExclusive(&waiting.lock);
        waiting.length -= length;
        memmove(waiting.bytes, waiting.bytes + length, waiting.length);
        if (waiting.length == 0) {
            waiting.held_up = false;
            WakeAllConditionVariable(&waiting.emptied);
        }
    }
    return 0;
}

/* Until all is written; false when that takes longer than `time`. */
static bool wait_until_empty(DWORD time)
{
    while (waiting.length > 0)
        if (!SleepConditionVariableSRW(&waiting.emptied, &waiting.lock, time, 0))
            return false;
    return true;
}

bool platform_write_log(const char *line, size_t length)
{
    if (waiting.thread == NULL)
        waiting.thread = CreateThread(NULL, 0, write_lines, NULL, 0, NULL);
    if (waiting.thread == NULL)
        return false;
    AcquireSRWLockExclusive(&waiting.lock);
    bool fits = length <= ROOM - waiting.length;
    if (fits) {
        memcpy(waiting.bytes + waiting.length, line, length);
        waiting.length += length;
        WakeConditionVariable(&waiting.filled);
        if (!waiting.held_up)
            waiting.held_up = !wait_until_empty(MOMENT);
    }
    ReleaseSRWLockExclusive(&waiting.lock);
    return fits;
}

void log_lines_finish(void)
{
    AcquireSRWLockExclusive(&waiting.lock);
    wait_until_empty(TIME_AT_END);
    ReleaseSRWLockExclusive(&waiting.lock);
}

enum plan_log_format platform_log_format(bool *terminal)
{
    DWORD mode;
    *terminal = GetConsoleMode(GetStdHandle(STD_ERROR_HANDLE), &mode) &&
                (mode & ENABLE_VIRTUAL_TERMINAL_PROCESSING) &&
                GetEnvironmentVariableW(L"NO_COLOR", NULL, 0) == 0;
    return LOG_TEXT;
}

/* At once: nothing is left to be flushed, and a thread that is held up is nobody to wait for. */
_Noreturn void platform_leave(struct ending end)
{
    UINT code = end.value;
    if (end.kind == ENDING_KILLED)
        code = end.value == SIGKILL ? CODE_KILLED : CODE_CONTROL_EVENT;
    log_lines_finish();
    TerminateProcess(GetCurrentProcess(), code);
    for (;;)
        Sleep(INFINITE);
}
