/* What Windows gives a program is UTF-16; inside everything is UTF-8. */

#include "win32/win32.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv);
int wmain(void);
FILE *__wrap_fopen(const char *path, const char *mode);

/* mingw-w64: the C library is not to expand `*` in arguments. */
extern int _dowildcard;
int _dowildcard = 0;

wchar_t *wide_from(const char *text)
{
    int length = MultiByteToWideChar(CP_UTF8, 0, text, -1, NULL, 0);
    wchar_t *wide = platform_allocate((size_t)length * sizeof *wide);
    if (wide != NULL)
        MultiByteToWideChar(CP_UTF8, 0, text, -1, wide, length);
    return wide;
}

char *narrow_from(const wchar_t *text)
{
    int length = WideCharToMultiByte(CP_UTF8, 0, text, -1, NULL, 0, NULL, NULL);
    char *narrow = platform_allocate((size_t)length);
    if (narrow != NULL)
        WideCharToMultiByte(CP_UTF8, 0, text, -1, narrow, length, NULL, NULL);
    return narrow;
}

/* The linker puts it in the place of fopen(), which knows only the characters of a code page. */
FILE *__wrap_fopen(const char *path, const char *mode)
{
    wchar_t *wide = wide_from(path), *wide_mode = wide_from(mode);
    FILE *file = wide != NULL && wide_mode != NULL ? _wfopen(wide, wide_mode) : NULL;
    platform_free(wide);
    platform_free(wide_mode);
    return file;
}

static char **read_environment(void)
{
    wchar_t *block = GetEnvironmentStringsW();
    size_t count = 0, n = 0;
    if (block == NULL)
        return NULL;
    for (const wchar_t *entry = block; *entry != L'\0'; entry += wcslen(entry) + 1)
        count++;
    char **entries = platform_allocate((count + 1) * sizeof *entries);
    for (const wchar_t *entry = block; entries != NULL && *entry != L'\0';
         entry += wcslen(entry) + 1) {
        entries[n] = narrow_from(entry);
        if (entries[n++] == NULL)
            return NULL;
    }
    FreeEnvironmentStringsW(block);
    return entries;
}

static char **read_arguments(int *count)
{
    char *line = narrow_from(GetCommandLineW());
    if (line == NULL)
        return NULL;
    size_t max = QUOTE_ARGUMENTS_MAX(strlen(line));
    char **arguments = platform_allocate((max + 1) * sizeof *arguments);
    if (arguments != NULL)
        *count = (int)quote_split(line, arguments, max);
    return arguments;
}

int wmain(void)
{
    int count = 0;
    char **arguments = read_arguments(&count);
    _environ = read_environment(); /* which the C library, and others, read as `environ` */
    if (arguments == NULL || _environ == NULL)
        return STATUS_OWN_FAILURE;
    int status = main(count, arguments);
    log_lines_finish();
    return status;
}
