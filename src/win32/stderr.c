#include "plan/signals.h"
#include "win32/win32.h"

bool platform_write_log(const char *line, size_t length)
{
    DWORD written;
    return WriteFile(GetStdHandle(STD_ERROR_HANDLE), line, (DWORD)length, &written, NULL) &&
           written == length;
}

void log_lines_finish(void)
{
}

enum plan_log_format platform_log_format(bool *terminal)
{
    DWORD mode;
    *terminal = GetConsoleMode(GetStdHandle(STD_ERROR_HANDLE), &mode) &&
                (mode & ENABLE_VIRTUAL_TERMINAL_PROCESSING) &&
                GetEnvironmentVariableW(L"NO_COLOR", NULL, 0) == 0;
    return LOG_TEXT;
}

_Noreturn void platform_leave(struct ending end)
{
    log_lines_finish();
    if (end.kind == ENDING_KILLED)
        ExitProcess(end.value == SIGKILL ? CODE_KILLED : CODE_CONTROL_EVENT);
    ExitProcess(end.value);
}
