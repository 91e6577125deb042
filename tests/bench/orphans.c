/* orphans.c - a storm of orphans below PID 1, and what it cost PID 1.
 *
 * Run as the command, or a descendant, of a supervisor that is PID 1 of a namespace, it makes
 * BENCH_ORPHANS processes that lose their parent and end.  Writes to the FIFO BENCH_RESULT: CPU
 * nanoseconds of PID 1 meanwhile, orphans that are still zombies two seconds later, and the
 * nanoseconds that the storm took.  (No arguments: s6 and runit have none for their services.) */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE (2 * (int64_t)1000000000)

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) < 0)
        exit(111);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t clock_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t cpu_of_init(void)
{
    clockid_t clock;
    if (clock_getcpuclockid(1, &clock) != 0)
        exit(111);
    return read_clock(clock);
}

/* Until PID 1 is done with its start. */
static void await_rest(void)
{
    int64_t before;
    do {
        before = cpu_of_init();
        usleep(20000);
    } while (cpu_of_init() != before);
}

static int is_zombie(const char *pid)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/%.16s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[length < 0 ? 0 : length] = '\0';
    const char *state = text;
    for (const char *c = text; *c != '\0'; c++)
        if (*c == ')')
            state = c + 1;
    return state[0] != '\0' && state[1] == 'Z';
}

static int count_zombies(void)
{
    int count = 0;
    DIR *processes = opendir("/proc");
    const struct dirent *entry;
    while (processes != NULL && (entry = readdir(processes)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]))
            count += is_zombie(entry->d_name);
    if (processes != NULL)
        closedir(processes);
    return count;
}

/* A grandchild whose parent is gone; which of them ends first is left to chance, as in life. */
static void make_orphan(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        fork();
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

int main(void)
{
    const char *count = getenv("BENCH_ORPHANS");
    const char *path = getenv("BENCH_RESULT");
    if (count == NULL || path == NULL)
        return 2;
    await_rest();
    int64_t cpu = cpu_of_init();
    int64_t begun = clock_now();
    for (long i = strtol(count, NULL, 10); i > 0; i--)
        make_orphan();
    int64_t stormed = clock_now();
    int zombies;
    do {
        usleep(10000);
        zombies = count_zombies();
    } while (zombies > 0 && clock_now() - stormed < PATIENCE);
    FILE *result = fopen(path, "we");
    if (result == NULL)
        return 111;
    fprintf(result, "%lld %d %lld\n", (long long)(cpu_of_init() - cpu), zombies,
            (long long)(stormed - begun));
    fclose(result);
    pause(); /* whoever has the result ends us */
    return 0;
}
