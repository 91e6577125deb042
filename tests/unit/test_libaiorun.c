/* libaiorun over a socket pair whose other end we hold: what it sends, what it reads, and what it
 * leaves alone. */
/* cmocka.h needs the four headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "client/aiorun.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int ours = -1, theirs = -1; /* the supervisor's end, and the program's */

static void name_pipe(int fd)
{
    char text[64];
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    snprintf(text, sizeof text, "%d", fd);
    setenv("AIORUN_CONTROL_FD", text, 1);
    snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino);
    setenv("AIORUN_CONTROL_ID", text, 1);
}

static int begin(void **state)
{
    int ends[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    ours = ends[0];
    theirs = ends[1];
    name_pipe(theirs);
    errno = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    close(ours);
    close(theirs);
    return 0;
}

/* What was sent since the last call. */
static const char *sent(void)
{
    static char buffer[4096];
    int saved = errno;
    ssize_t count = recv(ours, buffer, sizeof buffer - 1, MSG_DONTWAIT);
    errno = saved;
    buffer[count > 0 ? count : 0] = '\0';
    return buffer;
}

static void say(const char *line)
{
    assert_int_equal(send(ours, line, strlen(line), MSG_NOSIGNAL), strlen(line));
}

#define ACCEPTS(call, line)                                                                        \
    do {                                                                                           \
        assert_int_equal(call, 0);                                                                 \
        assert_string_equal(sent(), line);                                                         \
    } while (0)

#define REFUSES(call, error)                                                                       \
    do {                                                                                           \
        errno = 0;                                                                                 \
        assert_int_equal(call, -1);                                                                \
        assert_int_equal(errno, error);                                                            \
        assert_string_equal(sent(), "");                                                           \
    } while (0)

static const char name_of_63[] = "0123456789.abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXY";

static void test_each_function_sends_its_line(void **state)
{
    (void)state;
    assert_int_equal(strlen(name_of_63), AIORUN_NAME_MAX);
    assert_int_equal(aiorun_available(), 1);
    assert_int_equal(aiorun_fd(), theirs);
    ACCEPTS(aiorun_ready(), "ready\n");
    ACCEPTS(aiorun_watchdog(), "watchdog\n");
    ACCEPTS(aiorun_status("7 of 9  done"), "status 7 of 9  done\n");
    ACCEPTS(aiorun_error("h\303\251las"), "error h\303\251las\n");
    ACCEPTS(aiorun_shield("upload", -1), "shield upload\n");
    ACCEPTS(aiorun_shield(name_of_63, 0),
            "shield 0123456789.abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXY 0\n");
    ACCEPTS(aiorun_unshield("upload"), "unshield upload\n");
    ACCEPTS(aiorun_shutdown(-1), "shutdown\n");
    ACCEPTS(aiorun_shutdown(0), "shutdown 0\n");
    ACCEPTS(aiorun_shutdown(255), "shutdown 255\n");
}

static void test_seconds_are_decimal_and_rounded_up(void **state)
{
    (void)state;
    ACCEPTS(aiorun_extend(0), "extend 0\n");
    ACCEPTS(aiorun_extend(2), "extend 2\n");
    ACCEPTS(aiorun_extend(0.5), "extend 0.500\n");
    ACCEPTS(aiorun_extend(0.0001), "extend 0.001\n");
    ACCEPTS(aiorun_extend(12.0625), "extend 12.063\n");
    ACCEPTS(aiorun_extend(315360000), "extend 315360000\n");
    ACCEPTS(aiorun_extend(315360001), "extend infinity\n");
    ACCEPTS(aiorun_extend(HUGE_VAL), "extend infinity\n");
    ACCEPTS(aiorun_shield("a", 1.25), "shield a 1.250\n");
    REFUSES(aiorun_extend(-1), EINVAL);
    REFUSES(aiorun_extend(NAN), EINVAL);
    REFUSES(aiorun_shield("a", NAN), EINVAL);
}

static void test_names_that_are_none_are_refused(void **state)
{
    static const char *const names[] = {"",
                                        "a b",
                                        "a\n",
                                        "a/b",
                                        "\303\251",
                                        "0123456789.abcdefghijklmnopqrstuvwxyz_"
                                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        REFUSES(aiorun_shield(names[i], 1), EINVAL);
        REFUSES(aiorun_unshield(names[i]), EINVAL);
    }
    REFUSES(aiorun_shield(NULL, 1), EINVAL);
}

static void test_texts_that_are_none_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "two\nlines",
        "a\ttab",
        "\177",
        "\302\205",         /* a control character beyond ASCII */
        "\377",             /* no UTF-8 at all */
        "\303",             /* cut */
        "\200",             /* the middle of a character */
        "\300\257",         /* overlong */
        "\340\200\257",     /* overlong */
        "\360\200\200\257", /* overlong */
        "\355\240\200",     /* a surrogate */
        "\364\220\200\200", /* beyond Unicode */
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        REFUSES(aiorun_status(texts[i]), EINVAL);
        REFUSES(aiorun_error(texts[i]), EINVAL);
    }
    REFUSES(aiorun_status(NULL), EINVAL);
    REFUSES(aiorun_shutdown(256), EINVAL);
    REFUSES(aiorun_shutdown(-2), EINVAL);
    ACCEPTS(aiorun_status("\302\240\340\240\200\355\237\277\360\220\200\200\364\217\277\277"),
            "status \302\240\340\240\200\355\237\277\360\220\200\200\364\217\277\277\n");
}

static void test_a_text_is_whole_or_refused(void **state)
{
    char text[AIORUN_TEXT_MAX + 2];
    (void)state;
    memset(text, 'x', sizeof text);
    text[AIORUN_TEXT_MAX] = '\0';
    assert_int_equal(aiorun_status(text), 0);
    const char *line = sent();
    assert_int_equal(strlen(line), 1024);
    assert_int_equal(line[1023], '\n');
    text[AIORUN_TEXT_MAX] = 'x';
    text[AIORUN_TEXT_MAX + 1] = '\0';
    REFUSES(aiorun_status(text), EMSGSIZE);
}

/* Everything does nothing, and arguments are checked all the same. */
static void expect_harmless(void)
{
    struct aiorun_order order;
    errno = 0;
    assert_int_equal(aiorun_available(), 0);
    assert_int_equal(aiorun_fd(), -1);
    ACCEPTS(aiorun_ready(), "");
    ACCEPTS(aiorun_watchdog(), "");
    ACCEPTS(aiorun_status("text"), "");
    ACCEPTS(aiorun_error("text"), "");
    ACCEPTS(aiorun_shield("a", 1), "");
    ACCEPTS(aiorun_unshield("a"), "");
    ACCEPTS(aiorun_extend(1), "");
    ACCEPTS(aiorun_shutdown(1), "");
    ACCEPTS(aiorun_receive(&order), "");
    assert_int_equal(errno, 0);
    REFUSES(aiorun_shield("a b", 1), EINVAL);
}

static void test_without_an_aiorun_nothing_happens(void **state)
{
    (void)state;
    unsetenv("AIORUN_CONTROL_FD");
    expect_harmless();
    name_pipe(theirs);
    unsetenv("AIORUN_CONTROL_ID");
    expect_harmless();
}

static void test_a_descriptor_that_is_another_is_left_alone(void **state)
{
    int others[2];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, others), 0);
    int kept = fcntl(theirs, F_DUPFD_CLOEXEC, 0);
    assert_int_equal(dup2(others[0], theirs), theirs);
    expect_harmless();
    assert_int_equal(dup2(null, theirs), theirs);
    expect_harmless();
    close(theirs);
    expect_harmless();
    assert_int_equal(dup2(kept, theirs), theirs); /* and back */
    ACCEPTS(aiorun_ready(), "ready\n");
    /* Something that is no socket is never written to, whatever the variables say. */
    assert_int_equal(dup2(null, theirs), theirs);
    name_pipe(theirs);
    expect_harmless();
    close(kept);
    close(null);
    close(others[0]);
    close(others[1]);
}

static void test_variables_that_make_no_sense_mean_no_aiorun(void **state)
{
    static const char *const fds[] = {"", "x", "9x", "-1", " 9", "99999999999999999999", "1000000"};
    static const char *const ids[] = {"",    ":",     "1:",  "1",   ":1",
                                      "x:y", "1:2:3", "1:2", "-1:", "+1:1"};
    (void)state;
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        name_pipe(theirs);
        setenv("AIORUN_CONTROL_FD", fds[i], 1);
        expect_harmless();
    }
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        name_pipe(theirs);
        setenv("AIORUN_CONTROL_ID", ids[i], 1);
        expect_harmless();
    }
}

static void test_orders_are_received_one_by_one(void **state)
{
    struct aiorun_order order;
    (void)state;
    assert_int_equal(aiorun_receive(&order), 0);
    say("reload\nshutdown signal 59.75\nshutdown request infinity\n");
    assert_int_equal(aiorun_receive(&order), 1);
    assert_int_equal(order.kind, AIORUN_RELOAD);
    assert_string_equal(order.reason, "");
    assert_int_equal(aiorun_receive(&order), 1);
    assert_int_equal(order.kind, AIORUN_SHUTDOWN);
    assert_string_equal(order.reason, "signal");
    assert_true(order.seconds > 59.7499 && order.seconds < 59.7501);
    assert_int_equal(aiorun_receive(&order), 1);
    assert_string_equal(order.reason, "request");
    assert_true(order.seconds == HUGE_VAL);
    assert_int_equal(aiorun_receive(&order), 0);
}

static void test_nothing_is_taken_before_a_line_is_whole(void **state)
{
    struct aiorun_order order;
    char rest[16];
    (void)state;
    say("relo");
    assert_int_equal(aiorun_receive(&order), 0);
    say("ad\nrel");
    assert_int_equal(aiorun_receive(&order), 1);
    assert_int_equal(order.kind, AIORUN_RELOAD);
    assert_int_equal(aiorun_receive(&order), 0);
    assert_int_equal(recv(theirs, rest, sizeof rest, MSG_DONTWAIT), 3);
}

static void test_lines_of_another_protocol_are_passed_over(void **state)
{
    static const char *const lines[] = {
        "",           "reload now", "shutdown",          "shutdown signal", "shutdown Signal 1",
        "shutdown 1", "dance",      "shutdown signal x", "shutdown s -1",   "shutdown s 1.",
        "shutdown s", "Reload",     "shutdown s 1 2",    "shutdown  1",     "shutdown s infinite",
    };
    struct aiorun_order order;
    char line[64], many[2000];
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        snprintf(line, sizeof line, "%s\nreload\n", lines[i]);
        say(line);
        if (aiorun_receive(&order) != 1 || order.kind != AIORUN_RELOAD)
            fail_msg("'%s' is understood", lines[i]);
        assert_int_equal(aiorun_receive(&order), 0);
    }
    memset(many, 'x', sizeof many - 1);
    many[sizeof many - 2] = '\n';
    many[sizeof many - 1] = '\0';
    say(many);
    say("reload\n");
    assert_int_equal(aiorun_receive(&order), 1);
    assert_int_equal(order.kind, AIORUN_RELOAD);
}

static void test_the_supervisors_end_is_told_to_all(void **state)
{
    struct aiorun_order order;
    (void)state;
    say("reload\n");
    shutdown(ours, SHUT_RDWR);
    assert_int_equal(aiorun_receive(&order), 1); /* what it said before */
    errno = 0;
    assert_int_equal(aiorun_receive(&order), -1);
    assert_int_equal(errno, EPIPE);
    close(ours);
    REFUSES(aiorun_ready(), EPIPE); /* and no SIGPIPE, which would have ended us */
}

static void test_a_supervisor_that_goes_with_words_unread_is_gone(void **state)
{
    struct aiorun_order order;
    (void)state;
    assert_int_equal(aiorun_ready(), 0);
    close(ours); /* the kernel calls this a reset */
    errno = 0;
    assert_int_equal(aiorun_receive(&order), -1);
    assert_int_equal(errno, EPIPE);
}

static void test_a_full_pipe_does_not_wait_and_takes_whole_lines(void **state)
{
    char buffer[65536], text[901];
    size_t lines = 0, newlines = 0;
    ssize_t count;
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    while (aiorun_status(text) == 0)
        assert_true(++lines < 100000);
    assert_int_equal(errno, EAGAIN);
    size_t bytes = 0;
    while ((count = recv(ours, buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
        bytes += (size_t)count;
        for (ssize_t i = 0; i < count; i++)
            newlines += buffer[i] == '\n';
    }
    assert_int_equal(newlines, lines);
    assert_int_equal(bytes, lines * (strlen("status \n") + strlen(text)));
    ACCEPTS(aiorun_ready(), "ready\n");
}

static void test_the_descriptor_stays_as_it_is(void **state)
{
    struct aiorun_order order;
    (void)state;
    for (int close_on_exec = 0; close_on_exec <= FD_CLOEXEC; close_on_exec++) {
        assert_int_equal(fcntl(theirs, F_SETFD, close_on_exec), 0);
        int flags = fcntl(theirs, F_GETFL);
        assert_int_equal(aiorun_ready(), 0);
        assert_int_equal(aiorun_receive(&order), 0);
        assert_int_equal(fcntl(theirs, F_GETFD), close_on_exec);
        assert_int_equal(fcntl(theirs, F_GETFL), flags);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_function_sends_its_line),
        TEST(test_seconds_are_decimal_and_rounded_up),
        TEST(test_names_that_are_none_are_refused),
        TEST(test_texts_that_are_none_are_refused),
        TEST(test_a_text_is_whole_or_refused),
        TEST(test_without_an_aiorun_nothing_happens),
        TEST(test_a_descriptor_that_is_another_is_left_alone),
        TEST(test_variables_that_make_no_sense_mean_no_aiorun),
        TEST(test_orders_are_received_one_by_one),
        TEST(test_nothing_is_taken_before_a_line_is_whole),
        TEST(test_lines_of_another_protocol_are_passed_over),
        TEST(test_the_supervisors_end_is_told_to_all),
        TEST(test_a_supervisor_that_goes_with_words_unread_is_gone),
        TEST(test_a_full_pipe_does_not_wait_and_takes_whole_lines),
        TEST(test_the_descriptor_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
