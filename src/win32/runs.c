#include "plan/signals.h"
#include "report/log.h"
#include "supervisor/supervisor.h"
#include "win32/win32.h"

#include <stdio.h>
#include <string.h>

/* Each run has a job object, in which everything lives that it starts: nothing can leave it.  That
 * is its tree.  When the last handle of a job object is closed, as it is when we are killed, all in
 * it are ended. */

static struct {
    struct run **runs; /* by slot */
    uint32_t size;
} table, next_table;

#define LIST_MAX 16384 /* processes of one tree that are looked at */

static union {
    JOBOBJECT_BASIC_PROCESS_ID_LIST list;
    char room[sizeof(JOBOBJECT_BASIC_PROCESS_ID_LIST) + LIST_MAX * sizeof(ULONG_PTR)];
} members;

/* ---- the table ---- */

static bool make_runs(struct run **runs, uint32_t first, uint32_t end)
{
    for (uint32_t slot = first; slot < end; slot++) {
        if (runs[slot] == NULL)
            runs[slot] = platform_allocate(sizeof *runs[slot]);
        if (runs[slot] == NULL)
            return false;
        runs[slot]->slot = slot;
        runs[slot]->question.due = NEVER;
    }
    return true;
}

bool runs_open(uint32_t slots)
{
    table.runs = platform_allocate(slots * sizeof *table.runs);
    table.size = slots;
    return table.runs != NULL && make_runs(table.runs, 0, slots);
}

struct run *runs_at(uint32_t slot)
{
    return table.runs[slot];
}

uint32_t runs_count(void)
{
    return table.size;
}

struct run *runs_named(struct run_id run)
{
    if (run.slot >= table.size || table.runs[run.slot]->generation != run.generation)
        return NULL;
    return table.runs[run.slot];
}

static struct run_id id_of(const struct run *run)
{
    return (struct run_id){run->slot, run->generation};
}

/* ---- who is there ---- */

HANDLE runs_make_job(void)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {.BasicLimitInformation.LimitFlags =
                                                       JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE};
    HANDLE job = CreateJobObjectW(NULL, NULL);
    if (job != NULL &&
        !SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits)) {
        DWORD error = GetLastError();
        CloseHandle(job);
        SetLastError(error);
        job = NULL;
    }
    return job;
}

/* Calls `visit` for every process of the run's tree, its own too, until it returns false. */
static void visit_members(const struct run *run, DWORD access,
                          bool (*visit)(HANDLE process, DWORD pid, void *context), void *context)
{
    if (run->job == NULL)
        return;
    members.list.NumberOfProcessIdsInList = 0;
    /* If there is no room for all of them, it has some. */
    QueryInformationJobObject(run->job, JobObjectBasicProcessIdList, &members, sizeof members,
                              NULL);
    for (DWORD i = 0; i < members.list.NumberOfProcessIdsInList; i++) {
        DWORD pid = (DWORD)members.list.ProcessIdList[i];
        HANDLE process = OpenProcess(access | SYNCHRONIZE | PROCESS_QUERY_INFORMATION, FALSE, pid);
        BOOL inside = FALSE; /* else the number belongs to another process by now */
        bool more = true;
        if (process != NULL && IsProcessInJob(process, run->job, &inside) && inside &&
            WaitForSingleObject(process, 0) == WAIT_TIMEOUT)
            more = visit(process, pid, context);
        if (process != NULL)
            CloseHandle(process);
        if (!more)
            return;
    }
}

/* ---- ends ---- */

static struct ending ending_of(const struct run *run)
{
    DWORD code = STATUS_OWN_FAILURE;
    GetExitCodeProcess(run->process, &code);
    if (run->killed && code == CODE_KILLED)
        return (struct ending){ENDING_KILLED, SIGKILL};
    if (code == CODE_CONTROL_EVENT) {
        int signal = run->own_group ? run->sent : console_last();
        return (struct ending){ENDING_KILLED, (uint32_t)(signal != 0 ? signal : SIGINT)};
    }
    return (struct ending){ENDING_EXITED, code};
}

static void on_other_ended(struct win_operation *operation, DWORD bytes, DWORD error)
{
    struct run *run = CONTAINING_RECORD(operation, struct run, other);
    (void)bytes, (void)error;
    win_loop_waited(&run->other);
    CloseHandle(run->other_process);
    run->other_process = NULL;
    loop_reaped();
}

/* Any one of them will do: when it is gone, it is looked for the next. */
static bool watch_one(HANDLE process, DWORD pid, void *context)
{
    struct run *run = context;
    (void)pid;
    run->tree = true;
    if (run->other.pending)
        return false;
    if (!DuplicateHandle(GetCurrentProcess(), process, GetCurrentProcess(), &run->other_process, 0,
                         FALSE, DUPLICATE_SAME_ACCESS))
        return true;
    if (win_loop_wait(&run->other, run->other_process, on_other_ended))
        return false;
    CloseHandle(run->other_process);
    return true;
}

/* Is anything left of the tree of a run whose process is gone? */
static bool look_for_tree(struct run *run)
{
    run->tree = false;
    visit_members(run, 0, watch_one, run);
    if (!run->tree && run->job != NULL) {
        CloseHandle(run->job);
        run->job = NULL;
    }
    return run->tree;
}

static void on_ended(struct win_operation *operation, DWORD bytes, DWORD error)
{
    struct run *run = CONTAINING_RECORD(operation, struct run, end);
    (void)bytes, (void)error;
    win_loop_waited(&run->end);
    struct ending end = ending_of(run);
    ready_stop(run);
    control_ended(id_of(run));
    CloseHandle(run->process);
    run->process = NULL;
    loop_reaped();
    bool left = look_for_tree(run);
    output_ended(run->slot, left);
    supervisor_ended(loop_supervisor(), id_of(run), end, left);
}

bool runs_begin(struct run *run, HANDLE process, DWORD pid, HANDLE job)
{
    if (!win_loop_wait(&run->end, process, on_ended))
        return false;
    run->process = process;
    run->pid = pid;
    run->job = job;
    return true;
}

/* Slot 0 is nobody's: whatever our runs start is theirs. */
void platform_census(void)
{
    supervisor_tree(loop_supervisor(), (struct run_id){0, 0}, false, false);
    for (uint32_t slot = 1; slot < table.size; slot++) {
        struct run *run = table.runs[slot];
        if (!run->tree)
            continue;
        bool left = look_for_tree(run);
        if (!left)
            output_ended(slot, left);
        supervisor_tree(loop_supervisor(), id_of(run), left, left && !run->asked);
    }
}

/* ---- asking and killing ---- */

long platform_pid(struct run_id run_id)
{
    const struct run *run = runs_named(run_id);
    return run != NULL && run->process != NULL ? (long)run->pid : 0;
}

static const char *name_of(const struct run *run)
{
    return run->worker == NO_WORKER ? "job" : loop_plan()->workers[run->worker].name;
}

/* A job that is shielded lives in a job object of its own, and not in that of the run that began
 * it: so it is spared. */
static void kill_tree(struct run *run)
{
    run->killed = true;
    TerminateJobObject(run->job, CODE_KILLED);
}

/* Ctrl-Break is all that there is to ask by, and it reaches a process group. */
static void ask(struct run *run, int signal)
{
    if (!run->own_group) {
        log_about(LEVEL_WARNING, name_of(run), (long)run->pid,
                  "process %lu cannot be sent a Ctrl-Break by itself, since it shares our process "
                  "group: --group gives it one of its own",
                  run->pid);
        return;
    }
    run->sent = signal;
    if (!console_break(run->pid))
        log_about(LEVEL_WARNING, name_of(run), (long)run->pid,
                  "cannot send a Ctrl-Break to process %lu: %s", run->pid,
                  win_error(GetLastError()));
}

void platform_send(struct run_id run_id, int signal, bool group,
                   const struct platform_signal *arrived, bool wake)
{
    struct run *run = runs_named(run_id);
    (void)arrived, (void)wake;
    if (run == NULL || run->process == NULL)
        return;
    if (signal != SIGKILL) {
        ask(run, signal);
        return;
    }
    run->killed = true;
    if (group)
        kill_tree(run);
    else
        TerminateProcess(run->process, CODE_KILLED);
}

/* Whoever is left may be in the group still: Windows keeps it as long as somebody is.  In our own
 * group it got the console events that we got.  Who cannot be asked at all is ended: to wait would
 * be of no use. */
void platform_stop_tree(struct run_id run_id, int signal)
{
    struct run *run = runs_named(run_id);
    (void)signal;
    if (run == NULL || run->job == NULL)
        return;
    run->asked = true;
    bool heard = !run->own_group && run->events != console_count();
    bool is_up = run->process != NULL; /* and its group is asked with it */
    if (!is_up && !heard && !(run->own_group && console_break(run->pid)))
        kill_tree(run);
}

void platform_kill(struct run_id run_id)
{
    struct run *run = runs_named(run_id);
    if (run != NULL && run->job != NULL)
        kill_tree(run);
}

void platform_flush(void)
{
}

/* ---- listing ---- */

struct listing {
    const struct run *run;
    struct platform_process *list;
    size_t max, count;
};

static msec age_of(HANDLE process)
{
    FILETIME started, ended, kernel, user, now;
    ULARGE_INTEGER from, to;
    if (!GetProcessTimes(process, &started, &ended, &kernel, &user))
        return -1;
    GetSystemTimeAsFileTime(&now);
    from.LowPart = started.dwLowDateTime;
    from.HighPart = started.dwHighDateTime;
    to.LowPart = now.dwLowDateTime;
    to.HighPart = now.dwHighDateTime;
    return to.QuadPart > from.QuadPart ? (msec)((to.QuadPart - from.QuadPart) / 10000) : 0;
}

static bool list_member(HANDLE process, DWORD pid, void *context)
{
    struct listing *listing = context;
    wchar_t path[1024];
    DWORD length = sizeof path / sizeof path[0];
    if (listing->count++ >= listing->max)
        return true;
    struct platform_process *entry = &listing->list[listing->count - 1];
    memset(entry, 0, sizeof *entry);
    entry->pid = (long)pid;
    entry->killed = listing->run->killed;
    entry->state = 'R';
    entry->age = age_of(process);
    if (!QueryFullProcessImageNameW(process, 0, path, &length))
        return true;
    /* The end of a path says more than its beginning. */
    const wchar_t *shown = length >= 120 ? path + length - 119 : path;
    char text[4 * 120];
    if (WideCharToMultiByte(CP_UTF8, 0, shown, -1, text, sizeof text, NULL, NULL) > 0)
        snprintf(entry->command, sizeof entry->command, "%s", text);
    return true;
}

size_t platform_list(struct run_id run_id, struct platform_process *list, size_t max)
{
    struct listing listing = {.run = runs_named(run_id), .list = list, .max = max};
    if (listing.run != NULL)
        visit_members(listing.run, 0, list_member, &listing);
    return listing.count;
}

/* ---- a new plan ---- */

bool runs_prepare(uint32_t slots)
{
    next_table.runs = platform_allocate(slots * sizeof *next_table.runs);
    next_table.size = slots;
    return next_table.runs != NULL && make_runs(next_table.runs, 0, slots);
}

void runs_drop(void)
{
    for (uint32_t slot = 0; next_table.runs != NULL && slot < next_table.size; slot++)
        if (next_table.runs[slot] != NULL)
            platform_free(next_table.runs[slot]);
    if (next_table.runs != NULL)
        platform_free(next_table.runs);
    next_table.runs = NULL;
}

void runs_reload(const struct platform_map *map, const uint32_t *new_worker_of)
{
    for (uint32_t slot = 0; slot < map->slots; slot++) {
        uint32_t was = map->old_slot_of[slot];
        if (was >= table.size)
            continue;
        platform_free(next_table.runs[slot]);
        struct run *run = table.runs[was];
        next_table.runs[slot] = run;
        table.runs[was] = NULL;
        run->slot = slot;
        if (run->worker < map->old_workers)
            run->worker = new_worker_of[run->worker];
    }
    for (uint32_t slot = 0; slot < table.size; slot++)
        if (table.runs[slot] != NULL && !table.runs[slot]->other.pending &&
            !table.runs[slot]->question.asking)
            platform_free(table.runs[slot]); /* else the loop will come back to it */
    platform_free(table.runs);
    table = next_table;
    next_table.runs = NULL;
}
