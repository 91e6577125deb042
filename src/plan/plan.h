/* plan.h - what was asked for: values only, validated, and never changed again.
 *
 *     struct plan plan;
 *     plan_init(&plan);
 *     cli_parse(&plan, argv, environ, &faults);
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
    struct plan_limit_value limits[LIMIT_COUNT];
    bool no_new_privileges;
};

struct plan_worker {
    const char *name;
    char **argv; /* ends in NULL; NULL itself: no command */
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
    struct plan_attributes attributes;
};

enum plan_mode {
    MODE_LAUNCH,  /* one command after `--` */
    MODE_FOREVER, /* --forever alone: adopt, reap, wait */
    MODE_HELP,
    MODE_VERSION,
    MODE_PRINT_CONFIG,
    MODE_LIST_OPTIONS,
};

/* Where an option's value comes from; the later one wins. */
enum plan_source { SOURCE_DEFAULT, SOURCE_ENVIRONMENT, SOURCE_COMMAND_LINE };

#define PLAN_OPTIONS_MAX 80

struct plan {
    enum plan_mode mode;
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
    int verbosity; /* -v adds one, -q takes one; 0: WARNING and worse */
    enum plan_log_format log_format;
    const char *report;        /* where the report goes; NULL: nowhere */
    struct plan_worker worker; /* the launcher's command */
};

/* Is what the command leaves behind nobody's tree but orphans, to be waited for or left alone?  Not
 * where the command may start again: that clears up first. */
static inline bool plan_leaves_orphans(const struct plan *plan)
{
    bool spares = plan->orphans == ORPHANS_WAIT || plan->orphans == ORPHANS_LEAVE;
    return spares && plan->worker.restart == RESTART_NEVER;
}

/* Fills `plan` with the defaults of the option table. */
void plan_init(struct plan *plan);

/* Frees the lists of a plan (not the strings in them, which were never its own).  Its command's
 * argv stays: it points into the caller's. */
void plan_free(struct plan *plan);

#endif
