/* What a job comes with: a section that holds the request, and the standard streams.  The
 * supervisor takes them by their numbers, out of this process. */
#include "client/win32/win32.h"
#include "core/policy.h"
#include "protocol/submission.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static struct {
    HANDLE section, streams[3];
    size_t size;
} request;

/* The directory that we are in, with a slash in front: so it begins as one does elsewhere.  The
 * caller frees it; NULL without memory. */
static char *read_directory(void)
{
    DWORD length = GetCurrentDirectoryW(0, NULL);
    wchar_t *wide = calloc((size_t)length + 1, sizeof *wide);
    char *directory = malloc(4 * (size_t)length + 2);
    if (wide != NULL && directory != NULL) {
        GetCurrentDirectoryW(length, wide);
        directory[0] = '/';
        WideCharToMultiByte(CP_UTF8, 0, wide, -1, directory + 1, 4 * (int)length + 1, NULL, NULL);
    }
    free(wide);
    return directory;
}

/* False with a complaint. */
static bool write_section(const struct arguments *arguments, const char *directory)
{
    const struct verb *verb = arguments->verb;
    size_t size = submission_write(NULL, directory, arguments->rest, environ);
    if (size > SUBMISSION_MAX) {
        fail(verb, "the command and its environment have %zu bytes, and %lu are allowed", size,
             SUBMISSION_MAX);
        return false;
    }
    request.size = size;
    request.section =
        CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, (DWORD)size, NULL);
    char *bytes =
        request.section != NULL ? MapViewOfFile(request.section, FILE_MAP_WRITE, 0, 0, size) : NULL;
    if (bytes == NULL) {
        fail(verb, "cannot keep the request in memory: %s", system_reason());
        return false;
    }
    submission_write(bytes, directory, arguments->rest, environ);
    UnmapViewOfFile(bytes);
    return true;
}

bool request_prepare(const struct arguments *arguments)
{
    static const DWORD numbers[] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};
    char *directory = read_directory();
    if (directory == NULL) {
        fail(arguments->verb, "out of memory");
        return false;
    }
    for (size_t i = 0; i < 3; i++) {
        HANDLE stream = GetStdHandle(numbers[i]);
        request.streams[i] = stream != INVALID_HANDLE_VALUE ? stream : NULL;
    }
    bool written = write_section(arguments, directory);
    free(directory);
    return written;
}

bool request_prepare_apart(const struct arguments *arguments)
{
    DWORD mode;
    if (!request_prepare(arguments))
        return false;
    if (GetConsoleMode(request.streams[0], &mode))
        request.streams[0] = NULL;
    return true;
}

enum channel_result request_send(struct channel *channel, const char *line, size_t length)
{
    char lines[256 + 4096];
    int used = snprintf(lines, 256, "request %zu %llu %llu %llu %llu\n", request.size,
                        (unsigned long long)(uintptr_t)request.section,
                        (unsigned long long)(uintptr_t)request.streams[0],
                        (unsigned long long)(uintptr_t)request.streams[1],
                        (unsigned long long)(uintptr_t)request.streams[2]);
    memcpy(lines + used, line, length);
    return channel_send(channel, lines, (size_t)used + length);
}
