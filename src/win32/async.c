#include "win32/win32.h"

#define CONSOLE_PIECE 4096 /* bytes that a console is given at a time */

/* ---- the thread ---- */

/* As many bytes as are whole characters of UTF-8, if they are any. */
static DWORD whole_characters(const char *bytes, DWORD length)
{
    if (length <= CONSOLE_PIECE)
        return length;
    DWORD whole = CONSOLE_PIECE;
    while (whole > CONSOLE_PIECE - 4 && ((unsigned char)bytes[whole] & 0xC0) == 0x80)
        whole--;
    return whole;
}

/* A console takes UTF-16, whatever its code page is. */
static DWORD write_console(HANDLE file, const char *bytes, DWORD length)
{
    wchar_t wide[CONSOLE_PIECE];
    DWORD done;
    while (length > 0) {
        DWORD piece = whole_characters(bytes, length);
        int count = MultiByteToWideChar(CP_UTF8, 0, bytes, (int)piece, wide, CONSOLE_PIECE);
        if (!WriteConsoleW(file, wide, (DWORD)count, &done, NULL))
            return GetLastError();
        bytes += piece;
        length -= piece;
    }
    return ERROR_SUCCESS;
}

static DWORD write_bytes(HANDLE file, const char *bytes, DWORD length)
{
    DWORD mode, done;
    if (GetConsoleMode(file, &mode))
        return write_console(file, bytes, length);
    return WriteFile(file, bytes, length, &done, NULL) ? ERROR_SUCCESS : GetLastError();
}

static void take(struct async_writer *writer)
{
    char *bytes = writer->bytes;
    writer->bytes = writer->taken;
    writer->taken = bytes;
    writer->flying = writer->length;
    writer->length = 0;
}

static DWORD WINAPI write_all(void *context)
{
    struct async_writer *writer = context;
    DWORD error = ERROR_SUCCESS;
    AcquireSRWLockExclusive(&writer->lock);
    for (;;) {
        while (writer->length == 0 || writer->filling)
            SleepConditionVariableSRW(&writer->filled, &writer->lock, INFINITE, 0);
        take(writer);
        if (writer->wanted)
            win_loop_post(&writer->roomy);
        writer->wanted = false;
        ReleaseSRWLockExclusive(&writer->lock);
        if (writer->error == ERROR_SUCCESS) /* else nobody reads it */
            error = write_bytes(writer->file, writer->taken, (DWORD)writer->flying);
        AcquireSRWLockExclusive(&writer->lock);
        if (writer->error != error && writer->roomy.done != NULL)
            win_loop_post(&writer->roomy);
        writer->error = error;
        writer->flying = 0;
        if (writer->length == 0) {
            writer->held_up = false;
            WakeAllConditionVariable(&writer->emptied);
        }
    }
    return 0;
}

/* ---- our side ---- */

bool async_begin(struct async_writer *writer, HANDLE file, char *room, size_t size)
{
    writer->file = file;
    writer->bytes = room;
    writer->taken = room + size;
    writer->size = size;
    InitializeSRWLock(&writer->lock);
    InitializeConditionVariable(&writer->filled);
    InitializeConditionVariable(&writer->emptied);
    writer->thread = CreateThread(NULL, 0, write_all, writer, 0, NULL);
    return writer->thread != NULL;
}

static void send(struct async_writer *writer)
{
    writer->filling = false;
    if (writer->length > 0)
        WakeConditionVariable(&writer->filled);
}

char *async_room(struct async_writer *writer, size_t size)
{
    AcquireSRWLockExclusive(&writer->lock);
    bool fits = size <= writer->size - writer->length;
    writer->filling = fits;
    writer->wanted = !fits && writer->roomy.done != NULL;
    if (!fits)
        send(writer);
    ReleaseSRWLockExclusive(&writer->lock);
    return fits ? writer->bytes + writer->length : NULL;
}

void async_add(struct async_writer *writer, size_t size)
{
    AcquireSRWLockExclusive(&writer->lock);
    writer->length += size;
    ReleaseSRWLockExclusive(&writer->lock);
}

DWORD async_send(struct async_writer *writer)
{
    AcquireSRWLockExclusive(&writer->lock);
    send(writer);
    DWORD error = writer->error;
    ReleaseSRWLockExclusive(&writer->lock);
    return error;
}

/* Until all is written; false when that takes longer than `time`. */
static bool wait(struct async_writer *writer, DWORD time)
{
    send(writer);
    while (writer->length + writer->flying > 0)
        if (!SleepConditionVariableSRW(&writer->emptied, &writer->lock, time, 0))
            return false;
    return true;
}

bool async_wait(struct async_writer *writer, DWORD time)
{
    AcquireSRWLockExclusive(&writer->lock);
    bool written = wait(writer, time);
    ReleaseSRWLockExclusive(&writer->lock);
    return written;
}

void async_keep_up(struct async_writer *writer, DWORD time)
{
    AcquireSRWLockExclusive(&writer->lock);
    if (!writer->held_up)
        writer->held_up = !wait(writer, time);
    ReleaseSRWLockExclusive(&writer->lock);
}
