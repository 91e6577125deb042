/* plan.h - what was asked for: values only, validated, and never changed again.
 *
 *     struct plan plan;
 *     plan_init(&plan);
 *     cli_parse(&plan, argv, environ, &faults);
 *     config_load(&plan, &faults);
 *     check_plan(&plan, &faults);
 *     if (faults.count) refuse;
 *
 * A plan holds no descriptor, no pid and nothing looked up: user names stay
 * names, and a signal is the number that the C library gives it.  Every string
 * points into argv, the environment, or memory that lives as long as the plan.
 */
#ifndef AIORUN_PLAN_H
#define AIORUN_PLAN_H

#include "core/msec.h"
#include "core/policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Signals 1..64 as bits: bit N-1 stands for signal N. */
typedef uint64_t signal_mask;

#define PLAN_SIGNAL_MAX 64

static inline signal_mask signal_bit(int signal)
{
    return (signal_mask)1 << (signal - 1);
}

enum plan_repeat { REPEAT_AUTO, REPEAT_IGNORE, REPEAT_ESCALATE };
enum plan_loop { LOOP_AUTO, LOOP_EPOLL, LOOP_POLL, LOOP_SELECT };
enum plan_terminal { TERMINAL_AUTO, TERMINAL_SHARE, TERMINAL_OWN, TERMINAL_NONE };
enum plan_orphans { ORPHANS_AUTO, ORPHANS_STOP, ORPHANS_WAIT, ORPHANS_LEAVE };
enum plan_log_format { LOG_AUTO, LOG_TEXT, LOG_JSON, LOG_JOURNAL };

/* One step down: send `signal`, wait `time`, and go on to the next. */
struct plan_rung {
    int signal; /* 0: the shutdown signal that arrived, else TERM */
    msec time;  /* NEVER: what the cap leaves */
};

#define PLAN_RUNGS_MAX 8

/* A list of strings in the order they were given. */
struct plan_strings {
    const char **items;
    size_t count;
};

enum plan_limit {
    LIMIT_AS,
    LIMIT_CORE,
    LIMIT_CPU,
    LIMIT_DATA,
    LIMIT_FSIZE,
    LIMIT_LOCKS,
    LIMIT_MEMLOCK,
    LIMIT_MSGQUEUE,
    LIMIT_NICE,
    LIMIT_NOFILE,
    LIMIT_NPROC,
    LIMIT_RSS,
    LIMIT_RTPRIO,
    LIMIT_RTTIME,
    LIMIT_SIGPENDING,
    LIMIT_STACK,
    LIMIT_COUNT
};

#define PLAN_UNLIMITED UINT64_MAX

struct plan_limit_value {
    bool set;
    uint64_t soft, hard; /* PLAN_UNLIMITED: infinity */
};

/* What a worker's process is given beside its command. */
struct plan_attributes {
    const char *user;  /* NAME, UID, NAME:GROUP or UID:GROUP; NULL: as we are */
    const char *group; /* NAME or GID; NULL: the user's */
    const char *cwd;   /* NULL: ours */
    int umask;         /* -1: ours */
    bool clear_env;
    struct plan_strings env_files; /* read before env */
    struct plan_strings env;       /* NAME=VALUE */
    bool nice_set, oom_score_adjust_set;
    int nice, oom_score_adjust;
    struct plan_limit_value *limits; /* LIMIT_COUNT of them; NULL: none is set */
    bool no_new_privileges;
};

enum plan_ready_kind {
    READY_AUTO,    /* READY_NOTIFY where we have a NOTIFY_SOCKET ourselves, else READY_EXEC */
    READY_EXEC,    /* as soon as its program runs */
    READY_NOTIFY,  /* sd_notify(3) */
    READY_CONTROL, /* `ready` on the control pipe */
    READY_FD,      /* a newline on a descriptor, as s6's programs do */
    READY_AFTER,   /* after a while */
    READY_TCP,     /* it accepts connections */
    READY_COMMAND, /* a command succeeds */
};

/* When a run counts as ready. */
struct plan_ready {
    enum plan_ready_kind kind;
    int fd;           /* READY_FD */
    msec time;        /* READY_AFTER */
    const char *text; /* READY_TCP: HOST:PORT; READY_COMMAND: the command, in shell quoting */
};

#define PLAN_READY_TCP_MAX 300 /* bytes of HOST:PORT */

/* A socket that is opened once and given to every run as one of LISTEN_FDS. */
enum plan_listen_kind {
    LISTEN_TCP,
    LISTEN_TCP6, /* IPv6 alone, no IPv4 mapped into it */
    LISTEN_UNIX,
};

struct plan_listen {
    enum plan_listen_kind kind;
    const char
        *host;     /* an address (IPv6 without brackets), a name, or `*`; of LISTEN_UNIX the path */
    uint16_t port; /* 1..65535; 0 of LISTEN_UNIX */
    int mode;      /* of LISTEN_UNIX: permissions; -1: as the umask makes them */
};

struct plan_listens {
    const char *text; /* as it was written; NULL: none */
    struct plan_listen *items;
    size_t count;
    char **words; /* what `host` points into */
};

/* A check that a run lives: `argv` every so often; NULL: none. */
struct plan_health {
    const char *text; /* as it was written */
    char **argv;
    msec every;       /* from the end of one to the start of the next */
    msec timeout;     /* of one */
    uint32_t retries; /* so many more may fail, one after the other, before the run has failed */
};

enum plan_output_kind {
    OUTPUT_INHERIT, /* our own standard output and error */
    OUTPUT_PREFIX,  /* lines in our log, with the worker's name before them */
    OUTPUT_NULL,
    OUTPUT_FILE, /* appended to */
    OUTPUT_PIPE, /* into a command that is supervised too */
};

struct plan_output {
    enum plan_output_kind kind;
    const char *text; /* OUTPUT_FILE: the path; OUTPUT_PIPE: the command, in shell quoting */
};

/* One worker starts after another: when that is ready. */
struct plan_dependency {
    uint32_t worker; /* its place in plan.workers, always before the one that waits */
    bool needs;      /* it is also stopped when that one is stopped or given up */
};

/* A key of the file. */
struct plan_key {
    uint32_t row : 8;   /* of its option in the table */
    uint32_t line : 24; /* a file has no more than a mebibyte */
};

/* What a worker is told by its options, but for what makes it this one.  After check_plan() workers
 * whose rules are the same share them: a thousand sections are mostly alike. */
struct plan_rules {
    enum policy_restart restart;
    struct policy_backoff backoff;
    struct success_set success;
    int stop_signal; /* --stop-signal; 0: the one that arrived */
    bool stop_timeout_set;
    msec stop_timeout;   /* --stop-timeout; NEVER: what the cap leaves */
    bool stop_given;     /* --stop was, so that the two above were not */
    uint32_t rung_count; /* --stop; after check_plan() always at least one: made of the two above */
    struct plan_rung rungs[PLAN_RUNGS_MAX]; /* KILL follows the last one */
    bool group;                             /* signals go to the whole process group */
    int worker_death_signal;                /* 0: none */
    bool shield_timeout_set;
    msec shield_timeout; /* of a shield that names no deadline; after check_plan() always set */
    struct plan_ready ready;
    struct plan_attributes attributes;

    /* What only a file says. */
    const char *command; /* what a worker's argv is made of; then NULL, since it is its own */
    int instances;       /* at least 1 */
    msec ready_timeout;  /* NEVER: none */
    struct plan_listens listen;
    msec watchdog; /* NEVER: none */
    struct plan_health health;
    uint64_t memory_max; /* bytes; PLAN_UNLIMITED */
    uint64_t pids_max;
    uint32_t cpu_max; /* thousandths of a processor; 0: unlimited */
    struct plan_output output;
    const char *before_start; /* shell quoting, no shell; NULL: none */
    const char *after_stop;
    msec max_age; /* NEVER: none */
    bool autostart;
    bool may_stop, may_stop_set; /* not set: when it runs as our own user */
};

#define PLAN_INSTANCES_MAX 400000 /* of all workers together */

struct plan_worker {
    const char *name;
    const struct plan_rules *rules;
    char **argv; /* ends in NULL; NULL itself: no command */

    /* What only a file says. */
    const char *after_names, *needs_names; /* with blanks or commas between them; NULL: none */

    /* Made by check_plan(). */
    struct plan_dependency *after;
    uint32_t after_count;
    uint32_t wave;   /* 0: waits for nobody; else one more than the last that it waits for */
    uint32_t logger; /* OUTPUT_PIPE: that one's place in plan.workers; it starts before this one.
                        Of a logger: the place of the one that it serves */
    bool is_logger;  /* the command of another's `output = pipe:CMD`, as a worker; when that one
                        stops, too, it is stopped by the end of its input, not by the signal of
                        its first rung; its name and its argv are its own */

    uint32_t line; /* of its section in the file; 0: it is in none */
    uint32_t key_count;
    const struct plan_key *keys; /* of its section that count; NULL: none */
};

enum plan_mode {
    MODE_LAUNCH,  /* one command after `--` */
    MODE_FOREVER, /* --forever alone: adopt, reap, wait */
    MODE_FLEET,   /* the workers of a file */
    MODE_CHECK,   /* say what is wrong with a file */
    MODE_HELP,
    MODE_VERSION,
    MODE_PRINT_CONFIG,
    MODE_LIST_OPTIONS,
    MODE_COMPLETION,
};

enum plan_shell { SHELL_BASH, SHELL_ZSH, SHELL_FISH };

/* Where an option's value comes from; the later one wins. */
enum plan_source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_COMMAND_LINE };

#define PLAN_OPTIONS_MAX 128

struct verb;

struct plan {
    enum plan_mode mode;
    enum plan_shell shell;        /* of MODE_COMPLETION */
    const struct verb *help_verb; /* of MODE_HELP: what about; NULL: everything */
    uint8_t
        source[PLAN_OPTIONS_MAX]; /* enum plan_source of the option with this row in the table */
    msec timeout;                 /* the cap; NEVER: none */
    msec drain_delay;
    signal_mask shutdown_signals;
    bool shutdown_signals_given;
    enum plan_repeat repeat;
    const char *shutdown_handler; /* shell quoting, no shell; NULL: none */
    const char *shutdown_callback;
    const char *on_error;
    bool stop_on_unhandled_errors;
    bool forever;
    enum plan_loop loop;
    enum plan_orphans orphans;
    enum plan_terminal terminal;
    bool subreaper;
    int parent_death_signal;              /* 0: none */
    uint8_t rewrite[PLAN_SIGNAL_MAX + 1]; /* what is sent instead of signal N; 0: nothing */
    bool warn_on_reap;
    bool no_control;
    int control_fd;       /* what the command finds its control pipe at; -1: where there is room */
    const char *control;  /* the admin socket; NULL: none, or with a file in a default place */
    int executor_workers; /* jobs at a time; 0: as many as suit this machine */
    int verbosity;        /* -v adds one, -q takes one; 0: WARNING and worse */
    enum plan_log_format log_format;
    const char *report;        /* where the report goes; NULL: nowhere */
    struct plan_worker worker; /* the launcher's command; with a file, what its workers begin as */
    struct plan_rules rules;   /* that one's, which points here: a plan is never moved */

    const char *config;    /* the file; NULL: none, so it is a launcher */
    char *text;            /* what is in it: values point into it */
    uint32_t *lines;       /* of the options in [aiorun], by their row in the table; 0: not there */
    struct plan_key *keys; /* of all workers, by their place in it */
    char **words;          /* of their commands: what `argv` points to */
    struct plan_worker *fleet; /* the workers of the file */
    uint32_t fleet_size;
    struct plan_rules *fleet_rules; /* theirs, in order; some are shared */
    uint32_t fleet_rules_count;

    /* Whom to look after, made by check_plan(): the launcher's command is the one worker, "main".
     * Those of a file stand in the order of their waves, and within a wave in that of the file. */
    const struct plan_worker *workers;
    uint32_t worker_count;
};

/* Are the workers those of a file? */
static inline bool plan_is_fleet(const struct plan *plan)
{
    return plan->config != NULL;
}

/* The rules that the workers of a checked plan have. */
static inline const struct plan_rules *plan_all_rules(const struct plan *plan, uint32_t *count)
{
    *count = plan_is_fleet(plan) ? plan->fleet_rules_count : 1;
    return plan_is_fleet(plan) ? plan->fleet_rules : &plan->rules;
}

/* The place among them of this worker's. */
static inline uint32_t plan_rules_of(const struct plan *plan, const struct plan_worker *worker)
{
    uint32_t count;
    return (uint32_t)(worker->rules - plan_all_rules(plan, &count));
}

/* How much is logged: 0 is WARNING and worse, and each step shows one level more. */
static inline int plan_verbosity(const struct plan *plan)
{
    return plan->verbosity + (plan_is_fleet(plan) ? 1 : 0);
}

/* Is what the command leaves behind nobody's tree but orphans, to be waited for or left alone?  Not
 * where the command may start again: that clears up first. */
static inline bool plan_leaves_orphans(const struct plan *plan)
{
    bool spares = plan->orphans == ORPHANS_WAIT || plan->orphans == ORPHANS_LEAVE;
    return spares && plan->mode == MODE_LAUNCH && plan->worker.rules->restart == RESTART_NEVER;
}

/* When the runs of workers with these rules count as ready.  Under a service manager a launcher's
 * command is the service, and expected to speak for itself. */
static inline enum plan_ready_kind plan_ready_kind(const struct plan *plan,
                                                   const struct plan_rules *rules, bool has_manager)
{
    if (rules->ready.kind != READY_AUTO)
        return rules->ready.kind;
    return has_manager && plan->mode == MODE_LAUNCH ? READY_NOTIFY : READY_EXEC;
}

/* Fills `plan` with the defaults of the option table. */
void plan_init(struct plan *plan);

/* Frees the lists of a plan, its workers and the text of its file.  What it was given stays: a
 * launcher's argv, and strings of the command line and the environment. */
void plan_free(struct plan *plan);

/* Makes `worker`, with `rules` of its own, what the command line and the environment make of the
 * defaults, `pattern`, with lists of its own, and neither a command nor keys of a file.  False
 * without memory; plan_free() frees it in any case, as one of plan->fleet and its rules. */
bool plan_worker_copy(struct plan_worker *worker, struct plan_rules *rules,
                      const struct plan_worker *pattern);

/* Have they the same bytes?  Lists, and texts of different places, are never the same. */
bool plan_rules_equal(const struct plan_rules *a, const struct plan_rules *b);

/* Makes the workers of plan->fleet share what rules are the same.  False without memory, and then
 * they do not. */
bool plan_share_rules(struct plan *plan);

/* The place in plan->workers of the one with this name; UINT32_MAX: there is none. */
uint32_t plan_find_worker(const struct plan *plan, const char *name);

/* The place of line `line` in the plan's file, "shop.ini:12"; 0: the file alone.  Fills `buffer`
 * (PLAN_PLACE_MAX bytes), with the end of a path that is too long, and returns it. */
#define PLAN_PLACE_MAX 240
const char *plan_place(const struct plan *plan, uint32_t line, char *buffer);

/* Are the workers of two files the same in their names and in every option, wherever the values are
 * from?  Without memory nobody knows: *failed is set, and it is false. */
bool plan_worker_equal(const struct plan_worker *a, const struct plan_worker *b, bool *failed);

/* Are all options the same that are not a worker's?  Is the one with this name?  Likewise. */
bool plan_settings_equal(const struct plan *a, const struct plan *b, bool *failed);
bool plan_setting_equal(const struct plan *a, const struct plan *b, const char *name, bool *failed);

#endif
