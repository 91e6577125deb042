#include "plan/option_table.h"
#include "plan/parse.h"
#include "posix/posix.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Readiness that has to be asked for: does somebody accept connections, does a command succeed?
 * Asked soon, then less and less often, until the answer is yes or the run is over. */

#define SLOWEST         1.0  /* seconds between two questions, at most */
#define FIRST_CONNECT   0.02 /* until the first; doubled each time */
#define FIRST_COMMAND   0.1
#define CONNECT_TIMEOUT 5.0 /* of one connection whose packets nobody answers */
#define COMMAND_TIMEOUT 5.0 /* of one command, which is killed then */

/* What to ask, by worker. */
struct target {
    struct addrinfo *address;
    struct command command;
};

/* Of a slot. */
struct probe {
    ev_timer timer; /* until the next question, or to the end of this one's time */
    ev_io io;       /* of a connection that is being made */
    uint32_t slot;
    double delay;
    const struct addrinfo *address; /* that comes next */
    pid_t pid;                      /* of a command that is running; 0: none */
    bool connecting;
};

static struct {
    struct ev_loop *loop;
    struct supervisor *supervisor;
    struct probe **list; /* by slot; NULL: nobody is asked */
    struct probe **next_list;
    struct target *targets;
    struct target *next; /* of the plan that is to come */
    uint32_t slots, next_slots, count, next_count, running;
    int null; /* where commands write */
} probes = {.null = -1};

static bool is_asked(const struct plan_worker *worker)
{
    return worker->rules->ready.kind == READY_TCP || worker->rules->ready.kind == READY_COMMAND;
}

/* ---- before the first start ---- */

static void prepare_address(struct target *target, const char *text, const char *place,
                            struct faults *faults)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    char words[PLAN_READY_TCP_MAX + 1], number[8];
    const char *host;
    uint16_t port;
    snprintf(words, sizeof words, "%s", text);
    if (!parse_host(words, &host, &port))
        return; /* the parser has seen it */
    snprintf(number, sizeof number, "%u", (unsigned)port);
    int error = getaddrinfo(host, number, &hints, &target->address);
    if (error != 0)
        fault_add(faults, place, "cannot look up the host of 'tcp:%s': %s", text,
                  error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
}

/* It runs as the worker's own command does. */
static void prepare_command(struct target *target, const struct plan_worker *worker,
                            const struct command *own, struct faults *faults)
{
    char **argv = NULL;
    if (own == NULL || !parse_command(worker->rules->ready.text, &argv) || !command_own(argv))
        fault_add(faults, NULL, "out of memory for a command");
    else
        command_prepare_beside(&target->command, own, argv, faults);
}

static void free_targets(struct target *targets, uint32_t count)
{
    for (uint32_t i = 0; targets != NULL && i < count; i++)
        if (targets[i].address != NULL)
            freeaddrinfo(targets[i].address);
    free(targets);
}

/* By worker; NULL: none is asked, or there is a fault. */
static struct target *make_targets(const struct plan *plan, struct faults *faults)
{
    bool any = false;
    for (uint32_t i = 0; i < plan->worker_count; i++)
        any = any || is_asked(&plan->workers[i]);
    struct target *targets = any ? calloc(plan->worker_count, sizeof *targets) : NULL;
    if (any && targets == NULL)
        fault_add(faults, NULL, "out of memory for the commands");
    if (any && probes.null < 0)
        probes.null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (any && probes.null < 0)
        fault_add(faults, NULL, "cannot open '/dev/null': %s", strerror(errno));
    for (uint32_t i = 0; targets != NULL && i < plan->worker_count; i++) {
        const struct plan_worker *worker = &plan->workers[i];
        char place[OPTION_PLACE_MAX];
        option_place_of("ready", plan, worker, place);
        if (worker->rules->ready.kind == READY_TCP)
            prepare_address(&targets[i], worker->rules->ready.text, place, faults);
        else if (worker->rules->ready.kind == READY_COMMAND)
            prepare_command(&targets[i], worker, start_prepared(worker), faults);
    }
    return targets;
}

void probe_prepare(const struct plan *plan, struct faults *faults)
{
    probes.next = make_targets(plan, faults);
    probes.next_count = plan->worker_count;
}

static void free_list(struct probe **list, uint32_t slots)
{
    for (uint32_t slot = 0; list != NULL && slot < slots; slot++)
        free(list[slot]);
    free(list);
}

void probe_drop(void)
{
    free_targets(probes.next, probes.next_count);
    probes.next = NULL;
    free_list(probes.next_list, probes.next_slots);
    probes.next_list = NULL;
}

bool probe_reserve(uint32_t slots)
{
    if (probes.list == NULL && probes.next == NULL)
        return true;
    struct probe **list = calloc(slots, sizeof *list);
    bool done = list != NULL;
    for (uint32_t slot = 0; done && slot < slots; slot++) {
        list[slot] = calloc(1, sizeof **list);
        done = list[slot] != NULL;
    }
    probes.next_list = list;
    probes.next_slots = slots;
    return done;
}

static void take_targets(void)
{
    free_targets(probes.targets, probes.count);
    probes.targets = probes.next;
    probes.count = probes.next_count;
    probes.next = NULL;
}

static void take_list(void)
{
    free_list(probes.list, probes.slots);
    probes.list = probes.next_list;
    probes.slots = probes.next_slots;
    probes.next_list = NULL;
    for (uint32_t slot = 0; slot < probes.slots; slot++) {
        probes.list[slot]->slot = slot;
        probes.list[slot]->address = NULL; /* the old plan's: the new one's come next */
    }
}

bool probe_open(struct supervisor *supervisor, uint32_t slots)
{
    probes.supervisor = supervisor;
    if (!probe_reserve(slots))
        return false;
    if (probes.next_list != NULL)
        take_list();
    take_targets();
    return true;
}

/* A watcher stays where it is, and so does what it is in: whoever is asked keeps it. */
void probe_reload(const struct reload *reload)
{
    if (probes.next_list == NULL)
        return;
    for (uint32_t slot = 0; probes.list != NULL && slot < probes.slots; slot++) {
        uint32_t to = reload->new_slot_of[slot];
        if (to == NO_SLOT) {
            probe_stop(slot);
            continue;
        }
        free(probes.next_list[to]);
        probes.next_list[to] = probes.list[slot];
        probes.list[slot] = NULL;
    }
    take_list();
    take_targets();
}

/* ---- asking ---- */

static const struct target *target_of(const struct probe *probe)
{
    return &probes.targets[runs_at(probe->slot)->worker];
}

static void end_connection(struct probe *probe)
{
    if (!probe->connecting)
        return;
    ev_io_stop(probes.loop, &probe->io);
    close(probe->io.fd);
    probe->connecting = false;
}

static void wait_for(struct probe *probe, double seconds)
{
    ev_timer_stop(probes.loop, &probe->timer);
    ev_now_update(probes.loop);
    ev_timer_set(&probe->timer, seconds, 0);
    ev_timer_start(probes.loop, &probe->timer);
}

static void ask_later(struct probe *probe)
{
    double delay = probe->delay;
    probe->delay = 2 * delay < SLOWEST ? 2 * delay : SLOWEST;
    wait_for(probe, delay);
}

static void answer(struct probe *probe, bool yes)
{
    uint32_t slot = probe->slot;
    end_connection(probe);
    if (!yes && probe->address != NULL && probe->address->ai_next != NULL) {
        probe->address = probe->address->ai_next;
        wait_for(probe, 0);
        return;
    }
    if (!yes) {
        probe->address = target_of(probe)->address;
        ask_later(probe);
        return;
    }
    ev_timer_stop(probes.loop, &probe->timer);
    supervisor_ready(probes.supervisor, (struct run_id){slot, runs_at(slot)->generation});
}

static void on_connected(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct probe *probe =
        (struct probe *)(void *)((char *)(void *)watcher - offsetof(struct probe, io));
    int error = 0;
    socklen_t size = sizeof error;
    (void)loop;
    if (events & EV_ERROR) { /* which says nothing of the connection */
        loop_watch_again(watcher);
        return;
    }
    answer(probe, getsockopt(watcher->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0);
}

static void ask_address(struct probe *probe)
{
    const struct addrinfo *address = probe->address;
    if (address == NULL)
        address = probe->address = target_of(probe)->address;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int result = fd < 0 ? -1 : connect(fd, address->ai_addr, address->ai_addrlen);
    if (fd >= 0 && (result == 0 || errno == EINPROGRESS)) {
        ev_io_init(&probe->io, on_connected, fd, EV_WRITE);
        loop_watch(&probe->io);
        probe->connecting = true;
        wait_for(probe, CONNECT_TIMEOUT);
        return;
    }
    if (fd >= 0)
        close(fd);
    answer(probe, false);
}

static void ask_command(struct probe *probe)
{
    struct spawn_failure failure;
    kernel_sigset early;
    struct command *command = &probes.targets[runs_at(probe->slot)->worker].command;
    struct spawn spawn = {
        .command = command,
        .place = SPAWN_SESSION,
        .terminal = -1,
        .cgroup = -1,
        .null_stdin = true,
        .death_signal = SIGKILL,
    };
    command_begin(command);
    spawn_pass(&spawn, probes.null, STDOUT_FILENO);
    spawn_pass(&spawn, probes.null, STDERR_FILENO);
    pid_t pid = spawn_process(&spawn, &early, &failure);
    tree_set_childless(false);
    if (pid < 0) {
        answer(probe, false);
        return;
    }
    jobs_gone(pid);
    probe->pid = pid;
    probes.running++;
    wait_for(probe, COMMAND_TIMEOUT);
}

static void on_time(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct probe *probe = (struct probe *)(void *)watcher;
    (void)loop, (void)events;
    if (probe->pid != 0)
        kill(-probe->pid, SIGKILL); /* its end is the answer */
    else if (probe->connecting)
        answer(probe, false);
    else if (target_of(probe)->address != NULL)
        ask_address(probe);
    else
        ask_command(probe);
}

void probe_start(uint32_t slot, const struct plan_worker *worker)
{
    if (!is_asked(worker))
        return;
    struct probe *probe = probes.list[slot];
    probes.loop = loop_widen();
    probe_stop(slot);
    ev_init(&probe->timer, on_time);
    probe->delay = worker->rules->ready.kind == READY_TCP ? FIRST_CONNECT : FIRST_COMMAND;
    probe->address = target_of(probe)->address;
    ask_later(probe);
}

bool probe_ended(pid_t pid, int status)
{
    for (uint32_t slot = 0; probes.running > 0 && slot < probes.slots; slot++) {
        struct probe *probe = probes.list[slot];
        if (probe->pid != pid)
            continue;
        probe->pid = 0;
        probes.running--;
        answer(probe, WIFEXITED(status) && WEXITSTATUS(status) == 0);
        return true;
    }
    return false;
}

void probe_stop(uint32_t slot)
{
    if (probes.list == NULL)
        return;
    struct probe *probe = probes.list[slot];
    end_connection(probe);
    ev_timer_stop(probes.loop, &probe->timer);
    if (probe->pid != 0) {
        kill(-probe->pid, SIGKILL); /* and is reaped like any child that we adopted */
        probe->pid = 0;
        probes.running--;
    }
}
