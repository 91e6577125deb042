/* pipe.h - what the control pipes and the admin pipe share; nobody else includes it.
 *
 *   pipe.c     named pipes that only our own user may open
 *   control.c, channel.c  the control pipes of the runs (channel.h)
 *   outer.c    the control pipe of an aiorun around us
 *   jobs.c     shielded and submitted jobs
 *   admin.c    the admin pipe
 *
 * Named pipes are byte streams here.  A connection is one instance of its pipe; each instance that
 * listens takes one.
 */
#ifndef AIORUN_WINDOWS_PIPE_H
#define AIORUN_WINDOWS_PIPE_H

#include "win32/win32.h"

#define PIPE_NAME_MAX 96 /* characters, with the NUL */

/* ---- pipe.c ---- */

/* Writes a name that nobody can guess, and so nobody has taken.  False with GetLastError(). */
bool pipe_choose_name(wchar_t name[PIPE_NAME_MAX]);

/* Makes what pipes are protected by; false with GetLastError(). */
bool pipe_open(void);

/* An instance of the pipe `name` that listens to nobody yet, tied to the loop: nobody but our own
 * user may open it, and nobody from another machine.  The first one must be the only pipe of that
 * name.  NULL with GetLastError(). */
HANDLE pipe_make(const wchar_t *name, bool first);

/* Has the instance wait for a client; `operation` tells when one is there.  False with
 * GetLastError(). */
bool pipe_listen(HANDLE pipe, struct win_operation *operation);

/* Read, write at most `size` bytes.  False with GetLastError(): nothing will be told. */
bool pipe_read(HANDLE pipe, struct win_operation *operation, void *buffer, DWORD size);
bool pipe_write(HANDLE pipe, struct win_operation *operation, const void *bytes, DWORD size);

/* A pipe of our own: an end to read from, as pipe_make() has it, and one that commands write to,
 * which may be inherited.  False with GetLastError(). */
bool pipe_pair(HANDLE *reading, HANDLE *writing);

/* Reads at most `size` bytes of those that are there; *count may be 0.  No `done` is called, and
 * false means that there is nothing more to come, or GetLastError(). */
bool pipe_read_now(HANDLE pipe, void *buffer, DWORD size, DWORD *count);

/* The process at the other end; NULL with GetLastError(): ERROR_INVALID_PARAMETER when it is gone.
 * *pid is what it is, or was. */
HANDLE pipe_client(HANDLE pipe, DWORD *pid);

/* Has that process our own user? */
bool pipe_is_ours(HANDLE process);

/* ---- handles that come with a line ---- */

#define PASSED_MAX 4

/* What came with a line of its own in front: `request SIZE SECTION STDIN STDOUT STDERR`, which has
 * no answer but that of the line behind it.  Whoever takes the handles sets `count` to 0. */
struct passed {
    uint32_t count;
    const char *fault; /* what is wrong with it; NULL: nothing */
    size_t size;       /* of the request in the first one */
    HANDLE handles[PASSED_MAX];
};

/* Is the line such a one? */
bool passed_is_line(const char *line);

/* Duplicates the handles from the process at the other end of the pipe, instead of those in
 * `passed`. */
void passed_take(struct passed *passed, HANDLE pipe, const char *line);

void passed_close(struct passed *passed);

/* What came with the line that is being reported now; NULL: nothing is. */
struct passed *passed_now(void);
void passed_set(struct passed *passed);

/* ---- channel.c ---- */

/* The channel that has said the line that is being reported. */
struct channel_id channel_speaker(void);

/* ---- outer.c ---- */

/* Listens to the aiorun around us, if there is one. */
void outer_open(const struct plan *plan);

/* ---- jobs.c ---- */

bool jobs_open(uint32_t slots);
bool jobs_prepare(uint32_t slots);
void jobs_drop(void);
void jobs_reload(const struct platform_map *map);

/* Is the process a shielded job of the run in this slot, or a part of one? */
bool jobs_speak_for(HANDLE process, uint32_t slot);

/* The start of the job is over; its process has ended. */
void jobs_started(struct run_id run);
void jobs_ended(struct run_id run);

/* ---- admin.c ---- */

/* Opens the admin pipe where the plan wants it.  False, with a sentence logged, when somebody has
 * said where, and it cannot be opened there. */
bool admin_pipe_open(const struct plan *plan);
void admin_pipe_close(void);

#endif
