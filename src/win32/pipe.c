#include "win32/pipe.h"

#include <ntsecapi.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_SIZE 4096  /* bytes each way that wait in the kernel; advisory */
#define OUTPUT_SIZE 65536 /* the same, of what commands write */

static struct {
    SECURITY_ATTRIBUTES attributes;
    char user[SECURITY_MAX_SID_SIZE + sizeof(TOKEN_USER)]; /* a TOKEN_USER */
} rights;

/* ---- who may ---- */

static bool read_user(HANDLE process, void *buffer, DWORD size)
{
    HANDLE token;
    if (!OpenProcessToken(process, TOKEN_QUERY, &token))
        return false;
    bool done = GetTokenInformation(token, TokenUser, buffer, size, &size);
    CloseHandle(token);
    return done;
}

static PSID user_in(void *buffer)
{
    return ((TOKEN_USER *)buffer)->User.Sid;
}

/* Protected: nothing is inherited, and an access list that names one user names nobody else. */
bool pipe_open(void)
{
    wchar_t words[512], *user;
    if (!read_user(GetCurrentProcess(), rights.user, sizeof rights.user) ||
        !ConvertSidToStringSidW(user_in(rights.user), &user))
        return false;
    _snwprintf(words, sizeof words / sizeof words[0], L"O:%lsD:P(A;;GA;;;%ls)", user, user);
    words[sizeof words / sizeof words[0] - 1] = L'\0';
    LocalFree(user);
    rights.attributes.nLength = sizeof rights.attributes;
    return ConvertStringSecurityDescriptorToSecurityDescriptorW(
        words, SDDL_REVISION_1, &rights.attributes.lpSecurityDescriptor, NULL);
}

bool pipe_is_ours(HANDLE process)
{
    _Alignas(max_align_t) char user[sizeof rights.user];
    return read_user(process, user, sizeof user) && EqualSid(user_in(user), user_in(rights.user));
}

HANDLE pipe_client(HANDLE pipe, DWORD *pid)
{
    *pid = 0;
    if (!GetNamedPipeClientProcessId(pipe, pid))
        return NULL;
    return OpenProcess(PROCESS_DUP_HANDLE | PROCESS_QUERY_INFORMATION, FALSE, *pid);
}

/* ---- instances ---- */

/* So that nobody can make a pipe of that name before we do, or guess one. */
bool pipe_choose_name(wchar_t name[PIPE_NAME_MAX])
{
    uint32_t dice[4];
    if (!RtlGenRandom(dice, sizeof dice))
        return false;
    _snwprintf(name, PIPE_NAME_MAX, L"\\\\.\\pipe\\aiorun-%lu-%08x%08x%08x%08x",
               GetCurrentProcessId(), dice[0], dice[1], dice[2], dice[3]);
    return true;
}

static HANDLE make(const wchar_t *name, DWORD mode, DWORD instances, DWORD size)
{
    HANDLE pipe = CreateNamedPipeW(name, mode | FILE_FLAG_OVERLAPPED,
                                   PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT |
                                       PIPE_REJECT_REMOTE_CLIENTS,
                                   instances, size, size, 0, &rights.attributes);
    if (pipe == INVALID_HANDLE_VALUE)
        return NULL;
    if (win_loop_attach(pipe) == 0)
        return pipe;
    DWORD error = GetLastError();
    CloseHandle(pipe);
    SetLastError(error);
    return NULL;
}

HANDLE pipe_make(const wchar_t *name, bool first)
{
    return make(name, PIPE_ACCESS_DUPLEX | (first ? FILE_FLAG_FIRST_PIPE_INSTANCE : 0),
                PIPE_UNLIMITED_INSTANCES, BUFFER_SIZE);
}

/* Its only instance is taken at once, so nobody else can come to it. */
bool pipe_pair(HANDLE *reading, HANDLE *writing)
{
    SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};
    wchar_t name[PIPE_NAME_MAX];
    if (!pipe_choose_name(name))
        return false;
    *reading = make(name, PIPE_ACCESS_INBOUND | FILE_FLAG_FIRST_PIPE_INSTANCE, 1, OUTPUT_SIZE);
    if (*reading == NULL)
        return false;
    *writing = CreateFileW(name, GENERIC_WRITE | FILE_READ_ATTRIBUTES, 0, &inherited, OPEN_EXISTING,
                           0, NULL);
    if (*writing != INVALID_HANDLE_VALUE)
        return true;
    DWORD error = GetLastError();
    CloseHandle(*reading);
    SetLastError(error);
    *reading = *writing = NULL;
    return false;
}

static void reset(struct win_operation *operation)
{
    memset(&operation->overlapped, 0, sizeof operation->overlapped);
}

bool pipe_listen(HANDLE pipe, struct win_operation *operation)
{
    reset(operation);
    if (ConnectNamedPipe(pipe, &operation->overlapped) || GetLastError() == ERROR_IO_PENDING)
        return true;
    /* The client was faster, or is even gone: nothing else tells of it, and what it wrote is there.
     */
    if (GetLastError() != ERROR_PIPE_CONNECTED && GetLastError() != ERROR_NO_DATA)
        return false;
    win_loop_post(operation);
    return true;
}

bool pipe_read(HANDLE pipe, struct win_operation *operation, void *buffer, DWORD size)
{
    reset(operation);
    return ReadFile(pipe, buffer, size, NULL, &operation->overlapped) ||
           GetLastError() == ERROR_IO_PENDING;
}

bool pipe_write(HANDLE pipe, struct win_operation *operation, const void *bytes, DWORD size)
{
    reset(operation);
    return WriteFile(pipe, bytes, size, NULL, &operation->overlapped) ||
           GetLastError() == ERROR_IO_PENDING;
}

/* An event, for whoever waits for one reading by itself; its lowest bit keeps the packet from the
 * completion port (GetQueuedCompletionStatus()'s documentation). */
bool pipe_read_now(HANDLE pipe, void *buffer, DWORD size, DWORD *count)
{
    static HANDLE event;
    DWORD waits = 0;
    *count = 0;
    if (event == NULL)
        event = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (event == NULL || !PeekNamedPipe(pipe, NULL, 0, NULL, &waits, NULL))
        return false;
    if (waits == 0)
        return true;
    OVERLAPPED now = {.hEvent = (HANDLE)((uintptr_t)event | 1)};
    bool begun = ReadFile(pipe, buffer, size, NULL, &now) || GetLastError() == ERROR_IO_PENDING;
    now.hEvent = event;
    return begun && GetOverlappedResult(pipe, &now, count, TRUE);
}

/* ---- handles that come with a line ---- */

static struct passed *now;

static const char verb[] = "request ";

bool passed_is_line(const char *line)
{
    return strncmp(line, verb, sizeof verb - 1) == 0;
}

void passed_close(struct passed *passed)
{
    for (uint32_t i = 0; i < passed->count; i++)
        if (passed->handles[i] != NULL)
            CloseHandle(passed->handles[i]);
    passed->count = 0;
    passed->fault = NULL;
}

struct passed *passed_now(void)
{
    return now;
}

void passed_set(struct passed *passed)
{
    now = passed;
}

/* Decimal numbers, with a space between two of them. */
static bool read_numbers(const char *text, uint64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *end;
        if (*text < '0' || *text > '9')
            return false;
        numbers[i] = strtoull(text, &end, 10);
        if (*end != (i + 1 < count ? ' ' : '\0'))
            return false;
        text = end + 1;
    }
    return true;
}

/* A stream may be missing, as 0; the request may not. */
static bool duplicate(HANDLE client, uint64_t number, struct passed *passed)
{
    HANDLE *copy = &passed->handles[passed->count];
    *copy = NULL;
    if ((number != 0 || passed->count == 0) &&
        !DuplicateHandle(client, (HANDLE)(uintptr_t)number, GetCurrentProcess(), copy, 0, FALSE,
                         DUPLICATE_SAME_ACCESS))
        return false;
    passed->count++;
    return true;
}

void passed_take(struct passed *passed, HANDLE pipe, const char *line)
{
    uint64_t numbers[1 + PASSED_MAX];
    DWORD pid;
    passed_close(passed);
    if (!read_numbers(line + sizeof verb - 1, numbers, 1 + PASSED_MAX)) {
        passed->fault = "request needs five numbers: its size, and four handles";
        return;
    }
    HANDLE client = pipe_client(pipe, &pid);
    bool done = client != NULL;
    passed->size = (size_t)numbers[0];
    for (size_t i = 0; i < PASSED_MAX && done; i++)
        done = duplicate(client, numbers[1 + i], passed);
    if (client != NULL)
        CloseHandle(client);
    if (done)
        return;
    passed_close(passed);
    passed->fault = "a handle of its request is none, or not to be had";
}
