/* launch.c - wall time of whole launches: from vfork(2) to the end of wait.
 *
 *     launch ROUNDS ::: 1 COMMAND [ARG...] ::: 1 COMMAND ... */
#include "observer.h"

extern char **environ;

static struct subject *running;

static void on_alarm(int signal)
{
    (void)signal;
    give_up(running, "does not end");
}

static void measure(struct subject *subject)
{
    int status;
    running = subject;
    alarm(20);
    int64_t begun = clock_now();
    pid_t pid = vfork();
    if (pid == 0) {
        execve(subject->argv[0], subject->argv, environ);
        _exit(127);
    }
    subject->pid = pid;
    waitpid(pid, &status, 0);
    subject->result = clock_now() - begun;
    subject->pid = 0;
    if (status != 0)
        give_up(subject, "did not exit with 0");
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    read_subjects(argv + 2);
    silence_children();
    signal(SIGALRM, on_alarm);
    run_rounds(strtol(argv[1], NULL, 10), NULL, measure);
    fflush(stdout);
    return 0;
}
