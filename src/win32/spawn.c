#include "win32/win32.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PATH_MAX_WIDE 32768 /* characters, with a NUL: no path is longer */

#ifndef PROC_THREAD_ATTRIBUTE_JOB_LIST
#define PROC_THREAD_ATTRIBUTE_JOB_LIST 0x0002000D
#endif

static HANDLE standard[3], null_device;

/* ---- handles ---- */

/* A duplicate that may be inherited; NULL where we have none. */
static HANDLE inheritable(HANDLE handle)
{
    HANDLE copy = NULL;
    if (handle == NULL || handle == INVALID_HANDLE_VALUE)
        return NULL;
    if (!DuplicateHandle(GetCurrentProcess(), handle, GetCurrentProcess(), &copy, 0, TRUE,
                         DUPLICATE_SAME_ACCESS))
        return NULL;
    return copy;
}

bool spawn_open(void)
{
    static const DWORD numbers[] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
    SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};
    for (size_t i = 0; i < 3; i++)
        standard[i] = inheritable(GetStdHandle(numbers[i]));
    null_device =
        CreateFileW(L"NUL", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE,
                    &inherited, OPEN_EXISTING, 0, NULL);
    return null_device != INVALID_HANDLE_VALUE;
}

HANDLE spawn_standard(size_t number)
{
    return standard[number];
}

HANDLE spawn_null(void)
{
    return null_device;
}

void spawn_pass(struct spawn *spawn, HANDLE handle)
{
    spawn->passes[spawn->pass_count++] = handle;
}

/* Each handle once, or CreateProcess() refuses the list. */
static size_t list_handles(const struct spawn *spawn, HANDLE *list)
{
    size_t count = 0;
    for (size_t i = 0; i < 3 + spawn->pass_count; i++) {
        HANDLE handle = i < 3 ? spawn->standard[i] : spawn->passes[i - 3];
        bool known = handle == NULL;
        for (size_t n = 0; n < count; n++)
            known = known || list[n] == handle;
        if (!known)
            list[count++] = handle;
    }
    return count;
}

/* ---- the environment ---- */

void spawn_add(struct spawn *spawn, const char *format, ...)
{
    char text[COMMAND_VARIABLE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    wchar_t entry[COMMAND_VARIABLE_MAX];
    size_t at = spawn->variable_count++;
    MultiByteToWideChar(CP_UTF8, 0, text, -1, entry, COMMAND_VARIABLE_MAX);
    for (; at > 0 && environment_compare(spawn->variables[at - 1], entry) > 0; at--)
        wcscpy(spawn->variables[at], spawn->variables[at - 1]);
    wcscpy(spawn->variables[at], entry);
}

static wchar_t *append(wchar_t *block, const wchar_t *entry)
{
    size_t length = wcslen(entry) + 1;
    memcpy(block, entry, length * sizeof *block);
    return block + length;
}

/* Puts what is added, which is sorted, where it belongs. */
static void make_block(const struct spawn *spawn)
{
    const struct environment *environment = spawn->command->environment;
    wchar_t *end = environment->block;
    size_t added = 0;
    for (size_t i = 0; i < environment->count; i++) {
        while (added < spawn->variable_count &&
               environment_compare(spawn->variables[added], environment->entries[i]) < 0)
            end = append(end, spawn->variables[added++]);
        end = append(end, environment->entries[i]);
    }
    while (added < spawn->variable_count)
        end = append(end, spawn->variables[added++]);
    end[0] = end[1] = L'\0'; /* an empty one has two, too */
}

/* ---- where the program is ---- */

static const wchar_t *variable(const struct command *command, const wchar_t *name)
{
    const struct environment *environment = command->environment;
    size_t length = wcslen(name);
    for (size_t i = 0; i < environment->count; i++) {
        const wchar_t *entry = environment->entries[i];
        if (_wcsnicmp(entry, name, length) == 0 && entry[length] == L'=')
            return entry + length + 1;
    }
    return NULL;
}

enum found { FOUND_NOTHING, FOUND_PROGRAM, FOUND_BATCH, FOUND_OTHER };

static bool ends_in(const wchar_t *path, const wchar_t *extension)
{
    size_t length = wcslen(path), end = wcslen(extension);
    return length > end && _wcsicmp(path + length - end, extension) == 0;
}

static bool is_file(const wchar_t *path)
{
    DWORD attributes = GetFileAttributesW(path);
    return attributes != INVALID_FILE_ATTRIBUTES && !(attributes & FILE_ATTRIBUTE_DIRECTORY);
}

static enum found judge(const wchar_t *path)
{
    if (!is_file(path))
        return FOUND_NOTHING;
    return ends_in(path, L".bat") || ends_in(path, L".cmd") ? FOUND_BATCH : FOUND_PROGRAM;
}

/* `path`, of `length` characters, as it is, and with each extension that stands for a program. */
static enum found try_path(wchar_t *path, size_t length)
{
    static const wchar_t *const extensions[] = {L"", L".com", L".exe", L".bat", L".cmd"};
    const wchar_t *name = path;
    for (const wchar_t *c = path; *c != L'\0'; c++)
        if (wcschr(L"/\\:", *c) != NULL)
            name = c + 1;
    for (size_t i = wcschr(name, L'.') == NULL; i < sizeof extensions / sizeof extensions[0]; i++) {
        if (length + wcslen(extensions[i]) >= PATH_MAX_WIDE)
            continue;
        wcscpy(path + length, extensions[i]);
        enum found found = judge(path);
        if (found != FOUND_NOTHING)
            return found;
    }
    return FOUND_NOTHING;
}

static enum found try_in(wchar_t *path, const wchar_t *directory, size_t length,
                         const wchar_t *name)
{
    if (length + 1 + wcslen(name) >= PATH_MAX_WIDE)
        return FOUND_NOTHING;
    memcpy(path, directory, length * sizeof *path);
    if (length > 0 && wcschr(L"/\\:", path[length - 1]) == NULL)
        path[length++] = L'\\';
    wcscpy(path + length, name);
    return try_path(path, length + wcslen(name));
}

static bool is_absolute(const wchar_t *path)
{
    return wcschr(L"/\\", path[0]) != NULL || (path[0] != L'\0' && path[1] == L':');
}

/* In the command's own PATH, and not in the current directory, as PowerShell does it; a name with a
 * directory counts from where the command is to be. */
static enum found find_program(const struct command *command, wchar_t *path)
{
    const wchar_t *name = command->program;
    const wchar_t *places = variable(command, L"PATH");
    if (*name == L'\0')
        return FOUND_NOTHING;
    if (wcspbrk(name, L"/\\:") != NULL) {
        bool beside = command->cwd != NULL && !is_absolute(name);
        return try_in(path, beside ? command->cwd : L"", beside ? wcslen(command->cwd) : 0, name);
    }
    for (; places != NULL && *places != L'\0'; places += *places == L';') {
        size_t length = wcscspn(places, L";");
        bool quoted = length >= 2 && places[0] == L'"' && places[length - 1] == L'"';
        enum found found =
            length == 0 ? FOUND_NOTHING : try_in(path, places + quoted, length - 2 * quoted, name);
        if (found != FOUND_NOTHING)
            return found;
        places += length;
    }
    return FOUND_NOTHING;
}

/* ---- the start ---- */

static void explain(struct platform_started *started, enum exit_status status, const char *format,
                    const char *name, const char *reason)
{
    started->end = (struct ending){ENDING_NOT_STARTED, status};
    snprintf(started->sentence, sizeof started->sentence, format, name, reason);
}

static void explain_error(struct platform_started *started, const struct command *command,
                          DWORD error)
{
    enum exit_status status = STATUS_NOT_EXECUTABLE;
    if (error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND)
        status = STATUS_NOT_FOUND;
    if (error == ERROR_DIRECTORY || error == ERROR_NOT_ENOUGH_MEMORY ||
        error == ERROR_NO_SYSTEM_RESOURCES || error == ERROR_INVALID_PARAMETER ||
        error == ERROR_NOT_ENOUGH_QUOTA) /* pids-max */
        status = STATUS_OWN_FAILURE;
    explain(started, status,
            error == ERROR_DIRECTORY ? "cannot start '%s' in its directory: %s"
                                     : "cannot run '%s': %s",
            command->name, win_error(error));
}

static bool is_startable(enum found found, struct platform_started *started,
                         const struct command *command)
{
    if (found == FOUND_NOTHING)
        explain(started, STATUS_NOT_FOUND, "cannot run '%s': %s", command->name, "no such program");
    if (found == FOUND_BATCH)
        explain(started, STATUS_NOT_EXECUTABLE, "cannot run '%s': %s", command->name,
                "it is a batch file, which only cmd.exe can run: put 'cmd /c' before it");
    return found == FOUND_PROGRAM;
}

static BOOL create(const struct spawn *spawn, const wchar_t *path,
                   LPPROC_THREAD_ATTRIBUTE_LIST attributes, bool inherits,
                   PROCESS_INFORMATION *made)
{
    static wchar_t line[32768]; /* CreateProcessW() writes into it */
    STARTUPINFOEXW startup = {.lpAttributeList = attributes};
    DWORD flags = EXTENDED_STARTUPINFO_PRESENT | CREATE_UNICODE_ENVIRONMENT |
                  spawn->command->priority | (spawn->own_group ? CREATE_NEW_PROCESS_GROUP : 0) |
                  (console_is_there() ? 0 : CREATE_NO_WINDOW);
    startup.StartupInfo.cb = sizeof startup;
    startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    startup.StartupInfo.hStdInput = spawn->standard[0];
    startup.StartupInfo.hStdOutput = spawn->standard[1];
    startup.StartupInfo.hStdError = spawn->standard[2];
    wcscpy(line, spawn->command->line);
    return CreateProcessW(path, line, NULL, NULL, inherits, flags,
                          spawn->command->environment->block, spawn->command->cwd,
                          &startup.StartupInfo, made);
}

HANDLE spawn_process(const struct spawn *spawn, DWORD *pid, struct platform_started *started)
{
    static wchar_t path[PATH_MAX_WIDE];
    static _Alignas(max_align_t) char list[256];
    const struct command *command = spawn->command;
    LPPROC_THREAD_ATTRIBUTE_LIST attributes = (LPPROC_THREAD_ATTRIBUTE_LIST)list;
    PROCESS_INFORMATION made = {0};
    HANDLE handles[3 + SPAWN_HANDLES_MAX];
    HANDLE jobs[] = {spawn->limits, spawn->job}; /* the outer one first */
    size_t none = spawn->limits == NULL;
    SIZE_T size = sizeof list;
    if (!is_startable(find_program(command, path), started, command))
        return NULL;
    size_t count = list_handles(spawn, handles);
    make_block(spawn);
    /* In its job object from its first instruction on: whatever becomes of us, it is not left. */
    bool done =
        InitializeProcThreadAttributeList(attributes, 2, 0, &size) &&
        UpdateProcThreadAttribute(attributes, 0, PROC_THREAD_ATTRIBUTE_JOB_LIST, jobs + none,
                                  sizeof jobs - none * sizeof jobs[0], NULL, NULL);
    if (done && count > 0)
        done = UpdateProcThreadAttribute(attributes, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles,
                                         count * sizeof handles[0], NULL, NULL);
    done = done && create(spawn, path, attributes, count > 0, &made);
    if (!done) {
        explain_error(started, command, GetLastError());
        return NULL;
    }
    CloseHandle(made.hThread);
    *pid = made.dwProcessId;
    return made.hProcess;
}
