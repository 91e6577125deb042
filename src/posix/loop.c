#include "posix/posix.h"
#include "supervisor/supervisor.h"

#include <assert.h>
#include <ev.h>
#include <time.h>

#define SIGNALS_A_TURN 64

#define FAR_AWAY 1e11 /* seconds: some three thousand years */

static struct {
    struct supervisor *supervisor;
    struct ev_loop *loop;
    unsigned backend; /* of it */
    ev_io signals;
    ev_timer timer, nudge;
    ev_periodic never;
    int signal_fd;
    bool finished;
    bool wide;    /* see loop_widen() */
    bool waits;   /* it has begun to wait */
    bool refused; /* the kernel would not watch our signals */
} driver = {.signal_fd = -1};

msec platform_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (msec)now.tv_sec * SECOND + now.tv_nsec / 1000000;
}

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

bool loop_has_backend(const struct plan *plan)
{
    return plan->loop == LOOP_AUTO || ev_supported_backends() & plan_backend(plan);
}

static bool make_loop(void)
{
    if (driver.loop != NULL)
        return true;
    ev_set_allocator(allocate_for_libev);
    driver.loop = ev_loop_new(driver.backend | EVFLAG_NOENV);
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

static void on_never(struct ev_loop *loop, ev_periodic *watcher, int events)
{
    (void)loop, (void)watcher, (void)events;
}

static void on_nudge(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)watcher, (void)events;
}

/* A refusal is told after the next wait only: so that one must not last. */
void loop_watch(struct ev_io *watcher)
{
    struct ev_loop *loop = loop_widen();
    ev_io_start(loop, watcher);
    if (!driver.waits || ev_is_active(&driver.nudge))
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
void loop_take_signals(void)
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
    loop_take_signals();
    if (driver.refused && !driver.finished)
        loop_watch_again(watcher);
}

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)watcher, (void)events;
    supervisor_time(driver.supervisor);
}

/* libev looks at the clock every minute, unless a periodic has given it a timerfd that tells of
 * clock jumps. */
static void keep_quiet(void)
{
    ev_periodic_start(driver.loop, &driver.never);
}

bool loop_open(struct supervisor *supervisor, const struct plan *plan)
{
    driver.supervisor = supervisor;
    driver.backend = plan_backend(plan);
    ev_init(&driver.signals, on_signals);
    ev_set_priority(&driver.signals, EV_MAXPRI); /* before what runs say */
    ev_init(&driver.timer, on_timer);
    ev_init(&driver.nudge, on_nudge);
    ev_periodic_init(&driver.never, on_never, FAR_AWAY, 0, 0);
    if (!plan_is_fleet(plan) && driver.backend == EVBACKEND_POLL)
        return true; /* it is made later, if at all */
    if (!make_loop())
        return false;
    keep_quiet(); /* now: the first start shall lack every descriptor that the others do */
    return true;
}

bool loop_open_signals(void)
{
    return driver.loop == NULL || open_signals();
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
    keep_quiet();
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
            channel_tidy();
            take_signal(true);
            continue;
        }
        bool told = watch_signals();
        if (!told)
            loop_take_signals(); /* busy, too */
        channel_tidy();
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
