/* option_table.h - THE table: every option once.
 *
 * Command line, environment, --help, --print-config, --list-options, the man
 * page's check and the completions all read it.  To add an option, add a field
 * to struct plan, or for a worker's to struct plan_rules, and a row here.
 */
#ifndef AIORUN_OPTION_TABLE_H
#define AIORUN_OPTION_TABLE_H

#include "plan/fault.h"
#include "plan/plan.h"
#include "plan/text.h"

enum option_scope {
    SCOPE_CLI,        /* the command line only: --help, --version ... */
    SCOPE_SUPERVISOR, /* of the whole supervisor: the file's [aiorun] */
    SCOPE_WORKER,     /* of a worker: the file's [worker:NAME] */
};

enum option_type {
    TYPE_ACTION,      /* no argument: sets plan->mode to `choice_value` */
    TYPE_SWITCH,      /* no argument on the command line, yes|no elsewhere; bool */
    TYPE_COUNT,       /* no argument: adds `step` to an int; elsewhere: how many times */
    TYPE_DURATION,    /* msec in min..max; NEVER where `infinity` is allowed */
    TYPE_DELAY_RANGE, /* D..D or D; policy_backoff.min and .max */
    TYPE_RATE,        /* N/D, or `none`; policy_backoff.limit and .limit_window */
    TYPE_INTEGER,     /* int in min..max */
    TYPE_OCTAL,       /* int in min..max */
    TYPE_SIGNAL,      /* int; `none` where zero is allowed */
    TYPE_SIGNALS,     /* signal_mask */
    TYPE_STATUSES,    /* struct success_set */
    TYPE_REWRITE,     /* FROM:TO, repeatable */
    TYPE_LADDER,      /* rung_count and rungs */
    TYPE_CHOICE,      /* an enum: one of `choices` */
    TYPE_STRING,      /* const char *, not empty */
    TYPE_COMMAND,     /* const char *: shell quoting that parses, not empty */
    TYPE_STRINGS,     /* plan_strings, repeatable */
    TYPE_ENV,         /* plan_strings of NAME=VALUE, repeatable */
    TYPE_LIMIT,       /* one of an array of plan_limit_value: SOFT[:HARD] */
    TYPE_READY,       /* plan_ready */
    TYPE_NAMES,       /* const char *: names of workers */
    TYPE_AMOUNT,      /* uint64_t in min..max, K M G T; PLAN_UNLIMITED where infinity is allowed */
    TYPE_CPUS,        /* uint32_t thousandths: 50%, 1.5; 0 is infinity */
    TYPE_LISTEN,      /* plan_listens */
    TYPE_HEALTH,      /* plan_health */
    TYPE_OUTPUT,      /* plan_output */
};

struct option_choice {
    const char *name;
    int value;
};

struct option {
    const char *name; /* long name, and the key in a file */
    char letter;      /* short option; 0: none */
    enum option_scope scope;
    enum option_type type;
    bool unshared;    /* of a worker: its field is in struct plan_worker, not in plan_rules */
    size_t field;     /* where its value is in the one of these three that option_home() gives */
    size_t given;     /* and a bool there that says it was given; 0: none */
    int64_t min, max; /* of durations (ms) and integers */
    bool infinity;    /* durations: `infinity` is allowed; signals: `none` is */
    bool negatable;   /* switches: --no-NAME exists */
    int step;         /* counts */
    const struct option_choice *choices; /* ends in a NULL name */
    int choice_value;                    /* actions: the mode */
    enum plan_limit limit;               /* limits: which one */
    bool file_only;          /* a key of the file that is no option of the command line */
    const char *excludes[2]; /* options of its scope that contradict it; said on one side only */
    const char *initial;     /* default in the option's own words; NULL: none */
    const char *fleet;       /* default where there is a file, if another; NULL: the same */
    const char *argument;    /* the argument's name in the help; NULL: none */
    const char *group;       /* heading in the help */
    const char *help;        /* one line, no full stop */
};

extern const struct option option_table[];
extern const size_t option_count;

/* The row of the long name `name` of `length` bytes; NULL when there is none. */
const struct option *option_find(const char *name, size_t length);

/* The row of a short option; NULL when there is none. */
const struct option *option_find_letter(char letter);

/* Does the option take an argument on the command line? */
bool option_takes_argument(const struct option *option);

/* May the two not stand beside each other? */
bool option_contradicts(const struct option *a, const struct option *b);

/* In what follows, an option of SCOPE_WORKER is one of `worker`, which is `&plan->worker` or one of
 * the plan's workers; all others are options of `plan`. */

/* The struct plan, plan_rules or plan_worker that its offsets count from. */
const void *option_home(const struct option *option, const struct plan *plan,
                        const struct plan_worker *worker);

/* Was the option given, and not merely as a switch that is off? */
bool option_in_force(const struct option *option, const struct plan *plan,
                     const struct plan_worker *worker);

/* Where the option's value is from. */
enum plan_source option_source(const struct option *option, const struct plan *plan,
                               const struct plan_worker *worker);

/* Is it, an option of a worker, in the worker's section? */
bool option_is_in_file(const struct option *option, const struct plan_worker *worker);

/* Has something stronger than `source` given this option, or one that contradicts it? */
bool option_is_overridden(const struct option *option, const struct plan *plan,
                          enum plan_source source);

/* The option as somebody who gave it would know it: "option --timeout" or "AIORUN_OPT_TIMEOUT".
 * Fills `buffer` (OPTION_PLACE_MAX bytes) and returns it.  `source` is not SOURCE_FILE. */
#define OPTION_PLACE_MAX (PLAN_PLACE_MAX + 80)
const char *option_place(const struct option *option, enum plan_source source, char *buffer);

/* The same, from wherever `plan` and `worker` have the option: also "shop.ini:12: timeout". */
const char *option_place_in(const struct option *option, const struct plan *plan,
                            const struct plan_worker *worker, char *buffer);

/* The same of the option with this name, which is in the table. */
const char *option_place_of(const char *name, const struct plan *plan,
                            const struct plan_worker *worker, char *buffer);

/* Appends the option's name in a file: `timeout`, `limit.nofile`, `env.NAME`. */
void option_add_key(const struct option *option, struct text *text);

/* Appends what the help calls the option's argument: `D`, `auto|stop|wait|leave`; nothing for
 * options without one. */
void option_add_argument(const struct option *option, struct text *text);

/* Parses `text` as `option`'s value into `plan` or `worker`; false with a fault at `place` (which
 * names the option) when it is none; the fault says what is allowed, and nothing is changed.
 * Options without an argument are given as `yes`, or `1` for counts.  `text` must outlive the plan.
 */
bool option_set(const struct option *option, struct plan *plan, struct plan_worker *worker,
                const char *text, const char *place, struct faults *faults);

/* Appends the option's value in the option's own words: what option_set() would read
 * back. Options that repeat item by item give their n-th item (n from 0).  False, with nothing
 * written, when there is no such item, or no value. */
bool option_add_value(const struct option *option, const struct plan *plan,
                      const struct plan_worker *worker, size_t n, struct text *text);

/* The same in memory of its own, which the caller frees; NULL when there is no such item.  Without
 * memory NULL as well, and *failed is set. */
char *option_copy_value(const struct option *option, const struct plan *plan,
                        const struct plan_worker *worker, size_t n, bool *failed);

/* Writes the option's value in the option's own words, at most `size` bytes and a NUL
 * always: option_add_value() for those who have a buffer. */
bool option_show(const struct option *option, const struct plan *plan,
                 const struct plan_worker *worker, size_t n, char *buffer, size_t size);

#endif
