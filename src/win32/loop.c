#include "report/log.h"
#include "supervisor/supervisor.h"
#include "win32/win32.h"

#include <stdio.h>
#include <string.h>

#define PACKETS_MAX 64 /* taken at a time */

static struct {
    struct supervisor *supervisor;
    const struct plan *plan;
    HANDLE port;
    msec timer; /* NEVER: nobody waits for the time */
    bool reaped, finished;
} driver = {.timer = NEVER};

struct supervisor *loop_supervisor(void)
{
    return driver.supervisor;
}

const struct plan *loop_plan(void)
{
    return driver.plan;
}

const char *win_error(unsigned long error)
{
    static char words[256];
    wchar_t wide[256];
    DWORD length = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL,
                                  error, 0, wide, sizeof wide / sizeof wide[0] - 1, NULL);
    while (length > 0 && (wide[length - 1] <= L' ' || wide[length - 1] == L'.'))
        length--;
    wide[length] = L'\0';
    if (length == 0 ||
        WideCharToMultiByte(CP_UTF8, 0, wide, -1, words, sizeof words, NULL, NULL) == 0)
        snprintf(words, sizeof words, "error %lu", error);
    return words;
}

/* ---- surroundings ---- */

msec platform_now(void)
{
    LARGE_INTEGER now, frequency;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    return now.QuadPart / frequency.QuadPart * SECOND +
           now.QuadPart % frequency.QuadPart * SECOND / frequency.QuadPart;
}

void platform_begin(void)
{
    driver.port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    console_begin();
}

struct platform_surroundings platform_surroundings(void)
{
    struct platform_surroundings place = {.pid = (long)GetCurrentProcessId()};
    DWORD_PTR ours, all;
    if (GetProcessAffinityMask(GetCurrentProcess(), &ours, &all))
        for (; ours != 0; ours &= ours - 1)
            place.processors++;
    if (place.processors == 0)
        place.processors = 1;
    place.keyboard = console_keys();
    place.has_outer = control_has_outer(driver.plan);
    return place;
}

signal_mask platform_ignored(signal_mask among)
{
    (void)among;
    return 0;
}

/* ---- starting ---- */

void platform_prepare(const struct plan *plan, struct faults *faults)
{
    driver.plan = plan;
    refuse_options(plan, faults);
    start_prepare(plan, faults);
    start_switch();
    ready_prepare(plan, faults);
    ready_switch();
    report_file_open(plan, faults);
}

int platform_open(struct supervisor *supervisor, const struct plan *plan, uint32_t slots)
{
    driver.supervisor = supervisor;
    driver.plan = plan;
    if (driver.port == NULL || !spawn_open()) {
        log_line(LEVEL_CRITICAL, "cannot open the event loop: %s", win_error(GetLastError()));
        return -1;
    }
    if (!runs_open(slots) || !limits_prepare(plan)) {
        log_line(LEVEL_CRITICAL, "cannot allocate the table of processes");
        return -1;
    }
    limits_switch(plan);
    if (!control_open(plan, slots))
        return -1;
    if (!output_open(plan, slots)) {
        log_line(LEVEL_CRITICAL, "cannot open the pipes for the output of workers: %s",
                 win_error(GetLastError()));
        return -1;
    }
    return 0;
}

void loop_reload(const struct plan *plan)
{
    driver.plan = plan;
}

void platform_close(void)
{
    output_close();
    control_close();
}

/* Handles are inherited by name (spawn.c), so there is nothing that a command would keep open. */
void platform_release(void)
{
}

/* ---- what is waited for ---- */

int win_loop_attach(HANDLE file)
{
    return CreateIoCompletionPort(file, driver.port, 0, 0) != NULL ? 0 : -1;
}

void win_loop_post(struct win_operation *operation)
{
    operation->overlapped.Internal = 0;
    PostQueuedCompletionStatus(driver.port, 0, 0, &operation->overlapped);
}

static void CALLBACK on_signalled(void *context, BOOLEAN timed_out)
{
    (void)timed_out;
    win_loop_post(context);
}

bool win_loop_wait(struct win_wait *wait, HANDLE object,
                   void (*done)(struct win_operation *operation, DWORD bytes, DWORD error))
{
    memset(wait, 0, sizeof *wait);
    wait->operation.done = done;
    wait->pending = RegisterWaitForSingleObject(&wait->registration, object, on_signalled,
                                                &wait->operation, INFINITE, WT_EXECUTEONLYONCE);
    return wait->pending;
}

void win_loop_waited(struct win_wait *wait)
{
    UnregisterWaitEx(wait->registration, NULL); /* its callback does nothing after it has posted */
    wait->pending = false;
}

/* ---- the loop ---- */

void loop_reaped(void)
{
    driver.reaped = true;
}

void platform_arm(msec when)
{
    driver.timer = when;
}

static DWORD time_to_wait(void)
{
    msec until = msec_min(driver.timer, ready_next());
    if (until == NEVER)
        return INFINITE;
    msec rest = until - platform_now();
    if (rest <= 0)
        return 0;
    return rest < INFINITE ? (DWORD)rest : INFINITE - 1;
}

/* The kernel leaves an NTSTATUS in the OVERLAPPED. */
static DWORD error_of(const OVERLAPPED *overlapped)
{
    static ULONG(WINAPI * convert)(LONG status);
    if (overlapped->Internal == 0)
        return ERROR_SUCCESS;
    if (convert == NULL)
        convert = (ULONG(WINAPI *)(LONG))(void *)GetProcAddress(GetModuleHandleW(L"ntdll.dll"),
                                                                "RtlNtStatusToDosError");
    return convert != NULL ? convert((LONG)overlapped->Internal) : ERROR_GEN_FAILURE;
}

static void take_packets(void)
{
    OVERLAPPED_ENTRY packets[PACKETS_MAX];
    ULONG count = 0;
    if (!GetQueuedCompletionStatusEx(driver.port, packets, PACKETS_MAX, &count, time_to_wait(),
                                     FALSE))
        count = 0; /* the time is over */
    for (ULONG i = 0; i < count && !driver.finished; i++) {
        struct win_operation *operation = (struct win_operation *)packets[i].lpOverlapped;
        operation->done(operation, packets[i].dwNumberOfBytesTransferred,
                        error_of(packets[i].lpOverlapped));
    }
}

void platform_loop(void)
{
    supervisor_reaped(driver.supervisor);
    while (!driver.finished) {
        take_packets();
        if (driver.reaped && !driver.finished) {
            driver.reaped = false;
            supervisor_reaped(driver.supervisor);
        }
        capture_flush();
        if (!driver.finished)
            ready_tell();
        if (!driver.finished && driver.timer != NEVER && platform_now() >= driver.timer) {
            driver.timer = NEVER;
            supervisor_time(driver.supervisor);
        }
    }
}

void platform_finish(void)
{
    driver.finished = true;
}

/* ---- what only a service manager, or job control, has ---- */

bool platform_notify(const struct notify_message *message)
{
    (void)message;
    return true;
}

bool platform_stopped(struct run_id run)
{
    (void)run;
    return false;
}

bool platform_stop(int signal)
{
    (void)signal;
    return false;
}

bool platform_hand_over(struct run_id run)
{
    (void)run;
    return false;
}

bool platform_yields_keys(void)
{
    return false;
}
