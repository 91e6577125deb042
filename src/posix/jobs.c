#include "posix/posix.h"
#include "protocol/submission.h"
#include "report/log.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Two kinds of jobs.  A joined one runs already, as somebody else's child: its pidfd says when it
 * is over, unless it has become our child by then.  A kept one waits for its turn as the
 * four descriptors that it was submitted with. */

enum { REQUEST, STDIN, STDOUT, STDERR }; /* a submission's descriptors */

struct job {
    ev_io io; /* joined: on the pidfd */
    bool joined, kept;
    uint32_t speaker;         /* joined: the slot whose pipe it has; NO_SLOT: that is over */
    unsigned long long start; /* joined: as in process */
    int fds[PASSED_MAX];
};

struct request {
    char *bytes, **pointers;
    size_t size, count;
};

static struct {
    struct supervisor *supervisor;
    struct job *list; /* by slot; only those of jobs are ever touched */
    struct job *next; /* that is to take its place; NULL: none */
    uint32_t joined;
    struct process judged; /* that platform_judge_job() has accepted, */
    uint32_t speaker;      /* and for whom */
    struct request memory; /* of the request that is being looked at, or started */
} jobs;

bool jobs_open(struct supervisor *supervisor, uint32_t slots)
{
    jobs.supervisor = supervisor;
    jobs.list = platform_reserve(slots * sizeof *jobs.list);
    return jobs.list != NULL;
}

bool jobs_prepare(uint32_t slots)
{
    jobs.next = calloc(slots, sizeof *jobs.next);
    return jobs.next != NULL;
}

void jobs_drop(void)
{
    free(jobs.next);
    jobs.next = NULL;
}

void jobs_reload(const struct reload *reload)
{
    for (uint32_t slot = 0; slot < reload->slots; slot++) {
        uint32_t was = reload->old_slot_of[slot];
        if (was == NO_SLOT || (!jobs.list[was].joined && !jobs.list[was].kept))
            continue;
        struct job *old = &jobs.list[was], *job = &jobs.next[slot];
        *job = *old;
        if (!old->joined)
            continue;
        job->speaker = old->speaker == NO_SLOT ? NO_SLOT : reload->new_slot_of[old->speaker];
        loop_move(&old->io, &job->io);
    }
    platform_free(jobs.list);
    jobs.list = jobs.next;
    jobs.next = NULL;
}

/* ---- joined jobs ---- */

/* The process that a pidfd stands for, as our namespace counts; 0 when it is none, or gone. */
static pid_t process_of(int pidfd)
{
    char path[64], text[512];
    long pid = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *field = strstr(text, "\nPid:");
    if (field == NULL || sscanf(field + 5, "%ld", &pid) != 1)
        return 0;
    return (pid_t)pid;
}

/* Shutdown waits for a job, and kills it at last: that must not be done to a stranger's process on
 * a worker's word. */
static bool may_speak_for(struct run_id run, pid_t pid)
{
    char path[64];
    struct stat status;
    uint32_t owner = tree_owner(pid);
    while (owner != NO_SLOT && jobs.list[owner].joined) /* a shield within a shield */
        owner = jobs.list[owner].speaker;
    if (owner == NO_SLOT || owner == run.slot)
        return owner == run.slot;
    snprintf(path, sizeof path, "/proc/%ld", (long)pid);
    return owner == 0 && stat(path, &status) == 0 && status.st_uid == command_user(run);
}

const char *platform_judge_job(struct run_id run)
{
    const struct passed *passed = passed_now();
    const char *fault = passed_fault(1, "it needs one descriptor, a pidfd");
    if (fault != NULL)
        return fault;
    if (!procfs_is_ours())
        return "whose process it is is not known: there is no /proc of this PID namespace";
    pid_t pid = process_of(passed->fds[0]);
    if (pid <= 0 || !procfs_read(pid, &jobs.judged) || process_of(passed->fds[0]) != pid)
        return "the descriptor is no pidfd, or its process is gone";
    if (runs_find(pid) != NO_SLOT)
        return "the process is a run or a job already";
    if (!may_speak_for(run, pid))
        return "the process is none of this run's";
    jobs.speaker = run.slot;
    return NULL;
}

/* Its parent was faster than we are at becoming that. */
static void end_elsewhere(uint32_t slot)
{
    struct run_id id = {slot, runs_at(slot)->generation};
    runs_remove(slot);
    jobs_forget(slot);
    supervisor_ended(jobs.supervisor, id, (struct ending){ENDING_NONE, 0}, tree_left(slot));
}

static void on_pidfd(struct ev_loop *loop, ev_io *watcher, int events)
{
    uint32_t slot = (uint32_t)((struct job *)(void *)watcher - jobs.list);
    siginfo_t info = {0};
    (void)loop;
    if (events & EV_ERROR) { /* which says nothing of the process */
        loop_watch_again(watcher);
        return;
    }
    int found = waitid(P_PIDFD, (id_t)watcher->fd, &info, WEXITED | WNOHANG | WNOWAIT | __WALL);
    if (found == 0 && info.si_pid != 0) {
        loop_unwatch(watcher); /* it is our child by now: to be reaped as one */
        return;
    }
    end_elsewhere(slot);
    supervisor_reaped(jobs.supervisor);
}

void jobs_gone(pid_t pid)
{
    uint32_t slot = jobs.joined > 0 ? runs_find(pid) : NO_SLOT;
    if (slot != NO_SLOT)
        end_elsewhere(slot);
}

/* There is a new job in this slot: who was joined by the one before it is nobody else's. */
static void forget_speaker(uint32_t slot)
{
    for (uint32_t other = 0; jobs.joined > 0 && other < runs_count(); other++)
        if (jobs.list[other].joined && jobs.list[other].speaker == slot)
            jobs.list[other].speaker = NO_SLOT;
}

void platform_join(struct run_id id)
{
    struct passed *passed = passed_now();
    struct job *job = &jobs.list[id.slot];
    struct run *run = runs_at(id.slot);
    const struct process *process = &jobs.judged;
    memset(run, 0, sizeof *run);
    run->generation = id.generation;
    run->worker = NO_WORKER;
    run->user = geteuid();
    run->session = process->session;
    run->has_tree = process->session == process->pid; /* else its session is its caller's */
    run->joined = true;
    runs_insert(id.slot, process->pid);
    forget_speaker(id.slot);
    job->joined = true;
    job->speaker = jobs.speaker;
    job->start = process->start;
    job->fds[0] = passed->fds[0];
    passed->count = 0;
    jobs.joined++;
    cgroup_join(id.slot, process->pid);
    ev_io_init(&job->io, on_pidfd, job->fds[0], EV_READ);
    loop_watch(&job->io);
}

void jobs_forget(uint32_t slot)
{
    struct job *job = &jobs.list[slot];
    if (jobs.joined == 0 || !job->joined)
        return;
    loop_unwatch(&job->io);
    close(job->fds[0]);
    job->joined = false;
    jobs.joined--;
}

uint32_t jobs_joined(void)
{
    return jobs.joined;
}

unsigned long long jobs_start(uint32_t slot)
{
    return jobs.list[slot].start;
}

int jobs_signal(uint32_t slot, int signal)
{
    return (int)syscall(SYS_pidfd_send_signal, jobs.list[slot].fds[0], signal, NULL, 0);
}

/* ---- submitted jobs ---- */

static void release_memory(void)
{
    free(jobs.memory.bytes);
    free(jobs.memory.pointers);
    memset(&jobs.memory, 0, sizeof jobs.memory);
}

/* Reads the request into memory of its own: its sender may change it meanwhile.  Only what lives in
 * memory is read: a file on some file systems can keep its reader waiting for ever. */
static const char *load(int fd)
{
    struct request *memory = &jobs.memory;
    struct stat status;
    const char *fault;
    release_memory();
    if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &status) < 0)
        return "the request is no memfd";
    if (status.st_size < 1 || (uint64_t)status.st_size > SUBMISSION_MAX)
        return "the request is empty, or longer than 4 MiB";
    memory->size = (size_t)status.st_size;
    memory->bytes = malloc(memory->size);
    if (memory->bytes == NULL)
        return "no memory is left for the request";
    if (pread(fd, memory->bytes, memory->size, 0) != (ssize_t)memory->size)
        return "the request cannot be read";
    memory->count = submission_pointers(memory->bytes, memory->size, &fault);
    if (memory->count == 0)
        return fault;
    memory->pointers = calloc(memory->count + COMMAND_VARIABLES, sizeof *memory->pointers);
    return memory->pointers != NULL ? NULL : "no memory is left for the request";
}

const char *platform_judge_submission(void)
{
    const char *fault = passed_fault(
        PASSED_MAX,
        "it needs four descriptors: the request and three for standard input and output");
    if (fault != NULL)
        return fault;
    fault = load(passed_now()->fds[REQUEST]);
    release_memory();
    return fault;
}

void platform_keep(struct run_id id)
{
    struct passed *passed = passed_now();
    struct job *job = &jobs.list[id.slot];
    memcpy(job->fds, passed->fds, sizeof job->fds);
    passed->count = 0;
    job->kept = true;
    forget_speaker(id.slot);
}

void platform_drop(struct run_id id)
{
    struct job *job = &jobs.list[id.slot];
    if (!job->kept)
        return;
    for (int i = 0; i < PASSED_MAX; i++)
        passed_close_fd(job->fds[i]);
    job->kept = false;
}

/* As it was submitted, but for the control pipe: a job has one of its own. */
static void set_environment(struct command *command, char **environment)
{
    uint32_t kept = 0;
    for (char **entry = environment; *entry != NULL; entry++)
        if (inherited.keeps_outer || !command_drops(*entry))
            environment[kept++] = *entry;
    environment[kept] = NULL;
    command->environment = environment;
    command->environment_count = kept;
}

const char *jobs_command(uint32_t slot, struct command *command, struct spawn *spawn)
{
    const struct job *job = &jobs.list[slot];
    struct submission submission;
    const char *fault = load(job->fds[REQUEST]);
    if (fault != NULL)
        return fault;
    submission_fill(jobs.memory.bytes, jobs.memory.size, jobs.memory.pointers, &submission);
    command->argv = submission.argv;
    command->name = submission.argv[0];
    set_environment(command, submission.environment);
    spawn->cwd = submission.cwd;
    for (int i = STDIN; i <= STDERR; i++)
        spawn_pass(spawn, job->fds[i], i - STDIN);
    return command_find(command, malloc) ? NULL : "no memory is left for the request";
}

void jobs_started(struct run_id id, struct command *command)
{
    free(command->paths);
    command->paths = NULL;
    release_memory();
    platform_drop(id);
}
