#include "plan/option_table.h"
#include "posix/posix.h"
#include "report/log.h"
#include "supervisor/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIGNALS_A_TURN 64

#define FAR_AWAY 1e11 /* seconds: some three thousand years */

static struct {
    struct supervisor *supervisor;
    const struct plan *plan;
    struct ev_loop *loop;
    ev_io signals;
    ev_timer timer, nudge;
    ev_periodic never;
    int signal_fd;
    bool finished;
    bool wide;             /* see loop_widen() */
    bool waits;            /* the loop has begun to wait */
    bool released;         /* see platform_release() */
    bool refused;          /* the kernel would not watch our signals */
    unsigned char *census; /* a byte a slot */
    uint32_t first_ended, last_ended;
} driver = {.signal_fd = -1, .first_ended = NO_SLOT, .last_ended = NO_SLOT};

/* What termios(3) keys, a change of the window's size and a hangup send to the foreground group. */
static const signal_mask keyboard_signals =
    (signal_mask)1 << (SIGINT - 1) | (signal_mask)1 << (SIGQUIT - 1) |
    (signal_mask)1 << (SIGTSTP - 1) | (signal_mask)1 << (SIGTTIN - 1) |
    (signal_mask)1 << (SIGTTOU - 1) | (signal_mask)1 << (SIGWINCH - 1) |
    (signal_mask)1 << (SIGHUP - 1);

/* ---- surroundings ------------------------------------------------------------------------------
 */

msec platform_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (msec)now.tv_sec * SECOND + now.tv_nsec / 1000000;
}

static uint32_t count_processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

struct platform_surroundings platform_surroundings(void)
{
    struct platform_surroundings place = {.keyboard = keyboard_signals};
    place.pid = inherited.pid;
    place.is_init = inherited.pid == 1;
    place.is_unit = ready_is_our_pid("SYSTEMD_EXEC_PID");
    place.has_outer = channel_has_outer();
    place.has_manager = ready_has_manager();
    place.processors = count_processors();
    return place;
}

bool platform_shares(const struct platform_signal *arrived)
{
    /* A hangup is sent to the session's leader alone; to the group only when the leader is gone. */
    bool to_group = arrived->signal != SIGHUP || inherited.session != inherited.pid;
    return !start_missed(arrived->signal) && arrived->from_kernel &&
           (keyboard_signals & signal_bit(arrived->signal)) && to_group &&
           terminal_mode() == TERMINAL_SHARE;
}

/* ---- starting ---- */

static unsigned plan_backend(const struct plan *plan)
{
    static const unsigned backends[] = {
        [LOOP_AUTO] = EVBACKEND_POLL, /* needs no descriptor; a launcher watches few */
        [LOOP_EPOLL] = EVBACKEND_EPOLL,
        [LOOP_POLL] = EVBACKEND_POLL,
        [LOOP_SELECT] = EVBACKEND_SELECT,
    };
    bool many = plan->loop == LOOP_AUTO && plan_is_fleet(plan);
    return many ? EVBACKEND_EPOLL : backends[plan->loop];
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
    driver.plan = plan;
    inherited.keeps_outer = plan->no_control;
    if (plan_is_fleet(plan)) {
        keep_tables_fresh();
        fill_standard();
        raise_files();
        spawn_open_fleet();
    }
    ready_begin(plan);
    if (!plan->no_control)
        channel_open_outer();
    terminal_open(plan);
    if (plan->loop != LOOP_AUTO && !(ev_supported_backends() & plan_backend(plan)))
        fault_add(faults, option_place_of("loop", plan, &plan->worker, place),
                  "this system's libev has no such backend");
    start_prepare(plan, faults);
    probe_prepare(plan, faults);
    start_switch();
    if (listen_prepare(plan, faults))
        listen_switch();
    if (faults->count > 0)
        listen_close();
    report_file_open(plan, faults);
}

/* ---- a new plan ---- */

void loop_reload(const struct plan *plan, unsigned char *census)
{
    driver.plan = plan;
    platform_free(driver.census);
    driver.census = census;
}

static bool make_loop(void)
{
    if (driver.loop != NULL)
        return true;
    ev_set_allocator(allocate_for_libev);
    driver.loop = ev_loop_new(plan_backend(driver.plan) | EVFLAG_NOENV);
    return driver.loop != NULL;
}

/* A launcher makes it when there is something to wait for, which mostly never is.  It cannot fail
 * then: poll(2) needs nothing that could be missing. */
static struct ev_loop *need_loop(void)
{
    bool made = make_loop();
    assert(made);
    return driver.loop;
}

/* By which the loop hears of signals; false with errno. */
static bool open_signals(void)
{
    driver.signal_fd = signals_open();
    tree_open(driver.signal_fd);
    return driver.signal_fd >= 0;
}

static int open_loop(const struct plan *plan)
{
    bool later = !plan_is_fleet(plan) && plan_backend(plan) == EVBACKEND_POLL;
    if (later || make_loop())
        return 0;
    log_line(LEVEL_CRITICAL, "cannot open the event loop: %s", strerror(errno));
    return -1;
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

static void on_signals(struct ev_loop *loop, ev_io *watcher, int events);
static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events);
static void on_nudge(struct ev_loop *loop, ev_timer *watcher, int events);

static void on_never(struct ev_loop *loop, ev_periodic *watcher, int events)
{
    (void)loop, (void)watcher, (void)events;
}

/* What only the workers of a file have. */
static int open_fleet(const struct plan *plan, uint32_t slots)
{
    if (!output_open(driver.loop, plan, slots)) {
        log_line(LEVEL_CRITICAL, "cannot open what the output of workers goes through: %s",
                 strerror(errno));
        return -1;
    }
    if (!cgroup_open(plan, slots)) {
        log_line(LEVEL_CRITICAL, "cannot allocate the table of cgroups");
        return -1;
    }
    return 0;
}

int platform_open(struct supervisor *supervisor, const struct plan *plan, uint32_t slots)
{
    driver.supervisor = supervisor;
    driver.census = platform_allocate(slots);
    if (driver.census == NULL || !runs_open(slots)) {
        log_line(LEVEL_CRITICAL, "cannot allocate the table of processes");
        return -1;
    }
    if (open_loop(plan) < 0 || watch_parent(plan->parent_death_signal) < 0) {
        platform_close();
        return -1;
    }
    if (!channel_open_all(supervisor, slots) || !jobs_open(supervisor, slots) ||
        !ready_open(supervisor, plan, slots) || !probe_open(supervisor, slots)) {
        log_line(LEVEL_CRITICAL, "cannot allocate the tables of channels and jobs");
        return -1;
    }
    if (plan_is_fleet(plan) && open_fleet(plan, slots) < 0)
        return -1;
    if (!admin_socket_open(supervisor, plan)) {
        platform_close();
        return -1;
    }
    if (plan_is_fleet(plan))
        loop_widen();
    if (driver.loop != NULL && !open_signals()) {
        log_line(LEVEL_CRITICAL, "cannot open a descriptor for signals: %s", strerror(errno));
        platform_close();
        return -1;
    }
    become_subreaper(plan);
    ev_init(&driver.signals, on_signals);
    ev_set_priority(&driver.signals, EV_MAXPRI); /* before what runs say */
    ev_init(&driver.timer, on_timer);
    ev_init(&driver.nudge, on_nudge);
    ev_periodic_init(&driver.never, on_never, FAR_AWAY, 0, 0);
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

/* ---- runs ---- */

/* kill(2), or sigqueue(3) with the value that came with the signal. */
static int send_signal(uint32_t slot, int signal, bool group, const struct platform_signal *arrived)
{
    const struct run *run = runs_at(slot);
    if (run->joined)
        return jobs_signal(slot, signal);
    if (group && run->own_group)
        return kill(-run->pid, signal);
    if (arrived != NULL && arrived->queued) {
        const union sigval value = {.sival_ptr = arrived->value};
        if (sigqueue(run->pid, signal, value) == 0)
            return 0;
    }
    return kill(run->pid, signal);
}

static const char *name_of(const struct run *run)
{
    return run->worker == NO_WORKER ? "job" : driver.plan->workers[run->worker].name;
}

void platform_send(struct run_id run_id, int signal, bool group,
                   const struct platform_signal *arrived, bool wake)
{
    struct run *run = runs_named(run_id);
    if (run == NULL || run->pid == 0)
        return;
    if (send_signal(run_id.slot, signal, group, arrived) < 0 && errno != ESRCH)
        log_about(LEVEL_WARNING, name_of(run), run->pid,
                  "may not send signal %d to process %ld: %s", signal, (long)run->pid,
                  strerror(errno));
    else if (wake && run->stopped)
        send_signal(run_id.slot, SIGCONT, group, NULL);
    if (signal == SIGCONT || wake)
        run->stopped = false; /* the kernel's word for it comes later, if it comes */
}

bool platform_stopped(struct run_id run_id)
{
    const struct run *run = runs_named(run_id);
    struct process process;
    if (run == NULL || run->pid == 0 || !run->stopped)
        return false;
    /* The shell may have continued it together with us, and waitpid(2) not said so yet. */
    return !procfs_read(run->pid, &process) || process.state == 'T';
}

bool platform_hand_over(struct run_id run_id)
{
    const struct run *run = runs_named(run_id);
    return run != NULL && run->pid != 0 && terminal_hand_over(run->pid);
}

bool platform_yields_keys(void)
{
    return terminal_mode() == TERMINAL_OWN;
}

long platform_pid(struct run_id run_id)
{
    const struct run *run = runs_named(run_id);
    return run != NULL ? run->pid : 0;
}

void platform_census(void)
{
    tree_census(driver.census);
    for (uint32_t slot = 0; slot < runs_count(); slot++) {
        struct run *run = runs_at(slot);
        unsigned char found = driver.census[slot];
        if (slot > 0 && !run->tree)
            continue;
        run->tree = found & CENSUS_LEFT;
        if (slot > 0 && !run->tree)
            cgroup_remove(slot);
        supervisor_tree(driver.supervisor, (struct run_id){slot, run->generation},
                        found & CENSUS_LEFT, found & CENSUS_FRESH);
    }
}

/* ---- reaping ---- */

static struct ending ending_of(int status)
{
    if (WIFSIGNALED(status))
        return (struct ending){ENDING_KILLED, (uint32_t)WTERMSIG(status)};
    return (struct ending){ENDING_EXITED, (uint32_t)WEXITSTATUS(status)};
}

/* Reports about runs wait until everything is reaped: only then is it known what they left. */
static void keep_for_report(uint32_t slot, struct ending end)
{
    struct run *run = runs_at(slot);
    run->end = end;
    run->next_ended = NO_SLOT;
    if (driver.first_ended == NO_SLOT)
        driver.first_ended = slot;
    else
        runs_at(driver.last_ended)->next_ended = slot;
    driver.last_ended = slot;
}

/* A child was stopped by `signal`, or continued (0). */
static void take_stop(uint32_t slot, int signal)
{
    if (slot == NO_SLOT)
        return;
    struct run *run = runs_at(slot);
    run->stopped = signal != 0;
    run->stop_signal = signal;
    if (signal != 0 && slot != start_main_slot())
        supervisor_stopped(driver.supervisor, (struct run_id){slot, run->generation}, signal);
}

static void take_status(pid_t pid, int status)
{
    uint32_t slot = runs_find(pid);
    if (WIFSTOPPED(status) || WIFCONTINUED(status)) {
        take_stop(slot, WIFSTOPPED(status) ? WSTOPSIG(status) : 0);
        return;
    }
    if (slot == NO_SLOT) {
        tree_forget(pid);
        if (probe_ended(pid, status))
            return;
        supervisor_adopted_ended(driver.supervisor, pid, ending_of(status));
        return;
    }
    runs_remove(slot);
    jobs_forget(slot);
    keep_for_report(slot, ending_of(status));
}

/* `gone`: it is known that they have left nothing behind. */
static void report_ended(bool gone)
{
    while (driver.first_ended != NO_SLOT) {
        uint32_t slot = driver.first_ended;
        struct run *run = runs_at(slot);
        struct run_id id = {slot, run->generation};
        driver.first_ended = run->next_ended;
        run->stopped = false;
        if (slot == start_main_slot())
            terminal_take_back();
        run->tree = run->has_tree; /* who is left is still its own, and may speak for it */
        channel_drain(id);
        ready_ended(slot);
        probe_stop(slot);
        output_ended(slot);
        run->tree = false;
        bool left = !gone && run->has_tree && tree_left(slot);
        if (!left)
            cgroup_remove(slot);
        supervisor_ended(driver.supervisor, id, run->end, left);
    }
}

/* Job control waits too: whoever stops himself here must not leave zombies behind meanwhile. */
static void report_stopped(void)
{
    uint32_t slot = start_main_slot();
    struct run *run = slot == NO_SLOT ? NULL : runs_at(slot);
    if (run == NULL || run->pid == 0 || !run->stopped || run->stop_signal == 0)
        return;
    int signal = run->stop_signal;
    run->stop_signal = 0;
    supervisor_stopped(driver.supervisor, (struct run_id){slot, run->generation}, signal);
}

/* Until none is left: one SIGCHLD may stand for many (signal(7)).  `child` is the one that it named
 * (0: none): the kernel finds that one at once, and looks through all the others for any. */
static void reap(pid_t child)
{
    const int options = WNOHANG | WUNTRACED | WCONTINUED | __WALL;
    int status;
    pid_t pid = child > 0 ? waitpid(child, &status, options) : 0;
    if (pid > 0)
        take_status(pid, status);
    /* It need not wait for the others, if there are any, and it has left nothing behind. */
    if (driver.first_ended != NO_SLOT && runs_alive() > 0 && tree_is_gone(driver.first_ended))
        report_ended(true);
    do {
        pid = waitpid(-1, &status, options);
        if (pid > 0)
            take_status(pid, status);
    } while (pid > 0 || (pid < 0 && errno == EINTR));
    tree_set_childless(pid < 0 && errno == ECHILD);
    report_ended(false);
    report_stopped();
    supervisor_reaped(driver.supervisor);
}

/* ---- the loop ---- */

static void on_nudge(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)watcher, (void)events;
}

/* A refusal is told after the next wait only: so that one must not last. */
void loop_watch(struct ev_io *watcher)
{
    struct ev_loop *loop = loop_widen();
    ev_io_start(loop, watcher);
    if (!driver.waits)
        return;
    ev_timer_set(&driver.nudge, 0, 0);
    ev_timer_start(loop, &driver.nudge);
}

void loop_watch_again(struct ev_io *watcher)
{
    /* Or libev takes it for known. */
    ev_io_set(watcher, watcher->fd, watcher->events & (EV_READ | EV_WRITE));
    loop_watch(watcher);
}

void loop_unwatch(struct ev_io *watcher)
{
    if (driver.loop != NULL)
        ev_io_stop(driver.loop, watcher);
}

void loop_move(struct ev_io *from, struct ev_io *to)
{
    bool watched = ev_is_active(from);
    loop_unwatch(from);
    ev_io_init(to, from->cb, from->fd, from->events & (EV_READ | EV_WRITE));
    if (watched)
        loop_watch(to);
}

/* False when there was none.  The kernel gives them by rising number (signal(7)), so that what
 * comes together with the end of a child is mostly acted on before it. */
static bool take_signal(bool wait)
{
    struct platform_signal record;
    struct signals_news news = {0};
    if (!signals_take(wait, &record, &news))
        return false;
    if (record.signal != 0)
        supervisor_signal(driver.supervisor, &record);
    if (news.child_ended)
        reap(news.child);
    if (news.descriptor_ready)
        channel_wake();
    return true;
}

/* All that have come, before the time is told: whose end is among them has not missed it.  A flood
 * does not hold up the others for ever. */
static void take_signals(void)
{
    for (int i = 0; i < SIGNALS_A_TURN && !driver.finished && take_signal(false); i++)
        ;
}

struct ev_loop *loop_widen(void)
{
    driver.wide = true;
    return need_loop();
}

bool loop_is_wide(void)
{
    return driver.wide;
}

static void on_signals(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    /* Without memory the kernel watches no descriptor, and libev takes the watcher out. */
    driver.refused = events & EV_ERROR;
    take_signals();
    if (driver.refused && !driver.finished)
        loop_watch_again(watcher);
}

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)watcher, (void)events;
    supervisor_time(driver.supervisor);
}

void platform_arm(msec when)
{
    if (driver.loop != NULL)
        ev_timer_stop(driver.loop, &driver.timer);
    if (when == NEVER)
        return;
    msec rest = msec_max(when - platform_now(), 0);
    ev_now_update(need_loop()); /* the timer counts from the loop's idea of now */
    ev_timer_set(&driver.timer, (double)rest / SECOND, 0);
    ev_timer_start(driver.loop, &driver.timer);
}

/* libev asks the kernel to watch a descriptor just before it waits, and tells a refusal only after
 * that.  So it is made to ask without waiting, until there is none: busy in between, but never
 * deaf.  False: there is no descriptor left to hear of signals by. */
static bool watch_signals(void)
{
    if (ev_is_active(&driver.signals))
        return true;
    if (driver.signal_fd < 0 && !open_signals())
        return false;
    ev_io_set(&driver.signals, driver.signal_fd, EV_READ);
    ev_io_start(driver.loop, &driver.signals);
    /* libev looks at the clock every minute, unless a periodic has given it a timerfd that tells
     * of clock jumps. */
    ev_periodic_start(driver.loop, &driver.never);
    do {
        driver.refused = false;
        ev_run(driver.loop, EVRUN_NOWAIT);
    } while (driver.refused && !driver.finished);
    return true;
}

void platform_loop(void)
{
    /* Children that exec gave us may have ended before we could hear of it. */
    reap(0);
    driver.waits = true;
    while (!driver.finished) {
        /* With nothing but signals to wait for, sigtimedwait(2) does it sooner than libev. */
        if (!driver.wide && !ev_is_active(&driver.timer)) {
            take_signal(true);
            continue;
        }
        bool told = watch_signals();
        if (!told)
            take_signals(); /* busy, too */
        if (!driver.finished)
            ev_run(driver.loop, told ? EVRUN_ONCE : EVRUN_NOWAIT);
    }
}

void platform_finish(void)
{
    driver.finished = true;
    if (driver.loop != NULL)
        ev_break(driver.loop, EVBREAK_ALL);
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
    int fd = 0;
    if (driver.released)
        return;
    driver.released = true; /* and ours may stand behind a gap from now on */
    for (int gap = 0; gap < GAP; fd++)
        gap = close_inherited(fd) ? 0 : gap + 1;
    if (syscall(SYS_close_range, (unsigned)fd, ~0u, 0) < 0) /* Linux 5.9 */
        procfs_numbers("/proc/self/fd", close_listed);
}
