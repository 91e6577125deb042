#include "client/win32/win32.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_WIDE  256
#define CONNECT_WITHIN 10000 /* ms */

static HANDLE handle_of(const struct channel *channel)
{
    return (HANDLE)channel->link;
}

intptr_t channel_connect(const wchar_t *name)
{
    for (;;) {
        HANDLE pipe = CreateFileW(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                                  SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
        if (pipe != INVALID_HANDLE_VALUE)
            return (intptr_t)pipe;
        if (GetLastError() != ERROR_PIPE_BUSY || !WaitNamedPipeW(name, CONNECT_WITHIN))
            return -1;
    }
}

/* What GetLastError() means for a channel. */
static enum channel_result judge(void)
{
    switch (GetLastError()) {
    case ERROR_BROKEN_PIPE:
    case ERROR_NO_DATA:
    case ERROR_PIPE_NOT_CONNECTED:
        return CHANNEL_CLOSED;
    default:
        return CHANNEL_FAILED;
    }
}

enum channel_result channel_send(struct channel *channel, const char *line, size_t length)
{
    DWORD written;
    return WriteFile(handle_of(channel), line, (DWORD)length, &written, NULL) ? CHANNEL_DONE
                                                                              : judge();
}

enum channel_result channel_take(struct channel *channel, char *buffer, size_t size, size_t *count)
{
    DWORD received;
    if (!ReadFile(handle_of(channel), buffer, (DWORD)size, &received, NULL))
        return judge();
    *count = received;
    return CHANNEL_DONE;
}

void channel_look(const struct channel *channel, struct channel_peer *peer)
{
    (void)channel;
    *peer = (struct channel_peer){.state = ""};
}

void channel_close(struct channel *channel)
{
    if (channel->link != -1)
        CloseHandle(handle_of(channel));
    channel->link = -1;
}

/* ---- the control pipe ---- */

static bool read_name(wchar_t *name)
{
    DWORD length = GetEnvironmentVariableW(L"AIORUN_CONTROL_PIPE", name, NAME_MAX_WIDE);
    return length > 0 && length < NAME_MAX_WIDE;
}

bool channel_is_named(void)
{
    wchar_t name[NAME_MAX_WIDE];
    return read_name(name);
}

int fail_without_pipe(const struct verb *verb)
{
    wchar_t name[NAME_MAX_WIDE];
    char shown[4 * NAME_MAX_WIDE];
    if (!read_name(name))
        return fail(verb, "there is no aiorun above: AIORUN_CONTROL_PIPE is not set");
    WideCharToMultiByte(CP_UTF8, 0, name, -1, shown, sizeof shown, NULL, NULL);
    return fail(verb, "no supervisor answers at '%.200s': it is gone", shown);
}

enum channel_result channel_attach(struct channel *channel, int interrupt)
{
    static const char line[] = "attach\n";
    wchar_t name[NAME_MAX_WIDE];
    memset(channel, 0, sizeof *channel);
    channel->interrupt = interrupt;
    channel->link = read_name(name) ? channel_connect(name) : -1;
    if (channel->link == -1)
        return CHANNEL_FAILED;
    return channel_send(channel, line, strlen(line));
}

/* Over a channel, so that the supervisor has read it, and knows whose it is, before we are gone;
 * that it may be refused there is no more told than elsewhere. */
enum channel_result channel_say(const char *line, size_t length)
{
    struct channel channel;
    struct control_reply reply;
    enum channel_result result = channel_attach(&channel, -1);
    if (result == CHANNEL_DONE)
        result = channel_read(&channel, &reply);
    if (result == CHANNEL_DONE)
        result = channel_send(&channel, line, length);
    if (result == CHANNEL_DONE)
        result = channel_read(&channel, &reply);
    channel_close(&channel);
    return result;
}
