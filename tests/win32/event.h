/* event.h - gives a process a console event, as a console does: by a thread that begins in the
 * function that calls the handlers.  That has no name that is promised; Windows and wine both
 * export it under this one.
 *
 * In a process group that CREATE_NEW_PROCESS_GROUP has made, Ctrl-C is ignored; wine takes that for
 * Ctrl-Break too.  So the flag that says it is taken away first (PEB, ProcessParameters,
 * ConsoleFlags).
 */
#ifndef EVENT_H
#define EVENT_H

#include <stdint.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#define PARAMETERS_IN_PEB   0x20
#define FLAGS_IN_PARAMETERS 0x18

static FARPROC find(const char *name)
{
    FARPROC found = GetProcAddress(GetModuleHandleW(L"kernelbase.dll"), name);
    return found != NULL ? found : GetProcAddress(GetModuleHandleW(L"kernel32.dll"), name);
}

static void heed_all_events(HANDLE process)
{
    struct {
        LONG status;
        char *peb;
        void *others[4];
    } basic = {0};
    LONG(WINAPI * query)
    (HANDLE, int, void *, ULONG, ULONG *) = (LONG(WINAPI *)(HANDLE, int, void *, ULONG, ULONG *))(
        void *)GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "NtQueryInformationProcess");
    char *parameters = NULL;
    ULONG none = 0;
    if (query(process, 0, &basic, sizeof basic, NULL) == 0 &&
        ReadProcessMemory(process, basic.peb + PARAMETERS_IN_PEB, &parameters, sizeof parameters,
                          NULL))
        WriteProcessMemory(process, parameters + FLAGS_IN_PARAMETERS, &none, sizeof none, NULL);
}

static BOOL send_event(DWORD type, DWORD pid)
{
    HANDLE process = OpenProcess(PROCESS_ALL_ACCESS, FALSE, pid), thread = NULL;
    FARPROC routine = find("CtrlRoutine");
    if (process == NULL || routine == NULL)
        return FALSE;
    heed_all_events(process);
    thread = CreateRemoteThread(process, NULL, 0, (LPTHREAD_START_ROUTINE)(void *)routine,
                                (void *)(uintptr_t)type, 0, NULL);
    if (thread != NULL)
        CloseHandle(thread);
    CloseHandle(process);
    return thread != NULL;
}

#endif
