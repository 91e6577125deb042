#include "protocol/admin.h"

#include "report/log.h"
#include "supervisor/supervisor.h"
#include "win32/pipe.h"

#include <stdio.h>
#include <string.h>

/* The admin pipe: who may speak, one line in, an answer out as fast as its reader takes it. */

#define SPEAK_WITHIN (10 * SECOND) /* for the request */
#define READ_WITHIN  (30 * SECOND) /* without taking anything of the answer */

enum client_state {
    CLIENT_NONE,
    CLIENT_LISTENS, /* nobody is there yet */
    CLIENT_SPEAKS,
    CLIENT_READS,   /* takes its answer */
    CLIENT_WAITS,   /* for more of it to come */
    CLIENT_CLOSING, /* until what goes on with it is over */
};

struct client {
    struct win_operation input, output; /* its coming, and reading; writing */
    HANDLE pipe;
    enum client_state state;
    uint32_t generation; /* this place is used again and again */
    bool reading, writing;
    msec deadline; /* NEVER: it has time */
    size_t used;   /* bytes of the line */
    size_t length; /* of the piece that is being written */
    struct passed passed;
    char line[ADMIN_LINE_MAX + 1]; /* the request, which points into it, is kept to the end */
    char piece[PLATFORM_ADMIN_PIECE];
    char surplus[1]; /* what comes after the request: nothing should */
};

static struct {
    struct client *clients; /* NULL: there is no admin pipe */
    HANDLE timer;
    struct win_wait wait;
    bool listens;
    wchar_t name[MAX_PATH];
    char shown[4 * MAX_PATH];
} admin;

static uint32_t index_of(const struct client *client)
{
    return (uint32_t)(client - admin.clients);
}

/* ---- time ---- */

static void on_timer(struct win_operation *operation, DWORD bytes, DWORD error);

/* One timer for whoever is out of time first. */
static void arm(void)
{
    msec first = NEVER;
    LARGE_INTEGER due;
    for (uint32_t i = 0; i < PLATFORM_ADMIN_CLIENTS; i++)
        if (admin.clients[i].state == CLIENT_SPEAKS || admin.clients[i].state == CLIENT_READS)
            first = msec_min(first, admin.clients[i].deadline);
    if (first == NEVER) {
        CancelWaitableTimer(admin.timer);
        return;
    }
    msec rest = first - platform_now();
    due.QuadPart = rest > 0 ? -10000 * rest : -1; /* of 100 ns; from now on, since negative */
    SetWaitableTimer(admin.timer, &due, 0, NULL, NULL, FALSE);
    if (!admin.wait.pending)
        win_loop_wait(&admin.wait, admin.timer, on_timer);
}

/* ---- connections ---- */

static void on_input(struct win_operation *operation, DWORD bytes, DWORD error);
static void on_output(struct win_operation *operation, DWORD bytes, DWORD error);

static void listen(bool first)
{
    struct client *client = admin.clients;
    struct client *end = client + PLATFORM_ADMIN_CLIENTS;
    while (client < end && client->state != CLIENT_NONE)
        client++;
    if (client == end)
        return; /* later, when one has gone */
    client->pipe = pipe_make(admin.name, first);
    if (client->pipe == NULL)
        return;
    client->input.done = on_input;
    client->output.done = on_output;
    client->reading = pipe_listen(client->pipe, &client->input);
    if (!client->reading) {
        CloseHandle(client->pipe);
        return;
    }
    client->state = CLIENT_LISTENS;
    client->generation++;
    client->used = client->length = 0;
    admin.listens = true;
}

static void watch(struct client *client, enum client_state state)
{
    client->state = state;
    client->deadline = NEVER;
    if (state == CLIENT_SPEAKS)
        client->deadline = platform_now() + SPEAK_WITHIN;
    if (state == CLIENT_READS)
        client->deadline = platform_now() + READ_WITHIN;
    arm();
}

static void put_back(struct client *client)
{
    CloseHandle(client->pipe);
    client->state = CLIENT_NONE;
    if (!admin.listens)
        listen(false);
}

/* What was written stays there for the client to read. */
static void drop(struct client *client)
{
    bool asked = client->state == CLIENT_READS || client->state == CLIENT_WAITS;
    if (client->state == CLIENT_NONE || client->state == CLIENT_CLOSING)
        return;
    client->state = CLIENT_CLOSING;
    passed_close(&client->passed);
    CancelIoEx(client->pipe, NULL);
    if (asked)
        supervisor_admin_gone(loop_supervisor(), index_of(client));
    if (!client->reading && !client->writing)
        put_back(client);
}

static void on_timer(struct win_operation *operation, DWORD bytes, DWORD error)
{
    msec now = platform_now();
    (void)operation, (void)bytes, (void)error;
    win_loop_waited(&admin.wait);
    for (uint32_t i = 0; i < PLATFORM_ADMIN_CLIENTS; i++) {
        struct client *client = &admin.clients[i];
        bool timed = client->state == CLIENT_SPEAKS || client->state == CLIENT_READS;
        if (timed && client->deadline <= now)
            drop(client);
    }
    arm();
}

/* ---- answers ---- */

/* The next piece, if there is one. */
static void answer(struct client *client)
{
    bool over = false;
    client->length = supervisor_admin_more(loop_supervisor(), index_of(client), client->piece,
                                           sizeof client->piece, &over);
    if (client->length > 0) {
        client->writing =
            pipe_write(client->pipe, &client->output, client->piece, (DWORD)client->length);
        if (!client->writing)
            drop(client);
        else
            watch(client, CLIENT_READS);
    } else if (over) {
        drop(client);
    } else {
        watch(client, CLIENT_WAITS);
    }
}

static void on_output(struct win_operation *operation, DWORD bytes, DWORD error)
{
    struct client *client =
        (struct client *)(void *)((char *)operation - offsetof(struct client, output));
    client->writing = false;
    if (client->state == CLIENT_CLOSING && !client->reading)
        put_back(client);
    else if (client->state == CLIENT_READS && (error != ERROR_SUCCESS || bytes < client->length))
        drop(client);
    else if (client->state == CLIENT_READS)
        answer(client);
}

void platform_admin_wake(uint32_t index)
{
    struct client *client = &admin.clients[index];
    if (client->state == CLIENT_WAITS)
        answer(client);
}

/* Says it while there is nothing else to say, so that there is room for it, and lets go. */
static void refuse(struct client *client, const char *sentence)
{
    int length = snprintf(client->piece, sizeof client->piece, "error %s\n", sentence);
    client->length = (size_t)length;
    client->writing = pipe_write(client->pipe, &client->output, client->piece, (DWORD)length);
    drop(client);
}

/* ---- the request ---- */

static void obey(struct client *client, size_t length)
{
    client->state = CLIENT_READS;
    passed_set(&client->passed);
    supervisor_admin_request(loop_supervisor(), index_of(client), client->line, length);
    passed_set(NULL);
    passed_close(&client->passed);
    if (client->state == CLIENT_READS && !client->writing)
        answer(client);
}

/* Takes a line of handles, which may stand before the request, off. */
static void take_handles(struct client *client, char *newline)
{
    *newline = '\0';
    passed_take(&client->passed, client->pipe, client->line);
    client->used -= (size_t)(newline + 1 - client->line);
    memmove(client->line, newline + 1, client->used);
}

static void read_more(struct client *client)
{
    bool speaks = client->state == CLIENT_SPEAKS;
    void *buffer = speaks ? client->line + client->used : client->surplus;
    size_t size = speaks ? ADMIN_LINE_MAX - client->used : sizeof client->surplus;
    client->reading = pipe_read(client->pipe, &client->input, buffer, (DWORD)size);
    if (!client->reading)
        drop(client);
}

static void take_lines(struct client *client)
{
    char *newline;
    while (client->state == CLIENT_SPEAKS &&
           (newline = memchr(client->line, '\n', client->used)) != NULL) {
        client->line[client->used] = '\0';
        if (passed_is_line(client->line))
            take_handles(client, newline);
        else
            obey(client, (size_t)(newline - client->line));
    }
    if (client->state == CLIENT_SPEAKS && client->used == ADMIN_LINE_MAX)
        refuse(client, "the request is longer than 4,096 bytes");
}

/* The pipe's rights let nobody else in; who has them from elsewhere is refused all the same. */
static bool may_speak(const struct client *client)
{
    DWORD pid;
    HANDLE process = pipe_client(client->pipe, &pid);
    if (process == NULL)
        return GetLastError() == ERROR_INVALID_PARAMETER; /* it is gone by now */
    bool ours = pipe_is_ours(process);
    CloseHandle(process);
    return ours;
}

static void greet(struct client *client)
{
    admin.listens = false;
    watch(client, CLIENT_SPEAKS);
    listen(false);
    if (!may_speak(client))
        refuse(client, "only the supervisor's own user may speak here");
}

static void on_input(struct win_operation *operation, DWORD bytes, DWORD error)
{
    struct client *client = (struct client *)(void *)operation;
    uint32_t generation = client->generation;
    client->reading = false;
    if (client->state == CLIENT_CLOSING) {
        if (!client->writing)
            put_back(client);
        return;
    }
    if (error != ERROR_SUCCESS) {
        if (client->state == CLIENT_LISTENS)
            admin.listens = false;
        drop(client);
        return;
    }
    if (client->state == CLIENT_LISTENS) {
        greet(client);
    } else if (client->state == CLIENT_SPEAKS) {
        client->used += bytes;
        take_lines(client);
    } else { /* a word too many */
        drop(client);
        return;
    }
    bool stays = client->state != CLIENT_CLOSING && client->state != CLIENT_NONE;
    if (stays && client->generation == generation)
        read_more(client);
}

/* ---- opening ---- */

/* A name without the place where pipes are is put there. */
static bool set_name(const char *name)
{
    int prefix = strncmp(name, "\\\\", 2) == 0
                     ? 0
                     : snprintf(admin.shown, sizeof admin.shown, "\\\\.\\pipe\\");
    snprintf(admin.shown + prefix, sizeof admin.shown - (size_t)prefix, "%s", name);
    return strlen(name) < MAX_PATH &&
           MultiByteToWideChar(CP_UTF8, 0, admin.shown, -1, admin.name, MAX_PATH) > 0;
}

/* Has somebody a pipe of that name?  The system refuses a second one, too; but not in all its
 * imitations. */
static bool is_taken(void)
{
    return WaitNamedPipeW(admin.name, 1) || GetLastError() == ERROR_SEM_TIMEOUT;
}

static bool fail(enum log_level level, DWORD error)
{
    if (error == ERROR_ACCESS_DENIED || error == ERROR_PIPE_BUSY)
        log_line(level, "cannot open the admin pipe: another program answers at '%s'", admin.shown);
    else
        log_line(level, "cannot open the admin pipe '%s': %s", admin.shown, win_error(error));
    admin.clients = NULL;
    return false;
}

bool admin_pipe_open(const struct plan *plan)
{
    char name[64];
    enum log_level level = plan->control != NULL ? LEVEL_CRITICAL : LEVEL_WARNING;
    if (plan->control == NULL && plan->mode != MODE_FLEET)
        return true;
    snprintf(name, sizeof name, "aiorun-%lu", GetCurrentProcessId());
    if (!set_name(plan->control != NULL ? plan->control : name))
        return fail(level, ERROR_INVALID_NAME);
    admin.clients = platform_allocate(PLATFORM_ADMIN_CLIENTS * sizeof *admin.clients);
    admin.timer = CreateWaitableTimerW(NULL, FALSE, NULL);
    if (admin.clients == NULL || admin.timer == NULL)
        return fail(level, ERROR_NOT_ENOUGH_MEMORY) || plan->control == NULL;
    if (is_taken())
        return fail(level, ERROR_PIPE_BUSY) || plan->control == NULL;
    listen(true);
    if (!admin.listens)
        return fail(level, GetLastError()) || plan->control == NULL;
    return true;
}

/* The last words, as far as there is room for them; the connections are the kernel's to close: who
 * waits for our end learns of it then. */
void admin_pipe_close(void)
{
    for (uint32_t i = 0; admin.clients != NULL && i < PLATFORM_ADMIN_CLIENTS; i++) {
        struct client *client = &admin.clients[i];
        bool over = false, asked = client->state == CLIENT_READS || client->state == CLIENT_WAITS;
        while (asked && !over) {
            if (client->writing && !HasOverlappedIoCompleted(&client->output.overlapped))
                break;
            client->length = supervisor_admin_more(loop_supervisor(), i, client->piece,
                                                   sizeof client->piece, &over);
            if (client->length == 0)
                break;
            client->writing =
                pipe_write(client->pipe, &client->output, client->piece, (DWORD)client->length);
            if (!client->writing)
                break;
        }
    }
}
