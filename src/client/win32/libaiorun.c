#include "client/library.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

/* A named pipe has no descriptor that could be inherited: so one connection is kept, from the first
 * call on.  All of it is here, and the lock makes it every thread's. */

#define NAME_MAX_WIDE  256
#define CONNECT_WITHIN 1000 /* ms, when the supervisor is about to take another connection */

static struct {
    SRWLOCK lock;
    HANDLE pipe; /* NULL: not open */
    bool broken; /* the supervisor is gone */
    bool reading, writing;
    OVERLAPPED input, output; /* the input's event is set when there is something to receive */
    size_t used;              /* bytes received, and not taken yet */
    char received[LINE_MAX_BYTES], sent[LINE_MAX_BYTES];
} control = {.lock = SRWLOCK_INIT};

/* ---- the connection ---- */

static bool read_more(void)
{
    HANDLE event = control.input.hEvent;
    memset(&control.input, 0, sizeof control.input);
    control.input.hEvent = event;
    control.reading =
        ReadFile(control.pipe, control.received + control.used,
                 (DWORD)(sizeof control.received - control.used), NULL, &control.input) ||
        GetLastError() == ERROR_IO_PENDING;
    if (!control.reading) {
        control.broken = true;
        SetEvent(event); /* whoever waits for it is to learn of that */
    }
    return control.reading;
}

static HANDLE connect_to(const wchar_t *name)
{
    return CreateFileW(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                       FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION,
                       NULL);
}

/* 1, 0 when there is nothing to open, -1 when the supervisor is busy. */
static int open_pipe(void)
{
    wchar_t name[NAME_MAX_WIDE];
    if (control.pipe != NULL)
        return 1;
    DWORD length = GetEnvironmentVariableW(L"AIORUN_CONTROL_PIPE", name, NAME_MAX_WIDE);
    if (length == 0 || length >= NAME_MAX_WIDE)
        return 0;
    HANDLE pipe = connect_to(name);
    if (pipe == INVALID_HANDLE_VALUE && GetLastError() == ERROR_PIPE_BUSY &&
        WaitNamedPipeW(name, CONNECT_WITHIN))
        pipe = connect_to(name);
    if (pipe == INVALID_HANDLE_VALUE)
        return GetLastError() == ERROR_PIPE_BUSY ? -1 : 0;
    control.pipe = pipe;
    control.input.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    control.output.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    read_more();
    return 1;
}

int aiorun_available(void)
{
    AcquireSRWLockExclusive(&control.lock);
    int there = open_pipe() != 0;
    ReleaseSRWLockExclusive(&control.lock);
    return there;
}

/* Handles have 32 bits that count, so that they can be passed as numbers. */
int aiorun_fd(void)
{
    AcquireSRWLockExclusive(&control.lock);
    int event = open_pipe() > 0 ? (int)(intptr_t)control.input.hEvent : -1;
    ReleaseSRWLockExclusive(&control.lock);
    return event;
}

/* Is what was begun over?  False with errno: the supervisor is gone, or it goes on. */
static bool is_over(OVERLAPPED *overlapped, bool *going, DWORD *count)
{
    *count = 0;
    if (!*going)
        return true;
    if (!HasOverlappedIoCompleted(overlapped)) {
        errno = EAGAIN;
        return false;
    }
    *going = false;
    /* A thread that ends takes what it has begun with it. */
    if (GetOverlappedResult(control.pipe, overlapped, count, FALSE) ||
        GetLastError() == ERROR_OPERATION_ABORTED)
        return true;
    control.broken = true;
    errno = EPIPE;
    return false;
}

/* ---- lines to send ---- */

static int send_whole(const char *text, size_t length)
{
    HANDLE event = control.output.hEvent;
    DWORD count;
    if (control.broken) {
        errno = EPIPE;
        return -1;
    }
    if (!is_over(&control.output, &control.writing, &count))
        return -1;
    memset(&control.output, 0, sizeof control.output);
    control.output.hEvent = event;
    memcpy(control.sent, text, length);
    control.writing = WriteFile(control.pipe, control.sent, (DWORD)length, NULL, &control.output) ||
                      GetLastError() == ERROR_IO_PENDING;
    if (control.writing)
        return 0;
    control.broken = true;
    errno = EPIPE;
    return -1;
}

static int pipe_send(const char *text, size_t length)
{
    AcquireSRWLockExclusive(&control.lock);
    int result = open_pipe();
    if (result > 0)
        result = send_whole(text, length);
    else if (result < 0)
        errno = EAGAIN;
    ReleaseSRWLockExclusive(&control.lock);
    return result;
}

/* ---- lines received ---- */

/* Takes the first line off, if there is a whole one. */
static bool take_line(char *line)
{
    char *newline = memchr(control.received, '\n', control.used);
    if (newline == NULL && control.used < sizeof control.received)
        return false;
    /* A line that is too long goes piece by piece, and none of them is understood. */
    size_t length = newline != NULL ? (size_t)(newline - control.received) + 1 : control.used;
    memcpy(line, control.received, length);
    line[newline != NULL ? length - 1 : 0] = '\0';
    control.used -= length;
    memmove(control.received, control.received + length, control.used);
    return true;
}

static int receive(struct aiorun_order *order)
{
    char line[LINE_MAX_BYTES];
    int saved = errno;
    for (;;) {
        DWORD count;
        while (take_line(line))
            if (understand(line, order))
                return 1;
        if (!control.reading && !control.broken)
            read_more();
        if (control.broken || !is_over(&control.input, &control.reading, &count)) {
            bool waits = !control.broken;
            errno = waits ? saved : EPIPE;
            return waits ? 0 : -1;
        }
        control.used += count;
    }
}

int aiorun_receive(struct aiorun_order *order)
{
    AcquireSRWLockExclusive(&control.lock);
    int result = open_pipe() > 0 ? receive(order) : 0;
    ReleaseSRWLockExclusive(&control.lock);
    return result;
}
