/* speaker.c - a worker that speaks: it does what its arguments say, one after the other.
 *
 * With libaiorun, each saying its result, and errno in words when that is -1:
 *     available, lib-ready, lib-status TEXT, lib-shield NAME SECONDS, lib-unshield NAME,
 *     lib-extend SECONDS, lib-shutdown STATUS, lib-error TEXT, lib-watchdog
 *     lib-await           waits for orders by aiorun_fd(), and says each, until it is to stop
 *     lib-fill            sends until it is told to wait, and says whether that came to pass
 * By hand, over a connection to the control pipe:
 *     open [NAME]         opens another connection, which is the current one from then on; `-`:
 *                         to the control pipe
 *     try NAME            likewise, but says "open", or "busy" where it would have to wait
 *     serve-once NAME     makes a pipe of that name, for libaiorun to talk to; nobody reads it
 *     drop                closes that
 *     line TEXT           sends it with a newline
 *     bytes TEXT          without
 *     long N              sends a line of N bytes
 *     flood N             sends `status x` N times
 *     request KIND        sends a line of handles: `good`, or with a section that is a `file`, is
 *                         `short`, is a `stream`, or holds no request but `zeros`
 *     rights              says who may use the pipe
 *     read                reads a line, and says it
 *     closed              reads until the end, and says so
 *     close
 * And else:
 *     say WORD, exit N, sleep, wait-for FILE, make FILE
 *     run ARG... ,        runs a command up to the comma, and says its exit code; `,,` is a comma
 *                         of the command's own
 *     start ARG... ,      starts it, and goes on
 *     out ARG... ,        likewise, outside of our job object if that could be: says the error
 *     ignore              from now on no console event ends it
 *     last-words WORD     from now on one ends it, with 0, and it says this
 *     freeze              stops the supervisor until we are gone
 *     thaw PID            waits until that process is gone, and lets the supervisor go on
 *     env NAME, cwd       says it
 *     in                  waits for the end of its standard input, and says what came
 */
#include "client/aiorun.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

static HANDLE pipe = INVALID_HANDLE_VALUE;

static void say(const char *words)
{
    char line[2048];
    DWORD written;
    int length = snprintf(line, sizeof line, "%s\n", words);
    WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), line, (DWORD)length, &written, NULL);
}

static void say_result(const char *verb, int result)
{
    char words[128];
    const char *why = errno == EINVAL     ? "EINVAL"
                      : errno == EMSGSIZE ? "EMSGSIZE"
                      : errno == EAGAIN   ? "EAGAIN"
                      : errno == EPIPE    ? "EPIPE"
                                          : "?";
    snprintf(words, sizeof words, "%s %d%s%s", verb, result, result < 0 ? " " : "",
             result < 0 ? why : "");
    say(words);
}

static bool await_order(void)
{
    struct aiorun_order order;
    char words[128];
    int got;
    while ((got = aiorun_receive(&order)) == 0)
        if (WaitForSingleObject((HANDLE)(intptr_t)aiorun_fd(), INFINITE) != WAIT_OBJECT_0)
            break;
    if (got == 1)
        snprintf(words, sizeof words, "order %d %s %s", (int)order.kind, order.reason,
                 order.seconds > 0 ? "later" : "now");
    else
        snprintf(words, sizeof words, "order none, errno %s", errno == EPIPE ? "EPIPE" : "?");
    say(words);
    return got == 1 && order.kind == AIORUN_RELOAD;
}

static void fill(void)
{
    char text[1001];
    int sent = 0;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    while (sent < 100000 && aiorun_status(text) == 0)
        sent++;
    say_result(sent > 0 && sent < 100000 ? "filled" : "not filled", -1);
}

static bool speak(char **word)
{
    const char *verb = word[0], *first = word[1];
    if (strcmp(verb, "available") == 0)
        say_result(verb, aiorun_available());
    else if (strcmp(verb, "lib-ready") == 0)
        say_result(verb, aiorun_ready());
    else if (strcmp(verb, "lib-watchdog") == 0)
        say_result(verb, aiorun_watchdog());
    else if (strcmp(verb, "lib-status") == 0)
        say_result(verb, aiorun_status(first));
    else if (strcmp(verb, "lib-error") == 0)
        say_result(verb, aiorun_error(first));
    else if (strcmp(verb, "lib-shield") == 0)
        say_result(verb, aiorun_shield(first, atof(word[2])));
    else if (strcmp(verb, "lib-unshield") == 0)
        say_result(verb, aiorun_unshield(first));
    else if (strcmp(verb, "lib-extend") == 0)
        say_result(verb, aiorun_extend(atof(first)));
    else if (strcmp(verb, "lib-shutdown") == 0)
        say_result(verb, aiorun_shutdown(atoi(first)));
    else if (strcmp(verb, "lib-await") == 0)
        while (await_order())
            ;
    else if (strcmp(verb, "lib-fill") == 0)
        fill();
    else
        return false;
    return true;
}

/* ---- by hand ---- */

static void open_pipe(const char *name)
{
    char own[256];
    if (strcmp(name, "-") == 0) {
        own[0] = '\0';
        GetEnvironmentVariableA("AIORUN_CONTROL_PIPE", own, sizeof own);
        name = own;
    }
    do
        pipe = CreateFileA(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    while (pipe == INVALID_HANDLE_VALUE && GetLastError() == ERROR_PIPE_BUSY &&
           WaitNamedPipeA(name, 10000));
    if (pipe == INVALID_HANDLE_VALUE) {
        char words[64];
        snprintf(words, sizeof words, "cannot open: error %lu", GetLastError());
        say(words);
    }
}

static void try_pipe(const char *name)
{
    char own[256] = "";
    if (strcmp(name, "-") == 0)
        GetEnvironmentVariableA("AIORUN_CONTROL_PIPE", own, sizeof own);
    else
        strcpy(own, name);
    for (int i = 0; i < 20; i++) { /* the next instance may be on its way */
        pipe = CreateFileA(own, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
        if (pipe != INVALID_HANDLE_VALUE || !WaitNamedPipeA(own, 100))
            break;
    }
    say(pipe != INVALID_HANDLE_VALUE ? "open" : "busy");
}

static HANDLE server;

static void serve_once(const char *name)
{
    server = CreateNamedPipeA(name, PIPE_ACCESS_DUPLEX, PIPE_TYPE_BYTE, 1, 4096, 4096, 0, NULL);
}

static bool put(const char *text, size_t length)
{
    DWORD written;
    return WriteFile(pipe, text, (DWORD)length, &written, NULL) && written == length;
}

static void put_line(const char *text)
{
    char line[2048];
    int length = snprintf(line, sizeof line, "%s\n", text);
    if (!put(line, (size_t)length))
        say("cannot write");
}

static void put_long(size_t length)
{
    char *line = malloc(length + 1);
    memset(line, 'x', length);
    line[length] = '\n';
    put(line, length + 1);
    free(line);
}

static void flood(long count)
{
    for (long i = 0; i < count; i++)
        if (!put("status x\n", 9)) {
            say("cannot write");
            return;
        }
    say("flooded");
}

/* For `speaker say hello` in the root directory; the streams are ours. */
static void send_request(const char *kind)
{
    char self[MAX_PATH], line[256];
    HANDLE file = INVALID_HANDLE_VALUE;
    size_t size = 4096;
    GetModuleFileNameA(NULL, self, sizeof self);
    if (strcmp(kind, "file") == 0)
        file =
            CreateFileA("request", GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 4096, NULL);
    char *bytes = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 4096);
    if (strcmp(kind, "zeros") != 0)
        size = (size_t)sprintf(bytes, "/C:\\%c3%c%s%csay%chello%cA=b", 0, 0, self, 0, 0, 0) + 1;
    if (strcmp(kind, "short") == 0)
        size = 1000000;
    if (strcmp(kind, "stream") == 0)
        section = GetStdHandle(STD_OUTPUT_HANDLE);
    sprintf(line, "request %u %u 0 %u %u", (unsigned)size, (unsigned)(uintptr_t)section,
            (unsigned)(uintptr_t)GetStdHandle(STD_OUTPUT_HANDLE),
            (unsigned)(uintptr_t)GetStdHandle(STD_ERROR_HANDLE));
    put_line(line);
}

/* One entry, and that our own. */
static void say_rights(void)
{
    _Alignas(8) char buffer[1024], user[256];
    DWORD length;
    HANDLE token;
    ACL *list = NULL;
    BOOL there, defaulted;
    ACCESS_ALLOWED_ACE *entry = NULL;
    OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token);
    GetTokenInformation(token, TokenUser, user, sizeof user, &length);
    if (!GetKernelObjectSecurity(pipe, DACL_SECURITY_INFORMATION, buffer, sizeof buffer, &length) ||
        !GetSecurityDescriptorDacl(buffer, &there, &list, &defaulted) || !there || list == NULL ||
        list->AceCount != 1 || !GetAce(list, 0, (void **)&entry))
        say("rights: not for one alone");
    else
        say(EqualSid(&entry->SidStart, ((TOKEN_USER *)(void *)user)->User.Sid)
                ? "rights: ours alone"
                : "rights: another's");
}

static void read_line(void)
{
    char line[2048] = "< ";
    size_t used = 2;
    DWORD count = 0;
    while (used < sizeof line - 1 && ReadFile(pipe, line + used, 1, &count, NULL) && count == 1 &&
           line[used] != '\n')
        used++;
    line[used] = '\0';
    say(count == 1 ? line : "< nothing, it is closed");
}

static void read_all(void)
{
    char bytes[4096];
    DWORD count;
    while (ReadFile(pipe, bytes, sizeof bytes, &count, NULL))
        ;
    say("closed");
}

static bool speak_by_hand(char **word)
{
    const char *verb = word[0], *first = word[1];
    if (strcmp(verb, "open") == 0)
        open_pipe(first);
    else if (strcmp(verb, "try") == 0)
        try_pipe(first);
    else if (strcmp(verb, "serve-once") == 0)
        serve_once(first);
    else if (strcmp(verb, "drop") == 0)
        CloseHandle(server);
    else if (strcmp(verb, "line") == 0)
        put_line(first);
    else if (strcmp(verb, "bytes") == 0)
        put(first, strlen(first));
    else if (strcmp(verb, "long") == 0)
        put_long(strtoul(first, NULL, 10));
    else if (strcmp(verb, "flood") == 0)
        flood(atol(first));
    else if (strcmp(verb, "request") == 0)
        send_request(first);
    else if (strcmp(verb, "rights") == 0)
        say_rights();
    else if (strcmp(verb, "read") == 0)
        read_line();
    else if (strcmp(verb, "closed") == 0)
        read_all();
    else if (strcmp(verb, "close") == 0)
        CloseHandle(pipe);
    else
        return false;
    return true;
}

/* ---- the rest ---- */

/* None of the arguments needs quoting. */
static char **start(char **word, DWORD flags, HANDLE *process)
{
    char line[4096] = "";
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION made = {0};
    for (word++; *word != NULL && strcmp(*word, ",") != 0; word++) {
        const char *inner = strspn(*word, ",") == strlen(*word) ? *word + 1 : *word;
        strcat(line, *line != '\0' ? " " : "");
        strcat(line, inner);
    }
    *process = NULL;
    if (CreateProcessA(NULL, line, NULL, NULL, TRUE, flags, NULL, NULL, &startup, &made)) {
        CloseHandle(made.hThread);
        *process = made.hProcess;
    } else {
        char words[64];
        snprintf(words, sizeof words, "cannot start: error %lu", GetLastError());
        say(words);
    }
    return word;
}

/* Its exports have no header. */
static void tell_supervisor(const char *function)
{
    char number[32] = "";
    LONG(WINAPI * call)
    (HANDLE) =
        (LONG(WINAPI *)(HANDLE))(void *)GetProcAddress(GetModuleHandleA("ntdll.dll"), function);
    GetEnvironmentVariableA("AIORUN_PID", number, sizeof number);
    HANDLE process = OpenProcess(PROCESS_ALL_ACCESS, FALSE, strtoul(number, NULL, 10));
    if (call == NULL || process == NULL || call(process) != 0)
        say("the supervisor cannot be stopped, or go on");
}

static void freeze(void)
{
    char self[MAX_PATH], pid[32];
    char *thaw[] = {(char *)"", self, (char *)"thaw", pid, NULL};
    HANDLE process;
    GetModuleFileNameA(NULL, self, sizeof self);
    sprintf(pid, "%lu", GetCurrentProcessId());
    tell_supervisor("NtSuspendProcess");
    start(thaw, 0, &process);
}

static void thaw(const char *pid)
{
    HANDLE process = OpenProcess(SYNCHRONIZE, FALSE, strtoul(pid, NULL, 10));
    if (process != NULL)
        WaitForSingleObject(process, INFINITE);
    tell_supervisor("NtResumeProcess");
}

static char **run(char **word)
{
    HANDLE process;
    DWORD code = 0;
    char words[64];
    char **end = start(word, 0, &process);
    if (process == NULL)
        return end;
    WaitForSingleObject(process, INFINITE);
    GetExitCodeProcess(process, &code);
    CloseHandle(process);
    snprintf(words, sizeof words, "it exited with %lu", code);
    say(words);
    return end;
}

static const char *last_words;

static BOOL WINAPI on_event(DWORD type)
{
    (void)type;
    if (last_words == NULL)
        return TRUE;
    say(last_words);
    ExitProcess(0);
}

static void read_input(void)
{
    char words[256] = "in: ";
    DWORD count;
    while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), words + strlen(words),
                    (DWORD)(sizeof words - strlen(words) - 1), &count, NULL) &&
           count > 0)
        ;
    say(words);
}

int main(int count, char **word)
{
    static const char *const alone[] = {"rights",    "available", "lib-ready", "lib-watchdog",
                                        "lib-await", "lib-fill",  "read",      "closed",
                                        "close",     "drop"};
    (void)count;
    for (word++; *word != NULL; word++) {
        HANDLE process;
        bool known = speak(word) || speak_by_hand(word);
        bool takes_none = false;
        for (size_t i = 0; i < sizeof alone / sizeof alone[0]; i++)
            takes_none = takes_none || strcmp(*word, alone[i]) == 0;
        if (known) {
            word += !takes_none + (strcmp(*word, "lib-shield") == 0);
        } else if (strcmp(*word, "say") == 0) {
            say(*++word);
        } else if (strcmp(*word, "exit") == 0) {
            ExitProcess(strtoul(word[1], NULL, 0));
        } else if (strcmp(*word, "sleep") == 0) {
            Sleep(INFINITE);
        } else if (strcmp(*word, "ignore") == 0) {
            SetConsoleCtrlHandler(on_event, TRUE);
        } else if (strcmp(*word, "freeze") == 0) {
            freeze();
        } else if (strcmp(*word, "thaw") == 0) {
            thaw(*++word);
        } else if (strcmp(*word, "last-words") == 0) {
            last_words = *++word;
            SetConsoleCtrlHandler(on_event, TRUE);
        } else if (strcmp(*word, "in") == 0) {
            read_input();
        } else if (strcmp(*word, "env") == 0) {
            char value[256];
            say(GetEnvironmentVariableA(*++word, value, sizeof value) > 0 ? value : "unset");
        } else if (strcmp(*word, "cwd") == 0) {
            char value[MAX_PATH];
            GetCurrentDirectoryA(sizeof value, value);
            say(value);
        } else if (strcmp(*word, "wait-for") == 0) {
            for (word++; GetFileAttributesA(*word) == INVALID_FILE_ATTRIBUTES;)
                Sleep(5);
        } else if (strcmp(*word, "make") == 0) {
            CloseHandle(CreateFileA(*++word, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL));
        } else if (strcmp(*word, "run") == 0) {
            word = run(word);
        } else if (strcmp(*word, "start") == 0) {
            word = start(word, 0, &process);
        } else if (strcmp(*word, "out") == 0) {
            word = start(word, CREATE_BREAKAWAY_FROM_JOB, &process);
        } else {
            fprintf(stderr, "speaker: what is '%s'?\n", *word);
            return 98;
        }
        if (*word == NULL)
            break;
    }
    return 0;
}
