/* victim.c - a program that does what its arguments say, for the end-to-end tests.
 *
 *     victim ignore TERM say ready pause
 *     victim on TERM [ sleep 200ms exit 3 ] say ready pause
 *     victim orphan 1 [ setsid print pids pause ] exit 0
 *
 * Its arguments are a script of verbs, run in order; [ ... ] is a script within it.  At the end it
 * exits 0.  Every line it prints is written at once.  The verbs are in the table at the bottom.
 *
 * Signals that `on` or `report` name are blocked and taken one by one in `pause`, with their
 * siginfo.  A child of `spawn` or `orphan` keeps what fork(2) keeps, but not these; it takes no
 * signal before it first waits.  `spawn` and `orphan` return when every child has come so far, or
 * has ended.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct script {
    char **at, **end;
};

extern char **environ;
static char **arguments;
static sigset_t mask_before; /* what exec gave us */
static sigset_t watched;     /* taken in `pause` */
static sigset_t reported;
static struct script handlers[_NSIG]; /* of `on` */
static int barrier = -1;              /* of a child: closed when it first waits, or ends */

static void run(struct script script);

static void die(const char *what, const char *word)
{
    fprintf(stderr, "victim: %s: %s\n", what, word);
    exit(99);
}

static void must(int result, const char *what)
{
    if (result < 0)
        die(what, strerror(errno));
}

/* ---- reading the script ---- */

static char *next_word(struct script *script)
{
    if (script->at == script->end)
        die("script", "a word is missing at the end");
    return *script->at++;
}

static struct script next_block(struct script *script)
{
    if (strcmp(next_word(script), "[") != 0)
        die("script", "[ expected");
    struct script block = {script->at, NULL};
    for (int depth = 1; depth > 0;) {
        const char *word = next_word(script);
        depth += (strcmp(word, "[") == 0) - (strcmp(word, "]") == 0);
    }
    block.end = script->at - 1;
    return block;
}

static long next_number(struct script *script)
{
    char *end;
    const char *word = next_word(script);
    long value = strtol(word, &end, 10);
    if (end == word || *end)
        die("not a number", word);
    return value;
}

/* `200ms` or `2s`, in milliseconds. */
static long next_time(struct script *script)
{
    char *unit;
    const char *word = next_word(script);
    long value = strtol(word, &unit, 10);
    if (strcmp(unit, "ms") == 0)
        return value;
    if (strcmp(unit, "s") != 0)
        die("not a time", word);
    return value * 1000;
}

static const char *signal_word(int signal)
{
    static char buffer[16];
    const char *name = signal == SIGRTMIN   ? "RTMIN"
                       : signal == SIGRTMAX ? "RTMAX"
                                            : sigabbrev_np(signal);
    if (name)
        return name;
    snprintf(buffer, sizeof buffer, "RTMIN+%d", signal - SIGRTMIN);
    return buffer;
}

static int next_signal(struct script *script)
{
    const char *word = next_word(script);
    for (int signal = 1; signal < _NSIG; signal++)
        if (strcmp(word, signal_word(signal)) == 0)
            return signal;
    die("not a signal", word);
    return 0;
}

/* ---- signals ---- */

static void set_disposition(int signal, void (*disposition)(int))
{
    struct sigaction action = {.sa_handler = disposition};
    must(sigaction(signal, &action, NULL), "sigaction");
}

static void do_ignore(struct script *script)
{
    set_disposition(next_signal(script), SIG_IGN);
}

static void do_default(struct script *script)
{
    set_disposition(next_signal(script), SIG_DFL);
}

static void set_blocked(int how, int signal)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signal);
    must(sigprocmask(how, &one, NULL), "sigprocmask");
}

static void do_unblock(struct script *script)
{
    set_blocked(SIG_UNBLOCK, next_signal(script));
}

static void watch(int signal)
{
    if (signal == SIGCHLD) /* discarded while its action is the default one */
        return;
    sigaddset(&watched, signal);
    set_blocked(SIG_BLOCK, signal);
}

static void do_on(struct script *script)
{
    int signal = next_signal(script);
    handlers[signal] = next_block(script);
    watch(signal);
}

static void do_report(struct script *script)
{
    if (strcmp(*script->at, "all") == 0) {
        next_word(script);
        for (int signal = 1; signal <= SIGRTMAX; signal++) {
            if (signal == SIGKILL || signal == SIGSTOP || (signal > SIGSYS && signal < SIGRTMIN))
                continue;
            sigaddset(&reported, signal);
            watch(signal);
        }
        return;
    }
    int signal = next_signal(script);
    sigaddset(&reported, signal);
    watch(signal);
}

/* A child begins with all signals blocked; from here on it takes those that it does not watch. */
static void reach_barrier(void)
{
    if (barrier < 0)
        return;
    close(barrier);
    barrier = -1;
    sigset_t mask = mask_before;
    sigorset(&mask, &mask, &watched);
    sigprocmask(SIG_SETMASK, &mask, NULL);
}

static void do_pause(struct script *script)
{
    (void)script;
    reach_barrier();
    for (;;) {
        siginfo_t info;
        int signal = sigwaitinfo(&watched, &info);
        if (signal < 0)
            continue; /* stopped and continued */
        if (sigismember(&reported, signal))
            printf("got %s code=%d value=%d pid=%d uid=%d\n", signal_word(signal), info.si_code,
                   info.si_value.sival_int, (int)info.si_pid, (int)info.si_uid);
        if (handlers[signal].at)
            run(handlers[signal]);
    }
}

static void do_kill(struct script *script)
{
    const char *whom = next_word(script);
    pid_t pid = strcmp(whom, "self") == 0     ? getpid()
                : strcmp(whom, "parent") == 0 ? getppid()
                : strcmp(whom, "group") == 0  ? 0
                                              : (pid_t)atol(whom);
    must(kill(pid, next_signal(script)), "kill");
}

static void do_alarm(struct script *script)
{
    long ms = next_time(script);
    struct itimerval timer = {.it_value = {ms / 1000, ms % 1000 * 1000}};
    must(setitimer(ITIMER_REAL, &timer, NULL), "setitimer");
}

/* ---- processes ---- */

static void become_child(int new_barrier)
{
    if (barrier >= 0)
        close(barrier);
    barrier = new_barrier;
    memset(handlers, 0, sizeof handlers);
    sigemptyset(&watched);
    sigemptyset(&reported);
}

/* Forks `count` children, through a process in between that ends at once when `orphaned`, that run
 * `block`; returns when all of them wait or are gone. */
static void fork_children(long count, bool orphaned, struct script block)
{
    int ends[2];
    sigset_t all, before;
    must(pipe2(ends, O_CLOEXEC), "pipe2");
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    while (count-- > 0) {
        pid_t pid = fork();
        must(pid, "fork");
        if (pid == 0 && orphaned) {
            pid_t inner = fork();
            must(inner, "fork");
            if (inner > 0)
                _exit(0);
        }
        if (pid == 0) {
            close(ends[0]);
            become_child(ends[1]);
            run(block);
            exit(0);
        }
        if (orphaned && waitpid(pid, NULL, 0) < 0 && errno != ECHILD) /* CHLD may be ignored */
            die("waitpid", strerror(errno));
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    char byte;
    while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
        ;
    close(ends[0]);
}

static void do_spawn(struct script *script)
{
    fork_children(1, false, next_block(script));
}

static void do_orphan(struct script *script)
{
    long count = next_number(script);
    fork_children(count, true, next_block(script));
}

static void do_wait(struct script *script)
{
    int status;
    (void)script;
    reach_barrier();
    while (wait(&status) > 0 || errno == EINTR) {
        if (WIFEXITED(status))
            printf("child exited %d\n", WEXITSTATUS(status));
        else
            printf("child killed %s\n", signal_word(WTERMSIG(status)));
    }
}

static void do_setsid(struct script *script)
{
    (void)script;
    must(setsid(), "setsid");
}

static void do_setpgid(struct script *script)
{
    (void)script;
    must(setpgid(0, 0), "setpgid");
}

static void do_setuid(struct script *script)
{
    uid_t uid = (uid_t)next_number(script);
    must(setresuid(uid, uid, uid), "setresuid");
}

static void do_exec(struct script *script)
{
    reach_barrier();
    *script->end = NULL; /* argv's own end, or the ] of a block, which nobody needs any more */
    execvp(*script->at, script->at);
    die(*script->at, strerror(errno));
}

static void do_exit(struct script *script)
{
    exit((int)next_number(script));
}

/* ---- output ---- */

static void print_bytes(const char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~' || *text == '\\')
            printf("\\x%02x", (unsigned char)*text);
        else
            putchar(*text);
    putchar('\n');
}

static void print_words(const char *what, char **words)
{
    for (; *words; words++) {
        printf("%s ", what);
        print_bytes(*words);
    }
}

static void print_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        die("/proc/self/fd", strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir));) {
        char target[4096];
        ssize_t length = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
        if (length < 0 || atoi(entry->d_name) == dirfd(dir))
            continue;
        target[length] = 0;
        printf("fd %s %s\n", entry->d_name, target);
    }
    closedir(dir);
}

static void do_print(struct script *script)
{
    const char *what = next_word(script);
    if (strcmp(what, "argv") == 0)
        print_words("arg", arguments);
    else if (strcmp(what, "env") == 0)
        print_words("env", environ);
    else if (strcmp(what, "fds") == 0)
        print_descriptors();
    else if (strcmp(what, "pids") == 0)
        printf("pids pid=%d ppid=%d pgid=%d sid=%d\n", getpid(), getppid(), getpgrp(), getsid(0));
    else if (strcmp(what, "cwd") == 0) {
        char path[4096];
        printf("cwd %s\n", getcwd(path, sizeof path) ? path : strerror(errno));
    } else
        die("print", what);
}

static void do_say(struct script *script)
{
    puts(next_word(script));
}

static void do_cat(struct script *script)
{
    const char *path = next_word(script);
    FILE *file = fopen(path, "re");
    if (!file)
        die(path, strerror(errno));
    for (int c; (c = getc(file)) != EOF;)
        putchar(c);
    fclose(file);
}

static void do_append(struct script *script)
{
    const char *path = next_word(script);
    FILE *file = fopen(path, "ae");
    if (!file)
        die(path, strerror(errno));
    fprintf(file, "%s\n", next_word(script));
    fclose(file);
}

static void do_write(struct script *script)
{
    for (long left = next_number(script); left > 0; left--)
        putchar(left % 64 ? '.' : '\n');
    fflush(stdout);
}

/* ---- input and time ---- */

static void do_read(struct script *script)
{
    long count = 0;
    (void)script;
    reach_barrier();
    for (char buffer[4096];;) {
        ssize_t n = read(0, buffer, sizeof buffer);
        if (n < 0 && errno != EINTR)
            die("read", strerror(errno));
        if (n == 0)
            break;
        if (n > 0)
            count += n;
    }
    printf("read %ld bytes\n", count);
}

static void do_sleep(struct script *script)
{
    long ms = next_time(script);
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    reach_barrier();
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

static void do_close(struct script *script)
{
    must(close((int)next_number(script)), "close");
}

static const struct verb {
    const char *name;
    void (*run)(struct script *);
    const char *help;
} verbs[] = {
    {"say", do_say, "WORD: print it as a line"},
    {"print", do_print, "argv | env | fds | pids | cwd"},
    {"cat", do_cat, "PATH: print a file (/proc/self/status, say)"},
    {"append", do_append, "PATH WORD: add a line to a file"},
    {"write", do_write, "N: that many bytes to stdout"},
    {"read", do_read, "stdin to its end; then print how much it was"},
    {"close", do_close, "FD"},
    {"sleep", do_sleep, "TIME: 200ms, 2s"},
    {"pause", do_pause, "take signals for ever"},
    {"on", do_on, "SIG [ ... ]: what `pause` does when SIG comes"},
    {"report", do_report, "SIG | all: `pause` prints a line when SIG comes"},
    {"ignore", do_ignore, "SIG"},
    {"default", do_default, "SIG"},
    {"unblock", do_unblock, "SIG"},
    {"alarm", do_alarm, "TIME: an ALRM then, even after `exec`"},
    {"kill", do_kill, "PID | self | parent | group  SIG"},
    {"spawn", do_spawn, "[ ... ]: a child that runs this"},
    {"orphan", do_orphan, "N [ ... ]: N grandchildren whose parent is gone"},
    {"wait", do_wait, "for all children, printing how each ended"},
    {"setsid", do_setsid, ""},
    {"setpgid", do_setpgid, "a process group of our own"},
    {"setuid", do_setuid, "UID: real, effective and saved"},
    {"exec", do_exec, "COMMAND ARG...: the rest of the script"},
    {"exit", do_exit, "N"},
};

static void run(struct script script)
{
    while (script.at != script.end) {
        const char *name = next_word(&script);
        const struct verb *verb = verbs;
        const struct verb *last = verbs + sizeof verbs / sizeof *verbs;
        while (verb != last && strcmp(verb->name, name) != 0)
            verb++;
        if (verb == last)
            die("no such verb", name);
        verb->run(&script);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
            printf("%-8s %s\n", verbs[i].name, verbs[i].help);
        return 99;
    }
    setvbuf(stdout, NULL, _IOLBF, 1 << 16);
    arguments = argv;
    sigprocmask(SIG_SETMASK, NULL, &mask_before);
    sigemptyset(&watched);
    sigemptyset(&reported);
    run((struct script){argv + 1, argv + argc});
    return 0;
}
