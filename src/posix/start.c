#include "plan/option_table.h"
#include "plan/parse.h"
#include "posix/posix.h"
#include "report/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The commands around a worker's instances. */
struct companions {
    struct command before_start, after_stop, health;
};

/* Those of the whole. */
struct hooks {
    struct command handler, callback, on_error;
};

/* What a plan's commands need. */
struct prepared {
    const struct plan *plan;
    struct command *commands;      /* by worker */
    struct companions *companions; /* by worker; NULL: it is no file's */
    struct hooks *hooks;           /* NULL: it has none */
    struct command_memory memory;
};

static struct {
    struct prepared now, next; /* of the plan in force, and of the one that is to come */
    uint32_t main_slot;        /* of the launcher's command */
    uid_t user;                /* ours, which is a run's unless it is given another */
    kernel_sigset early;       /* keys that came before it was there: it did not get these */
} starts = {.main_slot = NO_SLOT};

static struct command job UNTOUCHED("start_job"); /* the one that is being started */

/* ---- before the first start ---- */

/* Is it open, and not one of our own, which are all close-on-exec? */
static bool is_inherited(int fd)
{
    int flags = fcntl(fd, F_GETFD);
    return flags >= 0 && !(flags & FD_CLOEXEC);
}

/* Does the worker's run have something else there?  What was open when we started is its already.
 */
static bool is_taken(const struct plan_worker *worker, int fd)
{
    bool is_socket =
        fd >= LISTEN_FDS_START && fd < LISTEN_FDS_START + (int)worker->rules->listen.count;
    bool tells_ready = worker->rules->ready.kind == READY_FD && worker->rules->ready.fd == fd;
    return is_socket || tells_ready || is_inherited(fd);
}

/* dash redirects single digits only. */
static int choose_control_fd(const struct plan_worker *worker)
{
    int fd = 9;
    while (fd >= 3 && is_taken(worker, fd))
        fd--;
    if (fd < 3)
        for (fd = 10; is_taken(worker, fd); fd++)
            ;
    return fd;
}

static void check_descriptors(const struct plan *plan, const struct plan_worker *worker,
                              struct faults *faults)
{
    int fd = worker->rules->ready.fd,
        sockets_end = LISTEN_FDS_START + (int)worker->rules->listen.count;
    char place[OPTION_PLACE_MAX];
    if (plan->control_fd >= 0 && is_taken(worker, plan->control_fd))
        fault_add(faults, option_place_of("control-fd", plan, worker, place),
                  "descriptor %d is %s already", plan->control_fd,
                  is_inherited(plan->control_fd) ? "open" : "in use");
    if (worker->rules->ready.kind == READY_FD && fd < sockets_end)
        fault_add(faults, option_place_of("ready", plan, worker, place),
                  "descriptor %d is one of its sockets, which are %d to %d", fd, LISTEN_FDS_START,
                  sockets_end - 1);
}

static void prepare_companions(uint32_t index, struct faults *faults)
{
    const struct plan_worker *worker = &starts.next.plan->workers[index];
    const struct command *command = &starts.next.commands[index];
    struct companions *companions = &starts.next.companions[index];
    struct {
        struct command *command;
        const char *line;
    } lines[] = {{&companions->before_start, worker->rules->before_start},
                 {&companions->after_stop, worker->rules->after_stop}};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char **argv = NULL;
        if (lines[i].line == NULL)
            continue;
        if (!parse_command(lines[i].line, &argv) || !command_own(argv))
            fault_add(faults, NULL, "out of memory for the commands of %s", worker->name);
        else
            command_prepare_beside(lines[i].command, command, argv, faults);
    }
    if (worker->rules->health.argv != NULL)
        command_prepare_beside(&companions->health, command, worker->rules->health.argv, faults);
}

static void prepare_worker(const struct plan *plan, uint32_t index, struct faults *faults)
{
    const struct plan_worker *worker = &plan->workers[index];
    struct command *command = &starts.next.commands[index];
    command_prepare(command, plan, worker, faults);
    check_descriptors(plan, worker, faults);
    command->control_fd = plan->control_fd >= 0 ? plan->control_fd : choose_control_fd(worker);
    if (starts.next.companions != NULL)
        prepare_companions(index, faults);
}

static bool has_companions(const struct plan *plan)
{
    bool any = false;
    for (uint32_t i = 0; i < plan->worker_count && plan_is_fleet(plan); i++) {
        const struct plan_worker *worker = &plan->workers[i];
        any = any || worker->rules->before_start || worker->rules->after_stop ||
              worker->rules->health.argv;
    }
    return any;
}

static void prepare_workers(const struct plan *plan, struct faults *faults)
{
    static struct command only; /* a launcher needs no table */
    starts.next.commands = &only;
    if (plan_is_fleet(plan))
        starts.next.commands =
            command_allocate((plan->worker_count + 1) * sizeof *starts.next.commands);
    if (starts.next.commands == NULL) {
        fault_add(faults, NULL, "out of memory for the commands");
        return;
    }
    if (has_companions(plan)) {
        starts.next.companions =
            command_allocate(plan->worker_count * sizeof *starts.next.companions);
        if (starts.next.companions == NULL) {
            fault_add(faults, NULL, "out of memory for the commands");
            return;
        }
    }
    for (uint32_t i = 0; i < plan->worker_count; i++)
        prepare_worker(plan, i, faults);
}

static void prepare_hooks(const struct plan *plan, struct faults *faults)
{
    if (!plan->shutdown_handler && !plan->shutdown_callback && !plan->on_error)
        return;
    struct hooks *hooks = command_allocate(sizeof *hooks);
    starts.next.hooks = hooks;
    if (hooks == NULL) {
        fault_add(faults, NULL, "out of memory for the commands");
        return;
    }
    char place[OPTION_PLACE_MAX];
    command_prepare_hook(&hooks->handler, plan->shutdown_handler,
                         option_place_of("shutdown-handler", plan, &plan->worker, place), faults);
    command_prepare_hook(&hooks->callback, plan->shutdown_callback,
                         option_place_of("shutdown-callback", plan, &plan->worker, place), faults);
    command_prepare_hook(&hooks->on_error, plan->on_error,
                         option_place_of("on-error", plan, &plan->worker, place), faults);
}

void start_prepare(const struct plan *plan, struct faults *faults)
{
    starts.user = geteuid();
    starts.next.plan = plan;
    command_collect(&starts.next.memory);
    prepare_workers(plan, faults);
    prepare_hooks(plan, faults);
}

const struct command *start_prepared(uint32_t worker)
{
    return starts.next.commands != NULL ? &starts.next.commands[worker] : NULL;
}

void start_switch(void)
{
    command_release(&starts.now.memory);
    starts.now = starts.next;
    starts.next = (struct prepared){0};
}

void start_drop(void)
{
    command_release(&starts.next.memory);
    starts.next = (struct prepared){0};
}

uint32_t start_main_slot(void)
{
    return starts.main_slot;
}

bool start_missed(int signal)
{
    bool missed = starts.early & signal_bit(signal);
    starts.early &= ~signal_bit(signal);
    return missed;
}

/* ---- a start ---- */

static void tell_error(struct command *command, const struct platform_error *error)
{
    command_add(command, "AIORUN_ERROR_WORKER", error->worker ? error->worker : "");
    command_add_number(command, "AIORUN_ERROR_PID", (uint64_t)error->pid);
    if (error->end.kind == ENDING_KILLED)
        command_add_number(command, "AIORUN_ERROR_SIGNAL", error->end.value);
    else
        command_add_number(command, "AIORUN_ERROR_STATUS", error->end.value);
    if (error->text == NULL)
        return;
    static char text[sizeof "AIORUN_ERROR_TEXT=" + CONTROL_LINE_MAX] UNTOUCHED("error_text");
    snprintf(text, sizeof text, "AIORUN_ERROR_TEXT=%s", error->text);
    command_add_entry(command, text);
}

/* A job has its submitter's rights, and what it was submitted with.  One whose submitter a reload
 * has taken away has none, and is refused. */
static struct command *job_command(uint32_t worker)
{
    job = worker != NO_WORKER ? starts.now.commands[worker] : (struct command){0};
    job.argv = NULL;
    job.paths = NULL;
    return &job;
}

static struct command *choose_command(const struct platform_program *program)
{
    switch (program->what) {
    case PLATFORM_COMMAND:
        return &starts.now.commands[program->worker];
    case PLATFORM_JOB:
        return job_command(program->worker);
    case PLATFORM_BEFORE_START:
        return &starts.now.companions[program->worker].before_start;
    case PLATFORM_AFTER_STOP:
        return &starts.now.companions[program->worker].after_stop;
    case PLATFORM_HEALTH:
        return &starts.now.companions[program->worker].health;
    case PLATFORM_HANDLER:
        return &starts.now.hooks->handler;
    case PLATFORM_CALLBACK:
        return &starts.now.hooks->callback;
    case PLATFORM_ON_ERROR:
        break;
    }
    return &starts.now.hooks->on_error;
}

static void tell_whose(struct command *command, const struct platform_program *program)
{
    command_add(command, "AIORUN_WORKER", starts.now.plan->workers[program->worker].name);
    command_add_number(command, "AIORUN_INSTANCE", program->instance);
    command_add_number(command, "AIORUN_PID", (uint64_t)inherited.pid);
}

static bool is_companion(enum platform_what what)
{
    return what == PLATFORM_BEFORE_START || what == PLATFORM_AFTER_STOP || what == PLATFORM_HEALTH;
}

/* Opens the run's control pipe and tells it where; *peer is its end. */
static bool open_control(struct run_id run, const struct platform_program *program,
                         struct command *command, struct spawn *spawn, int *peer)
{
    char identity[CHANNEL_IDENTITY_SIZE];
    if (starts.now.plan->no_control || starts.now.plan->workers[program->worker].is_logger)
        return true;
    *peer = channel_open_run(run, identity);
    if (*peer < 0)
        return false;
    spawn_pass(spawn, *peer, command->control_fd);
    command_add_number(command, "AIORUN_CONTROL_FD", (uint64_t)command->control_fd);
    command_add(command, "AIORUN_CONTROL_ID", identity);
    command_add(command, "AIORUN_PROTOCOL", "1");
    tell_whose(command, program);
    return true;
}

/* A run's output goes to one place, whoever it is that opens it. */
static const char *open_output(struct run_id run, const struct platform_program *program,
                               struct spawn *spawn)
{
    if (output_start(run.slot, program->worker, program->instance, spawn))
        return NULL;
    const struct plan_output *output = &starts.now.plan->workers[program->worker].rules->output;
    static char words[256] UNTOUCHED("start_words");
    if (output->kind != OUTPUT_FILE)
        return "open the output's pipe";
    snprintf(words, sizeof words, "open '%.200s' as the output", output->text);
    return words;
}

/* What a run has beside its program.  NULL, or what failed, with errno. */
static const char *open_run(struct run_id run_id, const struct platform_program *program,
                            struct command *command, struct spawn *spawn, int *peer)
{
    const struct plan *plan = starts.now.plan;
    struct run *run = runs_at(run_id.slot);
    const struct plan_worker *worker = &plan->workers[program->worker];
    run->worker = program->worker;
    if (command->credentials.set_user)
        run->user = command->credentials.user;
    run->has_tree = program->what == PLATFORM_JOB || !plan_leaves_orphans(plan);
    spawn->death_signal = worker->rules->worker_death_signal;
    bool is_job = program->what == PLATFORM_JOB;
    command_begin(command);
    if (!cgroup_start(run_id.slot, program->worker, program->instance, is_job ? "job" : "run",
                      spawn))
        return "make a cgroup";
    if (!open_control(run_id, program, command, spawn, peer))
        return "open a control pipe";
    if (program->what == PLATFORM_COMMAND)
        listen_start(program->worker, command, spawn);
    if (program->what == PLATFORM_COMMAND &&
        !ready_start(run_id.slot, plan, worker, command, spawn))
        return "open what it tells its readiness by";
    const char *failed = is_job ? NULL : open_output(run_id, program, spawn);
    if (failed != NULL)
        return failed;
    if (run->worker == 0 && program->what == PLATFORM_COMMAND && plan->mode == MODE_LAUNCH) {
        starts.main_slot = run_id.slot;
        terminal_place(spawn);
    }
    return NULL;
}

/* What a command beside a run has. */
static const char *open_companion(struct run_id run, const struct platform_program *program,
                                  struct command *command, struct spawn *spawn)
{
    runs_at(run.slot)->worker = program->worker;
    command_begin(command);
    tell_whose(command, program);
    if (!cgroup_start(run.slot, program->worker, program->instance, "beside", spawn))
        return "make a cgroup";
    return open_output(run, program, spawn);
}

/* Everything before the process itself.  False with the reason in `started`. */
static bool open_program(struct run_id run, const struct platform_program *program,
                         struct command *command, struct spawn *spawn, int *peer,
                         struct platform_started *started)
{
    const char *failed = NULL;
    bool is_job = program->what == PLATFORM_JOB;
    const char *fault = NULL;
    if (is_job && program->worker == NO_WORKER)
        fault = "the worker that it belongs to was changed, or is gone";
    else if (is_job)
        fault = jobs_command(run.slot, command, spawn);
    if (fault == NULL && (is_job || program->what == PLATFORM_COMMAND))
        failed = open_run(run, program, command, spawn, peer);
    if (program->what == PLATFORM_ON_ERROR) {
        command_begin(command);
        tell_error(command, &program->error);
    } else if (is_companion(program->what)) {
        failed = open_companion(run, program, command, spawn);
    }
    if (failed != NULL)
        snprintf(started->sentence, sizeof started->sentence, "cannot %s for '%s': %s", failed,
                 command->name, strerror(errno));
    if (fault != NULL)
        snprintf(started->sentence, sizeof started->sentence, "cannot start a job: %s", fault);
    started->end = (struct ending){ENDING_NOT_STARTED, STATUS_OWN_FAILURE};
    return fault == NULL && failed == NULL;
}

/* Closes what only the start needed. */
static void close_program(struct run_id run, const struct platform_program *program,
                          struct command *command, int peer, pid_t pid)
{
    bool ok = pid > 0;
    if (peer >= 0)
        close(peer);
    if (!ok && peer >= 0)
        channel_abort(run);
    cgroup_started(run.slot, ok);
    if (program->what == PLATFORM_COMMAND)
        ready_started(run.slot, ok);
    output_started(run.slot, pid);
    if (program->what == PLATFORM_JOB)
        jobs_started(run, command);
}

void platform_start(struct run_id run_id, const struct platform_program *program,
                    struct platform_started *started)
{
    struct spawn_failure failure;
    struct run *run = runs_at(run_id.slot);
    struct command *command = choose_command(program);
    int peer = -1;
    pid_t pid = -1;
    struct spawn spawn = {
        .command = command,
        .place = SPAWN_SESSION,
        .terminal = -1,
        .cgroup = -1,
        .null_stdin = program->what != PLATFORM_JOB,
        .death_signal = starts.now.plan->worker.rules->worker_death_signal,
    };
    memset(started, 0, sizeof *started);
    memset(run, 0, sizeof *run);
    run->generation = run_id.generation;
    run->worker = NO_WORKER;
    run->user = starts.user;
    if (open_program(run_id, program, command, &spawn, &peer, started)) {
        kernel_sigset early;
        pid = spawn_process(&spawn, &early, &failure);
        if (run_id.slot == starts.main_slot)
            starts.early = early;
        tree_set_childless(false);
        if (pid < 0)
            started->end =
                spawn_explain(&spawn, &failure, started->sentence, sizeof started->sentence);
    }
    close_program(run_id, program, command, peer, pid);
    terminal_started(&spawn, pid);
    if (pid < 0)
        return;
    run->own_group = spawn.place != SPAWN_SHARE;
    run->session = spawn.place == SPAWN_SESSION ? pid : inherited.session;
    jobs_gone(pid);
    tree_forget(pid); /* of somebody who was asked or killed, and whom somebody else has reaped */
    runs_insert(run_id.slot, pid);
    if (program->what == PLATFORM_COMMAND)
        probe_start(run_id.slot, &starts.now.plan->workers[program->worker]);
    started->ok = true;
    started->pid = pid;
}

uid_t command_user(struct run_id run)
{
    return runs_at(run.slot)->user;
}

bool platform_is_our_user(struct run_id run)
{
    return command_user(run) == starts.user;
}
