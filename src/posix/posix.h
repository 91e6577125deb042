/* posix.h - what the files of this folder share; nobody else includes it.
 *
 *   signals.c   the mask we keep, and reading signals record by record
 *   command.c   what is looked up before a program can be started
 *   spawn.c     vfork and exec
 *   start.c     what a run is given, and platform_start()
 *   procfs.c    who is there, as /proc tells
 *   tree.c      whose they are, and asking, killing, listing them
 *   cgroup.c    limits, with a cgroup for each run
 *   runs.c      our own children by slot and by pid, and signals for them
 *   channel.c   control pipes and private channels: lines in, lines out
 *   passed.c    descriptors that come with a line
 *   outer.c     the control pipe of an aiorun around us
 *   pipeset.c   which of them have something to say
 *   admin.c     the admin socket: one line in, an answer out
 *   jobs.c      processes that joined, and commands that were submitted
 *   ready.c     the readiness descriptor, sd_notify(3) in both directions
 *   listen.c    sockets that are opened once, and passed on
 *   output.c    where the output of workers goes
 *   capture.c   lines that we pass on
 *   sink.c      what they write, on its way to our own output
 *   probe.c     the readiness that is asked for
 *   terminal.c  the controlling terminal, and whose it is
 *   allocate.c  memory
 *   open.c      what comes before the loop, and what is given up after it
 *   loop.c      libev: signals, time, and whatever else is waited for
 *   reap.c      who has ended, and what is left of it
 *   reload.c    a new plan
 *   stderr.c    log lines, and how the process ends
 *   report_file.c  the file of the report
 *   descriptor.h  what the verbs know of this folder, too
 */
#ifndef AIORUN_POSIX_H
#define AIORUN_POSIX_H

#include "platform.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
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
    bool raised_files;   /* we have raised our own limit of descriptors; commands get the old one */
    struct rlimit files; /* that one */
    bool keeps_outer; /* the control pipe of an aiorun around us is not ours, but our command's */
};

extern struct inherited inherited;

/* Sets the calling thread's mask; async-signal-safe. */
void signals_set_mask(kernel_sigset mask);

/* Was it ignored when we started, and is it still?  Async-signal-safe. */
bool signals_ignored(int signal_number);

/* A signalfd(2) for every signal, to wait for one beside other descriptors; -1 with errno. */
int signals_open(void);

/* What is for us. */
struct signals_news {
    bool child_ended;      /* SIGCHLD */
    pid_t child;           /* whose; it may stand for others, too.  0: unknown */
    bool descriptor_ready; /* SIGIO: perhaps one that we asked it of */
};

/* Takes one signal, of the lowest number; false when there is none, or the wait for one was
 * interrupted.  Fills `record` (its signal is 0: it is for us alone) and `news`. */
bool signals_take(bool wait, struct platform_signal *record, struct signals_news *news);

/* ---- loop.c ---- */

struct ev_loop;
struct ev_io;

/* Does this system's libev have the backend that the plan wants? */
bool loop_has_backend(const struct plan *plan);

/* Before all others.  Makes the loop, unless it is a launcher's, which mostly needs none; false
 * with errno. */
bool loop_open(struct supervisor *supervisor, const struct plan *plan);

/* Opens what a loop that is there hears of signals by; false with errno. */
bool loop_open_signals(void);

/* From now on something else is waited for than signals and the core's time.  Until then, and
 * without such a time, one sigtimedwait(2) waits instead of libev: this is said before a watcher is
 * started.  A launcher has no loop before that: it returns it. */
struct ev_loop *loop_widen(void);
bool loop_is_wide(void);

/* Acts on the signals that have come, if there are any. */
void loop_take_signals(void);

/* Widens, and starts: ev_io_start(3) for a callback that takes EV_ERROR for what it is: without
 * memory the kernel watches no descriptor, and libev has taken the watcher out.  Then
 * loop_watch_again() puts it in again: busy until there is memory, but never deaf. */
void loop_watch(struct ev_io *watcher);
void loop_watch_again(struct ev_io *watcher);

/* Stops it, if it was started. */
void loop_unwatch(struct ev_io *watcher);

/* The watcher, which waits for something to read, is at `to` from now on, active if it was. */
void loop_move(struct ev_io *from, struct ev_io *to);

/* ---- reap.c ---- */

/* Allocates; false without memory. */
bool reap_open(struct supervisor *supervisor, uint32_t slots);

/* After a SIGCHLD: takes in all ends, stops and continuations that there are, and reports them.
 * `child` is the one that it named; 0: none. */
void reap(pid_t child);

/* A new plan is in force: `census`, a byte a slot, is this file's from now on. */
void reap_reload(unsigned char *census);

/* ---- reload.c ---- */

/* Who is where with a new plan: what was in slot old_slot_of[slot] is in `slot` from now on, and
 * NO_SLOT means that it is new; and the other way round.
 *
 * Each file that keeps something by slot has a NAME_prepare(), which allocates what is to take its
 * place and is false without memory, a NAME_drop(), for when nothing comes of it, and a
 * NAME_reload(), which moves everybody and cannot fail.  Nothing of theirs is going on then: see
 * supervisor_time(). */
struct reload {
    uint32_t slots, old_slots, old_workers;
    const uint32_t *old_slot_of;
    uint32_t *new_slot_of;   /* NO_SLOT: it is gone */
    uint32_t *new_worker_of; /* NO_WORKER: likewise */
};

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
    uint32_t group_count; /* supplementary groups; with set_user or set_group they replace ours */
    gid_t *groups;
};

#define COMMAND_VARIABLES 16 /* that may be added to a command's environment at its start */

/* A program ready to be started: everything looked up, nothing left to allocate. */
struct command {
    const char *name; /* argv[0], for sentences */
    char **argv;
    const char **paths; /* where the program may be, in order; ends in NULL.  NULL: at argv[0] */
    char **environment; /* ends in NULL; room for COMMAND_VARIABLES more is kept */
    uint32_t environment_count, environment_room; /* entries, and how many may be added */
    uint32_t variables;                           /* of those added for this start */
    int control_fd;                               /* where a run finds its control pipe */
    const struct plan_attributes *attributes;     /* NULL: none */
    struct credentials credentials;
};

/* What commands are made of is given back together: from now on it is collected here. */
struct command_memory {
    struct command_block *first;
};
void command_collect(struct command_memory *memory);
void command_release(struct command_memory *memory);

/* Zeroed memory that is collected; NULL when there is none.  Collects what came from malloc(3)
 * (NULL: nothing); false without memory, and then it is freed. */
void *command_allocate(size_t size);
bool command_own(void *memory);

/* Prepares what all workers with the rules of this one have in common, whatever they run; and a
 * hook from its command line.  Add faults; allocate. */
void command_prepare_rules(struct command *command, const struct plan *plan,
                           const struct plan_worker *worker, struct faults *faults);
/* Prepares a command that runs beside `beside`, with its attributes and environment; `argv` stays
 * the caller's. */
void command_prepare_beside(struct command *command, const struct command *beside, char **argv,
                            struct faults *faults);
void command_prepare_hook(struct command *command, const char *line, const char *place,
                          struct faults *faults);

/* Is this entry of an environment about a control pipe, or our own options: nothing for a command
 * that gets a pipe of its own? */
bool command_drops(const char *entry);

/* Finds the places of the command's program; command->paths is allocated with `allocate`.  False
 * without memory. */
bool command_find(struct command *command, void *(*allocate)(size_t));

#define PID_ROOM 16 /* bytes: a pid, and a NUL */

/* Adds a variable for the next start only; returns where its value is, with room for a pid instead
 * of an empty one.  There must be none of that name already, and command_begin() comes first. */
void command_begin(struct command *command);
char *command_add(struct command *command, const char *name, const char *value);
void command_add_number(struct command *command, const char *name, uint64_t number);

/* The same, of one that lives longer than the start. */
void command_add_entry(struct command *command, char *entry);

/* The user that the run's command is to be, or was, started as. */
uid_t command_user(struct run_id run);

/* ---- spawn.c ---- */

#define SPAWN_PASSES_MAX    64
#define SPAWN_PID_VARIABLES 2

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
    int cgroup;                               /* >= 0: its cgroup.procs */
    int death_signal;                         /* when we die; 0: none */
    const char *cwd;                          /* instead of the attributes'; NULL: as they say */
    char *pid_variables[SPAWN_PID_VARIABLES]; /* where its pid is to be written; NULL: nowhere */
    size_t pass_count;
    struct spawn_pass {
        int from, to;
    } passes[SPAWN_PASSES_MAX]; /* descriptors that the command is to have, and where */
};

/* For many runs: from now on a start costs the same however many descriptors we have, if the kernel
 * can do that (Linux 5.9) and those that are kept are high ones. */
void spawn_open_fleet(void);

/* Moves a descriptor that is kept while a run lives; returns what it is from now on. */
int spawn_keep_high(int fd);

/* Adds one; `from` stays ours. */
void spawn_pass(struct spawn *spawn, int from, int to);

/* Where a child failed before its program ran. */
enum spawn_stage {
    SPAWN_FORK,
    SPAWN_CGROUP,
    SPAWN_NEW_SESSION,
    SPAWN_NEW_GROUP,
    SPAWN_FOREGROUND,
    SPAWN_STDIN,
    SPAWN_PASS,
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

/* ---- start.c ---- */

/* Looks up what the plan's commands need; adds faults, allocates.  Then either start_switch(): it
 * is in force, and what was before is freed; or start_drop(). */
void start_prepare(const struct plan *plan, struct faults *faults);
void start_switch(void);
void start_drop(void);

/* What the commands of this worker of that plan have in common, before the one or the other; NULL
 * without memory. */
const struct command *start_prepared(const struct plan_worker *worker);

/* The slot of the launcher's command, whose stops are ours; NO_SLOT before it is started. */
uint32_t start_main_slot(void);

/* Had this signal arrived, for our whole group, before the launcher's command was there to get it?
 * Asked once of each. */
bool start_missed(int signal);

/* ---- procfs.c ---- */

struct process {
    pid_t pid, parent, session;
    char state;               /* proc(5) */
    unsigned long long start; /* clock ticks after boot */
    uint32_t owner;           /* slot; PROCESS_UNRELATED for tree.c */
};

/* Is /proc there, and does it count as we do?  Where it does not, nothing below finds anybody. */
bool procfs_is_ours(void);

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

/* ---- cgroup.c ---- */

/* Divides our own cgroup where a worker has a limit, and warns of what cannot be enforced; false
 * without memory. */
bool cgroup_open(const struct plan *plan, uint32_t slots);

bool cgroup_prepare(const struct plan *plan, uint32_t slots);
void cgroup_drop(void);
void cgroup_reload(const struct plan *plan, uint32_t slots, const uint32_t *old_slot_of);

/* Before the start of a worker's "run", of a "job" or what is "beside" it: makes it a cgroup, if
 * the worker has a limit.  False with errno.  cgroup_started() comes after the start. */
bool cgroup_start(uint32_t slot, uint32_t worker, uint32_t instance, const char *kind,
                  struct spawn *spawn);
void cgroup_started(uint32_t slot, bool ok);

/* The process, whatever run it came from, is the job in this slot from now on. */
void cgroup_join(uint32_t slot, pid_t pid);

/* The slot in whose cgroup the process is; NO_SLOT: in none. */
uint32_t cgroup_owner(pid_t pid);

/* Has the slot one? */
bool cgroup_has(uint32_t slot);

/* Kills all in the slot's cgroup at once, if there is one. */
void cgroup_kill(uint32_t slot);

/* Nothing of the run is left. */
void cgroup_remove(uint32_t slot);

/* Removes them all, and takes us back to where we were. */
void cgroup_close(void);

/* ---- runs.c ---- */

#define NO_SLOT   UINT32_MAX
#define NO_WORKER UINT32_MAX

/* A slot's process. */
struct run {
    uint32_t generation;
    uint32_t worker; /* whose, in the plan; NO_WORKER: a hook, or a job whose worker is gone */
    uid_t user;      /* that it was started as */
    pid_t pid;       /* 0: not there, or reaped */
    pid_t last_pid;
    pid_t session;     /* of its tree */
    struct ending end; /* reaped, and to be reported */
    uint32_t next_ended;
    bool joined;
    bool own_group; /* it leads a process group */
    bool stopped;
    bool tree;           /* reaped, but something of its tree was left */
    bool has_tree;       /* what it leaves behind is its tree; else it is orphans */
    uint8_t stop_signal; /* that stopped it, not reported yet; 0: none */
    uint8_t tree_signal; /* what platform_flush() is to send to its tree; 0: nothing */
};

/* Allocates; false without memory. */
bool runs_open(const struct plan *plan, uint32_t slots);

uint32_t runs_count(void); /* no slot from here on was ever started */
struct run *runs_at(uint32_t slot);
void runs_insert(uint32_t slot, pid_t pid); /* after a start */
uint32_t runs_find(pid_t pid);              /* NO_SLOT: none of ours */
void runs_remove(uint32_t slot);            /* reaped */
uint32_t runs_alive(void);                  /* how many have a pid */

/* The run with this name; NULL when it is over. */
struct run *runs_named(struct run_id run);

bool runs_prepare(uint32_t slots);
void runs_drop(void);
void runs_reload(const struct plan *plan, const struct reload *reload);

/* ---- passed.c ---- */

#define PASSED_MAX 4

/* Descriptors that came with a line.  Whoever takes them sets `count` to 0. */
struct passed {
    uint32_t count;
    bool scarce; /* they were too many for us, and are closed */
    int fds[PASSED_MAX];
};

/* recv(2) without waiting; descriptors that come along replace those in `passed`. */
ssize_t passed_receive(int fd, char *bytes, size_t size, struct passed *passed);

/* These came with the line that is being reported now; NULL: none is.  What nobody took is the
 * caller's to close. */
void passed_set(struct passed *passed);

/* What came with the line that is being reported; NULL when none is. */
struct passed *passed_now(void);

/* NULL when `count` descriptors came with it; else `fault`, or the better reason. */
const char *passed_fault(uint32_t count, const char *fault);

/* Is this one of the last descriptors that we may have, which are for starts? */
bool passed_fd_is_scarce(int fd);

/* Closes what nobody took; and one, whatever it is: close(2) without waiting. */
void passed_close(struct passed *passed);
void passed_close_fd(int fd);

/* ---- outer.c ---- */

/* Takes the pipe to an aiorun around us, if there is one, out of our commands' hands. */
void outer_open(void);
bool outer_is_there(void);

/* Listens to it. */
void outer_watch(struct supervisor *supervisor);

/* ---- channel.c ---- */

/* Allocates the table; false without memory. */
bool channel_open_all(struct supervisor *supervisor, const struct plan *plan, uint32_t slots);

#define CHANNEL_IDENTITY_SIZE 42 /* two numbers of 20 digits, a colon, a NUL */

/* Opens the run's pipe, instead of the last run's of its slot; returns the end for the run, which
 * is the caller's to close after the start, and writes that end's device:inode to `identity`.  -1
 * with errno. */
int channel_open_run(struct run_id run, char *identity);

/* The run was not started after all. */
void channel_abort(struct run_id run);

/* What can wait until runs that are to be started have been: to be called before each wait. */
void channel_tidy(void);

/* send(2) of a line to such a pipe without waiting; false when it could not be sent whole, with
 * errno if nothing was. */
bool channel_write(int fd, const char *line, size_t length);

/* A pipe has become readable of which SIGIO tells. */
void channel_wake(void);

/* This channel has, if it is still that one; true: it was, and is closed now. */
bool channel_readable(uint32_t index, uint32_t generation);

/* The run's process was reaped: takes in what it said last, before its end is reported. */
void channel_drain(struct run_id run);

/* The channel's name for answers; of a run's own pipe: the one that means none. */
struct channel_id channel_name(uint32_t index);

bool channel_prepare(uint32_t slots);
void channel_drop(void);
void channel_reload(const struct reload *reload);

/* ---- pipeset.c ---- */

/* channel_readable() is to be called with these two, once, as soon as `fd` has something to read or
 * is at its end: unless it is removed before, or closed while nobody else has the same open file
 * (epoll(7)).  False with errno when the kernel cannot watch it. */
bool pipeset_add(int fd, uint32_t index, uint32_t generation);
void pipeset_remove(int fd);

/* Once more, or with other names, for one that was added. */
void pipeset_again(int fd, uint32_t index, uint32_t generation);

/* ---- admin.c ---- */

/* Opens the admin socket where the plan wants it.  False, with a sentence logged, when somebody has
 * said where, and it cannot be opened there. */
bool admin_socket_open(struct supervisor *supervisor, const struct plan *plan);

/* Says what is left to say, and unlinks it. */
void admin_socket_close(void);

/* ---- jobs.c ---- */

bool jobs_open(struct supervisor *supervisor, uint32_t slots);

bool jobs_prepare(uint32_t slots);
void jobs_drop(void);
void jobs_reload(const struct reload *reload);

/* How many joined jobs there are; and when the one in this slot, which may not be our child, has
 * started, as in process. */
uint32_t jobs_joined(void);
unsigned long long jobs_start(uint32_t slot);

/* `pid` is a new child of ours: a joined job that still has this number is gone. */
void jobs_gone(pid_t pid);

/* The joined job in this slot, if there is one, was reaped. */
void jobs_forget(uint32_t slot);

/* kill(2) for a joined job, which need not be our child. */
int jobs_signal(uint32_t slot, int signal);

/* Fills in the command, and what `spawn` needs beside it, of the kept job in this slot.
 * NULL, or what is wrong.  In any case jobs_started() comes after, and frees all. */
const char *jobs_command(uint32_t slot, struct command *command, struct spawn *spawn);
void jobs_started(struct run_id id, struct command *command);

/* ---- ready.c ---- */

/* Looks at what the environment says of a service manager, and whether there is one. */
void ready_begin(const struct plan *plan);
bool ready_has_manager(void);

/* Does the variable of our environment name our process? */
bool ready_is_our_pid(const char *name);

/* Is this entry of our environment meant for us, so that no command gets it as it is? */
bool ready_drops(const char *entry);

/* Allocates, and starts to keep a service manager's watchdog content; false without memory. */
bool ready_open(struct supervisor *supervisor, const struct plan *plan, uint32_t slots);

bool ready_prepare(const struct plan *plan, uint32_t slots);
void ready_drop(void);
void ready_reload(const struct reload *reload);

/* Before the start of a worker's run: opens what it is to tell its readiness by, and tells it
 * where. False with errno.  ready_started() comes after the start. */
bool ready_start(uint32_t slot, const struct plan *plan, const struct plan_worker *worker,
                 struct command *command, struct spawn *spawn);
void ready_started(uint32_t slot, bool ok);

/* The run's process was reaped: takes in what it told last, and closes. */
void ready_ended(uint32_t slot);

/* ---- probe.c ---- */

/* Looks up addresses and commands of the workers that are asked whether they are ready, for
 * probe_open() or probe_reload(), which come next, or probe_drop(); adds faults, allocates, what
 * commands need where start_prepare() collects it. */
void probe_prepare(const struct plan *plan, struct faults *faults);
void probe_drop(void);
bool probe_open(struct supervisor *supervisor, uint32_t slots);

/* After probe_prepare(), before probe_reload(); by then runs_at() is to tell the new plan's
 * workers.
 */
bool probe_reserve(uint32_t slots);
void probe_reload(const struct reload *reload);

/* The run of this worker was started: asks until it is ready, or over. */
void probe_start(uint32_t slot, const struct plan_worker *worker);
void probe_stop(uint32_t slot);

/* Was the child that is reaped a question, with its end the answer? */
bool probe_ended(pid_t pid, int status);

/* ---- listen.c ---- */

#define LISTEN_FDS_START 3 /* SD_LISTEN_FDS_START of sd_listen_fds(3) */

/* Opens the sockets that the workers of `plan`, checked, listen at: nothing is started before all
 * are open.  One that is there already with the same address is shared.  False with faults added;
 * else either listen_switch() comes next: these are in force, and those that are gone are closed;
 * or listen_drop(), after which all is as it was.  The plan must outlive them. */
bool listen_prepare(const struct plan *plan, struct faults *faults);
void listen_switch(void);
void listen_drop(void);

/* Before listen_switch(), when those who listened at sockets that go are down: opens what overlaps
 * with these, which are closed for it.  False with a sentence logged: listen_drop() is next. */
bool listen_open_due(void);

/* Gives the run of this worker its sockets, and tells it of them. */
void listen_start(uint32_t worker, struct command *command, struct spawn *spawn);

/* Closes them, and removes their files. */
void listen_close(void);

/* ---- output.c ---- */

/* Allocates, and opens the pipes into loggers; false with errno. */
bool output_open(struct ev_loop *loop, const struct plan *plan, uint32_t slots);

/* Before the start of a worker's run: opens what its output goes to, and of a logger its input.
 * False with errno.  output_started() comes after the start, with its pid or -1. */
bool output_start(uint32_t slot, uint32_t worker, uint32_t instance, struct spawn *spawn);
void output_started(uint32_t slot, pid_t pid);

/* The run's process is gone: passes on what it wrote, as far as there is room. */
void output_ended(uint32_t slot);

/* See reload.c.  What is in old_slot_of[slot] will be in `slot`; NO_SLOT means that it is new, and
 * then a job may come to be there until output_reload(), for which the old plan must still be
 * there.  The first is false with errno. */
bool output_prepare(const struct plan *plan, uint32_t slots, const uint32_t *old_slot_of);
void output_drop(void);
void output_reload(const struct plan *plan, const struct reload *reload);

#define LARGE_PIPE (1 << 20) /* bytes: what pipe(7) allows without privileges */

/* Another end of the same pipe, with flags of its own (proc_pid_fd(5)).  -1 with errno. */
int output_open_again(int fd, int flags);

/* ---- capture.c ---- */

/* Allocates, where the plan needs it; false without memory. */
bool capture_open(struct ev_loop *loop, const struct plan *plan, uint32_t slots);

/* As those of output.c; the first is false without memory. */
bool capture_prepare(const struct plan *plan, uint32_t slots, const uint32_t *old_slot_of);
void capture_drop(void);
void capture_reload(const struct plan *plan, const struct reload *reload);

/* Opens a pipe whose lines are passed on; returns the end for the run, which is the caller's to
 * close after the start.  -1 with errno. */
int capture_start(uint32_t slot, uint32_t worker, uint32_t instance);
void capture_started(uint32_t slot, pid_t pid);

/* Passes on what comes from `fd`, which is not to wait and is ours to close; until its end, or
 * until that is stopped. */
void capture_watch(uint32_t slot, uint32_t worker, int fd);
bool capture_is_open(uint32_t slot);
void capture_stop(uint32_t slot);

/* Passes on what can be read now, as far as there is room. */
void capture_drain(uint32_t slot);

/* Passes on what there is of everybody, and does not wait long for it. */
void capture_close(void);

/* ---- stderr.c ---- */

/* Did a write with RWF_NOWAIT fail with this errno because there is no such thing here: for this
 * kind of file, on this kernel, or below a seccomp filter that does not know pwritev2(2)? */
bool stderr_cannot_nowait(int error);

/* ---- sink.c ---- */

/* Opens `fd`, which need not be there, for lines that must not be lost: what
 * platform_output_room() has room in.  `drained` is called when it has been full and is not any
 * more.  Allocates; false without memory.  When it is open already, that stays. */
bool sink_open(struct ev_loop *loop, int fd, void (*drained)(void));

/* Writes as much as there is room for; true when all is written, or lost because it is broken. */
bool sink_flush(void);

/* The same, but waits for room until then. */
bool sink_wait(msec until);

/* Does something wait to be written where log lines go too?  Then they come after it, if they find
 * room: in the middle of a line they would be misread. */
bool sink_comes_first(void);
bool sink_append(const char *line, size_t length);

void sink_close(void);

/* ---- terminal.c ---- */

/* Decides how the command stands to our terminal: TERMINAL_SHARE (in our process group: keys
 * reach both of us), TERMINAL_OWN (in a group of its own, which has the foreground where we have
 * it), or TERMINAL_NONE (in a session of its own: keys reach us alone). */
void terminal_open(const struct plan *plan);

/* What termios(3) keys, a change of the window's size and a hangup send to the foreground group. */
extern const signal_mask terminal_keyboard;

/* Fills in where and how the command is to be started. */
void terminal_place(struct spawn *spawn);

/* The command that was placed like this is `pid`, or its program could not be started: -1. */
void terminal_started(const struct spawn *spawn, pid_t pid);

/* Hands the foreground, if we have it, to the group that `pid` is in, if that is not ours.  True
 * when it was handed over. */
bool terminal_hand_over(pid_t pid);

/* Takes the foreground back where it was given away and nobody else has it by now: when no command
 * runs, keys are for us. */
void terminal_take_back(void);

/* Takes it back, and closes. */
void terminal_close(void);

/* ---- report_file.c ---- */

/* Opens the plan's file of --report; "-" and NULL need none.  Empties it only if there is no fault.
 */
void report_file_open(const struct plan *plan, struct faults *faults);

/* ---- tree.c ---- */

/* `fd` is one of our own, whose owner (fcntl(2), F_SETOWN) nobody needs; -1: there is none yet. */
void tree_open(int fd);

/* Is anything of the run's tree left, its own process being gone?  Where nothing is, that costs the
 * same however many children we have. */
bool tree_left(uint32_t slot);

/* Is it certain that nothing is, whoever else is to be reaped?  Always cheap. */
bool tree_is_gone(uint32_t slot);

enum { CENSUS_LEFT = 1, CENSUS_FRESH = 2 };

/* Fills found[slot] (runs_count() bytes) for every slot whose own process is gone. */
void tree_census(unsigned char *found);

/* The slot whose tree the process is in, 0: the orphans'; NO_SLOT when it is no descendant of ours.
 */
uint32_t tree_owner(pid_t pid);

/* The process was reaped, or has only now begun to be. */
void tree_forget(pid_t pid);

/* waitpid(2) said that we have no child.  So it stays, without descendants to adopt, until
 * something is started. */
void tree_set_childless(bool childless);

#endif
