/* win32.h - what the files of this folder share; nobody else includes it.
 *
 *   main.c      argv and the environment, in UTF-8
 *   c11.c       what the C library lacks
 *   inih.c      what the INI reader asks of inih
 *   allocate.c  memory
 *   loop.c      the completion port, waiting for processes, and most of platform.h
 *   console.c   Ctrl-C and its like, in both directions
 *   environment.c  what a command finds in its environment
 *   command.c   what is converted before a program can be started
 *   quote.c     one command line out of many arguments, and back
 *   spawn.c     CreateProcess
 *   start.c     what a run is given, and platform_start()
 *   runs.c      processes and their job objects by slot: asking, killing, listing them
 *   ready.c     readiness that nobody tells of
 *   limits.c    what the processes of a worker may have together
 *   refuse.c    options that have no meaning here
 *   pipe.h      the control pipes, jobs and the admin pipe
 *   output.c    where the output of workers goes
 *   capture.c   output that comes to us, line by line
 *   async.c     writing that does not wait
 *   stderr.c    log lines, and how the process ends
 *   report_file.c  the file of the report
 *   reload.c    a new plan
 */
#ifndef AIORUN_WINDOWS_H
#define AIORUN_WINDOWS_H

#include "platform.h"
#include "supervisor/lines.h"
#include "win32/words.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

/* ---- loop.c ---- */

/* Something that goes on, and `done` is called by the loop when it is over.  What embeds it must
 * stay where it is until then. */
struct win_operation {
    OVERLAPPED overlapped;
    /* `error`: ERROR_SUCCESS, or what went wrong. */
    void (*done)(struct win_operation *operation, DWORD bytes, DWORD error);
};

/* Ties a file that was opened with FILE_FLAG_OVERLAPPED to the loop: each ReadFile(), WriteFile()
 * or ConnectNamedPipe() on it with a win_operation's OVERLAPPED, which must be zero, is reported by
 * its `done`; one that succeeds at once is, too.  0, or -1 with GetLastError(). */
int win_loop_attach(HANDLE file);

/* Lets the loop call `done`, with no bytes and no error.  From any thread, any number of times. */
void win_loop_post(struct win_operation *operation);

/* Lets the loop call `done` once `object` (a process, an event) is signalled.  Once; the object
 * must stay open until then.  False with GetLastError(). */
struct win_wait {
    struct win_operation operation;
    HANDLE registration;
    bool pending;
};
bool win_loop_wait(struct win_wait *wait, HANDLE object,
                   void (*done)(struct win_operation *operation, DWORD bytes, DWORD error));

/* To be called first in the `done` of a win_wait. */
void win_loop_waited(struct win_wait *wait);

/* A run has ended, or somebody of a tree: once the loop has done what is there,
 * supervisor_reaped() is told. */
void loop_reaped(void);

struct supervisor *loop_supervisor(void);
const struct plan *loop_plan(void);

/* The new plan is in force. */
void loop_reload(const struct plan *plan);

/* ---- console.c ---- */

/* From now on console events are queued. */
void console_begin(void);

/* The signals that keys make, and are the command's as well as ours. */
signal_mask console_keys(void);

/* Is there a console?  Without one no event reaches us. */
bool console_is_there(void);

/* The signal of the console event that came last; INT when there was none. */
int console_last(void);

/* How many have come. */
unsigned console_count(void);

/* Sends Ctrl-Break to the process group that was made with this process.  False with
 * GetLastError(). */
bool console_break(DWORD group);

/* ---- environment.c ---- */

#define COMMAND_VARIABLES    16 /* that may be added to a command's environment at its start */
#define COMMAND_VARIABLE_MAX (CONTROL_LINE_MAX + 32) /* characters of one */

struct environment {
    const wchar_t **entries; /* NAME=VALUE, as CreateProcess() wants them sorted */
    size_t count;
    wchar_t *block; /* room for all of them, and for those that are added */
};

/* By their names, as they are to be sorted: less than 0, 0, more than 0. */
int environment_compare(const wchar_t *a, const wchar_t *b);

/* Is this variable ours, and not our commands'?  With --no-control the control pipe of an aiorun
 * around us passes through us: `keeps_outer`. */
bool environment_drops(const char *entry, bool keeps_outer);

/* Our own environment without what was meant for us, and what `worker` (or NULL) asks for; from
 * `heap`.  NULL with a fault added.  With --no-control the control pipe of an aiorun around us is
 * the command's. */
const struct environment *environment_prepare(HANDLE heap, const struct plan *plan,
                                              const struct plan_worker *worker,
                                              struct faults *faults);

/* ---- command.c ---- */

/* Zeroed memory of a heap of our own; NULL when there is none. */
void *heap_allocate(HANDLE heap, size_t size);
wchar_t *heap_widen(HANDLE heap, const char *text);

/* A program ready to be started: everything converted, nothing left to allocate. */
struct command {
    const char *name;       /* argv[0], for sentences; NULL: there is no command */
    const wchar_t *program; /* the same */
    const wchar_t *line;
    const struct environment *environment;
    const wchar_t *cwd; /* NULL: ours */
    DWORD priority;     /* class; 0: ours */
};

/* Prepare a worker's command, one that runs beside it, a hook's (NULL: there is none), all zeroed.
 * From `heap`; add faults. */
void command_prepare(HANDLE heap, struct command *command, const struct plan_worker *worker,
                     const struct environment *environment, struct faults *faults);
void command_prepare_beside(HANDLE heap, struct command *command, const struct command *beside,
                            const char *line, struct faults *faults);
void command_prepare_hook(HANDLE heap, struct command *command, const char *line,
                          const struct environment *environment, struct faults *faults);

/* The command line of `argv`, from `heap`.  False without memory. */
bool command_set_line(HANDLE heap, struct command *command, char *const *argv);

/* ---- spawn.c ---- */

#define SPAWN_HANDLES_MAX 8

struct spawn {
    const struct command *command;
    HANDLE job;         /* everything that it starts lives in it, */
    HANDLE limits;      /* which is in this one; NULL: in none */
    bool own_group;     /* Ctrl-Break can be sent to it, and Ctrl-C does not reach it */
    HANDLE standard[3]; /* input, output, error: inheritable; NULL: none */
    HANDLE passes[SPAWN_HANDLES_MAX]; /* what it inherits beside them, likewise */
    size_t pass_count;
    wchar_t variables[COMMAND_VARIABLES][COMMAND_VARIABLE_MAX]; /* NAME=VALUE, for this start */
    size_t variable_count;
};

/* Our own standard handles, inheritable, and NUL.  False with GetLastError(). */
bool spawn_open(void);
HANDLE spawn_standard(size_t number); /* 0, 1, 2; NULL: we have none */
HANDLE spawn_null(void);

/* Adds a variable, in UTF-8; there must be none of that name in the command's environment. */
void spawn_add(struct spawn *spawn, const char *format, ...)
    __attribute__((format(__printf__, 2, 3)));

/* Lets the command inherit an inheritable handle. */
void spawn_pass(struct spawn *spawn, HANDLE handle);

/* Starts it; the handle of its process, or NULL with `started` saying why. */
HANDLE spawn_process(const struct spawn *spawn, DWORD *pid, struct platform_started *started);

/* ---- runs.c ---- */

#define NO_SLOT   UINT32_MAX
#define NO_WORKER UINT32_MAX

/* Whether a run is ready: see ready.c. */
struct question {
    msec due;            /* when something is to be done about it; NEVER: nothing is */
    msec delay;          /* until the next one, if the answer to this one is no */
    bool asking;         /* the loop will come with an answer, */
    bool over;           /* and nobody wants to know it any more */
    const void *address; /* that is being connected to, or comes next; NULL: the first one */
    uintptr_t socket;
    struct win_operation connected;
    HANDLE process, job; /* of the command that is run */
    struct win_wait ended;
};

/* A slot's process.  It stays where it is as long as the slot is there, whatever its number. */
struct run {
    uint32_t slot, generation;
    uint32_t worker; /* whose, in the plan; NO_WORKER: a hook, or a job whose worker is gone */
    HANDLE process;  /* NULL: not there, or its end is reported */
    HANDLE job;      /* NULL: nothing of its tree is left */
    DWORD pid;
    bool own_group;
    unsigned events; /* console_count() when it was started */
    bool tree;       /* its process is gone, but something of its tree was left */
    bool asked;      /* what is left of its tree was */
    bool killed;     /* it was, with its tree */
    int sent;        /* the signal that we sent it last as a console event; 0: none */
    struct question question;
    struct win_wait end;
    struct win_wait other; /* the end of one of its tree */
    HANDLE other_process;
};

bool runs_open(uint32_t slots); /* allocates; false without memory */
uint32_t runs_count(void);      /* slots */
struct run *runs_at(uint32_t slot);
struct run *runs_named(struct run_id run); /* NULL when it is over */

/* A job object for a run; NULL with GetLastError(). */
HANDLE runs_make_job(void);

/* `process` and `job` are the run's from now on.  False with GetLastError(): its end cannot be
 * waited for; nothing has changed then. */
bool runs_begin(struct run *run, HANDLE process, DWORD pid, HANDLE job);

bool runs_prepare(uint32_t slots);
void runs_drop(void);
void runs_reload(const struct platform_map *map, const uint32_t *new_worker_of);

/* ---- ready.c ---- */

/* Looks up the addresses that connections are to be made to; adds faults, allocates.  Then either
 * ready_switch(), when runs_at() tells the new plan's workers, or ready_drop(). */
void ready_prepare(const struct plan *plan, struct faults *faults);
void ready_switch(void);
void ready_drop(void);

/* A worker's command runs, has ended. */
void ready_start(struct run *run);
void ready_stop(struct run *run);

/* When there is something to do about one (NEVER: never), and doing it. */
msec ready_next(void);
void ready_tell(void);

/* ---- start.c ---- */

/* Converts what the plan's commands need; adds faults, allocates.  Then either start_switch(): it
 * is in force, and what was before is freed; or start_drop(). */
void start_prepare(const struct plan *plan, struct faults *faults);
void start_switch(void);
void start_drop(void);

/* The command of `ready = exec:CMD`. */
const struct command *start_question(uint32_t worker);

/* Is the launcher's command in our own process group, where console events reach it as they reach
 * us? */
bool start_shares_console(void);

/* ---- limits.c ---- */

/* Allocates; false without memory.  Then either limits_drop(), or limits_switch(): it opens what
 * the limits of the plan's workers need, instead of those of the plan before, which must still be
 * there.  A worker of the same name keeps its own.  What Windows refuses is logged. */
bool limits_prepare(const struct plan *plan);
void limits_drop(void);
void limits_switch(const struct plan *plan);

/* The job object that those of the worker's runs and jobs are to be in; NULL: none. */
HANDLE limits_of(uint32_t worker);

/* ---- refuse.c ---- */

/* Adds a fault for each option that was given and has no meaning on Windows. */
void refuse_options(const struct plan *plan, struct faults *faults);

/* ---- the control pipe and the admin pipe ---- */

/* Opens what is asked for; allocates.  False with a sentence logged. */
bool control_open(const struct plan *plan, uint32_t slots);

/* Before the start of a worker's command, or of a job: gives it a pipe of its own, and the
 * variables that name it.  False with GetLastError().  control_started() comes after the start. */
bool control_start(struct run_id run, struct spawn *spawn);
void control_started(struct run_id run, bool ok);

/* The run's process has ended: what it has said is reported before its end is. */
void control_ended(struct run_id run);

/* Has an aiorun around us given us a pipe, and do we use it? */
bool control_has_outer(const struct plan *plan);

/* What a job was submitted with, with this priority; NULL with a sentence in `started`. */
const struct command *control_job(struct run_id run, DWORD priority, struct spawn *spawn,
                                  struct platform_started *started);

bool control_prepare(uint32_t slots);
void control_drop(void);
void control_reload(const struct platform_map *map);
void control_close(void);

/* ---- output.c ---- */

#define LAST_WORDS (2 * SECOND) /* that our reader has to make room at the very end */

/* Allocates, and opens the pipes into loggers; false with GetLastError(). */
bool output_open(const struct plan *plan, uint32_t slots);

/* Before the start of a worker's run: what its output goes to, and a logger's input.  False with
 * GetLastError().  output_started() comes after the start, with its pid, or 0. */
bool output_start(struct run_id run, const struct platform_program *program, struct spawn *spawn);
void output_started(struct run_id run, DWORD pid);

/* The run's process is gone, or what was `left` of its tree: passes on what it wrote, as far as
 * there is room. */
void output_ended(uint32_t slot, bool left);

/* A new plan: see platform_reserve_reload().  The first is false with GetLastError(); for the last,
 * the old plan and its runs must still be there. */
bool output_prepare(const struct plan *plan, const struct platform_map *map);
void output_drop(void);
void output_reload(const struct plan *plan, const struct platform_map *map,
                   const uint32_t *new_worker_of);

/* Passes on what there is of everybody, and does not wait long for it. */
void output_close(void);

/* ---- capture.c ---- */

bool capture_open(const struct plan *plan, uint32_t slots);
bool capture_prepare(const struct plan *plan, const struct platform_map *map);
void capture_drop(void);
void capture_reload(const struct plan *plan, const struct platform_map *map,
                    const uint32_t *new_worker_of);

/* What the run is to write to, from now on until the slot is gone: ours to close.  NULL with
 * GetLastError(). */
HANDLE capture_start(uint32_t slot, uint32_t worker, uint32_t instance);
void capture_started(uint32_t slot, DWORD pid);

/* As output_ended(), output_close(). */
void capture_ended(uint32_t slot, bool left);
void capture_close(msec until);

/* A source whose part is in pages that are not there before they are written; false without memory.
 */
bool capture_make_source(struct line_source *source);

/* Passes on what waits in the pipe `reading`, which is not waited for, and ends a line with it; as
 * far as there is room, or until then.  And the same before the source goes away: what there is no
 * room for in time is lost, and that is logged. */
void capture_take_rest(struct line_source *source, HANDLE reading, msec until);
void capture_drop_source(struct line_source *source, HANDLE reading, msec until);

/* What was written is to go out: nothing else is to be done now. */
void capture_flush(void);

/* ---- async.c ---- */

/* Bytes on their way to a file, by a thread of their own: Windows has no write that does not wait.
 */
struct async_writer {
    HANDLE file, thread; /* NULL: not begun */
    SRWLOCK lock;
    CONDITION_VARIABLE filled, emptied;
    char *bytes, *taken; /* what waits; what is being written */
    size_t size, length, flying;
    bool filling;               /* more is to come before it goes */
    bool held_up;               /* it did not keep up, and has not caught up yet */
    bool wanted;                /* there was no room */
    DWORD error;                /* why nothing can be written any more, and all is lost */
    struct win_operation roomy; /* if it has a `done`, it is posted when there is room again, and
                                   when there is an error */
};

/* `room` is two times `size` bytes.  False with GetLastError(). */
bool async_begin(struct async_writer *writer, HANDLE file, char *room, size_t size);

/* Room for `size` bytes at most; NULL: there is none now.  async_add() says how many they became;
 * nothing of it is written before async_send(), which returns writer->error. */
char *async_room(struct async_writer *writer, size_t size);
void async_add(struct async_writer *writer, size_t size);
DWORD async_send(struct async_writer *writer);

/* Until all is written; false when that takes longer than `time` (ms).  The second waits only as
 * long as it keeps up. */
bool async_wait(struct async_writer *writer, DWORD time);
void async_keep_up(struct async_writer *writer, DWORD time);

/* ---- stderr.c ---- */

/* Log lines go by this writer from now on, which is begun: it writes to the same file, and they
 * stay in their order. */
void log_lines_go_by(struct async_writer *writer);

/* Is it a console that knows colours, and does nobody object? */
bool console_has_colours(HANDLE file);

/* Waits, for at most a second, until every log line is written. */
void log_lines_finish(void);

/* ---- report_file.c ---- */

void report_file_open(const struct plan *plan, struct faults *faults);

#endif
