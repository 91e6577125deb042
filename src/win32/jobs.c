/* Two kinds of jobs, and both come as a request and three streams: a submitted one waits for its
 * turn, a shielded one begins at once.  Neither lives in the job object of whoever asked for it: so
 * it outlives that. */
#include "protocol/submission.h"
#include "report/log.h"
#include "supervisor/supervisor.h"
#include "win32/pipe.h"

#include <psapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUEST, STDIN, STDOUT, STDERR }; /* what a job comes with */

/* A slot's job. */
struct job {
    struct passed passed; /* of one that waits for its turn */
    bool shielded;
    bool failed;              /* it was not started, and that is to be told */
    uint32_t status;          /* then: its exit status */
    uint32_t speaker;         /* of a shielded one: the slot that it speaks for */
    struct channel_id waiter; /* likewise: who is to be told of its end */
};

/* A command that was read out of a request. */
struct request {
    HANDLE heap; /* all of it is in there; NULL: there is none */
    struct command command;
    struct environment environment;
    HANDLE streams[3];
};

static struct {
    struct job *list; /* by slot */
    struct job *next; /* that is to take its place; NULL: nothing */
    uint32_t slots;
    uint32_t shielded;
    uint32_t speaker; /* of the shield that platform_judge_job() has accepted */
    struct request request;
    struct win_operation failures;
} jobs;

static void on_failures(struct win_operation *operation, DWORD bytes, DWORD error);

bool jobs_open(uint32_t slots)
{
    jobs.slots = slots;
    jobs.failures.done = on_failures;
    jobs.list = platform_allocate(slots * sizeof *jobs.list);
    return jobs.list != NULL;
}

/* ---- requests ---- */

static void release(struct request *request)
{
    for (size_t i = 0; i < 3; i++)
        if (request->streams[i] != NULL && request->streams[i] != spawn_null())
            CloseHandle(request->streams[i]);
    if (request->heap != NULL)
        HeapDestroy(request->heap);
    memset(request, 0, sizeof *request);
}

/* Copies what is in the section: its sender may change it meanwhile.  Only what is in memory is
 * read: a file can keep its reader waiting.  And it is read as another process's memory is, where a
 * page that is not there is an error and no exception. */
static const char *copy_section(HANDLE section, char *bytes, size_t size)
{
    wchar_t file[8];
    SIZE_T done = 0;
    void *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, size);
    if (view == NULL)
        return "the request is no section, or is shorter than it says";
    bool is_file = GetMappedFileNameW(GetCurrentProcess(), view, file, 8) > 0 ||
                   GetLastError() == ERROR_INSUFFICIENT_BUFFER;
    if (!is_file)
        ReadProcessMemory(GetCurrentProcess(), view, bytes, size, &done);
    UnmapViewOfFile(view);
    if (is_file)
        return "the request is a file, and not memory";
    return done == size ? NULL : "the request cannot be read";
}

static const char no_memory[] = "no memory is left for the request";

static int compare(const void *a, const void *b)
{
    return environment_compare(*(const wchar_t *const *)a, *(const wchar_t *const *)b);
}

/* As it was submitted, but for the control pipe: a submitted job has one of its own. */
static bool convert_environment(struct request *request, char **variables, bool submitted)
{
    struct environment *environment = &request->environment;
    size_t room = 0, length = COMMAND_VARIABLES * COMMAND_VARIABLE_MAX + 2;
    while (variables[room] != NULL)
        room++;
    environment->entries = heap_allocate(request->heap, (room + 1) * sizeof *environment->entries);
    for (size_t i = 0; environment->entries != NULL && i < room; i++) {
        if (environment_drops(variables[i], !submitted))
            continue;
        wchar_t *entry = heap_widen(request->heap, variables[i]);
        if (entry == NULL)
            return false;
        length += wcslen(entry) + 1;
        environment->entries[environment->count++] = entry;
    }
    environment->block = heap_allocate(request->heap, length * sizeof *environment->block);
    if (environment->entries == NULL || environment->block == NULL)
        return false;
    qsort(environment->entries, environment->count, sizeof *environment->entries, compare);
    request->command.environment = environment;
    return true;
}

/* The directory stands behind a slash. */
static bool convert(struct request *request, const struct submission *submission, bool submitted)
{
    struct command *command = &request->command;
    command->cwd = heap_widen(request->heap, submission->cwd + 1);
    return command->cwd != NULL && command_set_line(request->heap, command, submission->argv) &&
           convert_environment(request, submission->environment, submitted);
}

/* Reads it; with `request` also makes it a command.  NULL, or what is wrong. */
static const char *load(const struct passed *passed, struct request *request, bool submitted)
{
    struct submission submission;
    const char *fault;
    if (passed->size < 1 || passed->size > SUBMISSION_MAX)
        return "the request is empty, or longer than 4 MiB";
    HANDLE heap = HeapCreate(0, 0, 0);
    if (heap == NULL)
        return no_memory;
    char *bytes = heap_allocate(heap, passed->size);
    fault = bytes != NULL ? copy_section(passed->handles[REQUEST], bytes, passed->size) : no_memory;
    size_t count = fault == NULL ? submission_pointers(bytes, passed->size, &fault) : 0;
    if (count > 0 && request != NULL) {
        char **pointers = heap_allocate(heap, count * sizeof *pointers);
        request->heap = heap;
        if (pointers == NULL)
            return no_memory;
        submission_fill(bytes, passed->size, pointers, &submission);
        return convert(request, &submission, submitted) ? NULL : no_memory;
    }
    HeapDestroy(heap);
    return count > 0 ? NULL : fault;
}

/* What a command inherits must be inheritable: a copy that nobody else is given. */
static bool take_streams(struct request *request, const struct passed *passed)
{
    for (size_t i = 0; i < 3; i++) {
        HANDLE stream = passed->handles[STDIN + i];
        if (stream == NULL)
            request->streams[i] = spawn_null();
        else if (!DuplicateHandle(GetCurrentProcess(), stream, GetCurrentProcess(),
                                  &request->streams[i], 0, TRUE, DUPLICATE_SAME_ACCESS))
            return false;
    }
    return true;
}

static const char *judge(void)
{
    const struct passed *passed = passed_now();
    if (passed != NULL && passed->fault != NULL)
        return passed->fault;
    if (passed == NULL || passed->count != PASSED_MAX)
        return "it needs a request line before it: what to run, and three streams";
    return load(passed, NULL, false);
}

static void take(struct passed *to)
{
    struct passed *passed = passed_now();
    *to = *passed;
    passed->count = 0;
}

/* There is a new job in this slot: who was shielded for the one before it speaks for nobody else.
 */
static void forget_speaker(uint32_t slot)
{
    for (uint32_t other = 0; jobs.shielded > 0 && other < jobs.slots; other++)
        if (jobs.list[other].shielded && jobs.list[other].speaker == slot)
            jobs.list[other].speaker = NO_SLOT;
}

/* ---- submitted jobs ---- */

const char *platform_judge_submission(void)
{
    return judge();
}

void platform_keep(struct run_id id)
{
    struct job *job = &jobs.list[id.slot];
    memset(job, 0, sizeof *job);
    take(&job->passed);
    forget_speaker(id.slot);
}

void platform_drop(struct run_id id)
{
    passed_close(&jobs.list[id.slot].passed);
}

const struct command *control_job(struct run_id id, DWORD priority, struct spawn *spawn,
                                  struct platform_started *started)
{
    const struct passed *passed = &jobs.list[id.slot].passed;
    const char *fault = load(passed, &jobs.request, true);
    if (fault == NULL && !take_streams(&jobs.request, passed))
        fault = "one of its streams is none";
    if (fault == NULL) {
        memcpy(spawn->standard, jobs.request.streams, sizeof jobs.request.streams);
        jobs.request.command.priority = priority;
        return &jobs.request.command;
    }
    started->end = (struct ending){ENDING_NOT_STARTED, STATUS_OWN_FAILURE};
    snprintf(started->sentence, sizeof started->sentence, "cannot start a job: %s", fault);
    jobs_started(id);
    return NULL;
}

void jobs_started(struct run_id id)
{
    release(&jobs.request);
    platform_drop(id);
}

/* ---- shielded jobs ---- */

const char *platform_judge_job(struct run_id run)
{
    jobs.speaker = run.slot;
    return judge();
}

bool jobs_speak_for(HANDLE process, uint32_t slot)
{
    BOOL inside = FALSE;
    for (uint32_t i = 0; jobs.shielded > 0 && i < jobs.slots && !inside; i++)
        if (jobs.list[i].shielded && jobs.list[i].speaker == slot && runs_at(i)->job != NULL)
            IsProcessInJob(process, runs_at(i)->job, &inside);
    return inside;
}

static void tell_end(const struct job *job, enum control_answer answer, uint32_t number)
{
    const struct control_reply reply = {.answer = answer, .number = number};
    char line[CONTROL_LINE_MAX];
    platform_answer(job->waiter, line, control_format_reply(line, &reply));
}

static void on_failures(struct win_operation *operation, DWORD bytes, DWORD error)
{
    (void)operation, (void)bytes, (void)error;
    for (uint32_t slot = 0; slot < jobs.slots; slot++) {
        struct job *job = &jobs.list[slot];
        const struct ending end = {ENDING_EXITED, job->status};
        if (!job->failed)
            continue;
        tell_end(job, ANSWER_FAILED, job->status);
        memset(job, 0, sizeof *job);
        jobs.shielded--;
        supervisor_ended(loop_supervisor(), (struct run_id){slot, runs_at(slot)->generation}, end,
                         false);
    }
    loop_reaped();
}

/* The process, in a job object of its own; NULL with `started` saying why. */
static HANDLE begin(struct run *run, struct platform_started *started)
{
    struct spawn spawn = {.command = &jobs.request.command, .own_group = true};
    HANDLE process = NULL;
    DWORD pid;
    memcpy(spawn.standard, jobs.request.streams, sizeof jobs.request.streams);
    spawn.limits = limits_of(runs_at(jobs.speaker)->worker);
    spawn.job = runs_make_job();
    if (spawn.job != NULL)
        process = spawn_process(&spawn, &pid, started);
    if (process != NULL && runs_begin(run, process, pid, spawn.job))
        return process;
    if (process != NULL)
        CloseHandle(process);
    if (spawn.job != NULL)
        CloseHandle(spawn.job); /* and ends what is in it */
    return NULL;
}

void platform_join(struct run_id id)
{
    struct job *job = &jobs.list[id.slot];
    struct run *run = runs_at(id.slot);
    struct passed passed;
    struct platform_started started = {.end = {ENDING_NOT_STARTED, STATUS_OWN_FAILURE}};
    memset(job, 0, sizeof *job);
    forget_speaker(id.slot);
    job->shielded = true;
    job->speaker = jobs.speaker;
    job->waiter = channel_speaker();
    jobs.shielded++;
    run->generation = id.generation;
    run->worker = NO_WORKER;
    run->own_group = true;
    run->tree = run->asked = run->killed = false;
    run->sent = 0;
    take(&passed);
    const char *fault = load(&passed, &jobs.request, false);
    if (fault == NULL && !take_streams(&jobs.request, &passed))
        fault = "one of its streams is none";
    if (fault != NULL || begin(run, &started) == NULL) {
        log_line(LEVEL_DEBUG, "a shielded job is not started: %s",
                 fault != NULL ? fault : started.sentence);
        job->failed = true;
        job->status = started.end.value;
        win_loop_post(&jobs.failures);
    }
    passed_close(&passed);
    release(&jobs.request);
}

void jobs_ended(struct run_id id)
{
    struct job *job = &jobs.list[id.slot];
    DWORD code = STATUS_OWN_FAILURE;
    if (!job->shielded)
        return;
    GetExitCodeProcess(runs_at(id.slot)->process, &code);
    tell_end(job, ANSWER_EXITED, code);
    memset(job, 0, sizeof *job);
    jobs.shielded--;
}

/* ---- a new plan ---- */

bool jobs_prepare(uint32_t slots)
{
    jobs.next = platform_allocate(slots * sizeof *jobs.next);
    return jobs.next != NULL;
}

void jobs_drop(void)
{
    platform_free(jobs.next);
    jobs.next = NULL;
}

static uint32_t new_slot_of(const struct platform_map *map, uint32_t old)
{
    for (uint32_t slot = 0; slot < map->slots; slot++)
        if (map->old_slot_of[slot] == old)
            return slot;
    return NO_SLOT;
}

void jobs_reload(const struct platform_map *map)
{
    for (uint32_t slot = 0; slot < map->slots; slot++) {
        uint32_t was = map->old_slot_of[slot];
        if (was >= map->old_slots)
            continue;
        jobs.next[slot] = jobs.list[was];
        if (jobs.next[slot].shielded)
            jobs.next[slot].speaker = new_slot_of(map, jobs.next[slot].speaker);
    }
    platform_free(jobs.list);
    jobs.list = jobs.next;
    jobs.slots = map->slots;
    jobs.next = NULL;
}
