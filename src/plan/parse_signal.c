/* Signals and their names: parse_signal() and signal_name(). */
#include "plan/parse.h"
#include "plan/signals.h"

#include <stdio.h>
#include <string.h>

/* strcasecmp() is not C11, and toupper() would ask the locale. */
static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool same_word(const char *a, const char *b)
{
    while (*a != '\0' && upper(*a) == upper(*b))
        a++, b++;
    return upper(*a) == upper(*b);
}

/* What follows `prefix` in `text`; NULL when it does not begin with it. */
static const char *skip_prefix(const char *text, const char *prefix)
{
    for (; *prefix != '\0'; prefix++, text++) {
        if (upper(*text) != *prefix)
            return NULL;
    }
    return text;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

struct named_signal {
    const char *name;
    int number;
};

/* The first name of a number is the one that is shown; the aliases stand at the end. */
static const struct named_signal named_signals[] = {
    {"INT", SIGINT},       {"TERM", SIGTERM}, {"KILL", SIGNAL_KILL},
#ifdef SIGILL
    {"ILL", SIGILL},       {"ABRT", SIGABRT}, {"FPE", SIGFPE},       {"SEGV", SIGSEGV},
#endif
#ifdef SIGHUP
    {"HUP", SIGHUP},
#endif
#ifdef SIGQUIT
    {"QUIT", SIGQUIT},
#endif
#ifdef SIGTRAP
    {"TRAP", SIGTRAP},
#endif
#ifdef SIGBUS
    {"BUS", SIGBUS},
#endif
#ifdef SIGUSR1
    {"USR1", SIGUSR1},
#endif
#ifdef SIGUSR2
    {"USR2", SIGUSR2},
#endif
#ifdef SIGPIPE
    {"PIPE", SIGPIPE},
#endif
#ifdef SIGALRM
    {"ALRM", SIGALRM},
#endif
#ifdef SIGSTKFLT
    {"STKFLT", SIGSTKFLT},
#endif
#ifdef SIGCHLD
    {"CHLD", SIGCHLD},
#endif
#ifdef SIGCONT
    {"CONT", SIGCONT},
#endif
#ifdef SIGSTOP
    {"STOP", SIGSTOP},
#endif
#ifdef SIGTSTP
    {"TSTP", SIGTSTP},
#endif
#ifdef SIGTTIN
    {"TTIN", SIGTTIN},
#endif
#ifdef SIGTTOU
    {"TTOU", SIGTTOU},
#endif
#ifdef SIGURG
    {"URG", SIGURG},
#endif
#ifdef SIGXCPU
    {"XCPU", SIGXCPU},
#endif
#ifdef SIGXFSZ
    {"XFSZ", SIGXFSZ},
#endif
#ifdef SIGVTALRM
    {"VTALRM", SIGVTALRM},
#endif
#ifdef SIGPROF
    {"PROF", SIGPROF},
#endif
#ifdef SIGWINCH
    {"WINCH", SIGWINCH},
#endif
#ifdef SIGIO
    {"IO", SIGIO},
#endif
#ifdef SIGPWR
    {"PWR", SIGPWR},
#endif
#ifdef SIGSYS
    {"SYS", SIGSYS},
#endif
#ifdef SIGEMT
    {"EMT", SIGEMT},
#endif
#ifdef SIGINFO
    {"INFO", SIGINFO},
#endif
#ifdef SIGBREAK
    {"BREAK", SIGBREAK},
#endif
#ifdef SIGIOT
    {"IOT", SIGIOT},
#endif
#ifdef SIGCLD
    {"CLD", SIGCLD},
#endif
#ifdef SIGPOLL
    {"POLL", SIGPOLL},
#endif
};

#define NAMED_COUNT (sizeof named_signals / sizeof named_signals[0])

/* The C library keeps the first real-time signals to itself, so their range is known at run time.
 */
#ifdef SIGRTMIN
/* On Linux 34, whatever a C library keeps for itself (musl one more): kill(1) counts from there. */
static int first_realtime(void)
{
#ifdef __linux__
    return 34;
#else
    return SIGRTMIN;
#endif
}

static int last_realtime(void)
{
    return SIGRTMAX < PLAN_SIGNAL_MAX ? SIGRTMAX : PLAN_SIGNAL_MAX;
}
#else
static int first_realtime(void)
{
    return PLAN_SIGNAL_MAX + 1;
}

static int last_realtime(void)
{
    return PLAN_SIGNAL_MAX;
}
#endif

static bool is_realtime(int signal)
{
    return signal >= first_realtime() && signal <= last_realtime();
}

static const char *find_name(int signal)
{
    for (size_t i = 0; i < NAMED_COUNT; i++) {
        if (named_signals[i].number == signal)
            return named_signals[i].name;
    }
    return NULL;
}

/* RTMIN, RTMIN+N, RTMAX and RTMAX-N; 0 when `name` is none of them. */
static int find_realtime(const char *name)
{
    const char *rest = skip_prefix(name, "RTMIN");
    bool from_first = rest != NULL;
    if (!from_first)
        rest = skip_prefix(name, "RTMAX");
    if (rest == NULL)
        return 0;

    int64_t offset = 0;
    if (*rest != '\0') {
        if (*rest++ != (from_first ? '+' : '-'))
            return 0;
        if (!is_digit(*rest) || !parse_integer(rest, 10, 0, PLAN_SIGNAL_MAX, &offset))
            return 0;
    }
    int signal = from_first ? first_realtime() + (int)offset : last_realtime() - (int)offset;
    return is_realtime(signal) ? signal : 0;
}

static int find_signal(const char *name)
{
    for (size_t i = 0; i < NAMED_COUNT; i++) {
        if (same_word(named_signals[i].name, name))
            return named_signals[i].number;
    }
    return find_realtime(name);
}

bool parse_signal(const char *text, int *value)
{
    int signal;
    if (is_digit(*text)) {
        int64_t number;
        if (!parse_integer(text, 10, 1, PLAN_SIGNAL_MAX, &number))
            return false;
        signal = (int)number;
        if (find_name(signal) == NULL && !is_realtime(signal))
            return false;
    } else {
        const char *rest = skip_prefix(text, "SIG");
        signal = find_signal(rest != NULL ? rest : text);
    }
    if (signal == 0)
        return false;
    *value = signal;
    return true;
}

const char *signal_name(int signal, char *buffer)
{
    const char *name = find_name(signal);
    if (name != NULL)
        snprintf(buffer, SIGNAL_NAME_MAX, "%s", name);
    else if (!is_realtime(signal))
        snprintf(buffer, SIGNAL_NAME_MAX, "%d", signal);
    else if (signal == first_realtime())
        snprintf(buffer, SIGNAL_NAME_MAX, "RTMIN");
    else
        snprintf(buffer, SIGNAL_NAME_MAX, "RTMIN+%u", (unsigned)(signal - first_realtime()) % 64);
    return buffer;
}
