#include "plan/option_table.h"
#include "plan/parse.h"
#include "supervisor/supervisor.h"
#include "win32/win32.h"

#include <mswsock.h>
#include <stdio.h>
#include <string.h>
#include <winsock2.h>
#include <ws2tcpip.h>

/* Readiness that nobody tells of: by its time, or asked for.  Does somebody accept connections,
 * does a command succeed?  Asked soon, then less and less often, until the answer is yes or the run
 * is over. */

#define SLOWEST         SECOND   /* between two questions, at most */
#define FIRST_CONNECT   (msec)20 /* until the first; doubled each time */
#define FIRST_COMMAND   (msec)100
#define ANSWERED_WITHIN (5 * SECOND) /* or the answer is no */

static struct {
    const struct plan *plan, *next_plan;
    ADDRINFOW **addresses; /* by worker; NULL where no connection is to be made */
    ADDRINFOW **next;      /* of the plan that is to come */
    msec due;              /* the earliest of the runs' */
    LPFN_CONNECTEX connect;
} ready = {.due = NEVER};

/* ---- before the first start ---- */

/* connect() that does not wait is no function of the library: it has to be asked for. */
static bool open_sockets(void)
{
    WSADATA data;
    GUID name = WSAID_CONNECTEX;
    DWORD size;
    if (ready.connect != NULL)
        return true;
    int error = WSAStartup(MAKEWORD(2, 2), &data);
    if (error != 0) {
        WSASetLastError(error);
        return false;
    }
    SOCKET any = WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, NULL, 0, 0);
    if (any == INVALID_SOCKET)
        return false;
    WSAIoctl(any, SIO_GET_EXTENSION_FUNCTION_POINTER, &name, sizeof name, &ready.connect,
             sizeof ready.connect, &size, NULL, NULL);
    closesocket(any);
    return ready.connect != NULL;
}

static void look_up(const char *text, const char *place, ADDRINFOW **address, struct faults *faults)
{
    ADDRINFOW hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    char words[PLAN_READY_TCP_MAX + 1];
    wchar_t name[PLAN_READY_TCP_MAX + 1], number[8];
    const char *host;
    uint16_t port;
    snprintf(words, sizeof words, "%s", text);
    if (!parse_host(words, &host, &port))
        return; /* the parser has seen it */
    MultiByteToWideChar(CP_UTF8, 0, host, -1, name, sizeof name / sizeof name[0]);
    _snwprintf(number, sizeof number / sizeof number[0], L"%u", (unsigned)port);
    int error = open_sockets() ? GetAddrInfoW(name, number, &hints, address) : WSAGetLastError();
    if (error != 0)
        fault_add(faults, place, "cannot look up the host of 'tcp:%s': %s", text,
                  win_error((DWORD)error));
}

static void free_addresses(const struct plan *plan, ADDRINFOW **addresses)
{
    for (uint32_t i = 0; addresses != NULL && i < plan->worker_count; i++)
        if (addresses[i] != NULL)
            FreeAddrInfoW(addresses[i]);
    platform_free(addresses);
}

void ready_prepare(const struct plan *plan, struct faults *faults)
{
    ready.next_plan = plan;
    ready.next = platform_allocate((plan->worker_count + 1) * sizeof(ADDRINFOW *));
    if (ready.next == NULL)
        fault_add(faults, NULL, "out of memory for the addresses");
    for (uint32_t i = 0; ready.next != NULL && i < plan->worker_count; i++) {
        const struct plan_worker *worker = &plan->workers[i];
        char place[OPTION_PLACE_MAX];
        option_place_in(option_find("ready", strlen("ready")), plan, worker, place);
        if (worker->rules->ready.kind == READY_TCP)
            look_up(worker->rules->ready.text, place, &ready.next[i], faults);
    }
}

void ready_drop(void)
{
    free_addresses(ready.next_plan, ready.next);
    ready.next = NULL;
}

void ready_switch(void)
{
    free_addresses(ready.plan, ready.addresses);
    ready.addresses = ready.next;
    ready.plan = ready.next_plan;
    ready.next = NULL;
    for (uint32_t slot = 0; slot < runs_count(); slot++)
        runs_at(slot)->question.address = NULL; /* the old plan's: the new one's come next */
}

/* ---- questions ---- */

static void wait_until(struct question *question, msec when)
{
    question->due = when;
    ready.due = msec_min(ready.due, when);
}

static void ask_later(struct question *question)
{
    wait_until(question, msec_add(platform_now(), question->delay));
    question->delay = msec_min(2 * question->delay, SLOWEST);
}

static void answer(struct run *run, bool yes)
{
    struct question *question = &run->question;
    const ADDRINFOW *address = question->address;
    question->asking = false;
    if (question->over) /* it was of the run before */
        return;
    question->due = NEVER;
    question->address = address != NULL ? address->ai_next : NULL;
    if (yes)
        supervisor_ready(loop_supervisor(), (struct run_id){run->slot, run->generation});
    else if (question->address != NULL)
        wait_until(question, platform_now());
    else
        ask_later(question);
}

static void on_connected(struct win_operation *operation, DWORD bytes, DWORD error)
{
    struct run *run = CONTAINING_RECORD(operation, struct run, question.connected);
    (void)bytes;
    closesocket(run->question.socket);
    answer(run, error == ERROR_SUCCESS);
}

/* ConnectEx() wants a socket that has an address of its own. */
static bool connect_to(const ADDRINFOW *address, struct question *question)
{
    struct sockaddr_storage any = {.ss_family = (ADDRESS_FAMILY)address->ai_family};
    SOCKET made = WSASocketW(address->ai_family, SOCK_STREAM, IPPROTO_TCP, NULL, 0,
                             WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    if (made == INVALID_SOCKET)
        return false;
    memset(&question->connected, 0, sizeof question->connected);
    question->connected.done = on_connected;
    question->socket = made;
    if (bind(made, (const struct sockaddr *)&any, (int)address->ai_addrlen) == 0 &&
        win_loop_attach((HANDLE)made) == 0 &&
        (ready.connect(made, address->ai_addr, (int)address->ai_addrlen, NULL, 0, NULL,
                       &question->connected.overlapped) ||
         WSAGetLastError() == ERROR_IO_PENDING))
        return true;
    closesocket(made);
    return false;
}

static void on_answered(struct win_operation *operation, DWORD bytes, DWORD error)
{
    struct run *run = CONTAINING_RECORD(operation, struct run, question.ended.operation);
    DWORD code = STATUS_OWN_FAILURE;
    (void)bytes, (void)error;
    win_loop_waited(&run->question.ended);
    GetExitCodeProcess(run->question.process, &code);
    CloseHandle(run->question.process);
    CloseHandle(run->question.job); /* and ends what is left in it */
    answer(run, code == 0);
}

static bool run_command(const struct command *command, struct question *question)
{
    struct spawn spawn = {.command = command, .own_group = true, .job = runs_make_job()};
    struct platform_started started;
    DWORD pid;
    for (size_t i = 0; i < 3; i++)
        spawn.standard[i] = spawn_null();
    if (spawn.job == NULL)
        return false;
    question->job = spawn.job;
    question->process = spawn_process(&spawn, &pid, &started);
    if (question->process != NULL &&
        win_loop_wait(&question->ended, question->process, on_answered))
        return true;
    if (question->process != NULL)
        CloseHandle(question->process);
    CloseHandle(spawn.job);
    return false;
}

static void ask(struct run *run)
{
    struct question *question = &run->question;
    const ADDRINFOW *address = question->address;
    bool connects = ready.plan->workers[run->worker].rules->ready.kind == READY_TCP;
    if (address == NULL)
        address = question->address = ready.addresses[run->worker];
    question->over = false;
    question->asking = connects ? connect_to(address, question)
                                : run_command(start_question(run->worker), question);
    if (question->asking)
        wait_until(question, msec_add(platform_now(), ANSWERED_WITHIN));
    else
        answer(run, false);
}

/* The answer comes at once then, and is no. */
static void call_off(struct run *run)
{
    run->question.due = NEVER;
    if (ready.plan->workers[run->worker].rules->ready.kind == READY_TCP)
        CancelIoEx((HANDLE)run->question.socket, NULL);
    else
        TerminateJobObject(run->question.job, CODE_KILLED);
}

static void on_time(struct run *run)
{
    struct question *question = &run->question;
    question->due = NEVER;
    if (ready.plan->workers[run->worker].rules->ready.kind == READY_AFTER)
        supervisor_ready(loop_supervisor(), (struct run_id){run->slot, run->generation});
    else if (!question->asking)
        ask(run);
    else if (question->over)
        ask_later(question); /* the one of the run before is being called off */
    else
        call_off(run);
}

msec ready_next(void)
{
    return ready.due;
}

void ready_tell(void)
{
    msec now = platform_now();
    if (now < ready.due)
        return;
    ready.due = NEVER;
    for (uint32_t slot = 1; slot < runs_count(); slot++) {
        struct run *run = runs_at(slot);
        if (run->process != NULL && run->question.due <= now)
            on_time(run);
        if (run->process != NULL)
            ready.due = msec_min(ready.due, run->question.due);
    }
}

/* ---- a run ---- */

void ready_start(struct run *run)
{
    const struct plan_ready *how = &ready.plan->workers[run->worker].rules->ready;
    struct question *question = &run->question;
    if (how->kind == READY_AFTER)
        wait_until(question, msec_add(platform_now(), how->time));
    if (how->kind != READY_TCP && how->kind != READY_COMMAND)
        return;
    question->delay = how->kind == READY_TCP ? FIRST_CONNECT : FIRST_COMMAND;
    ask_later(question);
}

void ready_stop(struct run *run)
{
    run->question.due = NEVER;
    run->question.address = NULL;
    if (run->question.asking && !run->question.over)
        call_off(run);
    run->question.over = run->question.asking;
}
