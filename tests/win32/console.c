/* console.c - stands in for a console where there is none, or one that sends no Ctrl-Break (wine).
 *
 *     console PROGRAM ARG...
 *
 * Runs the program, which must be aiorun.exe, in a process group of its own and exits as it does.
 * It is the program's debugger: where that asks whether there is a console, the answer is yes;
 * where it sends a console event to a process group, a line on standard error says "console: TYPE
 * to GROUP", and each process of the group gets it as from a console, in a new thread.  The program
 * itself is unchanged, and knows nothing.  What limits it asks Windows for, which wine does not
 * enforce, a line says, too.
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
} breakpoints[] = {{"GenerateConsoleCtrlEvent", NULL, 0},
                   {"GetConsoleCP", NULL, 0},
                   {"SetInformationJobObject", NULL, 0}};

#define LIMITS 2 /* which of them is only looked at */

#define BREAKPOINTS (sizeof breakpoints / sizeof breakpoints[0])

static void set_breakpoints(HANDLE process)
{
    for (size_t i = 0; i < BREAKPOINTS; i++) {
        unsigned char trap = 0xcc;
        breakpoints[i].at = (unsigned char *)(void *)find(breakpoints[i].name);
        if (!ReadProcessMemory(process, breakpoints[i].at, &breakpoints[i].original, 1, NULL) ||
            !WriteProcessMemory(process, breakpoints[i].at, &trap, 1, NULL))
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

static void write_code(HANDLE process, unsigned char *at, unsigned char code)
{
    WriteProcessMemory(process, at, &code, 1, NULL);
    FlushInstructionCache(process, at, 1);
}

static void say_limits(HANDLE process, const CONTEXT *context)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION amounts;
    JOBOBJECT_CPU_RATE_CONTROL_INFORMATION control;
    const void *from = (const void *)context->R8;
    DWORD flags = 0;
    if (context->Rdx == JobObjectExtendedLimitInformation &&
        ReadProcessMemory(process, from, &amounts, sizeof amounts, NULL))
        flags = amounts.BasicLimitInformation.LimitFlags;
    if (flags & JOB_OBJECT_LIMIT_JOB_MEMORY)
        fprintf(stderr, "console: job memory %llu\n", (unsigned long long)amounts.JobMemoryLimit);
    if (flags & JOB_OBJECT_LIMIT_ACTIVE_PROCESS)
        fprintf(stderr, "console: job processes %lu\n",
                amounts.BasicLimitInformation.ActiveProcessLimit);
    if (context->Rdx == JobObjectCpuRateControlInformation &&
        ReadProcessMemory(process, from, &control, sizeof control, NULL))
        fprintf(stderr, "console: job rate %lu\n", control.ControlFlags == 5 ? control.CpuRate : 0);
}

/* Lets the thread take the step that the breakpoint is in the place of. */
static void look_on(HANDLE process, DWORD thread_id)
{
    HANDLE thread = OpenThread(THREAD_ALL_ACCESS, FALSE, thread_id);
    CONTEXT context = {.ContextFlags = CONTEXT_FULL};
    if (!GetThreadContext(thread, &context))
        die("read a thread");
    say_limits(process, &context);
    write_code(process, breakpoints[LIMITS].at, breakpoints[LIMITS].original);
    context.Rip = (DWORD64)(uintptr_t)breakpoints[LIMITS].at;
    context.EFlags |= 0x100; /* EXCEPTION_SINGLE_STEP comes after it */
    SetThreadContext(thread, &context);
    CloseHandle(thread);
}

static DWORD take_exception(const DEBUG_EVENT *event, HANDLE process)
{
    const EXCEPTION_RECORD *record = &event->u.Exception.ExceptionRecord;
    static BOOL begun;
    if (record->ExceptionCode == EXCEPTION_SINGLE_STEP) {
        write_code(process, breakpoints[LIMITS].at, 0xcc);
        return DBG_CONTINUE;
    }
    if (record->ExceptionCode != EXCEPTION_BREAKPOINT)
        return DBG_EXCEPTION_NOT_HANDLED;
    for (size_t i = 0; i < BREAKPOINTS; i++) {
        if (record->ExceptionAddress != breakpoints[i].at)
            continue;
        if (i == LIMITS)
            look_on(process, event->dwThreadId);
        else
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
