#include "plan/option_table.h"

#include "plan/signals.h"

#include <string.h>

/* Where a row's value lives: in the plan, or, with SCOPE_WORKER, in a worker's rules. */
#define IN_PLAN(member)   offsetof(struct plan, member)
#define IN_RULES(member)  offsetof(struct plan_rules, member)
#define ATTRIBUTE(member) offsetof(struct plan_rules, attributes.member)

/* Or in the worker itself: what makes it this one, and is seldom another's. */
#define UNSHARED_FIELD(member) .unshared = true, .field = offsetof(struct plan_worker, member)

/* Ten years: beyond that it is a typing mistake. */
#define LONGEST (10 * INT64_C(365) * 24 * 3600 * SECOND)

static const struct option_choice repeat_choices[] = {
    {"auto", REPEAT_AUTO}, {"ignore", REPEAT_IGNORE}, {"escalate", REPEAT_ESCALATE}, {NULL, 0}};

static const struct option_choice loop_choices[] = {{"auto", LOOP_AUTO},
                                                    {"epoll", LOOP_EPOLL},
                                                    {"poll", LOOP_POLL},
                                                    {"select", LOOP_SELECT},
                                                    {NULL, 0}};

static const struct option_choice terminal_choices[] = {{"auto", TERMINAL_AUTO},
                                                        {"share", TERMINAL_SHARE},
                                                        {"own", TERMINAL_OWN},
                                                        {"none", TERMINAL_NONE},
                                                        {NULL, 0}};

static const struct option_choice orphans_choices[] = {{"auto", ORPHANS_AUTO},
                                                       {"stop", ORPHANS_STOP},
                                                       {"wait", ORPHANS_WAIT},
                                                       {"leave", ORPHANS_LEAVE},
                                                       {NULL, 0}};

static const struct option_choice restart_choices[] = {{"never", RESTART_NEVER},
                                                       {"on-failure", RESTART_ON_FAILURE},
                                                       {"always", RESTART_ALWAYS},
                                                       {NULL, 0}};

static const struct option_choice log_choices[] = {{"auto", LOG_AUTO},
                                                   {"text", LOG_TEXT},
                                                   {"json", LOG_JSON},
                                                   {"journal", LOG_JOURNAL},
                                                   {NULL, 0}};

/* The headings of the help. */
#define SHUTDOWN "Shutdown"
#define SIGNALS  "Signals and processes"
#define CONTROL  "Readiness and control"
#define RESTART  "Success and restart"
#define COMMAND  "What the command is given"
#define LOG      "Log"
#define FLEET    "Several workers"
#define ABOUT    "Information"

/* Every resource limit takes the same words. */
#define LIMIT(resource, index, text)                                                               \
    {                                                                                              \
        .name = "limit-" resource, .scope = SCOPE_WORKER, .type = TYPE_LIMIT,                      \
        .field = ATTRIBUTE(limits), .limit = (index), .argument = "SOFT[:HARD]", .group = COMMAND, \
        .help = text                                                                               \
    }

/* A row reads best as what it is, how it is kept, and how it is told. */
/* clang-format off */
const struct option option_table[] = {
    {.name = "timeout", .scope = SCOPE_SUPERVISOR, .type = TYPE_DURATION,
     .field = IN_PLAN(timeout), .min = 1, .max = LONGEST, .infinity = true, .initial = "60s",
     .argument = "D", .group = SHUTDOWN,
     .help = "cap of the whole shutdown: at the cap everything left is killed"},
    {.name = "stop-signal", .scope = SCOPE_WORKER, .type = TYPE_SIGNAL,
     .field = IN_RULES(stop_signal), .fleet = "TERM",
     .argument = "SIG", .group = SHUTDOWN,
     .help = "what a stop request sends instead of the shutdown signal that arrived, or TERM"},
    {.name = "stop-timeout", .scope = SCOPE_WORKER, .type = TYPE_DURATION,
     .field = IN_RULES(stop_timeout), .given = IN_RULES(stop_timeout_set),
     .min = 0, .max = LONGEST, .infinity = true,
     .argument = "D", .group = SHUTDOWN,
     .help = "kill a command that ignores its stop request after this, instead of at the cap"},
    {.name = "stop", .scope = SCOPE_WORKER, .type = TYPE_LADDER,
     .field = IN_RULES(rungs), .given = IN_RULES(stop_given),
     .excludes = {"stop-signal", "stop-timeout"},
     .argument = "LADDER", .group = SHUTDOWN,
     .help = "the general form of the two above, such as 'TERM 20s, QUIT 5s, KILL'"},
    {.name = "shield-timeout", .scope = SCOPE_WORKER, .type = TYPE_DURATION,
     .field = IN_RULES(shield_timeout), .given = IN_RULES(shield_timeout_set),
     .min = 1, .max = LONGEST, .infinity = true,
     .argument = "D", .group = SHUTDOWN,
     .help = "how long a shutdown waits for a shield that names no deadline; else the timeout"},
    {.name = "drain-delay", .scope = SCOPE_SUPERVISOR, .type = TYPE_DURATION,
     .field = IN_PLAN(drain_delay), .min = 0, .max = LONGEST, .initial = "0",
     .argument = "D", .group = SHUTDOWN,
     .help = "wait between the trigger and the first stop request, at most a quarter of the "
             "timeout"},
    {.name = "shutdown-signals", .scope = SCOPE_SUPERVISOR, .type = TYPE_SIGNALS,
     .field = IN_PLAN(shutdown_signals), .given = IN_PLAN(shutdown_signals_given),
     .initial = SHUTDOWN_SIGNALS,
     .argument = "LIST", .group = SHUTDOWN,
     .help = "the signals that start a shutdown"},
    {.name = "repeat-signal", .scope = SCOPE_SUPERVISOR, .type = TYPE_CHOICE,
     .field = IN_PLAN(repeat), .choices = repeat_choices, .initial = "auto",
     .group = SHUTDOWN,
     .help = "what one more shutdown signal does; auto: it escalates when it comes from the "
             "keyboard"},
    {.name = "shutdown-handler", .scope = SCOPE_SUPERVISOR, .type = TYPE_COMMAND,
     .field = IN_PLAN(shutdown_handler),
     .argument = "CMD", .group = SHUTDOWN,
     .help = "run on a shutdown signal instead of shutting down, which follows when it exits 0"},
    {.name = "shutdown-callback", .scope = SCOPE_SUPERVISOR, .type = TYPE_COMMAND,
     .field = IN_PLAN(shutdown_callback),
     .argument = "CMD", .group = SHUTDOWN,
     .help = "run once a shutdown has begun, before any stop request"},
    {.name = "stop-on-unhandled-errors", .scope = SCOPE_SUPERVISOR, .type = TYPE_SWITCH,
     .field = IN_PLAN(stop_on_unhandled_errors), .negatable = true, .initial = "no",
     .group = SHUTDOWN,
     .help = "a failure that no restart handles starts a shutdown and is the exit status"},
    {.name = "on-error", .scope = SCOPE_SUPERVISOR, .type = TYPE_COMMAND,
     .field = IN_PLAN(on_error), .excludes = {"stop-on-unhandled-errors"},
     .argument = "CMD", .group = SHUTDOWN,
     .help = "run on a failure that no restart handles, the failure in its environment"},
    {.name = "forever", .scope = SCOPE_SUPERVISOR, .type = TYPE_SWITCH,
     .field = IN_PLAN(forever), .negatable = true, .initial = "no", .fleet = "yes",
     .group = SHUTDOWN,
     .help = "run on although nothing is left to run, until a signal comes"},
    {.name = "orphans", .scope = SCOPE_SUPERVISOR, .type = TYPE_CHOICE,
     .field = IN_PLAN(orphans), .choices = orphans_choices, .initial = "auto",
     .group = SHUTDOWN,
     .help = "adopted processes at the end: asked to stop, waited for, or left alone"},

    {.name = "terminal", .scope = SCOPE_SUPERVISOR, .type = TYPE_CHOICE,
     .field = IN_PLAN(terminal), .choices = terminal_choices, .initial = "auto",
     .fleet = "none",
     .group = SIGNALS,
     .help = "the command is in our process group, in a group or a session of its own"},
    {.name = "group", .letter = 'g', .scope = SCOPE_WORKER, .type = TYPE_SWITCH,
     .field = IN_RULES(group), .negatable = true, .initial = "no", .fleet = "yes",
     .group = SIGNALS,
     .help = "signals go to the command's whole process group"},
    {.name = "subreaper", .letter = 's', .scope = SCOPE_SUPERVISOR, .type = TYPE_SWITCH,
     .field = IN_PLAN(subreaper), .negatable = true, .initial = "yes",
     .group = SIGNALS,
     .help = "adopt orphans although not PID 1"},
    {.name = "parent-death-signal", .letter = 'p', .scope = SCOPE_SUPERVISOR, .type = TYPE_SIGNAL,
     .field = IN_PLAN(parent_death_signal), .infinity = true, .initial = "none",
     .argument = "SIG", .group = SIGNALS,
     .help = "sent to aiorun when its own parent dies"},
    {.name = "worker-death-signal", .scope = SCOPE_WORKER, .type = TYPE_SIGNAL,
     .field = IN_RULES(worker_death_signal), .infinity = true, .initial = "TERM",
     .argument = "SIG", .group = SIGNALS,
     .help = "sent to the command when aiorun dies"},
    {.name = "rewrite", .scope = SCOPE_SUPERVISOR, .type = TYPE_REWRITE,
     .field = IN_PLAN(rewrite),
     .argument = "FROM:TO", .group = SIGNALS,
     .help = "send TO wherever FROM would be sent; 0 drops it; may be repeated"},
    {.name = "warn-on-reap", .letter = 'w', .scope = SCOPE_SUPERVISOR, .type = TYPE_SWITCH,
     .field = IN_PLAN(warn_on_reap), .negatable = true, .initial = "no",
     .group = SIGNALS,
     .help = "warn of every adopted process that is reaped"},
    {.name = "loop", .scope = SCOPE_SUPERVISOR, .type = TYPE_CHOICE,
     .field = IN_PLAN(loop), .choices = loop_choices, .initial = "auto",
     .group = SIGNALS,
     .help = "how the event loop waits"},

    {.name = "ready", .scope = SCOPE_WORKER, .type = TYPE_READY,
     .field = IN_RULES(ready),
     .argument = "HOW", .group = CONTROL,
     .help = "when the command counts as ready: exec, notify, control, fd:N, after:D, "
             "tcp:HOST:PORT or exec:CMD; notify under NOTIFY_SOCKET, else exec"},
    {.name = "executor-workers", .scope = SCOPE_SUPERVISOR, .type = TYPE_INTEGER,
     .field = IN_PLAN(executor_workers), .min = 1, .max = 1000,
     .argument = "N", .group = CONTROL,
     .help = "submitted jobs at a time; 4 more than there are processors, at most 32"},
    {.name = "control", .scope = SCOPE_SUPERVISOR, .type = TYPE_STRING,
     .field = IN_PLAN(control),
     .argument = "PATH", .group = CONTROL,
     .help = "the admin socket, for 'aiorun status' and its like; with --config there always is "
             "one"},
    {.name = "control-fd", .scope = SCOPE_SUPERVISOR, .type = TYPE_INTEGER,
     .field = IN_PLAN(control_fd), .min = 3, .max = 1023,
     .argument = "N", .group = CONTROL,
     .help = "the descriptor of the control pipe in the command; 9 unless that is taken"},
    {.name = "no-control", .scope = SCOPE_SUPERVISOR, .type = TYPE_SWITCH,
     .field = IN_PLAN(no_control), .initial = "no", .excludes = {"control-fd"},
     .group = CONTROL,
     .help = "no control pipe for the command, nor its variables"},

    {.name = "success-status", .letter = 'e', .scope = SCOPE_WORKER, .type = TYPE_STATUSES,
     .field = IN_RULES(success),
     .argument = "LIST", .group = RESTART,
     .help = "ends that count as success and become 0, such as '143 SIGTERM', or 'requested': "
             "by our own stop signal; may be repeated"},
    {.name = "restart", .scope = SCOPE_WORKER, .type = TYPE_CHOICE,
     .field = IN_RULES(restart), .choices = restart_choices, .initial = "never",
     .fleet = "on-failure",
     .group = RESTART,
     .help = "when to start the command again after it ended by itself"},
    {.name = "restart-delay", .scope = SCOPE_WORKER, .type = TYPE_DELAY_RANGE,
     .field = IN_RULES(backoff), .min = 0, .max = LONGEST, .initial = "100ms..30s",
     .argument = "MIN..MAX", .group = RESTART,
     .help = "the pause before a restart, doubling from MIN to MAX"},
    {.name = "restart-limit", .scope = SCOPE_WORKER, .type = TYPE_RATE,
     .field = IN_RULES(backoff), .min = 1, .max = LONGEST, .initial = "none",
     .argument = "N/D", .group = RESTART,
     .help = "give up after N restarts within D, or none"},

    {.name = "user", .scope = SCOPE_WORKER, .type = TYPE_STRING,
     .field = ATTRIBUTE(user),
     .argument = "USER[:GROUP]", .group = COMMAND,
     .help = "run as this user (a name or a number), with its groups and HOME"},
    {.name = "group-name", .scope = SCOPE_WORKER, .type = TYPE_STRING,
     .field = ATTRIBUTE(group),
     .argument = "GROUP", .group = COMMAND,
     .help = "run as this group instead of the user's"},
    {.name = "cwd", .scope = SCOPE_WORKER, .type = TYPE_STRING,
     .field = ATTRIBUTE(cwd),
     .argument = "DIR", .group = COMMAND,
     .help = "the directory to start in"},
    {.name = "umask", .scope = SCOPE_WORKER, .type = TYPE_OCTAL,
     .field = ATTRIBUTE(umask), .min = 0, .max = 0777,
     .argument = "MASK", .group = COMMAND,
     .help = "the file mode creation mask, octal"},
    {.name = "env", .scope = SCOPE_WORKER, .type = TYPE_ENV,
     .field = ATTRIBUTE(env),
     .argument = "NAME=VALUE", .group = COMMAND,
     .help = "set a variable in the environment; may be repeated"},
    {.name = "env-file", .scope = SCOPE_WORKER, .type = TYPE_STRINGS,
     .field = ATTRIBUTE(env_files),
     .argument = "FILE", .group = COMMAND,
     .help = "read NAME=VALUE lines before --env; may be repeated"},
    {.name = "clear-env", .scope = SCOPE_WORKER, .type = TYPE_SWITCH,
     .field = ATTRIBUTE(clear_env), .negatable = true, .initial = "no",
     .group = COMMAND,
     .help = "start with an empty environment"},
    {.name = "nice", .scope = SCOPE_WORKER, .type = TYPE_INTEGER,
     .field = ATTRIBUTE(nice), .given = ATTRIBUTE(nice_set), .min = -20, .max = 19,
     .argument = "N", .group = COMMAND,
     .help = "the scheduling priority, -20 to 19"},
    {.name = "oom-score-adjust", .scope = SCOPE_WORKER, .type = TYPE_INTEGER,
     .field = ATTRIBUTE(oom_score_adjust), .given = ATTRIBUTE(oom_score_adjust_set),
     .min = -1000, .max = 1000,
     .argument = "N", .group = COMMAND,
     .help = "how readily it is killed when memory runs out, -1000 to 1000"},
    {.name = "no-new-privileges", .scope = SCOPE_WORKER, .type = TYPE_SWITCH,
     .field = ATTRIBUTE(no_new_privileges), .initial = "no",
     .group = COMMAND,
     .help = "no setuid program gives it more rights"},
    LIMIT("as", LIMIT_AS, "address space in bytes (K, M, G and T are understood)"),
    LIMIT("core", LIMIT_CORE, "size of a core file in bytes"),
    LIMIT("cpu", LIMIT_CPU, "processor time in seconds"),
    LIMIT("data", LIMIT_DATA, "data segment in bytes"),
    LIMIT("fsize", LIMIT_FSIZE, "size of a written file in bytes"),
    LIMIT("locks", LIMIT_LOCKS, "file locks"),
    LIMIT("memlock", LIMIT_MEMLOCK, "locked memory in bytes"),
    LIMIT("msgqueue", LIMIT_MSGQUEUE, "POSIX message queues in bytes"),
    LIMIT("nice", LIMIT_NICE, "ceiling of the priority: 20 minus the nice value"),
    LIMIT("nofile", LIMIT_NOFILE, "open file descriptors"),
    LIMIT("nproc", LIMIT_NPROC, "processes of the user"),
    LIMIT("rss", LIMIT_RSS, "resident memory in bytes"),
    LIMIT("rtprio", LIMIT_RTPRIO, "real-time priority"),
    LIMIT("rttime", LIMIT_RTTIME, "real-time processor time in microseconds"),
    LIMIT("sigpending", LIMIT_SIGPENDING, "queued signals"),
    LIMIT("stack", LIMIT_STACK, "stack in bytes"),

    {.name = "verbose", .letter = 'v', .scope = SCOPE_SUPERVISOR, .type = TYPE_COUNT,
     .field = IN_PLAN(verbosity), .min = 0, .max = 9, .step = 1,
     .group = LOG,
     .help = "log more than warnings and errors; may be repeated"},
    {.name = "quiet", .letter = 'q', .scope = SCOPE_SUPERVISOR, .type = TYPE_COUNT,
     .field = IN_PLAN(verbosity), .min = 0, .max = 9, .step = -1, .excludes = {"verbose"},
     .group = LOG,
     .help = "log less; may be repeated"},
    {.name = "log-format", .scope = SCOPE_SUPERVISOR, .type = TYPE_CHOICE,
     .field = IN_PLAN(log_format), .choices = log_choices, .initial = "auto",
     .group = LOG,
     .help = "how log lines are written"},
    {.name = "report", .scope = SCOPE_SUPERVISOR, .type = TYPE_STRING,
     .field = IN_PLAN(report),
     .argument = "FILE", .group = LOG,
     .help = "write the shutdown as a timeline to FILE: .json, .trace.json, .html, or text; - is "
             "standard error"},

    {.name = "config", .scope = SCOPE_CLI, .type = TYPE_STRING,
     .field = IN_PLAN(config),
     .argument = "FILE", .group = FLEET,
     .help = "supervise the workers of this file, see aiorun.ini(5)"},
    {.name = "command", .scope = SCOPE_WORKER, .type = TYPE_COMMAND, .file_only = true,
     UNSHARED_FIELD(command),
     .argument = "CMD", .group = FLEET,
     .help = "what to run, in the quoting of a shell, but without one"},
    {.name = "instances", .scope = SCOPE_WORKER, .type = TYPE_INTEGER, .file_only = true,
     .field = IN_RULES(instances), .min = 1, .max = 10000, .initial = "1",
     .argument = "N", .group = FLEET,
     .help = "how many of it run at the same time"},
    {.name = "after", .scope = SCOPE_WORKER, .type = TYPE_NAMES, .file_only = true,
     UNSHARED_FIELD(after_names),
     .argument = "NAMES", .group = FLEET,
     .help = "start when these workers are ready, and stop before they do"},
    {.name = "needs", .scope = SCOPE_WORKER, .type = TYPE_NAMES, .file_only = true,
     UNSHARED_FIELD(needs_names),
     .argument = "NAMES", .group = FLEET,
     .help = "the same as after, and stop also when one of these is stopped or given up"},
    {.name = "autostart", .scope = SCOPE_WORKER, .type = TYPE_SWITCH, .file_only = true,
     .field = IN_RULES(autostart), .initial = "yes",
     .group = FLEET,
     .help = "start it at the beginning, not only when asked"},
    {.name = "ready-timeout", .scope = SCOPE_WORKER, .type = TYPE_DURATION, .file_only = true,
     .field = IN_RULES(ready_timeout), .min = 1, .max = LONGEST, .infinity = true,
     .initial = "60s",
     .argument = "D", .group = FLEET,
     .help = "it has failed when it is not ready by then"},
    {.name = "watchdog", .scope = SCOPE_WORKER, .type = TYPE_DURATION, .file_only = true,
     .field = IN_RULES(watchdog), .min = 1, .max = LONGEST, .infinity = true,
     .initial = "infinity",
     .argument = "D", .group = FLEET,
     .help = "it has failed when it does not say for so long that it is alive"},
    {.name = "health", .scope = SCOPE_WORKER, .type = TYPE_HEALTH, .file_only = true,
     .field = IN_RULES(health),
     .argument = "CMD every D timeout D retries N", .group = FLEET,
     .help = "it has failed when this command did not exit with 0 in time, N times more"},
    {.name = "max-age", .scope = SCOPE_WORKER, .type = TYPE_DURATION, .file_only = true,
     .field = IN_RULES(max_age), .min = SECOND, .max = LONGEST, .infinity = true,
     .initial = "infinity",
     .argument = "D", .group = FLEET,
     .help = "replace it by a fresh one after so long"},
    {.name = "listen", .scope = SCOPE_WORKER, .type = TYPE_LISTEN, .file_only = true,
     .field = IN_RULES(listen),
     .argument = "ADDRESSES", .group = FLEET,
     .help = "sockets that are opened once and passed on as LISTEN_FDS: tcp:HOST:PORT, "
             "unix:/PATH[:MODE]"},
    {.name = "output", .scope = SCOPE_WORKER, .type = TYPE_OUTPUT, .file_only = true,
     .field = IN_RULES(output), .initial = "inherit",
     .argument = "HOW", .group = FLEET,
     .help = "where its output goes: inherit, prefix, null, file:PATH or pipe:CMD"},
    {.name = "before-start", .scope = SCOPE_WORKER, .type = TYPE_COMMAND, .file_only = true,
     .field = IN_RULES(before_start),
     .argument = "CMD", .group = FLEET,
     .help = "run before each start, which fails if this does"},
    {.name = "after-stop", .scope = SCOPE_WORKER, .type = TYPE_COMMAND, .file_only = true,
     .field = IN_RULES(after_stop),
     .argument = "CMD", .group = FLEET,
     .help = "run when it has ended, and all that it started"},
    {.name = "memory-max", .scope = SCOPE_WORKER, .type = TYPE_AMOUNT, .file_only = true,
     .field = IN_RULES(memory_max), .min = 4096, .max = INT64_MAX, .infinity = true,
     .initial = "infinity",
     .argument = "BYTES", .group = FLEET,
     .help = "all its processes together have no more memory (K, M, G and T are understood)"},
    {.name = "cpu-max", .scope = SCOPE_WORKER, .type = TYPE_CPUS, .file_only = true,
     .field = IN_RULES(cpu_max), .initial = "infinity",
     .argument = "CPUS", .group = FLEET,
     .help = "all its processes together have no more processor time: 1.5 or 150%"},
    {.name = "pids-max", .scope = SCOPE_WORKER, .type = TYPE_AMOUNT, .file_only = true,
     .field = IN_RULES(pids_max), .min = 1, .max = 4194304, .infinity = true,
     .initial = "infinity",
     .argument = "N", .group = FLEET,
     .help = "so many processes and threads at most"},
    {.name = "may-stop", .scope = SCOPE_WORKER, .type = TYPE_SWITCH, .file_only = true,
     .field = IN_RULES(may_stop), .given = IN_RULES(may_stop_set),
     .group = FLEET,
     .help = "its shutdown and error messages act on all; yes if it runs as our own user"},

    {.name = "help", .letter = 'h', .scope = SCOPE_CLI, .type = TYPE_ACTION,
     .field = IN_PLAN(mode), .choice_value = MODE_HELP,
     .group = ABOUT, .help = "show this text"},
    {.name = "version", .scope = SCOPE_CLI, .type = TYPE_ACTION,
     .field = IN_PLAN(mode), .choice_value = MODE_VERSION,
     .group = ABOUT, .help = "show the version"},
    {.name = "print-config", .scope = SCOPE_CLI, .type = TYPE_ACTION,
     .field = IN_PLAN(mode), .choice_value = MODE_PRINT_CONFIG,
     .group = ABOUT, .help = "show what the options and the environment add up to, and start "
             "nothing"},
    {.name = "list-options", .scope = SCOPE_CLI, .type = TYPE_ACTION,
     .field = IN_PLAN(mode), .choice_value = MODE_LIST_OPTIONS,
     .group = ABOUT, .help = "show the table of options for programs, a line each, tabs between"},
};
/* clang-format on */

const size_t option_count = sizeof option_table / sizeof option_table[0];

_Static_assert(sizeof option_table / sizeof option_table[0] <= PLAN_OPTIONS_MAX,
               "plan.source has a byte for every option");

const struct option *option_find(const char *name, size_t length)
{
    for (size_t i = 0; i < option_count; i++) {
        const char *found = option_table[i].name;
        if (found[0] == name[0] && strncmp(found, name, length) == 0 && found[length] == '\0')
            return &option_table[i];
    }
    return NULL;
}

const struct option *option_find_letter(char letter)
{
    for (size_t i = 0; i < option_count; i++) {
        if (option_table[i].letter != 0 && option_table[i].letter == letter)
            return &option_table[i];
    }
    return NULL;
}

bool option_takes_argument(const struct option *option)
{
    return option->type != TYPE_ACTION && option->type != TYPE_SWITCH && option->type != TYPE_COUNT;
}

static bool excludes(const struct option *a, const struct option *b)
{
    for (size_t i = 0; i < sizeof a->excludes / sizeof a->excludes[0]; i++) {
        if (a->excludes[i] != NULL && strcmp(a->excludes[i], b->name) == 0)
            return true;
    }
    return false;
}

bool option_contradicts(const struct option *a, const struct option *b)
{
    return excludes(a, b) || excludes(b, a);
}

const void *option_home(const struct option *option, const struct plan *plan,
                        const struct plan_worker *worker)
{
    if (option->scope != SCOPE_WORKER)
        return plan;
    return option->unshared ? (const void *)worker : worker->rules;
}

bool option_in_force(const struct option *option, const struct plan *plan,
                     const struct plan_worker *worker)
{
    if (option_source(option, plan, worker) == SOURCE_DEFAULT)
        return false;
    const void *home = option_home(option, plan, worker);
    return option->type != TYPE_SWITCH || *(const bool *)((const char *)home + option->field);
}

/* 0: it is not in the worker's section. */
static uint32_t line_of(const struct option *option, const struct plan_worker *worker)
{
    uint32_t row = (uint32_t)(option - option_table), line = 0;
    for (uint32_t i = 0; i < worker->key_count; i++) /* of variables the last one counts */
        if (worker->keys[i].row == row)
            line = worker->keys[i].line;
    return line;
}

bool option_is_in_file(const struct option *option, const struct plan_worker *worker)
{
    return line_of(option, worker) > 0;
}

enum plan_source option_source(const struct option *option, const struct plan *plan,
                               const struct plan_worker *worker)
{
    size_t row = (size_t)(option - option_table);
    if (option->scope == SCOPE_WORKER && line_of(option, worker) > 0)
        return SOURCE_FILE;
    return (enum plan_source)plan->source[row];
}

bool option_is_overridden(const struct option *option, const struct plan *plan,
                          enum plan_source source)
{
    if (option_source(option, plan, &plan->worker) > source)
        return true;
    for (size_t i = 0; i < option_count; i++) {
        const struct option *other = &option_table[i];
        if (plan->source[i] > source && option_in_force(other, plan, &plan->worker) &&
            option_contradicts(option, other))
            return true;
    }
    return false;
}

/* `--timeout` is AIORUN_OPT_TIMEOUT in the environment. */
static void add_variable(const char *name, struct text *text)
{
    text_add(text, "AIORUN_OPT_");
    for (; *name != '\0'; name++) {
        char c = *name;
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        text_add(text, "%c", c == '-' ? '_' : c);
    }
}

const char *option_place(const struct option *option, enum plan_source source, char *buffer)
{
    struct text text = {.buffer = buffer, .size = OPTION_PLACE_MAX};
    if (source == SOURCE_ENVIRONMENT)
        add_variable(option->name, &text);
    else
        text_add(&text, "option --%s", option->name);
    return buffer;
}

void option_add_key(const struct option *option, struct text *text)
{
    if (option->type == TYPE_LIMIT)
        text_add(text, "limit.%s", option->name + strlen("limit-"));
    else
        text_add(text, "%s%s", option->name, option->type == TYPE_ENV ? ".NAME" : "");
}

const char *option_place_in(const struct option *option, const struct plan *plan,
                            const struct plan_worker *worker, char *buffer)
{
    enum plan_source source = option_source(option, plan, worker);
    if (source != SOURCE_FILE)
        return option_place(option, source, buffer);
    uint32_t line = option->scope == SCOPE_WORKER ? line_of(option, worker)
                                                  : plan->lines[option - option_table];
    struct text text = {.buffer = buffer, .size = OPTION_PLACE_MAX};
    char place[PLAN_PLACE_MAX];
    text_add(&text, "%s: ", plan_place(plan, line, place));
    option_add_key(option, &text);
    return buffer;
}

const char *option_place_of(const char *name, const struct plan *plan,
                            const struct plan_worker *worker, char *buffer)
{
    return option_place_in(option_find(name, strlen(name)), plan, worker, buffer);
}

void option_add_argument(const struct option *option, struct text *text)
{
    if (option->argument != NULL)
        text_add(text, "%s", option->argument);
    for (const struct option_choice *c = option->choices; c != NULL && c->name != NULL; c++)
        text_add(text, "%s%s", c == option->choices ? "" : "|", c->name);
}
