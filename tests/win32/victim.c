/* victim.c - what the Windows tests start: it does what its arguments say, one after the other.
 *
 *     say WORD            a line on standard output
 *     say-error WORD      the same on standard error
 *     write WORD          the same without its end
 *     line N              a line of N bytes
 *     count N             lines of 100 bytes, 0 to N - 1
 *     log FILE            appends its standard input to the file, and then "<end>"
 *     log-some N FILE     the same with N bytes of it at most; "<end>" if there are less
 *     args ...            the rest, a line each, as bytes in hexadecimal; then exit 0
 *     exit N              ends; N up to 32 bits
 *     on-event ACTION     what a console event does from now on: ignore, exit N (exit-later N:
 *                         after a second), say WORD
 *     ready               says "ready"; what goes before it is in place
 *     sleep               for ever
 *     child ARG... ,      starts itself with the arguments up to the comma, and goes on
 *     env NAME            says its value, or "unset"
 *     copy                writes its standard input to its standard output and its standard error
 *     cwd                 says where it is
 *     group ARG...        starts the rest in a process group of its own, says "child PID", waits
 *                         for it and exits as it did
 *     event TYPE PID      lets the process have a console event of this number, as the console
 *                         would: by a thread that begins in its handler
 *     wait-gone PID       waits until the process is gone
 *     set NAME, await NAME  an event that processes share: sets it, waits until it is set
 *     kill PID            ends the process with exit code 1
 *     status-of ARG...    starts the rest, says "status N" with all 32 bits
 *     codes AIORUN        lets that run `exit N` for every N of 0..255, and says each exit code
 *     exists FILE         exits with 1 when it does not
 *     note FILE           makes it a byte longer
 *     handles PID         says how many handles the process has
 *     pid                 says its process number
 *     in-job              says whether it is in a job
 */
#include "event.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static wchar_t *action, *argument;

static void put(DWORD stream, const wchar_t *text, const char *end)
{
    char line[1024];
    DWORD written;
    WideCharToMultiByte(CP_UTF8, 0, text, -1, line, sizeof line - 1, NULL, NULL);
    strcat(line, end);
    WriteFile(GetStdHandle(stream), line, (DWORD)strlen(line), &written, NULL);
}

static void say(const wchar_t *text)
{
    put(STD_OUTPUT_HANDLE, text, "\n");
}

static void say_line(DWORD length)
{
    char *line = malloc(length + 1);
    DWORD written;
    memset(line, 'x', length);
    line[length] = '\n';
    WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), line, length + 1, &written, NULL);
    free(line);
}

static void say_count(unsigned count)
{
    char lines[100 * 100 + 1];
    DWORD written;
    for (unsigned n = 0, in = 0; n < count; n++) {
        sprintf(lines + 100 * in++, "%099u\n", n);
        if (in < 100 && n + 1 < count)
            continue;
        WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), lines, 100 * in, &written, NULL);
        in = 0;
    }
}

/* One byte at a time, when not everything is to be taken: none is in our hands when it is over. */
static void log_input(const wchar_t *name, unsigned long most)
{
    HANDLE file = CreateFileW(name, FILE_APPEND_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                              OPEN_ALWAYS, 0, NULL);
    char bytes[4096];
    DWORD count = 0, written;
    while (most > 0 &&
           ReadFile(GetStdHandle(STD_INPUT_HANDLE), bytes,
                    most == (unsigned long)-1 ? sizeof bytes : 1, &count, NULL) &&
           count > 0) {
        WriteFile(file, bytes, count, &written, NULL);
        most -= most != (unsigned long)-1;
    }
    if (most > 0)
        WriteFile(file, "<end>", 5, &written, NULL);
    CloseHandle(file);
}

static void say_number(const wchar_t *words, unsigned long number)
{
    wchar_t line[100];
    swprintf(line, sizeof line / sizeof line[0], L"%ls%lu", words, number);
    say(line);
}

static BOOL WINAPI on_event(DWORD type)
{
    if (wcsncmp(action, L"exit", 4) == 0) {
        say_number(L"event ", type);
        if (wcscmp(action, L"exit-later") == 0) {
            Sleep(1000);
            say(L"said goodbye");
        }
        ExitProcess(wcstoul(argument, NULL, 0));
    }
    if (wcscmp(action, L"say") == 0)
        say(argument);
    return TRUE;
}

static void die(const char *what)
{
    fprintf(stderr, "victim: cannot %s: error %lu\n", what, GetLastError());
    ExitProcess(99);
}

/* None of our arguments needs quoting. */
static HANDLE start(wchar_t **arguments, wchar_t **end, DWORD flags, DWORD *pid)
{
    wchar_t self[MAX_PATH], line[4096] = L"victim";
    STARTUPINFOW startup = {.cb = sizeof startup};
    PROCESS_INFORMATION made;
    GetModuleFileNameW(NULL, self, MAX_PATH);
    if (wcscmp(*arguments, L"--") == 0) {
        wcscpy(self, *++arguments);
        wcscpy(line, *arguments++);
    }
    for (; *arguments != NULL && arguments != end; arguments++) {
        wcscat(line, L" ");
        wcscat(line, *arguments);
    }
    if (!CreateProcessW(self, line, NULL, NULL, TRUE, flags, NULL, NULL, &startup, &made))
        die("start a process");
    CloseHandle(made.hThread);
    *pid = made.dwProcessId;
    return made.hProcess;
}

/* The comma that belongs to this `child`. */
static wchar_t **end_of_child(wchar_t **arguments)
{
    int depth = 0;
    do {
        depth += wcscmp(*arguments, L"child") == 0;
        depth -= wcscmp(*arguments, L",") == 0;
    } while (depth > 0 && *++arguments != NULL);
    return arguments;
}

static void wait_gone(DWORD pid)
{
    HANDLE process = OpenProcess(SYNCHRONIZE, FALSE, pid);
    if (process != NULL)
        WaitForSingleObject(process, INFINITE);
}

#define AT_A_TIME 16

static void say_codes(wchar_t *aiorun)
{
    wchar_t self[MAX_PATH];
    GetModuleFileNameW(NULL, self, MAX_PATH);
    for (unsigned first = 0; first < 256; first += AT_A_TIME) {
        HANDLE processes[AT_A_TIME];
        DWORD pid, code;
        for (unsigned i = 0; i < AT_A_TIME; i++) {
            wchar_t number[16];
            wchar_t *arguments[] = {L"--", aiorun, L"--", self, L"exit", number, NULL};
            swprintf(number, 16, L"%u", first + i);
            processes[i] = start(arguments, NULL, 0, &pid);
        }
        for (unsigned i = 0; i < AT_A_TIME; i++) {
            WaitForSingleObject(processes[i], INFINITE);
            GetExitCodeProcess(processes[i], &code);
            say_number(L"", code);
        }
    }
}

static void say_arguments(wchar_t **arguments)
{
    for (; *arguments != NULL; arguments++) {
        char text[40000], line[80000];
        DWORD written;
        int length = WideCharToMultiByte(CP_UTF8, 0, *arguments, -1, text, sizeof text, NULL, NULL);
        for (int i = 0; i + 1 < length; i++)
            sprintf(line + 2 * i, "%02x", (unsigned char)text[i]);
        strcpy(line + 2 * (length - 1), "\n");
        WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), line, (DWORD)strlen(line), &written, NULL);
    }
}

/* mingw-w64: the C library is not to expand `*` in arguments. */
extern int _dowildcard;
int _dowildcard = 0;

int wmain(int count, wchar_t **arguments);

int wmain(int count, wchar_t **arguments)
{
    wchar_t text[1024];
    (void)count;
    for (arguments++; *arguments != NULL; arguments++) {
        const wchar_t *verb = *arguments;
        DWORD pid, code;
        BOOL inside = FALSE;
        if (wcscmp(verb, L"say") == 0) {
            say(*++arguments);
        } else if (wcscmp(verb, L"say-error") == 0) {
            put(STD_ERROR_HANDLE, *++arguments, "\n");
        } else if (wcscmp(verb, L"write") == 0) {
            put(STD_OUTPUT_HANDLE, *++arguments, "");
        } else if (wcscmp(verb, L"line") == 0) {
            say_line(wcstoul(*++arguments, NULL, 0));
        } else if (wcscmp(verb, L"count") == 0) {
            say_count(wcstoul(*++arguments, NULL, 0));
        } else if (wcscmp(verb, L"log") == 0) {
            log_input(*++arguments, (unsigned long)-1);
        } else if (wcscmp(verb, L"log-some") == 0) {
            log_input(arguments[2], wcstoul(arguments[1], NULL, 0));
            arguments += 2;
        } else if (wcscmp(verb, L"args") == 0) {
            say_arguments(arguments + 1);
            return 0;
        } else if (wcscmp(verb, L"exit") == 0) {
            ExitProcess(wcstoul(arguments[1], NULL, 0));
        } else if (wcscmp(verb, L"on-event") == 0) {
            action = *++arguments;
            if (wcscmp(action, L"ignore") != 0)
                argument = *++arguments;
            SetConsoleCtrlHandler(on_event, TRUE);
        } else if (wcscmp(verb, L"ready") == 0) {
            say(L"ready");
        } else if (wcscmp(verb, L"set") == 0) {
            SetEvent(CreateEventW(NULL, TRUE, FALSE, *++arguments));
        } else if (wcscmp(verb, L"await") == 0) {
            WaitForSingleObject(CreateEventW(NULL, TRUE, FALSE, *++arguments), INFINITE);
        } else if (wcscmp(verb, L"sleep") == 0) {
            Sleep(INFINITE);
        } else if (wcscmp(verb, L"child") == 0) {
            wchar_t **end = end_of_child(arguments);
            CloseHandle(start(arguments + 1, end, 0, &pid));
            arguments = end;
        } else if (wcscmp(verb, L"env") == 0) {
            say(GetEnvironmentVariableW(*++arguments, text, 1024) ? text : L"unset");
        } else if (wcscmp(verb, L"copy") == 0) {
            char bytes[4096];
            while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), bytes, sizeof bytes, &code, NULL) &&
                   code > 0) {
                WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), bytes, code, &pid, NULL);
                WriteFile(GetStdHandle(STD_ERROR_HANDLE), bytes, code, &pid, NULL);
            }
        } else if (wcscmp(verb, L"cwd") == 0) {
            GetCurrentDirectoryW(1024, text);
            say(text);
        } else if (wcscmp(verb, L"group") == 0) {
            HANDLE process = start(arguments + 1, NULL, CREATE_NEW_PROCESS_GROUP, &pid);
            say_number(L"child ", pid);
            WaitForSingleObject(process, INFINITE);
            GetExitCodeProcess(process, &code);
            return (int)code;
        } else if (wcscmp(verb, L"event") == 0) {
            if (!send_event(wcstoul(arguments[1], NULL, 0), wcstoul(arguments[2], NULL, 0)))
                die("send an event");
            arguments += 2;
        } else if (wcscmp(verb, L"kill") == 0) {
            HANDLE process = OpenProcess(PROCESS_TERMINATE, FALSE, wcstoul(*++arguments, NULL, 0));
            if (process == NULL || !TerminateProcess(process, 1))
                die("kill it");
        } else if (wcscmp(verb, L"status-of") == 0) {
            HANDLE process = start(arguments + 1, NULL, 0, &pid);
            WaitForSingleObject(process, INFINITE);
            GetExitCodeProcess(process, &code);
            say_number(L"status ", code);
            return 0;
        } else if (wcscmp(verb, L"codes") == 0) {
            say_codes(*++arguments);
        } else if (wcscmp(verb, L"wait-gone") == 0) {
            wait_gone(wcstoul(*++arguments, NULL, 0));
        } else if (wcscmp(verb, L"exists") == 0) {
            if (GetFileAttributesW(*++arguments) == INVALID_FILE_ATTRIBUTES)
                return 1;
        } else if (wcscmp(verb, L"note") == 0) {
            HANDLE file =
                CreateFileW(*++arguments, FILE_APPEND_DATA, 7, NULL, OPEN_ALWAYS, 0, NULL);
            WriteFile(file, "x", 1, &code, NULL);
            CloseHandle(file);
        } else if (wcscmp(verb, L"handles") == 0) {
            HANDLE process =
                OpenProcess(PROCESS_QUERY_INFORMATION, FALSE, wcstoul(*++arguments, NULL, 0));
            if (process == NULL || !GetProcessHandleCount(process, &code))
                die("count its handles");
            say_number(L"handles ", code);
        } else if (wcscmp(verb, L"pid") == 0) {
            say_number(L"pid ", GetCurrentProcessId());
        } else if (wcscmp(verb, L"in-job") == 0) {
            IsProcessInJob(GetCurrentProcess(), NULL, &inside);
            say(inside ? L"in a job" : L"in no job");
        } else {
            fprintf(stderr, "victim: what is '%ls'?\n", verb);
            return 98;
        }
    }
    return 0;
}
