#include "supervisor/supervisor.h"
#include "win32/win32.h"

#include <stdio.h>
#include <string.h>

struct companions {
    struct command before_start, after_stop, health, question;
};

/* What a plan is made of here; all of it is in a heap of its own. */
struct prepared {
    HANDLE heap;
    const struct plan *plan;
    struct command *commands;      /* by worker */
    struct companions *companions; /* likewise */
    struct command handler, callback, on_error;
};

static struct {
    struct prepared now, next; /* in force; the one that is to come */
} starts;

/* ---- before the first start ---- */

static bool is_plain(const struct plan_attributes *attributes)
{
    return !attributes->clear_env && attributes->env_files.count == 0 && attributes->env.count == 0;
}

static void prepare_worker(struct prepared *next, uint32_t index, const struct environment *plain,
                           struct faults *faults)
{
    const struct plan_worker *worker = &next->plan->workers[index];
    struct command *command = &next->commands[index];
    struct companions *companions = &next->companions[index];
    const struct environment *environment = plain;
    if (!is_plain(&worker->rules->attributes))
        environment = environment_prepare(next->heap, next->plan, worker, faults);
    command_prepare(next->heap, command, worker, environment, faults);
    if (worker->rules->before_start != NULL)
        command_prepare_beside(next->heap, &companions->before_start, command,
                               worker->rules->before_start, faults);
    if (worker->rules->after_stop != NULL)
        command_prepare_beside(next->heap, &companions->after_stop, command,
                               worker->rules->after_stop, faults);
    if (worker->rules->ready.kind == READY_COMMAND)
        command_prepare_beside(next->heap, &companions->question, command,
                               worker->rules->ready.text, faults);
    if (worker->rules->health.argv != NULL) {
        companions->health = *command;
        if (!command_set_line(next->heap, &companions->health, worker->rules->health.argv))
            fault_add(faults, NULL, "out of memory for the health check of %s", worker->name);
    }
}

void start_prepare(const struct plan *plan, struct faults *faults)
{
    struct prepared *next = &starts.next;
    next->plan = plan;
    next->heap = HeapCreate(0, 0, 0);
    if (next->heap != NULL) {
        next->commands =
            heap_allocate(next->heap, (plan->worker_count + 1) * sizeof *next->commands);
        next->companions =
            heap_allocate(next->heap, (plan->worker_count + 1) * sizeof *next->companions);
    }
    if (next->heap == NULL || next->commands == NULL || next->companions == NULL) {
        fault_add(faults, NULL, "out of memory for the commands");
        return;
    }
    const struct environment *plain = environment_prepare(next->heap, plan, NULL, faults);
    for (uint32_t i = 0; i < plan->worker_count; i++)
        prepare_worker(next, i, plain, faults);
    command_prepare_hook(next->heap, &next->handler, plan->shutdown_handler, plain, faults);
    command_prepare_hook(next->heap, &next->callback, plan->shutdown_callback, plain, faults);
    command_prepare_hook(next->heap, &next->on_error, plan->on_error, plain, faults);
}

void start_switch(void)
{
    if (starts.now.heap != NULL)
        HeapDestroy(starts.now.heap);
    starts.now = starts.next;
    starts.next = (struct prepared){0};
}

void start_drop(void)
{
    if (starts.next.heap != NULL)
        HeapDestroy(starts.next.heap);
    starts.next = (struct prepared){0};
}

bool start_shares_console(void)
{
    return starts.now.plan->mode == MODE_LAUNCH && !starts.now.plan->worker.rules->group;
}

/* ---- a start ---- */

static const struct command *choose_command(const struct platform_program *program)
{
    switch (program->what) {
    case PLATFORM_COMMAND:
    case PLATFORM_JOB: /* see job_command() */
        return &starts.now.commands[program->worker];
    case PLATFORM_BEFORE_START:
        return &starts.now.companions[program->worker].before_start;
    case PLATFORM_AFTER_STOP:
        return &starts.now.companions[program->worker].after_stop;
    case PLATFORM_HEALTH:
        return &starts.now.companions[program->worker].health;
    case PLATFORM_HANDLER:
        return &starts.now.handler;
    case PLATFORM_CALLBACK:
        return &starts.now.callback;
    case PLATFORM_ON_ERROR:
        break;
    }
    return &starts.now.on_error;
}

const struct command *start_question(uint32_t worker)
{
    return &starts.now.companions[worker].question;
}

static void tell_error(struct spawn *spawn, const struct platform_error *error)
{
    bool killed = error->end.kind == ENDING_KILLED;
    spawn_add(spawn, "AIORUN_ERROR_WORKER=%s", error->worker ? error->worker : "");
    spawn_add(spawn, "AIORUN_ERROR_PID=%ld", error->pid);
    spawn_add(spawn, killed ? "AIORUN_ERROR_SIGNAL=%u" : "AIORUN_ERROR_STATUS=%u",
              (unsigned)error->end.value);
    if (error->text != NULL)
        spawn_add(spawn, "AIORUN_ERROR_TEXT=%s", error->text);
}

static bool is_a_workers(enum platform_what what)
{
    return what != PLATFORM_HANDLER && what != PLATFORM_CALLBACK && what != PLATFORM_ON_ERROR;
}

static void tell_whose(struct spawn *spawn, const struct platform_program *program)
{
    spawn_add(spawn, "AIORUN_WORKER=%s", starts.now.plan->workers[program->worker].name);
    spawn_add(spawn, "AIORUN_INSTANCE=%u", (unsigned)program->instance);
    spawn_add(spawn, "AIORUN_PID=%lu", GetCurrentProcessId());
}

/* Ours, but only a launcher's command reads what is typed. */
static void choose_standard(struct spawn *spawn, const struct platform_program *program)
{
    bool types = program->what == PLATFORM_COMMAND && starts.now.plan->mode == MODE_LAUNCH;
    for (size_t i = 0; i < 3; i++)
        spawn->standard[i] = spawn_standard(i);
    if (!types)
        spawn->standard[0] = spawn_null();
}

static void fail(struct platform_started *started, const struct command *command, const char *what)
{
    DWORD error = GetLastError();
    started->end = (struct ending){ENDING_NOT_STARTED, STATUS_OWN_FAILURE};
    snprintf(started->sentence, sizeof started->sentence, "cannot %s for '%s': %s", what,
             command->name, win_error(error));
}

/* Everything before the process itself.  NULL, or what failed, with GetLastError(). */
static const char *open_program(struct run_id run, const struct platform_program *program,
                                struct spawn *spawn)
{
    bool has_pipe = program->what == PLATFORM_COMMAND || program->what == PLATFORM_JOB;
    if (program->what != PLATFORM_JOB) /* which has its submitter's */
        choose_standard(spawn, program);
    spawn->own_group = !(program->what == PLATFORM_COMMAND && start_shares_console());
    spawn->limits = is_a_workers(program->what) ? limits_of(program->worker) : NULL;
    spawn->job = runs_make_job();
    if (spawn->job == NULL)
        return "make a job object";
    if (program->what == PLATFORM_ON_ERROR)
        tell_error(spawn, &program->error);
    if (is_a_workers(program->what) && !(has_pipe && starts.now.plan->no_control))
        tell_whose(spawn, program);
    if (has_pipe && !starts.now.plan->no_control && !control_start(run, spawn))
        return "open a control pipe";
    if (is_a_workers(program->what) && program->what != PLATFORM_JOB &&
        !output_start(run, program, spawn))
        return "open the output";
    return NULL;
}

static bool begin_run(struct run_id run_id, const struct platform_program *program,
                      const struct spawn *spawn, HANDLE process, DWORD pid)
{
    struct run *run = runs_at(run_id.slot);
    run->generation = run_id.generation;
    run->worker = is_a_workers(program->what) ? program->worker : NO_WORKER;
    run->own_group = spawn->own_group;
    run->tree = run->asked = run->killed = false;
    run->sent = 0;
    run->events = console_count();
    if (!runs_begin(run, process, pid, spawn->job))
        return false;
    if (program->what == PLATFORM_COMMAND)
        ready_start(run);
    return true;
}

/* It has its submitter's rights; one whose submitter a reload has taken away has none. */
static const struct command *job_command(struct run_id run, const struct platform_program *program,
                                         struct spawn *spawn, struct platform_started *started)
{
    if (program->worker != NO_WORKER)
        return control_job(run, starts.now.commands[program->worker].priority, spawn, started);
    started->end = (struct ending){ENDING_NOT_STARTED, STATUS_OWN_FAILURE};
    snprintf(started->sentence, sizeof started->sentence,
             "cannot start a job: the worker that it belongs to was changed, or is gone");
    platform_drop(run);
    return NULL;
}

void platform_start(struct run_id run_id, const struct platform_program *program,
                    struct platform_started *started)
{
    struct spawn spawn = {.command = NULL};
    HANDLE process = NULL;
    DWORD pid = 0;
    memset(started, 0, sizeof *started);
    if (program->what == PLATFORM_JOB)
        spawn.command = job_command(run_id, program, &spawn, started);
    else
        spawn.command = choose_command(program);
    if (spawn.command == NULL)
        return;
    const char *failed = open_program(run_id, program, &spawn);
    if (failed != NULL)
        fail(started, spawn.command, failed);
    else
        process = spawn_process(&spawn, &pid, started);
    output_started(run_id, pid);
    if (process != NULL && !begin_run(run_id, program, &spawn, process, pid)) {
        fail(started, spawn.command, "wait");
        CloseHandle(process);
        process = NULL;
    }
    if (process == NULL && spawn.job != NULL)
        CloseHandle(spawn.job); /* and ends what is in it */
    started->ok = process != NULL;
    started->pid = (long)pid;
    if (program->what == PLATFORM_COMMAND || program->what == PLATFORM_JOB)
        control_started(run_id, started->ok);
}
