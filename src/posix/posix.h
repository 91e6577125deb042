/* posix.h - what the files of this folder share; nobody else includes it.
 *
 *   signals.c   the mask we keep, and reading signals record by record
 *   command.c   what is looked up before a program can be started
 *   spawn.c     vfork and exec
 *   procfs.c    who is there, as /proc tells
 *   tree.c      whose they are, and asking, killing, listing them
 *   runs.c      our own children by slot and by pid
 *   terminal.c  the controlling terminal, and whose it is
 *   allocate.c  memory
 *   loop.c      libev, reaping, and most of platform.h
 *   stderr.c    log lines, and how the process ends
 */
#ifndef AIORUN_POSIX_H
#define AIORUN_POSIX_H

#include "platform.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- signals.c ---- */

/* The kernel's own signal sets: glibc's hide the signals 32 and 33, which we pass on too. */
typedef uint64_t kernel_sigset;

/* What main() was given, and what a command gets back. */
struct inherited {
    kernel_sigset mask;    /* blocked */
    bool ignores_children; /* SIGCHLD was ignored */
    pid_t parent;
    pid_t pid, session, group;
};

extern struct inherited inherited;

/* Sets the calling thread's mask; async-signal-safe. */
void signals_set_mask(kernel_sigset mask);

/* Was it ignored when we started, and is it still?  Async-signal-safe. */
bool signals_ignored(int signal_number);

/* A signalfd(2) for every signal; -1 with errno. */
int signals_open(void);

#define SIGNALS_AT_A_TIME 8

/* Has any arrived? */
bool signals_waiting(int fd);

/* Waits until some have arrived.  Reads them into SIGNALS_AT_A_TIME records; returns how many were
 * filled.  Sets *child_ended when SIGCHLD was among them, which is no record, and *more when there
 * are more. */
size_t signals_read(int fd, struct platform_signal *records, bool *child_ended, bool *more);

/* ---- allocate.c ---- */

/* For large tables that are mostly not used: they stand behind everything else, in the order of
 * their names, so that what is used shares pages.  (The linker sorts sections by name.) */
#define UNTOUCHED(name) __attribute__((section(".bss.~" name)))

/* realloc(3) as ev_set_allocator(3) wants it. */
void *allocate_for_libev(void *old, long size);

/* ---- command.c ---- */

struct credentials {
    bool set_user, set_group;
    uid_t user;
    gid_t group;
    size_t group_count; /* supplementary groups; with set_user or set_group they replace ours */
    gid_t *groups;
};

/* A program ready to be started: everything looked up, nothing left to allocate. */
struct command {
    const char *name; /* argv[0], for sentences */
    char **argv;
    const char **paths; /* where the program may be, in order; ends in NULL */
    char **environment; /* ends in NULL */
    size_t environment_count, environment_room; /* entries, and how many may be added */
    const struct plan_attributes *attributes;   /* NULL: none */
    struct credentials credentials;
};

/* Prepares the plan's command, and a hook from its command line.  Add faults; allocate. */
void command_prepare(struct command *command, const struct plan_worker *worker,
                     struct faults *faults);
void command_prepare_hook(struct command *command, const char *line, const char *place,
                          struct faults *faults);

/* ---- spawn.c ---- */

enum spawn_place {
    SPAWN_SHARE,   /* our session and process group */
    SPAWN_GROUP,   /* our session, a group of its own */
    SPAWN_SESSION, /* a session of its own */
};

struct spawn {
    const struct command *command;
    enum spawn_place place;
    int terminal; /* >= 0: make the new group this terminal's foreground group */
    bool null_stdin;
    int death_signal; /* when we die; 0: none */
};

/* Where a child failed before its program ran. */
enum spawn_stage {
    SPAWN_FORK,
    SPAWN_NEW_SESSION,
    SPAWN_NEW_GROUP,
    SPAWN_FOREGROUND,
    SPAWN_STDIN,
    SPAWN_LIMIT,
    SPAWN_NICE,
    SPAWN_OOM_SCORE,
    SPAWN_GROUPS,
    SPAWN_GID,
    SPAWN_UID,
    SPAWN_CWD,
    SPAWN_NO_NEW_PRIVILEGES,
    SPAWN_DEATH_SIGNAL,
    SPAWN_EXEC,
};

struct spawn_failure {
    enum spawn_stage stage;
    int error;  /* errno */
    int detail; /* of SPAWN_LIMIT: which; of SPAWN_EXEC: index in command->paths */
};

/* Starts the command; returns its pid when its program runs, or -1 with *failure filled.
 * *early gets the keys that reached us before there was a child to share them (SPAWN_SHARE).
 * All signals must be blocked. */
pid_t spawn_process(const struct spawn *spawn, kernel_sigset *early, struct spawn_failure *failure);

/* The failure as an end (125, 126, 127) and a sentence with verb, object and reason. */
struct ending spawn_explain(const struct spawn *spawn, const struct spawn_failure *failure,
                            char *sentence, size_t size);

/* ---- procfs.c ---- */

struct process {
    pid_t pid, parent, session;
    char state;               /* proc(5) */
    unsigned long long start; /* clock ticks after boot */
    uint32_t owner;           /* slot; PROCESS_UNRELATED for tree.c */
};

/* Reads /proc/PID/stat; false when the process is gone. */
bool procfs_read(pid_t pid, struct process *process);

/* Calls `visit` for every entry of the directory `path` whose name is a number.  False when it
 * cannot be read. */
bool procfs_numbers(const char *path, void (*visit)(long number));

/* All processes by rising pid, in a table that is good until the next call; *count of them.
 * NULL when /proc cannot be read. */
struct process *procfs_snapshot(size_t *count);

/* Calls `visit` for each of our own children, dead ones included, until it returns false.
 * False when /proc cannot tell. */
bool procfs_children(bool (*visit)(pid_t pid, void *context), void *context);

/* Fills in what a person wants to know of a process. */
void procfs_describe(const struct process *process, struct platform_process *description);

/* ---- runs.c ---- */

#define NO_SLOT UINT32_MAX

/* A slot's process. */
struct run {
    uint32_t generation;
    pid_t pid; /* 0: not there, or reaped */
    pid_t last_pid;
    pid_t session;  /* of its tree */
    bool own_group; /* it leads a process group */
    bool stopped;
    int stop_signal;   /* that stopped it, not reported yet; 0: none */
    struct ending end; /* reaped, and to be reported */
    uint32_t next_ended;
    bool tree;     /* reaped, but something of its tree was left */
    bool has_tree; /* what it leaves behind is its tree; else it is orphans */
};

bool runs_open(uint32_t slots); /* allocates; false without memory */
uint32_t runs_count(void);      /* no slot from here on was ever started */
struct run *runs_at(uint32_t slot);
void runs_insert(uint32_t slot, pid_t pid); /* after a start */
uint32_t runs_find(pid_t pid);              /* NO_SLOT: none of ours */
void runs_remove(uint32_t slot);            /* reaped */
uint32_t runs_alive(void);                  /* how many have a pid */

/* The run with this name; NULL when it is over. */
struct run *runs_named(struct run_id run);

/* ---- terminal.c ---- */

/* Decides how the command stands to our terminal: TERMINAL_SHARE (in our process group: keys
 * reach both of us), TERMINAL_OWN (in a group of its own, which has the foreground where we have
 * it), or TERMINAL_NONE (in a session of its own: keys reach us alone). */
void terminal_open(const struct plan *plan);
enum plan_terminal terminal_mode(void);

/* Fills in where and how the command is to be started. */
void terminal_place(struct spawn *spawn);

/* Hands the foreground, if we have it, to the group that `pid` is in, if that is not ours.  True
 * when it was handed over. */
bool terminal_hand_over(pid_t pid);

/* Takes the foreground back where it was given away, and closes. */
void terminal_close(void);

/* ---- tree.c ---- */

/* Is anything of the run's tree left, its own process being gone? */
bool tree_left(uint32_t slot);

enum { CENSUS_LEFT = 1, CENSUS_FRESH = 2 };

/* Fills found[slot] (runs_count() bytes) for every slot whose own process is gone. */
void tree_census(unsigned char *found);

/* An adopted process was reaped. */
void tree_forget(pid_t pid);

/* waitpid(2) said that we have no child.  So it stays, without descendants to adopt, until
 * something is started. */
void tree_set_childless(bool childless);

#endif
