/* text.h - values into words: the counterpart of parse.h, for everything that shows a plan.
 *
 *     struct text out = {.buffer = buffer, .size = sizeof buffer};
 *     text_add(&out, "timeout = ");
 *     text_add_duration(&out, plan->timeout);
 *     if (out.length >= out.size) it was cut;
 *
 * Promises: the buffer always ends in a NUL (when it has a byte at all), and `length` counts what
 * the whole text has, as snprintf does.
 */
#ifndef AIORUN_TEXT_H
#define AIORUN_TEXT_H

#include "plan/plan.h"

struct text {
    char *buffer;
    size_t size;
    size_t length; /* of the whole text, which may not have fitted */
};

/* Appends what printf would print. */
void text_add(struct text *text, const char *format, ...) __attribute__((format(__printf__, 2, 3)));

/* Each appends a value in words that its parser reads back: `90s`, `infinity`. */
void text_add_duration(struct text *text, msec value);
void text_add_signal(struct text *text, int signal);        /* 0: `none` */
void text_add_signals(struct text *text, signal_mask mask); /* blanks between them */
void text_add_statuses(struct text *text, const struct success_set *set);
void text_add_delay_range(struct text *text, const struct policy_backoff *backoff);
void text_add_rate(struct text *text, const struct policy_backoff *backoff);
void text_add_ladder(struct text *text, const struct plan_rung *rungs, uint32_t count);
void text_add_amount(struct text *text, uint64_t amount);
void text_add_cpus(struct text *text, uint32_t thousandths);
void text_add_limit(struct text *text, const struct plan_limit_value *limit);

/* Appends `word` quoted so that sh and parse_command() read it as one word. */
void text_add_quoted(struct text *text, const char *word);

#endif
