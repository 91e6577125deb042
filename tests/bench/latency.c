/* latency.c - how long a supervisor takes to react, seen from its victim.
 *
 *     latency WHAT ROUNDS ::: EVERY COMMAND [ARG...] ::: ...     each COMMAND runs a victim
 *
 *     signal    kill(2) to the supervisor, until the victim's handler runs
 *     exit      the victim's last act, until the supervisor is gone
 *     restart   the victim's last act, until its successor's first */
#include "observer.h"

#include <sched.h>
#include <sys/prctl.h>

extern char **environ;

static void nap(long microseconds)
{
    const struct timespec pause = {.tv_sec = microseconds / 1000000,
                                   .tv_nsec = microseconds % 1000000 * 1000};
    nanosleep(&pause, NULL);
}

/* A page of its own, named by our descriptor. */
static void give_page(struct subject *subject)
{
    int fd = memfd_create("page", MFD_CLOEXEC);
    void *page = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, PAGE_SIZE) == 0)
        page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        give_up(subject, "cannot make a page");
    subject->page = page;
    snprintf(subject->variable, sizeof subject->variable, "BENCH_PAGE=/proc/%d/fd/%d",
             (int)getpid(), fd);
}

/* Starts the supervisor, and waits until its victim sleeps. */
static void start(struct subject *subject)
{
    uint32_t seen = subject->page->starts;
    pid_t pid = fork();
    if (pid == 0) {
        putenv(subject->variable);
        execve(subject->argv[0], subject->argv, environ);
        _exit(127);
    }
    subject->pid = pid;
    if (!await_change(&subject->page->starts, seen))
        give_up(subject, "its victim does not start");
}

static void measure_signal(struct subject *subject)
{
    uint32_t seen = subject->page->signals;
    nap(200); /* the last victim must be asleep again */
    int64_t begun = clock_now();
    kill(subject->pid, SIGUSR1);
    if (!await_change(&subject->page->signals, seen))
        give_up(subject, "its victim does not get the signal");
    subject->result = subject->page->signalled - begun;
}

static struct subject *ending;

static void on_alarm(int signal)
{
    (void)signal;
    give_up(ending, "does not end");
}

static void await_end(struct subject *subject)
{
    siginfo_t info;
    ending = subject;
    alarm(20);
    waitid(P_PID, (id_t)subject->pid, &info, WEXITED | WNOWAIT);
    subject->result = clock_now() - subject->page->ended;
    waitpid(subject->pid, NULL, 0);
    alarm(0);
    subject->pid = 0;
    while (waitpid(-1, NULL, WNOHANG) > 0) /* adopted victims */
        ;
}

/* Those that restart may want to see a second of life before they end, or start, a victim; all of
 * them have it at the same time. */
static void let_them_live(void)
{
    nap(1100000);
}

static void start_services(long round)
{
    bool any = false;
    for (size_t i = 0; i < subject_count; i++) {
        if (!subjects[i].by_term || !takes_part(&subjects[i], round))
            continue;
        start(&subjects[i]);
        any = true;
    }
    if (any)
        let_them_live();
}

static void measure_exit(struct subject *subject)
{
    if (subject->by_term) {
        kill(subject->pid, SIGTERM);
    } else {
        start(subject);
        nap(3000); /* the supervisor has its books done, and waits */
        kill(subject->page->pid, SIGUSR2);
    }
    await_end(subject);
}

static void measure_restart(struct subject *subject)
{
    uint32_t seen = subject->page->starts;
    subject->page->status = 1;
    kill(subject->page->pid, SIGUSR2);
    if (!await_change(&subject->page->starts, seen))
        give_up(subject, "its victim does not start again");
    subject->result = subject->page->started - subject->page->ended;
    nap(1000);
}

static void before_restarts(long round)
{
    (void)round;
    let_them_live();
}

static void end_all(void)
{
    for (size_t i = 0; i < subject_count; i++)
        if (subjects[i].pid > 0)
            kill(subjects[i].pid, SIGTERM);
    for (size_t i = 0; i < subject_count; i++)
        if (subjects[i].pid > 0)
            await_end(&subjects[i]);
}

/* On one processor, all of us: where the scheduler happens to leave two sleepers, near each other
 * or not, makes a factor of two, and stays as it is for the whole run. */
static void stay_together(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    const char *what = argv[1];
    long rounds = strtol(argv[2], NULL, 10);
    read_subjects(argv + 3);
    silence_children();
    signal(SIGALRM, on_alarm);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0,
          0); /* nothing is left behind by a supervisor's failure */
    stay_together();
    bool all_at_once = strcmp(what, "exit") != 0;
    for (size_t i = 0; i < subject_count; i++) {
        give_page(&subjects[i]);
        if (all_at_once)
            start(&subjects[i]);
    }
    if (strcmp(what, "signal") == 0) {
        nap(500000); /* all are done with their start */
        run_rounds(rounds, NULL, measure_signal);
    } else if (strcmp(what, "exit") == 0) {
        run_rounds(rounds, start_services, measure_exit);
    } else if (strcmp(what, "restart") == 0) {
        run_rounds(rounds, before_restarts, measure_restart);
    } else {
        return 2;
    }
    end_all();
    fflush(stdout);
    return 0;
}
