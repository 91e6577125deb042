/* Where admin pipes are. */
#include "client/win32/win32.h"

#include <stdio.h>
#include <string.h>
#include <tlhelp32.h>

const char people_door[] = "pipe";

/* A name without the place where pipes are is looked for there. */
intptr_t people_dial(const char *name)
{
    wchar_t wide[MAX_PATH];
    char full[4 * MAX_PATH];
    snprintf(full, sizeof full, "%s%s", strncmp(name, "\\\\", 2) == 0 ? "" : "\\\\.\\pipe\\", name);
    if (MultiByteToWideChar(CP_UTF8, 0, full, -1, wide, MAX_PATH) == 0)
        return -1;
    return channel_connect(wide);
}

bool people_are_silent(void)
{
    return GetLastError() == ERROR_SEM_TIMEOUT; /* of WaitNamedPipe() */
}

/* A supervisor's pipe has the number of its process; those of others are not ours to open. */
void people_search(void (*note)(const char *name))
{
    PROCESSENTRY32W entry = {.dwSize = sizeof entry};
    HANDLE processes = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    if (processes == INVALID_HANDLE_VALUE)
        return;
    for (BOOL more = Process32FirstW(processes, &entry); more;
         more = Process32NextW(processes, &entry)) {
        char name[32];
        snprintf(name, sizeof name, "aiorun-%lu", (unsigned long)entry.th32ProcessID);
        note(name);
    }
    CloseHandle(processes);
}
