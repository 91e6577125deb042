/* Before the loop, and what is given up when it is over. */

#include "plan/option_table.h"
#include "posix/posix.h"
#include "report/log.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint32_t count_processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

struct platform_surroundings platform_surroundings(void)
{
    struct platform_surroundings place = {.keyboard = terminal_keyboard};
    place.pid = inherited.pid;
    place.is_init = inherited.pid == 1;
    place.is_unit = ready_is_our_pid("SYSTEMD_EXEC_PID");
    place.has_outer = outer_is_there();
    place.has_manager = ready_has_manager();
    place.processors = count_processors();
    return place;
}

/* Each run takes descriptors of ours: as many as we are allowed. */
static void raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &inherited.files) < 0)
        return;
    limit = inherited.files;
    limit.rlim_cur = limit.rlim_max;
    inherited.raised_files =
        limit.rlim_cur != inherited.files.rlim_cur && setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* Tables have room for what mostly never is.  Memory that was used before is zeroed, and there;
 * what is fresh is neither.  So large ones are the kernel's to give and to take, at each reload
 * anew; and so is what only the reading of the file took. */
static void keep_tables_fresh(void)
{
#ifdef M_MMAP_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, 32768);
    malloc_trim(0);
#endif
}

/* Where we were started without one of these, a descriptor of our own would take its place, and
 * what is written there would go astray.  Close-on-exec: to commands it is as it was. */
static void fill_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", O_RDWR | O_CLOEXEC);
}

void platform_prepare(const struct plan *plan, struct faults *faults)
{
    char place[OPTION_PLACE_MAX];
    inherited.keeps_outer = plan->no_control;
    if (plan_is_fleet(plan)) {
        keep_tables_fresh();
        fill_standard();
        raise_files();
        spawn_open_fleet();
    }
    ready_begin(plan);
    if (!plan->no_control)
        outer_open();
    terminal_open(plan);
    if (!loop_has_backend(plan))
        fault_add(faults, option_place_of("loop", plan, &plan->worker, place),
                  "this system's libev has no such backend");
    start_prepare(plan, faults);
    probe_prepare(plan, faults);
    start_switch();
    if (listen_prepare(plan, faults))
        listen_switch();
    report_file_open(plan, faults);
    if (faults->count > 0)
        listen_close();
}

/* Our parent may have died before the kernel knew that we want to be told. */
static int watch_parent(int signal)
{
    if (signal == 0)
        return 0;
    if (prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) < 0) {
        log_line(LEVEL_CRITICAL, "cannot set the parent-death signal: %s", strerror(errno));
        return -1;
    }
    if (getppid() != inherited.parent)
        kill(inherited.pid, signal);
    return 0;
}

static void become_subreaper(const struct plan *plan)
{
    if (!plan->subreaper || inherited.pid == 1)
        return;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        log_line(LEVEL_WARNING, "cannot adopt orphans: %s", strerror(errno));
}

/* NULL; or what could not be opened, with errno. */
static const char *open_tables(struct supervisor *supervisor, const struct plan *plan,
                               uint32_t slots)
{
    if (!runs_open(plan, slots) || !reap_open(supervisor, slots))
        return "the table of processes";
    if (!loop_open(supervisor, plan))
        return "the event loop";
    outer_watch(supervisor);
    if (!channel_open_all(supervisor, plan, slots) || !jobs_open(supervisor, slots) ||
        !ready_open(supervisor, plan, slots) || !probe_open(supervisor, slots))
        return "the tables of channels and jobs";
    if (!plan_is_fleet(plan))
        return NULL;
    /* What only the workers of a file have. */
    struct ev_loop *loop = loop_widen();
    if (!output_open(loop, plan, slots))
        return "what the output of workers goes through";
    return cgroup_open(plan, slots) ? NULL : "the table of cgroups";
}

static int refuse(const char *what)
{
    log_line(LEVEL_CRITICAL, "cannot open %s: %s", what, strerror(errno));
    return -1;
}

int platform_open(struct supervisor *supervisor, const struct plan *plan, uint32_t slots)
{
    const char *failed = open_tables(supervisor, plan, slots);
    if (failed != NULL)
        return refuse(failed);
    if (watch_parent(plan->parent_death_signal) < 0 || !admin_socket_open(supervisor, plan))
        return -1;
    if (!loop_open_signals())
        return refuse("a descriptor for signals");
    become_subreaper(plan);
    return 0;
}

void platform_close(void)
{
    /* Memory and descriptors are the kernel's to clear up: we are about to leave. */
    capture_close();
    listen_close();
    cgroup_close();
    admin_socket_close();
    terminal_close();
}

/* Ours are close-on-exec, all of them; what is not was meant for the command.  False when there is
 * no such descriptor. */
static bool close_inherited(int fd)
{
    int flags = fcntl(fd, F_GETFD);
    if (fd != STDERR_FILENO && flags >= 0 && !(flags & FD_CLOEXEC))
        close(fd);
    return flags >= 0;
}

static void close_listed(long fd)
{
    close_inherited((int)fd);
}

/* The lowest number that is free is what the kernel gives to ours (open(2)), of which few are
 * closed again: none of them stands behind a gap as long as this. */
#define GAP 16

/* /proc would tell, but takes ten times as long, and a part of that when we end. */
void platform_release(void)
{
    static bool released;
    int fd = 0;
    if (released)
        return;
    released = true; /* and ours may stand behind a gap from now on */
    for (int gap = 0; gap < GAP; fd++)
        gap = close_inherited(fd) ? 0 : gap + 1;
    if (syscall(SYS_close_range, (unsigned)fd, ~0u, 0) < 0) /* Linux 5.9 */
        procfs_numbers("/proc/self/fd", close_listed);
}
