/* channel.h - what the control pipes of the runs are made of; nobody else includes it.
 *
 *   control.c  one named pipe a run: its start and end, and what is said to all who have come
 *   channel.c  the connections to them, any number a pipe
 *
 * A connection is the run's own, and gets no answers, until it says `attach`: from then on it is
 * private.
 */
#ifndef AIORUN_WINDOWS_CHANNEL_H
#define AIORUN_WINDOWS_CHANNEL_H

#include "win32/pipe.h"

#define CHANNEL_READ_SIZE 1024
#define CHANNEL_BACKLOG                                                                            \
    2048 /* bytes for a client that does not read; the kernel keeps some, too                      \
          */

enum channel_state {
    CHANNEL_FREE,
    CHANNEL_LISTENS,
    CHANNEL_OPEN,
    CHANNEL_CLOSING, /* until what goes on with it is over */
};

struct channel {
    struct win_operation input, output; /* the client's coming, and reading; writing */
    HANDLE pipe;
    enum channel_state state;
    uint32_t index, generation;
    struct run_id run;
    struct channel *next; /* of the same slot, or free */
    bool reading, writing;
    bool stale; /* what the reading has brought was taken already */
    bool attached;
    bool deaf; /* its client is gone, but may have said something */
    struct control_reader reader;
    struct passed passed;
    size_t flying, waiting; /* bytes that are being written, and those after them */
    char in[CHANNEL_READ_SIZE], flight[CHANNEL_BACKLOG], backlog[CHANNEL_BACKLOG];
};

/* A slot's pipe: of the run that it has, or had last. */
struct pipe {
    struct run_id run;
    struct channel *channels; /* all of the slot, those of runs before included */
    uint32_t count;           /* of them, those of this run */
    bool named, listens;
    bool asked; /* to stop, for the `reason`, `until` then */
    msec until;
    char reason[CONTROL_NAME_MAX + 1];
    wchar_t name[PIPE_NAME_MAX];
};

/* Is it a connection of the run that the pipe has now? */
static inline bool channel_is_of(const struct channel *channel, const struct pipe *pipe)
{
    return channel->run.generation == pipe->run.generation;
}

/* ---- channel.c ---- */

/* Allocates; false without memory.  Then, for other slots, channel_prepare() does, and either
 * channel_reload() or channel_drop() follows. */
bool channel_open_all(uint32_t slots);
bool channel_prepare(uint32_t slots);
void channel_reload(uint32_t slots);
void channel_drop(void);

/* An instance of the pipe waits for a client, and takes a channel for it.  False with
 * GetLastError(). */
bool channel_listen(struct pipe *pipe, bool first);

/* Says a line to the client; one who does not read loses it, which is logged. */
void channel_order(struct channel *channel, const char *line, size_t length);

/* Takes in what waits, and reports it, before the end of the run is reported. */
void channel_drain(struct channel *channel);

/* Closes it; what was written stays there for the client to read. */
void channel_shut(struct channel *channel);

/* ---- control.c ---- */

struct pipe *control_pipe(uint32_t slot);

/* Tells a client that has come of the stop that its run is asked for already. */
void control_repeat_order(struct channel *channel);

#endif
