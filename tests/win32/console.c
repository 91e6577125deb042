/* console.c - stands in for a console where there is none, or one that sends no Ctrl-Break (wine).
 *
 *     console PROGRAM ARG...
 *
 * Runs the program, which must be aiorun.exe, in a process group of its own and exits as it does.
 * It is the program's debugger: where that asks whether there is a console, the answer is yes;
 * where it sends a console event to a process group, a line on standard error says "console: TYPE
 * to GROUP", and each process of the group gets it as from a console, in a new thread.  The program
 * itself is unchanged, and knows nothing.
 */
#include "event.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tlhelp32.h>
#include <wchar.h>

static void die(const char *what)
{
    fprintf(stderr, "console: cannot %s: error %lu\n", what, GetLastError());
    ExitProcess(99);
}

/* Our victims' children stay in their group. */
static void send_to_group(DWORD type, DWORD group)
{
    HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    PROCESSENTRY32W entry = {.dwSize = sizeof entry};
    fprintf(stderr, "console: %lu to %lu\n", type, group);
    send_event(type, group);
    for (BOOL more = Process32FirstW(all, &entry); more; more = Process32NextW(all, &entry))
        if (entry.th32ParentProcessID == group)
            send_event(type, entry.th32ProcessID);
    CloseHandle(all);
}

static struct breakpoint {
    const char *name;
    unsigned char *at;
    unsigned char original;
} breakpoints[] = {{"GenerateConsoleCtrlEvent", NULL, 0}, {"GetConsoleCP", NULL, 0}};

#define BREAKPOINTS (sizeof breakpoints / sizeof breakpoints[0])

static void set_breakpoints(HANDLE process)
{
    for (size_t i = 0; i < BREAKPOINTS; i++) {
        unsigned char trap = 0xcc;
        breakpoints[i].at = (unsigned char *)(void *)find(breakpoints[i].name);
        if (!WriteProcessMemory(process, breakpoints[i].at, &trap, 1, NULL))
            die("set a breakpoint");
        FlushInstructionCache(process, breakpoints[i].at, 1);
    }
}

/* Performs the function in the place of the system, and returns to its caller. */
static void perform(HANDLE process, DWORD thread_id, size_t which)
{
    HANDLE thread = OpenThread(THREAD_ALL_ACCESS, FALSE, thread_id);
    CONTEXT context = {.ContextFlags = CONTEXT_FULL};
    DWORD64 back;
    if (!GetThreadContext(thread, &context) ||
        !ReadProcessMemory(process, (void *)context.Rsp, &back, sizeof back, NULL))
        die("read a thread");
    if (which == 0)
        send_to_group((DWORD)context.Rcx, (DWORD)context.Rdx);
    context.Rax = which == 0 ? 1 : 65001;
    context.Rip = back;
    context.Rsp += sizeof back;
    SetThreadContext(thread, &context);
    CloseHandle(thread);
}

static DWORD take_exception(const DEBUG_EVENT *event, HANDLE process)
{
    const EXCEPTION_RECORD *record = &event->u.Exception.ExceptionRecord;
    static BOOL begun;
    if (record->ExceptionCode != EXCEPTION_BREAKPOINT)
        return DBG_EXCEPTION_NOT_HANDLED;
    for (size_t i = 0; i < BREAKPOINTS; i++) {
        if (record->ExceptionAddress != breakpoints[i].at)
            continue;
        perform(process, event->dwThreadId, i);
        return DBG_CONTINUE;
    }
    if (!begun) /* the system's own, when everything is loaded */
        set_breakpoints(process);
    begun = TRUE;
    return DBG_CONTINUE;
}

/* mingw-w64: the C library is not to expand `*` in arguments. */
extern int _dowildcard;
int _dowildcard = 0;

int wmain(int count, wchar_t **arguments);

int wmain(int count, wchar_t **arguments)
{
    static wchar_t line[32768];
    STARTUPINFOW startup = {.cb = sizeof startup};
    PROCESS_INFORMATION made;
    if (count < 2)
        return 99;
    for (int i = 1; i < count; i++) {
        wcscat(line, L"\"");
        wcscat(line, arguments[i]); /* ours have no quotation marks, and end in no backslash */
        wcscat(line, L"\" ");
    }
    if (!CreateProcessW(arguments[1], line, NULL, NULL, TRUE,
                        DEBUG_ONLY_THIS_PROCESS | CREATE_NEW_PROCESS_GROUP, NULL, NULL, &startup,
                        &made))
        die("start it");
    fprintf(stderr, "console: aiorun is %lu\n", made.dwProcessId);
    for (;;) {
        DEBUG_EVENT event;
        DWORD answer = DBG_CONTINUE;
        if (!WaitForDebugEvent(&event, INFINITE))
            die("wait for it");
        if (event.dwDebugEventCode == EXCEPTION_DEBUG_EVENT)
            answer = take_exception(&event, made.hProcess);
        if (event.dwDebugEventCode == EXIT_PROCESS_DEBUG_EVENT)
            return (int)event.u.ExitProcess.dwExitCode;
        ContinueDebugEvent(event.dwProcessId, event.dwThreadId, answer);
    }
}
