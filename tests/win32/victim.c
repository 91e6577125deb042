/* victim.c - what the Windows tests start: it does what its arguments say, one after the other.
 *
 *     say WORD            a line on standard output
 *     args ...            the rest, a line each, as bytes in hexadecimal; then exit 0
 *     exit N              ends; N up to 32 bits
 *     on-event ACTION     what a console event does from now on: ignore, exit N, say WORD
 *     ready               says "ready"; what goes before it is in place
 *     sleep               for ever
 *     child ARG... ,      starts itself with the arguments up to the comma, and goes on
 *     env NAME            says its value, or "unset"
 *     cwd                 says where it is
 *     priority            says its priority class
 *     group ARG...        starts the rest in a process group of its own, says "child PID", waits
 *                         for it and exits as it did
 *     event TYPE PID      lets the process have a console event of this number, as the console
 *                         would: by a thread that begins in its handler
 *     wait-gone PID       waits until the process is gone
 *     in-job              says whether it is in a job
 */
#include "event.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static wchar_t *action, *argument;

static void say(const wchar_t *text)
{
    char line[1024];
    int length = WideCharToMultiByte(CP_UTF8, 0, text, -1, line, sizeof line - 1, NULL, NULL);
    DWORD written;
    line[length - 1] = '\n';
    WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), line, (DWORD)length, &written, NULL);
}

static void say_number(const wchar_t *words, unsigned long number)
{
    wchar_t line[100];
    swprintf(line, sizeof line / sizeof line[0], L"%ls%lu", words, number);
    say(line);
}

static BOOL WINAPI on_event(DWORD type)
{
    if (wcscmp(action, L"exit") == 0) {
        say_number(L"event ", type);
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
static HANDLE start(wchar_t **arguments, const wchar_t *end, DWORD flags, DWORD *pid)
{
    wchar_t self[MAX_PATH], line[4096] = L"victim";
    STARTUPINFOW startup = {.cb = sizeof startup};
    PROCESS_INFORMATION made;
    GetModuleFileNameW(NULL, self, MAX_PATH);
    if (wcscmp(*arguments, L"--") == 0) {
        wcscpy(self, *++arguments);
        wcscpy(line, *arguments++);
    }
    for (; *arguments != NULL && (end == NULL || wcscmp(*arguments, end) != 0); arguments++) {
        wcscat(line, L" ");
        wcscat(line, *arguments);
    }
    if (!CreateProcessW(self, line, NULL, NULL, TRUE, flags, NULL, NULL, &startup, &made))
        die("start a process");
    CloseHandle(made.hThread);
    *pid = made.dwProcessId;
    return made.hProcess;
}

static void wait_gone(DWORD pid)
{
    HANDLE process = OpenProcess(SYNCHRONIZE, FALSE, pid);
    if (process != NULL)
        WaitForSingleObject(process, INFINITE);
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

int _dowildcard = 0;

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
        } else if (wcscmp(verb, L"sleep") == 0) {
            Sleep(INFINITE);
        } else if (wcscmp(verb, L"child") == 0) {
            CloseHandle(start(arguments + 1, L",", 0, &pid));
            while (wcscmp(*arguments, L",") != 0)
                arguments++;
        } else if (wcscmp(verb, L"env") == 0) {
            say(GetEnvironmentVariableW(*++arguments, text, 1024) ? text : L"unset");
        } else if (wcscmp(verb, L"cwd") == 0) {
            GetCurrentDirectoryW(1024, text);
            say(text);
        } else if (wcscmp(verb, L"priority") == 0) {
            say_number(L"priority ", GetPriorityClass(GetCurrentProcess()));
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
        } else if (wcscmp(verb, L"wait-gone") == 0) {
            wait_gone(wcstoul(*++arguments, NULL, 0));
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
