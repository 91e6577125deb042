#include "plan/option_table.h"
#include "win32/win32.h"

#include <errno.h>
#include <string.h>

static HANDLE file = INVALID_HANDLE_VALUE;

/* Overlapped, so that a pipe that nobody reads is not waited for. */
void report_file_open(const struct plan *plan, struct faults *faults)
{
    const char *path = plan->report;
    char place[OPTION_PLACE_MAX];
    if (path == NULL || strcmp(path, "-") == 0)
        return;
    option_place_of("report", plan, &plan->worker, place);
    wchar_t *wide = wide_from(path);
    if (wide != NULL)
        file = CreateFileW(wide, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL,
                           OPEN_ALWAYS, FILE_FLAG_OVERLAPPED, NULL);
    if (file == INVALID_HANDLE_VALUE)
        fault_add(faults, place, "cannot open '%s' for writing: %s", path,
                  win_error(GetLastError()));
    else if (faults->count == 0 && GetFileType(file) == FILE_TYPE_DISK && !SetEndOfFile(file))
        fault_add(faults, place, "cannot empty '%s': %s", path, win_error(GetLastError()));
    platform_free(wide);
}

bool platform_write_report(const char *bytes, size_t length, msec until)
{
    static LONGLONG position;
    OVERLAPPED overlapped = {.Offset = (DWORD)position, .OffsetHigh = (DWORD)(position >> 32)};
    DWORD written = 0;
    msec left = until - platform_now();
    if (!WriteFile(file, bytes, (DWORD)length, NULL, &overlapped) &&
        GetLastError() != ERROR_IO_PENDING) {
        errno = EIO;
        return false;
    }
    bool done =
        GetOverlappedResultEx(file, &overlapped, &written, left > 0 ? (DWORD)left : 0, FALSE);
    if (!done && CancelIo(file)) {
        GetOverlappedResult(file, &overlapped, &written, TRUE);
        errno = ETIMEDOUT;
    }
    position += written;
    return done && written == length;
}
