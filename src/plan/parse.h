/* parse.h - words into values: durations, signals, statuses, command lines.
 *
 * Each parser reads the whole of `text`, writes `*value` only when it succeeds,
 * and returns false otherwise.  Where it is for want of memory, errno is ENOMEM, as malloc(3) has
 * it; only command lines need any, and what holds some.
 */
#ifndef AIORUN_PARSE_H
#define AIORUN_PARSE_H

#include "plan/plan.h"

#define SIGNAL_KILL     9  /* POSIX gives it this number; Windows has only its name, in ladders */
#define SIGNAL_NAME_MAX 16 /* bytes of the longest name and its NUL */

/* `500ms`, `10s`, `2m`, `1h`, plain seconds, decimals (`1.5s`), `infinity` (NEVER).  Rounded up to
 * a whole millisecond.  No sign, no blanks, nothing above 100 years. */
bool parse_duration(const char *text, msec *value);

/* `100ms..30s`, or `1s` for both; min <= max, and neither is infinite. */
bool parse_delay_range(const char *text, msec *min, msec *max);

/* `5/1m`: five times a minute.  Neither is zero nor infinite. */
bool parse_rate(const char *text, uint32_t *times, msec *window);

/* `TERM`, `SIGTERM`, `15`, `RTMIN+3`, `RTMAX-1`; letters of any case.  1..64, and only
 * signals this system has. */
bool parse_signal(const char *text, int *value);

/* Signals with blanks or commas between them, at least one: `INT TERM`. */
bool parse_signals(const char *text, signal_mask *value);

/* `FROM:TO`, two signals; `TO` may be 0. */
bool parse_rewrite(const char *text, int *from, int *to);

/* The signal's name without SIG: `TERM`, `RTMIN+3`; a number when it has no name.
 * `buffer` must hold SIGNAL_NAME_MAX bytes; returns it. */
const char *signal_name(int signal, char *buffer);

/* Codes 0..255, signal names and `requested` with blanks or commas between them, at least one. They
 * are added to what `value` holds. */
bool parse_statuses(const char *text, struct success_set *value);

/* `TERM 20s, QUIT 5s, KILL`: 1..PLAN_RUNGS_MAX rungs; a rung without a time has NEVER, which only
 * the last before KILL may have; KILL, without a time, may stand last and is not stored, unless it
 * is the whole ladder. */
bool parse_ladder(const char *text, struct plan_rung *rungs, uint32_t *count);

/* `SOFT` or `SOFT:HARD`, SOFT <= HARD, each a number (K, M, G and T multiply by powers of 1024) or
 * `infinity`; without HARD both are the same. */
bool parse_limit(const char *text, struct plan_limit_value *value);

/* `exec`, `notify`, `control`, `fd:N` (N in 3..1023) or `after:D`, D not infinite. */
bool parse_ready(const char *text, struct plan_ready *value);

/* A number (K, M, G and T multiply by powers of 1024), or `infinity`: PLAN_UNLIMITED. */
bool parse_amount(const char *text, uint64_t *value);

/* `1.5` or `150%` of a processor: 1500, at most three decimals of the former and one of the latter,
 * from 0.001 to 10000; `infinity`: 0. */
bool parse_cpus(const char *text, uint32_t *thousandths);

/* A worker's name: [A-Za-z0-9._-]{1,63}. */
#define WORKER_NAME_MAX 64 /* bytes with its NUL */
bool parse_name(const char *text);

/* Copies the next name of a list that has blanks or commas between them into `name`
 * (WORKER_NAME_MAX bytes) and moves the cursor behind it.  `*name` is empty at the end; false, and
 * the cursor moved, when what stands there is no name. */
bool parse_next_name(const char **cursor, char *name);

/* What is wrong with a line of an env-file, as in "'LINE' is not NAME=VALUE"; NULL: nothing.  A
 * blank in the name is mostly a shell's `export NAME=VALUE`, which nobody would find under its
 * name. */
const char *parse_env_line(const char *line);

/* `HOST:PORT` to connect to, an IPv6 address in brackets.  Cuts `text` in two, where `*host` then
 * points. */
bool parse_host(char *text, const char **host, uint16_t *port);

/* Addresses with blanks or commas and blanks between them, in shell quoting; at least one:
 * `tcp:HOST:PORT`, `tcp:[V6]:PORT`, `tcp6:...`, `unix:/PATH` and `unix:/PATH:MODE`.  The caller
 * frees `*value` with parse_free_listen(). */
bool parse_listen(const char *text, struct plan_listens *value);
void parse_free_listen(struct plan_listens *value);

/* `CMD every D [timeout D] [retries N]`, in shell quoting; these three in any order, 10s and 3
 * where they are left out.  The caller frees `*value` with parse_free_health(). */
bool parse_health(const char *text, struct plan_health *value);
void parse_free_health(struct plan_health *value);

/* `inherit`, `prefix`, `null`, `file:PATH` or `pipe:CMD`; `text` must outlive the value. */
bool parse_output(const char *text, struct plan_output *value);

/* A whole number in min..max; base 8 or 10. */
bool parse_integer(const char *text, int base, int64_t min, int64_t max, int64_t *value);

/* Splits a command line as sh would: blanks, '...', "...", \x; no expansion of any kind.  Writes an
 * argv that ends in NULL and one block of memory that holds it and its strings: free(*argv) frees
 * all.  False when a quote is open, when nothing is left, or without memory. */
bool parse_command(const char *text, char ***argv);

#endif
