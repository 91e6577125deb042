/* log.h - one line for each thing that happened.
 *
 *     log_open(LEVEL_WARNING, LOG_STYLE_TEXT, platform_write_log);
 *     log_line(LEVEL_INFO, "Stopping the loop");
 *     log_about(LEVEL_WARNING, "main", 4711, "refused to exit");
 *
 * Promises: a line below the threshold costs a comparison; a line goes out whole
 * or not at all, never waits, and a lost one is counted and owned up to.
 * Levels are those of Python's logging, which users of the seed know.
 */
#ifndef AIORUN_LOG_H
#define AIORUN_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARNING, LEVEL_ERROR, LEVEL_CRITICAL };

enum log_style {
    LOG_STYLE_TEXT,
    LOG_STYLE_COLOUR,  /* text for a terminal */
    LOG_STYLE_JSON,    /* one object a line */
    LOG_STYLE_JOURNAL, /* sd-daemon(3): "<4>message" */
};

/* Writes one whole line at once, newline included; false when it could not without waiting. */
typedef bool log_sink(const char *line, size_t length);

/* Lines of `threshold` and worse go to `sink` from now on. */
void log_open(enum log_level threshold, enum log_style style, log_sink *sink);

bool log_enabled(enum log_level level);

/* A line; cut with "..." beyond 4,000 bytes.  Control characters are shown as '?'. */
void log_line(enum log_level level, const char *format, ...)
    __attribute__((format(__printf__, 2, 3)));

/* A line about a process: JSON has `worker` and `pid` (0: none) as fields of their own. */
void log_about(enum log_level level, const char *worker, long pid, const char *format, ...)
    __attribute__((format(__printf__, 4, 5)));

enum log_style log_style(void);

/* Formats a line of the worker's own, as a record of the log's style at INFO, newline included,
 * into `buffer`, and returns its bytes: at most LOG_FORMAT_MAX(length), of which `size` has room.
 */
#define LOG_FORMAT_MAX(length) (6 * (length) + 512)
size_t log_format(char *buffer, size_t size, const char *worker, long pid, const char *text,
                  size_t length);

#endif
