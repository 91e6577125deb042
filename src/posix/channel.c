#include "posix/posix.h"
#include "protocol/wire.h"
#include "report/log.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A run's own pipe has the index of its slot; private channels stand behind them. */

#define PRIVATE_MAX     128 /* private channels in all, */
#define PRIVATE_PER_RUN 48  /* and of one run */
#define READ_AT_A_TIME  4096
#define DRAIN_MAX       64 /* reads: more than a socket holds by default (net.core.wmem_default) */
#define RETIRED_MAX     4  /* descriptors that are to be closed */

struct channel {
    struct run_id run;
    uint32_t generation; /* this place is used again and again */
    int fd;
    bool open;
    bool behind;    /* a part of a line waits in its backlog */
    bool by_signal; /* see watch_by_signal() */
};

/* Only whoever sends a line in parts costs the memory of one: pages that are never written are
 * never there. */
struct backlog {
    struct control_reader reader;
    struct passed passed;
};

struct table {
    struct platform_slots runs; /* their own */
    struct channel *others;
    struct backlog *backlogs; /* of all */
    uint32_t own, count;      /* the runs' own; all */
};

/* The two ends of a pipe. */
struct pair {
    int ours, theirs; /* -1: there is none */
    char identity[CHANNEL_IDENTITY_SIZE];
};

static struct {
    struct supervisor *supervisor;
    struct table now, next; /* and what is to take its place */
    uint32_t open_others;
    /* See channel_tidy(). */
    struct pair stock;
    bool fleet, stock_wanted;
    int retired[RETIRED_MAX];
    uint32_t retired_count;
} channels = {.stock = {.ours = -1}};

static struct channel *place(const struct table *table, uint32_t index)
{
    return index < table->own ? platform_slot(&table->runs, index)
                              : &table->others[index - table->own];
}

static struct channel *at(uint32_t index)
{
    return place(&channels.now, index);
}

/* ---- opening and closing ---- */

static bool make_table(struct table *made, uint32_t slots)
{
    made->own = slots;
    made->count = slots + PRIVATE_MAX;
    made->others = platform_reserve(PRIVATE_MAX * sizeof *made->others);
    made->backlogs = platform_reserve(made->count * sizeof *made->backlogs);
    bool allocated = platform_allocate_slots(&made->runs, slots, sizeof(struct channel));
    return allocated && made->others != NULL && made->backlogs != NULL;
}

static void free_table(struct table *table)
{
    platform_free_slots(&table->runs);
    platform_free(table->others);
    platform_free(table->backlogs);
    *table = (struct table){0};
}

bool channel_open_all(struct supervisor *supervisor, const struct plan *plan, uint32_t slots)
{
    channels.supervisor = supervisor;
    channels.fleet = plan_is_fleet(plan);
    return make_table(&channels.now, slots);
}

/* A launcher's pipe is mostly never used.  So the first byte comes as a SIGIO, among the signals
 * that are waited for anyway, and only then there is something else to wait for. */
static bool watch_by_signal(int fd)
{
    return !loop_is_wide() && fcntl(fd, F_SETOWN, inherited.pid) == 0 &&
           fcntl(fd, F_SETSIG, SIGIO) == 0 && fcntl(fd, F_SETFL, O_RDWR | O_ASYNC) == 0;
}

static void take_over(uint32_t index, int fd, struct run_id run, bool by_signal)
{
    struct channel *channel = at(index);
    channel->run = run;
    channel->fd = fd;
    channel->open = true;
    channel->behind = false;
    channel->by_signal = by_signal;
    channels.open_others += index >= channels.now.own;
}

static void close_channel(uint32_t index)
{
    struct channel *channel = at(index);
    if (!channel->open)
        return;
    if (channel->behind)
        passed_close(&channels.now.backlogs[index].passed);
    if (index >= channels.now.own)
        pipeset_remove(channel->fd); /* its sender may have kept it, and it would be watched on */
    if (channels.stock.ours >= 0 && channels.retired_count < RETIRED_MAX)
        channels.retired[channels.retired_count++] = channel->fd;
    else
        close(channel->fd);
    channel->open = channel->behind = false;
    channels.open_others -= index >= channels.now.own;
}

/* device:inode of the descriptor; false with errno. */
static bool identify(int fd, char *identity)
{
    struct wire wire = {.at = identity, .end = identity + CHANNEL_IDENTITY_SIZE - 1};
    struct stat status;
    if (fstat(fd, &status) < 0)
        return false;
    wire_put_number(&wire, status.st_dev);
    wire_put(&wire, ":");
    wire_put_number(&wire, status.st_ino);
    *wire.at = '\0';
    return true;
}

static void close_pair(struct pair *pair)
{
    int error = errno;
    close(pair->ours);
    close(pair->theirs);
    pair->ours = -1;
    errno = error;
}

/* False with errno. */
static bool make_pair(struct pair *pair)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return false;
    pair->ours = spawn_keep_high(ends[0]);
    pair->theirs = ends[1];
    if (identify(pair->theirs, pair->identity))
        return true;
    close_pair(pair);
    return false;
}

/* For the run in slot `index`; false with errno. */
static bool take_pair(uint32_t index, struct pair *pair, bool *by_signal)
{
    uint32_t generation = ++at(index)->generation;
    channels.stock_wanted = channels.fleet && generation > 1;
    if (channels.stock.ours >= 0) {
        *pair = channels.stock;
        channels.stock.ours = -1;
        pipeset_again(pair->ours, index, generation);
        *by_signal = false;
        return true;
    }
    if (!make_pair(pair))
        return false;
    *by_signal = watch_by_signal(pair->ours);
    if (*by_signal || pipeset_add(pair->ours, index, generation))
        return true;
    close_pair(pair);
    return false;
}

int channel_open_run(struct run_id run, char *identity)
{
    struct pair pair;
    bool by_signal;
    close_channel(run.slot); /* of the run before */
    if (!take_pair(run.slot, &pair, &by_signal))
        return -1;
    take_over(run.slot, pair.ours, run, by_signal);
    strcpy(identity, pair.identity);
    return pair.theirs;
}

static bool is_scarce(const struct pair *pair)
{
    static int ample = -1; /* the highest that was not */
    int high = pair->ours > pair->theirs ? pair->ours : pair->theirs;
    if (high > ample && passed_fd_is_scarce(high))
        return true;
    ample = high > ample ? high : ample;
    return false;
}

/* A worker that ends is often started anew, and the kernel takes long to make a pipe and to release
 * it.  So that is done while the new process comes up: what belonged to the old one is closed, and
 * a pipe made for the next; but nothing is kept that a start might lack. */
void channel_tidy(void)
{
    struct pair *stock = &channels.stock;
    while (channels.retired_count > 0)
        close(channels.retired[--channels.retired_count]);
    if (!channels.stock_wanted || stock->ours >= 0)
        return;
    channels.stock_wanted = false; /* who cannot have one now makes his own, and says why not */
    if (make_pair(stock) && (is_scarce(stock) || !pipeset_add(stock->ours, NO_SLOT, 0)))
        close_pair(stock);
}

void channel_abort(struct run_id run)
{
    close_channel(run.slot);
}

/* ---- writing ---- */

bool channel_write(int fd, const char *line, size_t length)
{
    return send(fd, line, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
}

/* The run's own pipe; NULL: it is closed. */
static struct channel *own_channel(struct run_id run)
{
    if (run.slot >= channels.now.own)
        return NULL;
    struct channel *channel = at(run.slot);
    return channel->open && channel->run.generation == run.generation ? channel : NULL;
}

void platform_order(struct run_id run, const char *line, size_t length)
{
    struct channel *channel = own_channel(run);
    if (channel == NULL)
        return;
    if (!channel_write(channel->fd, line, length) && errno != EPIPE && errno != ECONNRESET)
        log_line(LEVEL_WARNING, "a control pipe is full, since nobody reads it: '%.*s' is lost",
                 (int)length - 1, line);
}

/* TIOCOUTQ is the name that every C library has for SIOCOUTQ: what the other end has not read. */
void platform_remind(struct run_id run, const char *line, size_t length)
{
    const struct channel *channel = own_channel(run);
    int unread;
    if (channel != NULL && ioctl(channel->fd, TIOCOUTQ, &unread) == 0 && unread == 0)
        platform_order(run, line, length);
}

void platform_answer(struct channel_id id, const char *line, size_t length)
{
    uint32_t index = channels.now.own + id.index - 1;
    if (id.index == 0 || index >= channels.now.count)
        return;
    struct channel *channel = at(index);
    if (!channel->open || channel->generation != id.generation)
        return;
    /* Whoever asks and never reads the answers has no use for a channel. */
    if (!channel_write(channel->fd, line, length))
        close_channel(index);
}

/* ---- attach ---- */

static const char *judge_channel(int fd, struct run_id run)
{
    int domain = 0, type = 0;
    socklen_t size = sizeof domain;
    uint32_t used = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_UNIX ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM)
        return "attach needs a UNIX stream socket";
    for (uint32_t i = channels.now.own; i < channels.now.count; i++)
        used += at(i)->open && at(i)->run.slot == run.slot;
    return used < PRIVATE_PER_RUN ? NULL : "this run has too many private channels";
}

static void attach(uint32_t index)
{
    static const char welcome[] = "ok 1\n";
    struct run_id run = at(index)->run;
    const char *fault = passed_fault(1, "attach needs one descriptor");
    if (index >= channels.now.own)
        fault = "a private channel cannot attach another";
    if (fault != NULL) {
        supervisor_bad_line(channels.supervisor, run, channel_name(index), fault);
        return;
    }
    int fd = passed_now()->fds[0];
    fault = judge_channel(fd, run);
    uint32_t free_place = channels.now.own;
    while (free_place < channels.now.count && at(free_place)->open)
        free_place++;
    if (fault == NULL && free_place == channels.now.count)
        fault = "there are too many private channels";
    if (fault == NULL && !pipeset_add(fd, free_place, ++at(free_place)->generation))
        fault = "there is too little memory for another private channel";
    if (fault != NULL) {
        char line[CONTROL_LINE_MAX];
        int length = snprintf(line, sizeof line, "error %s\n", fault);
        channel_write(fd, line, (size_t)length);
        supervisor_bad_line(channels.supervisor, run, channel_name(index), fault);
        return;
    }
    passed_now()->count = 0; /* it is ours now */
    take_over(free_place, fd, run, false);
    platform_answer(channel_name(free_place), welcome, sizeof welcome - 1);
}

/* ---- reading ---- */

/* Where the runs' own end may change (channel_reload()): a private channel keeps its name. */
struct channel_id channel_name(uint32_t index)
{
    if (index < channels.now.own)
        return (struct channel_id){0, 0};
    return (struct channel_id){index - channels.now.own + 1, at(index)->generation};
}

/* `ok` is what we say.  Who has both ends of a socket attached would have us answer our own answers
 * for ever. */
static bool is_answer(const char *line)
{
    return strncmp(line, "ok", 2) == 0 && (line[2] == '\0' || line[2] == ' ');
}

static void take_line(uint32_t index, struct control_reader *reader)
{
    struct control_message message;
    const char *fault;
    struct run_id run = at(index)->run;
    if (index >= channels.now.own && is_answer(reader->line))
        close_channel(index);
    else if (!control_parse(reader->line, &message, &fault))
        supervisor_bad_line(channels.supervisor, run, channel_name(index), fault);
    else if (message.verb == CONTROL_ATTACH)
        attach(index);
    else
        supervisor_message(channels.supervisor, run, channel_name(index), &message);
}

static void take_bytes(uint32_t index, struct backlog *backlog, const char *bytes, size_t count)
{
    struct channel *channel = at(index);
    uint32_t generation = channel->generation;
    while (count > 0) {
        size_t taken;
        enum control_read result = control_read(&backlog->reader, bytes, count, &taken);
        bytes += taken;
        count -= taken;
        passed_set(&backlog->passed);
        if (result == CONTROL_READ_LINE)
            take_line(index, &backlog->reader);
        else if (result == CONTROL_READ_BAD)
            supervisor_bad_line(channels.supervisor, channel->run, channel_name(index),
                                "it is too long, or not plain text");
        passed_set(NULL);
        if (!channel->open || channel->generation != generation)
            return; /* what it said has ended it */
    }
}

/* Takes in one chunk; false when there is none, or it was the end: mostly it is, and touches
 * nothing that was not used before. */
static bool read_channel(uint32_t index)
{
    static struct backlog fresh UNTOUCHED("channel_fresh");
    static char bytes[READ_AT_A_TIME] UNTOUCHED("channel_bytes");
    struct channel *channel = at(index);
    uint32_t generation = channel->generation;
    struct backlog *backlog = channel->behind ? &channels.now.backlogs[index] : &fresh;

    ssize_t count = passed_receive(channel->fd, bytes, sizeof bytes, &backlog->passed);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (count <= 0) {
        close_channel(index);
        return false;
    }
    take_bytes(index, backlog, bytes, (size_t)count);
    bool same = channel->open && channel->generation == generation;
    bool behind = same && (backlog->reader.used > 0 || backlog->reader.skipping);
    if (!behind)
        passed_close(&backlog->passed);
    else if (backlog == &fresh)
        channels.now.backlogs[index] = fresh;
    if (backlog == &fresh)
        memset(&fresh, 0, sizeof fresh);
    if (same)
        channel->behind = behind;
    return same;
}

/* One chunk a turn: a flood from one channel does not keep the others waiting. */
bool channel_readable(uint32_t index, uint32_t generation)
{
    /* What was closed a moment ago is still told of, and by the place that it had before a reload.
     * Whoever has that place now may be looked at: there may be nothing to read. */
    const struct channel *channel = index < channels.now.count ? at(index) : NULL;
    if (channel == NULL || !channel->open || channel->generation != generation)
        return false;
    read_channel(index);
    bool same = channel->open && channel->generation == generation;
    if (same)
        pipeset_again(channel->fd, index, generation);
    return !same;
}

static void drain(uint32_t index)
{
    for (int n = 0; n < DRAIN_MAX && at(index)->open && read_channel(index); n++)
        ;
}

void channel_drain(struct run_id run)
{
    if (at(run.slot)->run.generation == run.generation)
        drain(run.slot);
    for (uint32_t i = channels.now.own; channels.open_others > 0 && i < channels.now.count; i++) {
        const struct channel *channel = at(i);
        if (channel->open && channel->run.slot == run.slot &&
            channel->run.generation == run.generation)
            drain(i);
    }
}

/* Told once of all that there is: it is read dry, and watched like others from then on. */
void channel_wake(void)
{
    for (uint32_t i = 0; i < runs_count(); i++) {
        struct channel *channel = at(i);
        if (!channel->open || !channel->by_signal)
            continue;
        drain(i);
        if (!channel->open || !pipeset_add(channel->fd, i, channel->generation))
            continue;
        channel->by_signal = false;
        fcntl(channel->fd, F_SETFL, O_RDWR);
    }
}

/* ---- a new plan ---- */

bool channel_prepare(uint32_t slots)
{
    return make_table(&channels.next, slots);
}

void channel_drop(void)
{
    free_table(&channels.next);
}

/* To the place `to` of the next table, for the run in `slot`; NO_SLOT: that is gone. */
static void move_channel(uint32_t from, uint32_t to, uint32_t slot)
{
    struct channel *channel = place(&channels.next, to);
    if (slot == NO_SLOT)
        close_channel(from);
    *channel = *at(from);
    channel->run.slot = slot != NO_SLOT ? slot : 0;
    if (channel->behind)
        channels.next.backlogs[to] = channels.now.backlogs[from];
    if (channel->open && !channel->by_signal)
        pipeset_again(channel->fd, to, channel->generation);
}

/* No line is being taken in: see supervisor_time(). */
void channel_reload(const struct reload *reload)
{
    for (uint32_t slot = 0; slot < channels.now.own; slot++)
        if (reload->new_slot_of[slot] == NO_SLOT)
            close_channel(slot);
        else
            move_channel(slot, reload->new_slot_of[slot], reload->new_slot_of[slot]);
    for (uint32_t i = 0; i < PRIVATE_MAX; i++) {
        uint32_t from = channels.now.own + i;
        uint32_t slot = at(from)->open ? reload->new_slot_of[at(from)->run.slot] : NO_SLOT;
        move_channel(from, reload->slots + i, slot);
    }
    free_table(&channels.now);
    channels.now = channels.next;
    channels.next = (struct table){0};
}
