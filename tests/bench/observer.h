/* observer.h - what the two observers share: commands on the command line, rounds, and processes.
 *
 * Commands are interleaved round by round, in an order that is shuffled anew each round, so that
 * none of them always follows the same one.  They are given as
 *
 *     ::: EVERY COMMAND [ARG...] ::: EVERY COMMAND ...
 *
 * where EVERY 10 means that the command takes part in each tenth round only, and 10t that its end
 * is brought about by a TERM to the supervisor, because it would restart a victim that ends by
 * itself. One line is printed a round: nanoseconds, or - where a command did not take part; or in
 * the end `failed INDEX REASON`. */
#ifndef BENCH_OBSERVER_H
#define BENCH_OBSERVER_H

#include "page.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SUBJECTS_MAX 32

struct subject {
    char **argv;
    long every;
    bool by_term;
    struct page *page;
    char variable[64]; /* BENCH_PAGE=... */
    pid_t pid;
    int64_t result; /* of this round; -1: none */
};

static struct subject subjects[SUBJECTS_MAX];
static size_t subject_count;

static inline int64_t clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Waits until *count is no longer `seen`; false after ten seconds. */
static inline bool await_change(_Atomic uint32_t *count, uint32_t seen)
{
    const struct timespec patience = {.tv_sec = 10};
    int64_t deadline = clock_now() + 10 * (int64_t)1000000000;
    while (atomic_load(count) == seen) {
        if (clock_now() > deadline)
            return false;
        syscall(SYS_futex, count, FUTEX_WAIT, seen, &patience, NULL, 0);
    }
    return true;
}

_Noreturn static void give_up(const struct subject *subject, const char *what)
{
    printf("failed %zu %s\n", (size_t)(subject - subjects), what);
    fflush(stdout);
    if (subject->pid > 0)
        kill(subject->pid, SIGKILL);
    _exit(1);
}

static inline void read_subjects(char **argv)
{
    while (*argv != NULL) {
        if (strcmp(*argv, ":::") != 0 || argv[1] == NULL || argv[2] == NULL ||
            subject_count == SUBJECTS_MAX) {
            fprintf(stderr, "bad command line at '%s'\n", *argv);
            exit(2);
        }
        *argv = NULL; /* ends the argv before */
        struct subject *subject = &subjects[subject_count++];
        char *rest;
        subject->every = strtol(argv[1], &rest, 10);
        subject->by_term = *rest == 't';
        subject->argv = argv + 2;
        for (argv += 3; *argv != NULL && strcmp(*argv, ":::") != 0; argv++)
            ;
    }
}

/* An order that is different in each round and the same in each run of the benchmark. */
static inline void shuffle(size_t *order)
{
    static uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < subject_count; i++)
        order[i] = i;
    for (size_t i = subject_count; i > 1; i--) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia's xorshift */
        size_t j = state % i, kept = order[i - 1];
        order[i - 1] = order[j];
        order[j] = kept;
    }
}

static inline bool takes_part(const struct subject *subject, long round)
{
    return round % subject->every == 0;
}

static inline void run_rounds(long rounds, void (*before)(long round),
                              void (*measure)(struct subject *))
{
    size_t order[SUBJECTS_MAX];
    for (long round = 0; round < rounds; round++) {
        if (before != NULL)
            before(round);
        shuffle(order);
        for (size_t i = 0; i < subject_count; i++) {
            struct subject *subject = &subjects[order[i]];
            subject->result = -1;
            if (takes_part(subject, round))
                measure(subject);
        }
        for (size_t i = 0; i < subject_count; i++) {
            if (subjects[i].result < 0)
                printf("- ");
            else
                printf("%lld ", (long long)subjects[i].result);
        }
        printf("\n");
    }
}

/* What supervisors say, tini of not being PID 1 for one, is neither our result nor worth its time.
 */
static inline void silence_children(void)
{
    int result = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    int null = open("/dev/null", O_RDWR);
    fflush(stdout);
    stdout = fdopen(result, "w");
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    close(null);
}

#endif
