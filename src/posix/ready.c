#include "posix/posix.h"
#include "report/log.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* Readiness from below: a newline on a pipe, as s6's programs write it; sd_notify(3) on a socket of
 * the run's own; a while.  And sd_notify(3) to whoever is above us. */

#define UPWARD_WAIT 100 /* ms, for a manager whose queue is full */
#define DRAIN_MAX   512 /* datagrams: as many as systemd lets a socket's queue have */

/* Of a slot; only those of workers are ever touched. */
struct ready {
    ev_io pipe, socket;
    ev_timer timer;
    bool has_pipe, has_socket, has_timer;
    bool scolded; /* somebody whose socket it is not has spoken, and the log has said so */
};

static struct {
    struct supervisor *supervisor;
    struct ready *list; /* by slot; NULL: nobody needs one */
    struct ready *next; /* that is to take its place; NULL: none */
    uint32_t slots;
    ev_timer ping;

    const char *manager;   /* NOTIFY_SOCKET as we were given it; NULL: none */
    int fd;                /* towards it; -1: not opened yet */
    bool stuck;            /* it was waited for in vain, and not heard of since */
    uint64_t watchdog;     /* WATCHDOG_USEC; 0: none is kept on us */
    bool passes_listening; /* LISTEN_FDS are for us, so for our command */
    bool has_fleet;        /* whose workers have LISTEN_FDS of their own, if any */
    int close_later[2];    /* the run's ends, until it has them */
    size_t close_count;
} ready = {.fd = -1};

/* ---- what was said to us ---- */

bool ready_is_our_pid(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && strtol(value, NULL, 10) == inherited.pid;
}

void ready_begin(const struct plan *plan)
{
    const char *watchdog = getenv("WATCHDOG_USEC");
    ready.manager = getenv("NOTIFY_SOCKET");
    if (ready.manager != NULL && ready.manager[0] != '/' && ready.manager[0] != '@')
        ready.manager = NULL;
    ready.passes_listening = ready_is_our_pid("LISTEN_PID");
    ready.has_fleet = plan_is_fleet(plan);
    bool ours = getenv("WATCHDOG_PID") == NULL || ready_is_our_pid("WATCHDOG_PID");
    if (ready.manager != NULL && watchdog != NULL && ours)
        ready.watchdog = strtoull(watchdog, NULL, 10);
}

bool ready_has_manager(void)
{
    return ready.manager != NULL;
}

bool ready_drops(const char *entry)
{
    if (strncmp(entry, "LISTEN_PID=", 11) == 0)
        return ready.passes_listening || ready.has_fleet;
    if (ready.has_fleet &&
        (strncmp(entry, "LISTEN_FDS=", 11) == 0 || strncmp(entry, "LISTEN_FDNAMES=", 15) == 0))
        return true;
    return ready.manager != NULL &&
           (strncmp(entry, "NOTIFY_SOCKET=", 14) == 0 ||
            strncmp(entry, "WATCHDOG_USEC=", 14) == 0 || strncmp(entry, "WATCHDOG_PID=", 13) == 0);
}

/* ---- upwards ---- */

/* A socket that is opened here waits for room in the manager's queue, but not for long: poll(2)
 * knows nothing of that queue before connect(2), which would hold on to a manager that is gone. */
static int open_upwards(void)
{
    const struct timeval wait = {.tv_usec = UPWARD_WAIT * 1000};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    return fd;
}

static bool send_upwards(const char *text, size_t length, bool waits)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(ready.manager);
    if (size >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(address.sun_path, ready.manager, size);
    if (address.sun_path[0] == '@')
        address.sun_path[0] = '\0'; /* an abstract name (unix(7)) */
    if (ready.fd < 0)
        ready.fd = open_upwards();
    socklen_t room = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    return ready.fd >= 0 &&
           sendto(ready.fd, text, length, MSG_NOSIGNAL | (waits ? 0 : MSG_DONTWAIT),
                  (const struct sockaddr *)&address, room) >= 0;
}

/* A status and a ping come again, and a manager that does not read at all is not waited for each
 * time: what a run says there must not keep us from our signals. */
bool platform_notify(const struct notify_message *message)
{
    char text[NOTIFY_MAX];
    bool matters = message->state != NOTIFY_NO_STATE || message->has_extend;
    size_t length = ready.manager != NULL ? notify_format(text, message) : 0;
    if (length == 0)
        return true;
    bool waits = matters && !ready.stuck;
    bool sent = send_upwards(text, length, waits);
    bool failed = !sent && (waits || errno != EAGAIN);
    if (failed && !ready.stuck)
        log_line(LEVEL_WARNING, "cannot notify '%s': %s", ready.manager, strerror(errno));
    ready.stuck = !sent && (failed || ready.stuck);
    return sent;
}

static void on_ping(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)watcher, (void)events;
    platform_notify(&(struct notify_message){.watchdog = true});
}

/* ---- opening ---- */

/* Whoever has a watchdog may feed it by sd_notify(3), and a launcher's command does what it would
 * do without us. */
static bool has_socket(const struct plan *plan, const struct plan_worker *worker,
                       enum plan_ready_kind kind)
{
    bool as_without_us = plan->mode == MODE_LAUNCH && ready.manager != NULL;
    return kind == READY_NOTIFY || worker->rules->watchdog != NEVER || as_without_us;
}

static bool is_needed(const struct plan *plan)
{
    bool needed = false;
    for (uint32_t i = 0; i < plan->worker_count; i++) {
        enum plan_ready_kind kind =
            plan_ready_kind(plan, plan->workers[i].rules, ready.manager != NULL);
        needed = needed || kind == READY_FD || kind == READY_AFTER ||
                 has_socket(plan, &plan->workers[i], kind);
    }
    return needed;
}

bool ready_open(struct supervisor *supervisor, const struct plan *plan, uint32_t slots)
{
    ready.supervisor = supervisor;
    ready.slots = slots;
    bool passed_on =
        plan->mode == MODE_LAUNCH &&
        plan_ready_kind(plan, plan->workers[0].rules, ready.manager != NULL) == READY_NOTIFY;
    if (is_needed(plan)) {
        loop_widen();
        ready.list = platform_reserve(slots * sizeof *ready.list);
        if (ready.list == NULL)
            return false;
    }
    if (ready.watchdog > 0 && !passed_on) {
        double half = (double)ready.watchdog / 2e6; /* as sd_watchdog_enabled(3) recommends */
        ev_timer_init(&ready.ping, on_ping, half, half);
        ev_timer_start(loop_widen(), &ready.ping);
    }
    return true;
}

/* ---- from below ---- */

static struct run_id run_of(const struct ready *state)
{
    uint32_t slot = (uint32_t)(state - ready.list);
    return (struct run_id){slot, runs_at(slot)->generation};
}

static struct ready *state_of(const ev_watcher *watcher, size_t offset)
{
    return (struct ready *)(void *)((char *)(uintptr_t)watcher - offset);
}

static void stop_pipe(struct ready *state)
{
    if (!state->has_pipe)
        return;
    loop_unwatch(&state->pipe);
    close(state->pipe.fd);
    state->has_pipe = false;
}

static void stop_all(struct ready *state)
{
    stop_pipe(state);
    if (state->has_socket) {
        loop_unwatch(&state->socket);
        close(state->socket.fd);
    }
    if (state->has_timer)
        ev_timer_stop(loop_widen(), &state->timer);
    state->has_socket = state->has_timer = false;
}

static void read_pipe(struct ready *state)
{
    char bytes[256];
    ssize_t count = read(state->pipe.fd, bytes, sizeof bytes);
    if (count < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    bool told = count > 0 && memchr(bytes, '\n', (size_t)count) != NULL;
    if (count <= 0 || told)
        stop_pipe(state);
    if (told)
        supervisor_ready(ready.supervisor, run_of(state));
}

static void on_pipe(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    if (events & EV_ERROR)
        loop_watch_again(watcher);
    read_pipe(state_of((ev_watcher *)watcher, offsetof(struct ready, pipe)));
}

static void on_after(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct ready *state = state_of((ev_watcher *)watcher, offsetof(struct ready, timer));
    (void)loop, (void)events;
    supervisor_ready(ready.supervisor, run_of(state));
}

/* Closes what came along, which is what a barrier waits for; who sent it, uid_t -1 if unknown. */
static uid_t look_at(struct msghdr *header)
{
    uid_t sender = (uid_t)-1;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level != SOL_SOCKET)
            continue;
        if (part->cmsg_type == SCM_CREDENTIALS) {
            struct ucred credentials;
            memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
            sender = credentials.uid;
        } else if (part->cmsg_type == SCM_RIGHTS) {
            size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < count; i++) {
                int fd;
                memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
                passed_close_fd(fd);
            }
        }
    }
    return sender;
}

/* Takes in one datagram; false when there is none. */
static bool read_socket(struct ready *state)
{
    char bytes[NOTIFY_MAX + 1];
    union {
        struct cmsghdr alignment;
        char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * 16)];
    } control;
    struct iovec vector = {.iov_base = bytes, .iov_len = NOTIFY_MAX};
    struct msghdr header = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    struct notify_message message;
    const char *fault;
    struct run_id run = run_of(state);
    ssize_t count = recvmsg(state->socket.fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count < 0)
        return false;
    uid_t sender = look_at(&header);
    bool trusted = sender == 0 || sender == geteuid() || sender == command_user(run);
    if (!trusted) {
        log_line(state->scolded ? LEVEL_DEBUG : LEVEL_WARNING,
                 "a notification from user %ld is not its to send", (long)sender);
        state->scolded = true;
    } else if ((header.msg_flags & MSG_TRUNC) ||
               !notify_parse(bytes, (size_t)count, &message, &fault)) {
        log_line(LEVEL_DEBUG, "a notification cannot be read");
    } else {
        supervisor_notified(ready.supervisor, run, &message);
    }
    return true;
}

static void on_socket(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    if (events & EV_ERROR)
        loop_watch_again(watcher);
    read_socket(state_of((ev_watcher *)watcher, offsetof(struct ready, socket)));
}

void ready_ended(uint32_t slot)
{
    struct ready *state = ready.list != NULL ? &ready.list[slot] : NULL;
    if (state == NULL)
        return;
    if (state->has_pipe)
        read_pipe(state);
    for (int n = 0; n < DRAIN_MAX && state->has_socket && read_socket(state); n++)
        ;
    stop_all(state);
}

/* ---- a new plan ---- */

bool ready_prepare(const struct plan *plan, uint32_t slots)
{
    if (ready.list == NULL && !is_needed(plan))
        return true;
    ready.next = calloc(slots, sizeof *ready.next);
    return ready.next != NULL;
}

void ready_drop(void)
{
    free(ready.next);
    ready.next = NULL;
}

static void move_state(struct ready *from, struct ready *to)
{
    to->has_pipe = from->has_pipe;
    to->has_socket = from->has_socket;
    to->has_timer = from->has_timer;
    to->scolded = from->scolded;
    if (from->has_pipe)
        loop_move(&from->pipe, &to->pipe);
    if (from->has_socket)
        loop_move(&from->socket, &to->socket);
    if (!from->has_timer)
        return;
    bool runs = ev_is_active(&from->timer);
    double rest = runs ? ev_timer_remaining(loop_widen(), &from->timer) : 0;
    ev_timer_stop(loop_widen(), &from->timer);
    ev_timer_init(&to->timer, on_after, rest > 0 ? rest : 0, 0);
    if (runs)
        ev_timer_start(loop_widen(), &to->timer);
}

void ready_reload(const struct reload *reload)
{
    for (uint32_t slot = 0; ready.list != NULL && slot < reload->old_slots; slot++)
        if (reload->new_slot_of[slot] == NO_SLOT)
            stop_all(&ready.list[slot]);
        else
            move_state(&ready.list[slot], &ready.next[reload->new_slot_of[slot]]);
    platform_free(ready.list);
    ready.list = ready.next;
    ready.slots = reload->slots;
    ready.next = NULL;
}

/* ---- a start ---- */

static void close_when_started(int fd)
{
    ready.close_later[ready.close_count++] = fd;
}

static bool open_pipe(struct ready *state, int target, struct spawn *spawn)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    fcntl(ends[0], F_SETFL, O_NONBLOCK); /* ours alone: the other end has flags of its own */
    ev_io_init(&state->pipe, on_pipe, ends[0], EV_READ);
    loop_watch(&state->pipe);
    state->has_pipe = true;
    spawn_pass(spawn, ends[1], target);
    close_when_started(ends[1]);
    return true;
}

/* The kernel gives the socket a name of its own choice ("autobind", unix(7)): five hexadecimal
 * digits in the abstract namespace, so nothing is left behind in a file system. */
static bool open_socket(struct ready *state, struct command *command)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof address;
    int yes = 1;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (bind(fd, (const struct sockaddr *)&address, sizeof address.sun_family) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) < 0) {
        close(fd);
        return false;
    }
    ev_io_init(&state->socket, on_socket, fd, EV_READ);
    loop_watch(&state->socket);
    state->has_socket = true;
    state->scolded = false;
    address.sun_path[0] = '@'; /* as environments have it; the rest is zeroed */
    command_add(command, "NOTIFY_SOCKET", address.sun_path);
    return true;
}

static void tell_watchdog(uint64_t usec, struct command *command, struct spawn *spawn)
{
    command_add_number(command, "WATCHDOG_USEC", usec);
    spawn->pid_variables[1] = command_add(command, "WATCHDOG_PID", "");
}

/* What the service manager left for its main process is for the command, under its own pid. */
static void pass_on(const struct plan *plan, struct command *command, struct spawn *spawn,
                    bool notifies)
{
    if (plan->mode != MODE_LAUNCH)
        return;
    if (ready.passes_listening) {
        spawn->pid_variables[0] = command_add(command, "LISTEN_PID", "");
    }
    if (notifies && ready.watchdog > 0)
        tell_watchdog(ready.watchdog, command, spawn);
}

bool ready_start(uint32_t slot, const struct plan *plan, const struct plan_worker *worker,
                 struct command *command, struct spawn *spawn)
{
    enum plan_ready_kind kind = plan_ready_kind(plan, worker->rules, ready.manager != NULL);
    struct ready *state = ready.list != NULL ? &ready.list[slot] : NULL;
    bool opened = true;
    ready.close_count = 0;
    pass_on(plan, command, spawn, kind == READY_NOTIFY);
    if (state == NULL)
        return true;
    stop_all(state); /* of the run before */
    if (kind == READY_FD)
        opened = open_pipe(state, worker->rules->ready.fd, spawn);
    if (has_socket(plan, worker, kind))
        opened = opened && open_socket(state, command);
    if (worker->rules->watchdog != NEVER)
        tell_watchdog((uint64_t)worker->rules->watchdog * 1000, command, spawn);
    if (kind == READY_AFTER) {
        ev_timer_init(&state->timer, on_after, (double)worker->rules->ready.time / SECOND, 0);
        ev_timer_start(loop_widen(), &state->timer);
        state->has_timer = true;
    }
    return opened;
}

void ready_started(uint32_t slot, bool ok)
{
    while (ready.close_count > 0)
        close(ready.close_later[--ready.close_count]);
    if (!ok && ready.list != NULL)
        stop_all(&ready.list[slot]);
}
