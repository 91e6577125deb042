/* An aiorun around us: its messages, over the control pipe that it has given us. */
#include "supervisor/supervisor.h"
#include "win32/pipe.h"

#include <string.h>

#define READ_SIZE      1024
#define CONNECT_WITHIN 1000 /* ms, when it is about to take another connection */

static struct {
    struct win_operation input, output;
    HANDLE pipe; /* NULL: there is none */
    struct control_reader reader;
    bool writing;
    char bytes[READ_SIZE], told[2 * CONTROL_LINE_MAX];
} outer;

static void on_told(struct win_operation *operation, DWORD bytes, DWORD error)
{
    (void)operation, (void)bytes, (void)error;
    outer.writing = false;
}

bool platform_tell_outer(const char *line, size_t length)
{
    if (outer.writing)
        return false;
    if (outer.pipe == NULL || length > sizeof outer.told)
        return true;
    memcpy(outer.told, line, length);
    outer.output.done = on_told;
    outer.writing = pipe_write(outer.pipe, &outer.output, outer.told, (DWORD)length);
    return true;
}

static void obey(const struct control_order_message *message)
{
    switch (message->order) {
    case ORDER_SHUTDOWN:
        supervisor_outer_limit(loop_supervisor(), message->time);
        supervisor_outer_shutdown(loop_supervisor());
        break;
    case ORDER_RELOAD:
        supervisor_outer_reload(loop_supervisor());
        break;
    }
}

static void on_input(struct win_operation *operation, DWORD count, DWORD error)
{
    struct control_order_message message;
    const char *fault, *next = outer.bytes;
    (void)operation;
    if (error != ERROR_SUCCESS)
        return;
    while (count > 0) {
        size_t taken;
        enum control_read result = control_read(&outer.reader, next, count, &taken);
        next += taken;
        count -= (DWORD)taken;
        if (result == CONTROL_READ_LINE && control_parse_order(outer.reader.line, &message, &fault))
            obey(&message);
    }
    pipe_read(outer.pipe, &outer.input, outer.bytes, sizeof outer.bytes);
}

static HANDLE connect_to(const wchar_t *name)
{
    HANDLE pipe;
    do
        pipe = CreateFileW(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                           FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION,
                           NULL);
    while (pipe == INVALID_HANDLE_VALUE && GetLastError() == ERROR_PIPE_BUSY &&
           WaitNamedPipeW(name, CONNECT_WITHIN));
    return pipe;
}

/* With --no-control the pipe is our command's. */
bool control_has_outer(const struct plan *plan)
{
    return !plan->no_control && GetEnvironmentVariableW(L"AIORUN_CONTROL_PIPE", NULL, 0) > 0;
}

void outer_open(const struct plan *plan)
{
    wchar_t name[PIPE_NAME_MAX];
    DWORD length = GetEnvironmentVariableW(L"AIORUN_CONTROL_PIPE", name, PIPE_NAME_MAX);
    if (!control_has_outer(plan) || length >= PIPE_NAME_MAX)
        return;
    HANDLE pipe = connect_to(name);
    outer.input.done = on_input;
    if (pipe == INVALID_HANDLE_VALUE || win_loop_attach(pipe) < 0)
        return;
    outer.pipe = pipe;
    pipe_read(outer.pipe, &outer.input, outer.bytes, sizeof outer.bytes);
}
