#include "plan/signals.h"
#include "win32/win32.h"

#include <string.h>

/* Standard error may be a pipe that nobody reads, or a console that stands still while somebody
 * marks text in it.  So another thread writes (async.c); it is given a moment for each line, so
 * that what we say and what the command says stay in their order.  Where it is held up it gets none
 * until it has caught up, and once too much waits for it, lines are lost. */

#define ROOM        65536
#define MOMENT      50   /* ms */
#define TIME_AT_END 1000 /* ms */

static struct async_writer own_writer, *writer = &own_writer;

void log_lines_go_by(struct async_writer *other)
{
    writer = other;
}

bool platform_write_log(const char *line, size_t length)
{
    static char room[2 * ROOM];
    if (writer->thread == NULL && !async_begin(writer, GetStdHandle(STD_ERROR_HANDLE), room, ROOM))
        return false;
    char *to = async_room(writer, length);
    if (to != NULL) {
        memcpy(to, line, length);
        async_add(writer, length);
    }
    async_send(writer);
    async_keep_up(writer, MOMENT);
    return to != NULL;
}

void log_lines_finish(void)
{
    if (writer->thread != NULL)
        async_wait(writer, TIME_AT_END);
}

bool console_has_colours(HANDLE file)
{
    DWORD mode;
    return GetConsoleMode(file, &mode) && (mode & ENABLE_VIRTUAL_TERMINAL_PROCESSING) &&
           GetEnvironmentVariableW(L"NO_COLOR", NULL, 0) == 0;
}

enum plan_log_format platform_log_format(bool *terminal)
{
    *terminal = console_has_colours(GetStdHandle(STD_ERROR_HANDLE));
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
