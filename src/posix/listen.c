#include "plan/option_table.h"
#include "posix/posix.h"
#include "report/log.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ADDRESS_MAX 320 /* of a sentence */
#define SOCKETS_MAX (SPAWN_PASSES_MAX - 8)

struct listener {
    const struct plan_listen *address; /* in the plan */
    int fd;
    bool kept; /* by the plan that replaces this one */
    bool fresh;
    bool open_due;  /* another one, which goes, has a part of its address until the switch */
    bool chmod_due; /* it is kept, and its permissions are others now */
    dev_t device;   /* of LISTEN_UNIX: the file that is ours to remove */
    ino_t inode;
};

/* Those of a plan: of one worker after the other. */
struct listeners {
    struct listener *list;
    size_t count;
    size_t *first; /* by worker */
    char **names;  /* by worker: "LISTEN_FDNAMES=..."; NULL: it has no socket */
    uint32_t workers;
};

static struct listeners listening, next_listening; /* of the plan in force, of the next one */

/* ---- sentences ---- */

static const char *describe(const struct plan_listen *address, char *text)
{
    bool brackets = strchr(address->host, ':') != NULL;
    switch (address->kind) {
    case LISTEN_TCP:
    case LISTEN_TCP6:
        snprintf(text, ADDRESS_MAX, "%s:%s%s%s:%u", address->kind == LISTEN_TCP ? "tcp" : "tcp6",
                 brackets ? "[" : "", address->host, brackets ? "]" : "", (unsigned)address->port);
        break;
    case LISTEN_UNIX:
        snprintf(text, ADDRESS_MAX, "unix:%s", address->host);
        break;
    }
    return text;
}

struct reason {
    const char *verb, *why;
    int error; /* errno; 0: it was no system call */
};

static struct reason failed(const char *verb)
{
    return (struct reason){verb, strerror(errno), errno};
}

/* ---- opening one ---- */

static int open_inet(const struct plan_listen *address, int family, struct addrinfo **found)
{
    struct addrinfo hints = {
        .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    char port[8];
    const char *host = strcmp(address->host, "*") == 0 ? NULL : address->host;
    snprintf(port, sizeof port, "%u", (unsigned)address->port);
    return getaddrinfo(host, port, &hints, found);
}

/* `tcp` means IPv4 unless an IPv6 address or such a host is named, and then whatever the system
 * lets in there; `tcp6` is IPv6 alone. */
static struct reason look_up(const struct plan_listen *address, struct addrinfo **found)
{
    bool six = address->kind == LISTEN_TCP6;
    int error = open_inet(address, six ? AF_INET6 : AF_INET, found);
    if (error != 0 && !six)
        error = open_inet(address, AF_INET6, found);
    if (error == 0)
        return (struct reason){NULL, NULL, 0};
    const char *why = error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error);
    return (struct reason){"look up the host of", why, 0};
}

static struct reason open_tcp(const struct plan_listen *address, int *fd)
{
    struct addrinfo *found = NULL;
    struct reason reason = look_up(address, &found);
    int yes = 1, only = address->kind == LISTEN_TCP6;
    if (reason.verb != NULL)
        return reason;
    *fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        reason = failed("open a socket for");
    else if (setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
             (found->ai_family == AF_INET6 &&
              setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) < 0))
        reason = failed("prepare a socket for");
    else if (bind(*fd, found->ai_addr, found->ai_addrlen) < 0 || listen(*fd, SOMAXCONN) < 0)
        reason = failed("listen at");
    freeaddrinfo(found);
    return reason;
}

/* A file that nobody listens at any more is what an earlier life has left. */
static struct reason clear_path(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) < 0)
        return errno == ENOENT ? (struct reason){NULL, NULL, 0} : failed("listen at");
    if (!S_ISSOCK(status.st_mode))
        return (struct reason){"listen at", "there is a file of that name, and it is no socket", 0};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return failed("open a socket for");
    int result = connect(fd, (const struct sockaddr *)address, sizeof *address);
    int error = errno;
    close(fd);
    if (result == 0 || error != ECONNREFUSED)
        return (struct reason){"listen at", "somebody listens there already", 0};
    if (unlink(address->sun_path) < 0)
        return failed("remove the stale socket");
    return (struct reason){NULL, NULL, 0};
}

static struct reason open_unix(struct listener *listener)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int mode = listener->address->mode;
    struct stat status;
    strncpy(address.sun_path, listener->address->host, sizeof address.sun_path - 1);
    struct reason reason = clear_path(&address);
    if (reason.verb != NULL)
        return reason;
    listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener->fd < 0)
        return failed("open a socket for");
    if (bind(listener->fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return failed("listen at");
    if (lstat(address.sun_path, &status) == 0) {
        listener->device = status.st_dev;
        listener->inode = status.st_ino;
    }
    /* Nobody can connect before listen(2). */
    if (mode >= 0 && chmod(address.sun_path, (mode_t)mode) < 0)
        return failed("set the permissions of");
    return listen(listener->fd, SOMAXCONN) < 0 ? failed("listen at") : reason;
}

static void close_listener(struct listener *listener)
{
    struct stat status;
    if (listener->inode != 0 && lstat(listener->address->host, &status) == 0 &&
        status.st_dev == listener->device && status.st_ino == listener->inode)
        unlink(listener->address->host);
    if (listener->fd >= 0)
        close(listener->fd);
    listener->fd = -1;
    listener->inode = 0;
}

static struct reason open_listener(struct listener *listener)
{
    struct reason reason;
    listener->fresh = true;
    if (listener->address->kind == LISTEN_UNIX)
        reason = open_unix(listener);
    else
        reason = open_tcp(listener->address, &listener->fd);
    if (reason.verb != NULL)
        close_listener(listener);
    return reason;
}

/* ---- those of a plan ---- */

static bool is_same(const struct plan_listen *a, const struct plan_listen *b)
{
    return a->kind == b->kind && a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* One that is open already goes on, with whoever waits to be accepted; its permissions follow. */
static bool keep_listener(struct listener *listener)
{
    for (size_t i = 0; i < listening.count; i++) {
        struct listener *old = &listening.list[i];
        const struct plan_listen *address = listener->address;
        if (old->kept || old->fd < 0 || !is_same(old->address, address))
            continue;
        *listener = *old;
        listener->address = address;
        listener->fresh = false;
        old->kept = true;
        listener->chmod_due = address->mode >= 0 && address->mode != old->address->mode;
        return true;
    }
    return false;
}

/* Does one that goes have its port, at an address that overlaps or not? */
static bool is_rival(const struct listener *old, const struct listener *listener)
{
    return !old->kept && old->address->kind != LISTEN_UNIX &&
           listener->address->kind != LISTEN_UNIX && old->address->port == listener->address->port;
}

static bool has_rival(const struct listener *listener)
{
    for (size_t i = 0; i < listening.count; i++)
        if (is_rival(&listening.list[i], listener))
            return true;
    return false;
}

/* Ports and the names of files tell the sockets of a worker apart: sd_listen_fds_with_names(3). */
static char *make_names(const struct plan_listens *listens)
{
    size_t size = sizeof "LISTEN_FDNAMES=";
    for (size_t i = 0; i < listens->count; i++)
        size += strlen(listens->items[i].host) + sizeof "65535:";
    char *names = malloc(size), *end = names;
    if (names == NULL)
        return NULL;
    end += sprintf(end, "LISTEN_FDNAMES=");
    for (size_t i = 0; i < listens->count; i++) {
        const struct plan_listen *address = &listens->items[i];
        const char *base = strrchr(address->host, '/');
        if (i > 0)
            *end++ = ':';
        if (address->kind != LISTEN_UNIX) {
            end += sprintf(end, "%u", (unsigned)address->port);
            continue;
        }
        for (base = base != NULL ? base + 1 : address->host; *base; base++)
            *end++ = *base > 0x20 && *base < 0x7f && *base != ':' ? *base : '_';
    }
    *end = '\0';
    return names;
}

static void free_listeners(struct listeners *all)
{
    if (all->workers == 0)
        return;
    for (uint32_t i = 0; all->names != NULL && i < all->workers; i++)
        free(all->names[i]);
    free(all->list);
    free(all->first);
    free(all->names);
}

static bool allocate(struct listeners *all, const struct plan *plan)
{
    uint32_t listen = 0;
    *all = (struct listeners){0};
    for (uint32_t i = 0; i < plan->worker_count; i++)
        listen += plan->workers[i].listen.count > 0;
    if (listen == 0)
        return true;
    all->workers = plan->worker_count;
    all->first = calloc(plan->worker_count + 1, sizeof *all->first);
    all->names = calloc(plan->worker_count + 1, sizeof *all->names);
    for (uint32_t i = 0; all->first != NULL && all->names != NULL && i < plan->worker_count; i++) {
        const struct plan_listens *listens = &plan->workers[i].listen;
        all->first[i] = all->count;
        all->count += listens->count;
        all->names[i] = listens->count > 0 ? make_names(listens) : NULL;
        if (listens->count > 0 && all->names[i] == NULL)
            return false;
    }
    all->list = calloc(all->count + 1, sizeof *all->list);
    return all->first != NULL && all->names != NULL && all->list != NULL;
}

static void refuse(const struct plan *plan, const struct plan_worker *worker,
                   const struct listener *listener, struct reason reason, struct faults *faults)
{
    char place[OPTION_PLACE_MAX], text[ADDRESS_MAX];
    option_place_in(option_find("listen", strlen("listen")), plan, worker, place);
    fault_add(faults, place, "cannot %s '%s': %s", reason.verb, describe(listener->address, text),
              reason.why);
}

static void open_worker(struct listeners *all, const struct plan *plan, uint32_t index,
                        struct faults *faults)
{
    const struct plan_worker *worker = &plan->workers[index];
    char place[OPTION_PLACE_MAX];
    if (worker->listen.count == 0)
        return;
    option_place_in(option_find("listen", strlen("listen")), plan, worker, place);
    if (worker->listen.count > SOCKETS_MAX)
        fault_add(faults, place, "%zu sockets are too many: at most %d are allowed",
                  worker->listen.count, SOCKETS_MAX);
    for (size_t n = 0; n < worker->listen.count; n++) {
        struct listener *listener = &all->list[all->first[index] + n];
        *listener = (struct listener){.address = &worker->listen.items[n], .fd = -1};
        if (keep_listener(listener))
            continue;
        struct reason reason = open_listener(listener);
        listener->open_due = reason.error == EADDRINUSE && has_rival(listener);
        if (reason.verb != NULL && !listener->open_due)
            refuse(plan, worker, listener, reason, faults);
    }
}

/* One that seemed to go may have been kept for another worker since. */
static void check_due(struct listeners *all, const struct plan *plan, uint32_t index,
                      struct faults *faults)
{
    const struct plan_worker *worker = &plan->workers[index];
    for (size_t n = 0; n < worker->listen.count; n++) {
        const struct listener *listener = &all->list[all->first[index] + n];
        if (listener->open_due && !has_rival(listener))
            refuse(plan, worker, listener,
                   (struct reason){"listen at", strerror(EADDRINUSE), EADDRINUSE}, faults);
    }
}

bool listen_prepare(const struct plan *plan, struct faults *faults)
{
    struct listeners *all = &next_listening;
    size_t before = faults->count + faults->dropped;
    if (!allocate(all, plan)) {
        fault_add(faults, NULL, "out of memory for the sockets");
        free_listeners(all);
        *all = (struct listeners){0};
        return false;
    }
    for (size_t i = 0; i < listening.count; i++)
        listening.list[i].kept = false;
    for (uint32_t i = 0; i < plan->worker_count; i++)
        open_worker(all, plan, i, faults);
    for (uint32_t i = 0; i < plan->worker_count; i++)
        check_due(all, plan, i, faults);
    if (faults->count + faults->dropped == before)
        return true;
    listen_drop();
    return false;
}

static void complain(const struct listener *listener, struct reason reason)
{
    char text[ADDRESS_MAX];
    log_line(LEVEL_ERROR, "cannot %s '%s': %s", reason.verb, describe(listener->address, text),
             reason.why);
}

bool listen_open_due(void)
{
    for (size_t i = 0; i < next_listening.count; i++) {
        struct listener *listener = &next_listening.list[i];
        if (!listener->open_due)
            continue;
        for (size_t n = 0; n < listening.count; n++)
            if (is_rival(&listening.list[n], listener))
                close_listener(&listening.list[n]);
        struct reason reason = open_listener(listener);
        if (reason.verb != NULL) {
            complain(listener, reason);
            return false;
        }
        listener->open_due = false;
    }
    return true;
}

/* What had made room for others is there again. */
static void open_again(void)
{
    for (size_t i = 0; i < listening.count; i++) {
        if (listening.list[i].fd >= 0)
            continue;
        struct reason reason = open_listener(&listening.list[i]);
        if (reason.verb != NULL)
            complain(&listening.list[i], reason);
    }
}

void listen_drop(void)
{
    for (size_t i = 0; i < next_listening.count; i++)
        if (next_listening.list[i].fresh)
            close_listener(&next_listening.list[i]);
    open_again();
    free_listeners(&next_listening);
    next_listening = (struct listeners){0};
}

void listen_switch(void)
{
    for (size_t i = 0; i < listening.count; i++)
        if (!listening.list[i].kept)
            close_listener(&listening.list[i]);
    free_listeners(&listening);
    listening = next_listening;
    next_listening = (struct listeners){0};
    for (size_t i = 0; i < listening.count; i++) {
        struct listener *listener = &listening.list[i];
        if (listener->chmod_due)
            chmod(listener->address->host, (mode_t)listener->address->mode);
        listener->chmod_due = listener->fresh = false;
    }
}

void listen_close(void)
{
    listen_drop();
    for (size_t i = 0; i < listening.count; i++)
        close_listener(&listening.list[i]);
}

void listen_start(uint32_t worker, struct command *command, struct spawn *spawn)
{
    if (worker >= listening.workers || listening.names[worker] == NULL)
        return;
    size_t first = listening.first[worker];
    size_t end = worker + 1 < listening.workers ? listening.first[worker + 1] : listening.count;
    for (size_t i = first; i < end; i++)
        spawn_pass(spawn, listening.list[i].fd, LISTEN_FDS_START + (int)(i - first));
    command_add_number(command, "LISTEN_FDS=", end - first);
    spawn->pid_variables[0] = command_add(command, "LISTEN_PID=", "");
    command_add_entry(command, listening.names[worker]);
}
