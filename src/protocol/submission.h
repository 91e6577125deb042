/* submission.h - the request of `submit`: what to run, where, and with which environment.
 *
 *     supervisor   size_t count = submission_pointers(bytes, size, &fault);
 *                  char **pointers = malloc(count * sizeof *pointers);
 *                  submission_fill(bytes, size, pointers, &submission);
 *
 *     client       size_t size = submission_write(NULL, cwd, argv, environ);
 *                  submission_write(bytes, cwd, argv, environ);
 *
 * The request is NUL-terminated strings: the working directory, the number of arguments in decimal,
 * the arguments, and the environment to the end.
 *
 * Promises: what submission_pointers() accepts can be started as it is; nothing outside of the
 * bytes is read.  The bytes must be the reader's own: a sender can still write into a memfd.
 */
#ifndef AIORUN_SUBMISSION_H
#define AIORUN_SUBMISSION_H

#include <stdbool.h>
#include <stddef.h>

#define SUBMISSION_MAX (4UL * 1024 * 1024) /* bytes of a request */

struct submission {
    char *cwd;          /* absolute */
    char **argv;        /* one or more; NULL ends it */
    char **environment; /* NAME=VALUE each; NULL ends it */
};

/* How many pointers submission_fill() needs for the `size` bytes, their NULLs included.  0 when
 * they are malformed: then *fault says why, as the part of a sentence ("it is too large"). */
size_t submission_pointers(const char *bytes, size_t size, const char **fault);

/* Fills the `pointers`, as many as submission_pointers() said of the same bytes, and `submission`,
 * whose lists are in them.  All of it points into `bytes`. */
void submission_fill(char *bytes, size_t size, char **pointers, struct submission *submission);

/* Writes a request to `buffer` and returns its size; with NULL only the latter.  It may be more
 * than SUBMISSION_MAX: that is the caller's to refuse.  Both lists end in NULL; what is no
 * NAME=VALUE in the environment is left out.  0 when `cwd` is not absolute or `argv` is empty. */
size_t submission_write(char *buffer, const char *cwd, char *const *argv, char *const *environment);

#endif
