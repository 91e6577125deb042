#include "protocol/admin.h"

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
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The admin socket: who may speak, one line in, an answer out as fast as its reader takes it. */

#define SPEAK_WITHIN    10.0 /* seconds, for the request */
#define READ_WITHIN     30.0 /* seconds without taking anything of the answer */
#define ACCEPT_AGAIN    1.0  /* seconds, when no descriptor was left */
#define PIECES_AT_ONCE  16   /* for one client, before the others have their turn */
#define BACKLOG         64
#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path))

enum client_state {
    CLIENT_NONE,
    CLIENT_SPEAKS,
    CLIENT_READS, /* takes its answer */
    CLIENT_WAITS, /* for more of it to come */
};

struct client {
    ev_io io;
    ev_timer timer;
    enum client_state state;
    size_t used;       /* bytes of the line */
    size_t start, end; /* of the piece that is being sent */
    struct passed passed;
    char line[ADMIN_LINE_MAX + 1]; /* the request, which points into it, is kept to the end */
    char piece[PLATFORM_ADMIN_PIECE];
};

static struct {
    struct ev_loop *loop;
    struct supervisor *supervisor;
    struct client *clients;
    ev_io io;
    ev_timer again;
    int spare; /* kept for one client, where runs have taken all the others; -1: it has it */
    bool open;
    char path[SOCKET_PATH_MAX];
    dev_t device;
    ino_t inode;
} admin;

static uint32_t index_of(const struct client *client)
{
    return (uint32_t)(client - admin.clients);
}

static struct client *client_of(const ev_watcher *watcher, size_t offset)
{
    return (struct client *)(void *)((char *)(uintptr_t)watcher - offset);
}

/* ---- connections ---- */

static void watch(struct client *client, enum client_state state)
{
    int events = state == CLIENT_READS ? EV_WRITE : EV_READ;
    int fd = client->io.fd;
    client->state = state;
    ev_io_stop(admin.loop, &client->io);
    ev_io_set(&client->io, fd, events);
    loop_watch(&client->io);
    client->timer.repeat = state == CLIENT_SPEAKS  ? SPEAK_WITHIN
                           : state == CLIENT_READS ? READ_WITHIN
                                                   : 0; /* 0 stops it */
    ev_timer_again(admin.loop, &client->timer);
}

static void keep_spare(void)
{
    if (admin.spare < 0)
        admin.spare = fcntl(admin.io.fd, F_DUPFD_CLOEXEC, 0);
}

static void drop(struct client *client)
{
    bool asked = client->state == CLIENT_READS || client->state == CLIENT_WAITS;
    if (client->state == CLIENT_NONE)
        return;
    client->state = CLIENT_NONE;
    ev_io_stop(admin.loop, &client->io);
    ev_timer_stop(admin.loop, &client->timer);
    passed_close(&client->passed);
    close(client->io.fd);
    keep_spare();
    if (asked)
        supervisor_admin_gone(admin.supervisor, index_of(client));
}

/* Sends what is left of the piece.  False when the client is gone, or takes no more now. */
static bool send_piece(struct client *client)
{
    while (client->start < client->end) {
        ssize_t sent = send(client->io.fd, client->piece + client->start,
                            client->end - client->start, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            if (errno != EAGAIN)
                drop(client);
            return false;
        }
        client->start += (size_t)sent;
        ev_timer_again(admin.loop, &client->timer); /* it does read */
    }
    return true;
}

/* Answers until the client takes no more, there is no more, or others want their turn. */
static void answer(struct client *client)
{
    for (int i = 0; i < PIECES_AT_ONCE; i++) {
        bool over = false;
        if (!send_piece(client))
            return;
        client->start = 0;
        client->end = supervisor_admin_more(admin.supervisor, index_of(client), client->piece,
                                            sizeof client->piece, &over);
        if (client->end > 0)
            continue;
        if (over)
            drop(client);
        else
            watch(client, CLIENT_WAITS);
        return;
    }
}

void platform_admin_wake(uint32_t index)
{
    struct client *client = &admin.clients[index];
    if (client->state == CLIENT_WAITS)
        watch(client, CLIENT_READS);
}

/* Says it while there is nothing else to say, and lets go. */
static void refuse(int fd, const char *sentence)
{
    char line[256];
    int length = snprintf(line, sizeof line, "error %s\n", sentence);
    send(fd, line, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void obey(struct client *client, size_t length)
{
    watch(client, CLIENT_READS);
    passed_set(&client->passed);
    supervisor_admin_request(admin.supervisor, index_of(client), client->line, length);
    passed_set(NULL);
    passed_close(&client->passed);
    answer(client);
}

static void listen_to(struct client *client)
{
    size_t room = ADMIN_LINE_MAX - client->used;
    ssize_t count =
        passed_receive(client->io.fd, client->line + client->used, room, &client->passed);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        drop(client);
        return;
    }
    const char *newline = memchr(client->line + client->used, '\n', (size_t)count);
    client->used += (size_t)count;
    if (newline != NULL) {
        obey(client, (size_t)(newline - client->line));
    } else if (client->used == ADMIN_LINE_MAX) {
        refuse(client->io.fd, "the request is longer than 4,096 bytes");
        drop(client);
    }
}

static void on_client(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct client *client = client_of((ev_watcher *)watcher, offsetof(struct client, io));
    (void)loop;
    if (events & EV_ERROR) {
        loop_watch_again(watcher);
        return;
    }
    switch (client->state) {
    case CLIENT_SPEAKS:
        listen_to(client);
        break;
    case CLIENT_READS:
        answer(client);
        break;
    case CLIENT_WAITS: /* the end of the file, or a word too many */
        drop(client);
        break;
    case CLIENT_NONE:
        break;
    }
}

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)events;
    drop(client_of((ev_watcher *)watcher, offsetof(struct client, timer)));
}

/* ---- the listening socket ---- */

static bool may_speak(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void greet(int fd)
{
    struct client *client = admin.clients;
    struct client *end = client + PLATFORM_ADMIN_CLIENTS;
    while (client < end && client->state != CLIENT_NONE)
        client++;
    if (client == end || !may_speak(fd)) {
        refuse(fd, client == end ? "there are too many clients already"
                                 : "only the supervisor's own user and root may speak here");
        close(fd);
        keep_spare();
        return;
    }
    client->used = client->start = client->end = 0;
    client->passed = (struct passed){0};
    ev_io_init(&client->io, on_client, fd, EV_READ);
    ev_init(&client->timer, on_timer);
    watch(client, CLIENT_SPEAKS);
}

/* As accept4(2), with the spare descriptor where there is no other. */
static int accept_client(int listening)
{
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0 || (errno != EMFILE && errno != ENFILE) || admin.spare < 0)
        return fd;
    close(admin.spare);
    admin.spare = -1;
    fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int error = errno;
    if (fd < 0)
        keep_spare();
    errno = error;
    return fd;
}

static void on_listening(struct ev_loop *loop, ev_io *watcher, int events)
{
    if (events & EV_ERROR)
        loop_watch_again(watcher);
    int fd = accept_client(watcher->fd);
    if (fd >= 0) {
        greet(fd);
        return;
    }
    bool passing = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
    if (passing)
        return;
    /* Out of descriptors or memory: the client stays in the queue, and we would be busy. */
    ev_io_stop(loop, watcher);
    ev_timer_again(loop, &admin.again);
}

static void on_again(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    ev_timer_stop(loop, watcher);
    loop_watch(&admin.io);
}

/* ---- opening ---- */

static bool bind_at(int fd, const struct sockaddr_un *address)
{
    mode_t old = umask(0177);
    int result = bind(fd, (const struct sockaddr *)address, sizeof *address);
    int saved = errno;
    umask(old);
    errno = saved;
    return result == 0;
}

/* Does nobody listen at the socket that is there?  False with errno: what else it is. */
static bool is_stale(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) < 0)
        return errno == ENOENT;
    errno = EEXIST;
    if (!S_ISSOCK(status.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    int result = connect(fd, (const struct sockaddr *)address, sizeof *address);
    bool refused = result < 0 && errno == ECONNREFUSED;
    close(fd);
    errno = EADDRINUSE;
    return refused;
}

/* The directory of the socket: of two who find a stale one, or one whose maker does not listen yet,
 * only one goes on.  Not for ever: others may lock a directory, too. */
static int lock_directory(void)
{
    char directory[SOCKET_PATH_MAX];
    snprintf(directory, sizeof directory, "%s", admin.path);
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        slash[slash == directory] = '\0';
    int fd = open(slash != NULL ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Binds, in place of what a supervisor that was killed has left. */
static bool bind_anew(int fd, const struct sockaddr_un *address, bool locked)
{
    if (bind_at(fd, address))
        return true;
    if (errno != EADDRINUSE || !locked || !is_stale(address))
        return false;
    unlink(address->sun_path);
    return bind_at(fd, address);
}

static bool bind_and_listen(int fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    int lock = lock_directory();
    memcpy(address.sun_path, admin.path, strlen(admin.path) + 1);
    bool listens = bind_anew(fd, &address, lock >= 0) && listen(fd, BACKLOG) == 0 &&
                   lstat(admin.path, &status) == 0;
    int saved = errno;
    if (lock >= 0)
        close(lock);
    errno = saved;
    if (!listens)
        return false;
    admin.device = status.st_dev;
    admin.inode = status.st_ino;
    return true;
}

static bool fail(enum log_level level)
{
    if (errno == EADDRINUSE)
        log_line(level, "cannot open the admin socket: another aiorun answers at '%s'", admin.path);
    else
        log_line(level, "cannot open the admin socket '%s': %s", admin.path, strerror(errno));
    return false;
}

static bool open_socket(enum log_level level)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    admin.clients = platform_reserve(PLATFORM_ADMIN_CLIENTS * sizeof *admin.clients);
    if (fd < 0 || admin.clients == NULL || !bind_and_listen(fd)) {
        int saved = errno;
        if (fd >= 0)
            close(fd);
        errno = saved;
        return fail(level);
    }
    admin.loop = loop_widen();
    ev_io_init(&admin.io, on_listening, fd, EV_READ);
    ev_timer_init(&admin.again, on_again, 0, ACCEPT_AGAIN);
    loop_watch(&admin.io);
    admin.spare = -1;
    keep_spare();
    admin.open = true;
    return true;
}

/* Where people look for it: the first of the places that there are.  False when its name is too
 * long. */
static bool choose_place(void)
{
    const char *runtime = getenv("RUNTIME_DIRECTORY"); /* systemd.exec(5): colons between several */
    const char *user = getenv("XDG_RUNTIME_DIR");
    char directory[SOCKET_PATH_MAX];
    int length;
    if (runtime != NULL && runtime[0] == '/')
        length = snprintf(directory, sizeof directory, "%.*s", (int)strcspn(runtime, ":"), runtime);
    else if (user != NULL && user[0] == '/')
        length = snprintf(directory, sizeof directory, "%s/aiorun", user);
    else
        length = snprintf(directory, sizeof directory, "/run/aiorun");
    if ((size_t)length >= sizeof directory)
        return false;
    mkdir(directory, 0700); /* or it is there; else bind(2) says what is wrong */
    length = snprintf(admin.path, sizeof admin.path, "%s/%ld.sock", directory, (long)inherited.pid);
    return (size_t)length < sizeof admin.path;
}

bool admin_socket_open(struct supervisor *supervisor, const struct plan *plan)
{
    admin.supervisor = supervisor;
    if (plan->control == NULL) {
        if (plan->mode != MODE_FLEET)
            return true;
        if (choose_place())
            open_socket(LEVEL_WARNING);
        else
            log_line(LEVEL_WARNING, "no admin socket: the name of its directory is too long");
        return true;
    }
    if (strlen(plan->control) >= sizeof admin.path) {
        log_line(LEVEL_CRITICAL,
                 "cannot open the admin socket '%s': a socket's name has at most "
                 "%zu bytes",
                 plan->control, sizeof admin.path - 1);
        return false;
    }
    memcpy(admin.path, plan->control, strlen(plan->control) + 1);
    return open_socket(LEVEL_CRITICAL);
}

void admin_socket_close(void)
{
    struct stat status;
    if (!admin.open)
        return;
    for (uint32_t i = 0; i < PLATFORM_ADMIN_CLIENTS; i++) {
        struct client *client = &admin.clients[i];
        if (client->state == CLIENT_READS || client->state == CLIENT_WAITS)
            answer(client); /* the last words, if they are taken at once */
    }
    bool is_ours = lstat(admin.path, &status) == 0 && status.st_dev == admin.device &&
                   status.st_ino == admin.inode;
    if (is_ours)
        unlink(admin.path);
    /* The connections are the kernel's to close: who waits for our end learns of it then. */
    admin.open = false;
}
