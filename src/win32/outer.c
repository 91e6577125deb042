/* An aiorun around us: its messages, over the control pipe that it has given us. */
#include "supervisor.h"
#include "win32/pipe.h"

#define READ_SIZE      1024
#define CONNECT_WITHIN 1000 /* ms, when it is about to take another connection */

static struct {
    struct win_operation input;
    HANDLE pipe;
    struct control_reader reader;
    char bytes[READ_SIZE];
} outer;

static void obey(const struct control_order_message *message)
{
    if (message->order == ORDER_SHUTDOWN)
        supervisor_outer_shutdown(loop_supervisor());
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

void outer_open(const struct plan *plan)
{
    wchar_t name[PIPE_NAME_MAX];
    DWORD length = GetEnvironmentVariableW(L"AIORUN_CONTROL_PIPE", name, PIPE_NAME_MAX);
    if (plan->no_control || length == 0 || length >= PIPE_NAME_MAX)
        return;
    outer.pipe = connect_to(name);
    outer.input.done = on_input;
    if (outer.pipe != INVALID_HANDLE_VALUE && win_loop_attach(outer.pipe) == 0)
        pipe_read(outer.pipe, &outer.input, outer.bytes, sizeof outer.bytes);
}
