#include "plan/cli.h"
#include "plan/option_table.h"
#include "plan/parse.h"
#include "win32/win32.h"

#include <stdlib.h>
#include <string.h>

extern char **environ;

/* Those that cmd.exe keeps its directories in begin with a '='. */
static int name_length(const wchar_t *entry)
{
    return (int)(1 + wcscspn(entry + 1, L"="));
}

/* As CreateProcess() wants them sorted: by name, in capitals, by code point. */
int environment_compare(const wchar_t *a, const wchar_t *b)
{
    return CompareStringOrdinal(a, name_length(a), b, name_length(b), TRUE) - CSTR_EQUAL;
}

static int compare_entries(const void *a, const void *b)
{
    return environment_compare(*(const wchar_t *const *)a, *(const wchar_t *const *)b);
}

struct builder {
    HANDLE heap;
    const wchar_t **entries;
    size_t count, room;
    bool failed; /* no memory is left */
};

/* Sets NAME=VALUE, instead of an entry with that name. */
static void set_variable(struct builder *builder, const char *text)
{
    const wchar_t *entry = heap_widen(builder->heap, text);
    size_t at = 0;
    if (!builder->failed && builder->count == builder->room) {
        const wchar_t **grown = heap_allocate(builder->heap, 2 * builder->room * sizeof *grown);
        builder->failed = grown == NULL;
        if (grown != NULL)
            memcpy(grown, builder->entries, builder->count * sizeof *grown);
        builder->entries = grown;
        builder->room *= 2;
    }
    builder->failed = builder->failed || entry == NULL;
    if (builder->failed)
        return;
    while (at < builder->count && environment_compare(builder->entries[at], entry) != 0)
        at++;
    builder->entries[at] = entry;
    builder->count += at == builder->count;
}

static bool is_control_variable(const char *entry)
{
    static const char *const names[] = {
        "CONTROL_PIPE=", "CONTROL_FD=", "CONTROL_ID=", "PROTOCOL=", "WORKER=", "INSTANCE=", "PID="};
    if (_strnicmp(entry, "AIORUN_", 7) != 0)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (_strnicmp(entry + 7, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

bool environment_drops(const char *entry, bool keeps_outer)
{
    return cli_is_own_variable(entry) || (is_control_variable(entry) && !keeps_outer);
}

/* NAME=VALUE lines; empty ones and those that begin with '#' are skipped; nothing is unquoted. */
static void take_line(struct builder *builder, const char *path, int number, char *line,
                      size_t length, const char *place, struct faults *faults)
{
    bool whole = strlen(line) == length; /* no NUL hides the rest */
    line[strcspn(line, "\r")] = '\0';
    if (whole && (line[0] == '\0' || line[0] == '#'))
        return;
    const char *fault = whole ? parse_env_line(line) : "is followed by a NUL byte";
    if (fault != NULL)
        fault_add(faults, place, "%s:%d: '%s' %s", path, number, line, fault);
    else
        set_variable(builder, line);
}

static void read_env_file(struct builder *builder, const char *path, const char *place,
                          struct faults *faults)
{
    const wchar_t *wide = heap_widen(builder->heap, path);
    HANDLE file = wide == NULL ? INVALID_HANDLE_VALUE
                               : CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE,
                                             NULL, OPEN_EXISTING, 0, NULL);
    LARGE_INTEGER size = {0};
    DWORD length = 0;
    if (file == INVALID_HANDLE_VALUE) {
        fault_add(faults, place, "cannot open '%s': %s", path, win_error(GetLastError()));
        return;
    }
    GetFileSizeEx(file, &size);
    char *text =
        size.QuadPart <= INT32_MAX ? heap_allocate(builder->heap, (size_t)size.QuadPart + 1) : NULL;
    if (text == NULL || !ReadFile(file, text, (DWORD)size.QuadPart, &length, NULL))
        fault_add(faults, place, "cannot read '%s': %s", path,
                  win_error(text != NULL ? GetLastError() : ERROR_NOT_ENOUGH_MEMORY));
    CloseHandle(file);
    int number = 0;
    for (char *line = text, *end = text + length; text != NULL && line < end;) {
        char *stop = memchr(line, '\n', (size_t)(end - line));
        if (stop == NULL)
            stop = end;
        *stop = '\0';
        take_line(builder, path, ++number, line, (size_t)(stop - line), place, faults);
        line = stop + 1;
    }
}

const struct environment *environment_prepare(HANDLE heap, const struct plan *plan,
                                              const struct plan_worker *worker,
                                              struct faults *faults)
{
    struct builder builder = {.heap = heap, .room = 64};
    struct environment *made = heap_allocate(heap, sizeof *made);
    const struct plan_attributes *attributes = worker != NULL ? &worker->rules->attributes : NULL;
    char place[OPTION_PLACE_MAX];
    size_t length = 0;
    builder.entries = heap_allocate(heap, builder.room * sizeof *builder.entries);
    builder.failed = made == NULL || builder.entries == NULL;
    for (char **entry = environ; *entry != NULL; entry++)
        if (!environment_drops(*entry, plan->no_control) &&
            (attributes == NULL || !attributes->clear_env))
            set_variable(&builder, *entry);
    if (attributes != NULL && attributes->env_files.count > 0)
        option_place_of("env-file", plan, worker, place);
    for (size_t i = 0; attributes != NULL && i < attributes->env_files.count; i++)
        read_env_file(&builder, attributes->env_files.items[i], place, faults);
    for (size_t i = 0; attributes != NULL && i < attributes->env.count; i++)
        set_variable(&builder, attributes->env.items[i]);
    if (!builder.failed) {
        qsort(builder.entries, builder.count, sizeof *builder.entries, compare_entries);
        for (size_t i = 0; i < builder.count; i++)
            length += wcslen(builder.entries[i]) + 1;
        length += COMMAND_VARIABLES * COMMAND_VARIABLE_MAX + 2;
        made->entries = builder.entries;
        made->count = builder.count;
        made->block = heap_allocate(heap, length * sizeof *made->block);
    }
    if (!builder.failed && made->block != NULL)
        return made;
    fault_add(faults, NULL, "out of memory for the environment");
    return NULL;
}
