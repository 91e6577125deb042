#include "report/log.h"
#include "win32/win32.h"

#include <string.h>

/* The limits of a worker are those of a job object, in which the job objects of all its runs are
 * nested: so they hold for all of them together. */

static struct {
    const struct plan *plan;
    HANDLE *jobs; /* by worker; NULL: it has no limits */
    HANDLE *next; /* what is to take their place; NULL: nothing */
} limits;

static bool is_limited(const struct plan_worker *worker)
{
    return worker->rules->memory_max != PLAN_UNLIMITED ||
           worker->rules->pids_max != PLAN_UNLIMITED || worker->rules->cpu_max != 0;
}

static void warn(const struct plan_worker *worker, const char *what)
{
    log_about(LEVEL_WARNING, worker->name, 0, "%s of worker '%s' is not enforced: %s", what,
              worker->name, win_error(GetLastError()));
}

static void limit_amounts(HANDLE job, const struct plan_worker *worker)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION amounts = {0};
    bool memory = worker->rules->memory_max != PLAN_UNLIMITED,
         pids = worker->rules->pids_max != PLAN_UNLIMITED;
    if (memory) {
        amounts.BasicLimitInformation.LimitFlags |= JOB_OBJECT_LIMIT_JOB_MEMORY;
        amounts.JobMemoryLimit = worker->rules->memory_max;
    }
    if (pids) {
        amounts.BasicLimitInformation.LimitFlags |= JOB_OBJECT_LIMIT_ACTIVE_PROCESS;
        amounts.BasicLimitInformation.ActiveProcessLimit = (DWORD)worker->rules->pids_max;
    }
    if (!SetInformationJobObject(job, JobObjectExtendedLimitInformation, &amounts, sizeof amounts))
        warn(worker, !pids ? "memory-max" : !memory ? "pids-max" : "memory-max and pids-max");
}

/* CpuRate is in ten-thousandths of all processors, cpu_max in thousandths of one. */
static void limit_processors(HANDLE job, const struct plan_worker *worker)
{
    uint64_t all = (uint64_t)GetActiveProcessorCount(ALL_PROCESSOR_GROUPS) * 1000;
    uint64_t rate = worker->rules->cpu_max * UINT64_C(10000) / all;
    JOBOBJECT_CPU_RATE_CONTROL_INFORMATION control = {0};
    if (worker->rules->cpu_max != 0 && worker->rules->cpu_max < all) {
        control.ControlFlags =
            JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP;
        control.CpuRate = rate > 0 ? (DWORD)rate : 1;
    }
    if (!SetInformationJobObject(job, JobObjectCpuRateControlInformation, &control,
                                 sizeof control) &&
        worker->rules->cpu_max != 0)
        warn(worker, "cpu-max");
}

/* The one that the worker has had by the plan before, with who is in it. */
static HANDLE take_old(const struct plan_worker *worker)
{
    for (uint32_t i = 0; limits.jobs != NULL && i < limits.plan->worker_count; i++) {
        HANDLE job = limits.jobs[i];
        if (job == NULL || strcmp(limits.plan->workers[i].name, worker->name) != 0)
            continue;
        limits.jobs[i] = NULL;
        return job;
    }
    return NULL;
}

static HANDLE open_limits(const struct plan_worker *worker)
{
    HANDLE job = is_limited(worker) ? take_old(worker) : NULL;
    if (job == NULL && is_limited(worker)) {
        job = CreateJobObjectW(NULL, NULL);
        if (job == NULL)
            warn(worker, "every limit");
    }
    if (job != NULL) {
        limit_amounts(job, worker);
        limit_processors(job, worker);
    }
    return job;
}

bool limits_prepare(const struct plan *plan)
{
    limits.next = platform_allocate((plan->worker_count + 1) * sizeof *limits.next);
    return limits.next != NULL;
}

void limits_drop(void)
{
    platform_free(limits.next);
    limits.next = NULL;
}

void limits_switch(const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->worker_count; i++)
        limits.next[i] = open_limits(&plan->workers[i]);
    for (uint32_t i = 0; limits.jobs != NULL && i < limits.plan->worker_count; i++)
        if (limits.jobs[i] != NULL)
            CloseHandle(limits.jobs[i]); /* who is in it still has them */
    platform_free(limits.jobs);
    limits.jobs = limits.next;
    limits.next = NULL;
    limits.plan = plan;
}

HANDLE limits_of(uint32_t worker)
{
    return worker != NO_WORKER ? limits.jobs[worker] : NULL;
}
