#include "plan/parse.h"
#include "win32/win32.h"

#include <stdlib.h>
#include <string.h>

#define LINE_MAX 32767 /* characters, with a NUL: CreateProcess() takes no more */

void *heap_allocate(HANDLE heap, size_t size)
{
    return HeapAlloc(heap, HEAP_ZERO_MEMORY, size);
}

wchar_t *heap_widen(HANDLE heap, const char *text)
{
    int length = MultiByteToWideChar(CP_UTF8, 0, text, -1, NULL, 0);
    wchar_t *wide = heap_allocate(heap, (size_t)length * sizeof *wide);
    if (wide != NULL)
        MultiByteToWideChar(CP_UTF8, 0, text, -1, wide, length);
    return wide;
}

static char *heap_copy(HANDLE heap, const char *text)
{
    char *copy = heap_allocate(heap, strlen(text) + 1);
    return copy != NULL ? strcpy(copy, text) : NULL;
}

bool command_set_line(HANDLE heap, struct command *command, char *const *argv)
{
    size_t length = quote_join(NULL, 0, argv);
    char *line = heap_allocate(heap, length + 1);
    if (line == NULL)
        return false;
    quote_join(line, length + 1, argv);
    command->name = heap_copy(heap, argv[0]);
    command->program = heap_widen(heap, argv[0]);
    command->line = heap_widen(heap, line);
    HeapFree(heap, 0, line);
    return command->name != NULL && command->program != NULL && command->line != NULL;
}

static void prepare_line(HANDLE heap, struct command *command, char *const *argv,
                         struct faults *faults)
{
    if (!command_set_line(heap, command, argv))
        fault_add(faults, NULL, "out of memory for the command line");
    else if (wcslen(command->line) >= LINE_MAX)
        fault_add(faults, NULL,
                  "the command line of '%s' is longer than the %d characters that "
                  "Windows allows",
                  command->name, LINE_MAX - 1);
}

static void prepare_text(HANDLE heap, struct command *command, const char *line,
                         struct faults *faults)
{
    char **argv = NULL;
    if (!parse_command(line, &argv)) {
        fault_add(faults, NULL, "out of memory for '%s'", line);
        return;
    }
    prepare_line(heap, command, argv, faults);
    free(argv);
}

/* nice(2) has forty steps, Windows six classes; the highest one is for nobody. */
static DWORD priority_class(const struct plan_attributes *attributes)
{
    if (!attributes->nice_set)
        return 0;
    if (attributes->nice >= 10)
        return IDLE_PRIORITY_CLASS;
    if (attributes->nice > 0)
        return BELOW_NORMAL_PRIORITY_CLASS;
    if (attributes->nice == 0)
        return NORMAL_PRIORITY_CLASS;
    return attributes->nice > -10 ? ABOVE_NORMAL_PRIORITY_CLASS : HIGH_PRIORITY_CLASS;
}

/* CreateProcess() wants the whole path of a directory. */
static wchar_t *full_path(HANDLE heap, const char *path)
{
    wchar_t *wide = heap_widen(heap, path);
    DWORD length = wide != NULL ? GetFullPathNameW(wide, 0, NULL, NULL) : 0;
    wchar_t *full = length > 0 ? heap_allocate(heap, length * sizeof *full) : NULL;
    if (full != NULL)
        GetFullPathNameW(wide, length, full, NULL);
    return full;
}

void command_prepare(HANDLE heap, struct command *command, const struct plan_worker *worker,
                     const struct environment *environment, struct faults *faults)
{
    const struct plan_attributes *attributes = &worker->rules->attributes;
    command->environment = environment;
    command->priority = priority_class(attributes);
    if (attributes->cwd != NULL) {
        command->cwd = full_path(heap, attributes->cwd);
        if (command->cwd == NULL)
            fault_add(faults, NULL, "out of memory for the directory of %s", worker->name);
    }
    if (worker->argv != NULL)
        prepare_line(heap, command, worker->argv, faults);
}

void command_prepare_beside(HANDLE heap, struct command *command, const struct command *beside,
                            const char *line, struct faults *faults)
{
    *command = *beside;
    prepare_text(heap, command, line, faults);
}

void command_prepare_hook(HANDLE heap, struct command *command, const char *line,
                          const struct environment *environment, struct faults *faults)
{
    command->environment = environment;
    if (line != NULL)
        prepare_text(heap, command, line, faults);
}
