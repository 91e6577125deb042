#include "client/win32/win32.h"

#include <string.h>

#define SIGNAL_KILL 9 /* as a POSIX system has it in its answers */

void held_begin(void)
{
    /* Console events end a wrapper by themselves, and there is nothing else to pass on. */
}

_Noreturn void die_of(int signal_number)
{
    ExitProcess(signal_number == SIGNAL_KILL ? CODE_KILLED : CODE_CONTROL_EVENT);
}

bool system_tell(const char *line, size_t length)
{
    DWORD written;
    return WriteFile(GetStdHandle(STD_ERROR_HANDLE), line, (DWORD)length, &written, NULL) &&
           written == length;
}

const char *system_reason(void)
{
    return win_error(GetLastError());
}

bool system_shows_colours(void)
{
    HANDLE console = GetStdHandle(STD_OUTPUT_HANDLE);
    DWORD mode;
    return GetConsoleMode(console, &mode) &&
           SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

void system_wait_second(void)
{
    Sleep(1000);
}

/* Without its directory and its .exe. */
const char *system_file_name(const char *path)
{
    static char name[CONTROL_NAME_MAX + 1];
    const char *last = path;
    for (const char *c = path; *c != '\0'; c++)
        if (*c == '/' || *c == '\\' || *c == ':')
            last = c + 1;
    size_t length = strlen(last);
    if (length > 4 && _stricmp(last + length - 4, ".exe") == 0)
        length -= 4;
    if (length > CONTROL_NAME_MAX)
        length = CONTROL_NAME_MAX;
    memcpy(name, last, length);
    name[length] = '\0';
    return name;
}
