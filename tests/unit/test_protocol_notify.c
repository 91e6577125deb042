/* sd_notify datagrams: what systemd would take from each, and what goes up. */
/* cmocka.h needs the four headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "protocol/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void expect_message(const struct notify_message *actual,
                           const struct notify_message *expected)
{
    assert_int_equal(actual->state, expected->state);
    if (expected->status == NULL)
        assert_null(actual->status);
    else
        assert_string_equal(actual->status, expected->status);
    assert_int_equal(actual->watchdog, expected->watchdog);
    assert_int_equal(actual->watchdog_trigger, expected->watchdog_trigger);
    assert_int_equal(actual->barrier, expected->barrier);
    assert_int_equal(actual->malformed, expected->malformed);
    assert_int_equal(actual->has_extend, expected->has_extend);
    assert_int_equal(actual->has_watchdog_time, expected->has_watchdog_time);
    assert_int_equal(actual->has_reload_time, expected->has_reload_time);
    assert_int_equal(actual->has_errno, expected->has_errno);
    assert_int_equal(actual->has_exit_status, expected->has_exit_status);
    assert_int_equal(actual->has_main_pid, expected->has_main_pid);
    assert_true(actual->extend == expected->extend);
    assert_true(actual->watchdog_time == expected->watchdog_time);
    assert_true(actual->reload_usec == expected->reload_usec);
    assert_int_equal(actual->error, expected->error);
    assert_int_equal(actual->exit_status, expected->exit_status);
    assert_int_equal(actual->main_pid, expected->main_pid);
}

/* Parses a copy that has no byte more than it needs: a sanitizer sees the one beyond.  The status
 * is valid until the next call. */
static bool parse(const char *bytes, size_t size, struct notify_message *message,
                  const char **fault)
{
    static char *copy;
    free(copy);
    copy = malloc(size + 1);
    assert_non_null(copy);
    memset(copy, 'x', size + 1);
    memcpy(copy, bytes, size);
    return notify_parse(copy, size, message, fault);
}

static void expect_parsed(const char *bytes, size_t size, const struct notify_message *expected)
{
    struct notify_message message;
    const char *fault = NULL;
    assert_true(parse(bytes, size, &message, &fault));
    expect_message(&message, expected);
}

/* Datagrams that are also what notify_format() makes of their message. */
static const struct {
    const char *bytes;
    struct notify_message message;
} messages[] = {
    {"READY=1\n", {.state = NOTIFY_READY}},
    {"RELOADING=1\n", {.state = NOTIFY_RELOADING}},
    {"STOPPING=1\n", {.state = NOTIFY_STOPPING}},
    {"READY=1\nSTATUS=3 of 5\n", {.state = NOTIFY_READY, .status = "3 of 5"}},
    {"STATUS=\n", {.status = ""}},
    {"STATUS= a=b caf\xc3\xa9 \n", {.status = " a=b caf\xc3\xa9 "}},
    {"WATCHDOG=1\n", {.watchdog = true}},
    {"WATCHDOG=trigger\n", {.watchdog_trigger = true}},
    {"STOPPING=1\nEXTEND_TIMEOUT_USEC=5000000\n",
     {.state = NOTIFY_STOPPING, .has_extend = true, .extend = 5000}},
    {"EXTEND_TIMEOUT_USEC=18446744073709551615\n", {.has_extend = true, .extend = NEVER}},
    {"WATCHDOG_USEC=0\n", {.has_watchdog_time = true}},
    {"WATCHDOG_USEC=30000000\n", {.has_watchdog_time = true, .watchdog_time = 30000}},
    {"RELOADING=1\nMONOTONIC_USEC=18446744073709551615\n",
     {.state = NOTIFY_RELOADING, .has_reload_time = true, .reload_usec = UINT64_MAX}},
    {"ERRNO=2\n", {.has_errno = true, .error = 2}},
    {"EXIT_STATUS=255\n", {.has_exit_status = true, .exit_status = 255}},
    {"MAINPID=2147483647\n", {.has_main_pid = true, .main_pid = INT32_MAX}},
    {"BARRIER=1", {.barrier = true}},
    {"STOPPING=1\nSTATUS=bye\nWATCHDOG=1\nEXTEND_TIMEOUT_USEC=1000\nWATCHDOG_USEC=2000\n"
     "MONOTONIC_USEC=3\nERRNO=4\nEXIT_STATUS=5\nMAINPID=6\n",
     {.state = NOTIFY_STOPPING,
      .status = "bye",
      .watchdog = true,
      .has_extend = true,
      .extend = 1,
      .has_watchdog_time = true,
      .watchdog_time = 2,
      .has_reload_time = true,
      .reload_usec = 3,
      .has_errno = true,
      .error = 4,
      .has_exit_status = true,
      .exit_status = 5,
      .has_main_pid = true,
      .main_pid = 6}},
};

static void each_assignment_is_read_and_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(messages); i++) {
        char buffer[NOTIFY_MAX];
        size_t size = strlen(messages[i].bytes);
        expect_parsed(messages[i].bytes, size, &messages[i].message);
        assert_int_equal(notify_format(buffer, &messages[i].message), size);
        assert_memory_equal(buffer, messages[i].bytes, size);
    }
}

/* A datagram comes whole; one that was cut by its sender must still be harmless. */
static void a_datagram_cut_anywhere_is_harmless(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(messages); i++) {
        for (size_t size = 0; size < strlen(messages[i].bytes); size++) {
            struct notify_message message;
            const char *fault = NULL;
            assert_int_equal(parse(messages[i].bytes, size, &message, &fault), size > 0);
        }
    }
}

static void datagrams_are_read_as_systemd_reads_them(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        struct notify_message message;
    } datagrams[] = {
#define DATAGRAM(bytes, ...)                                                                       \
    {                                                                                              \
        bytes, sizeof(bytes) - 1,                                                                  \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
        DATAGRAM("READY=1", .state = NOTIFY_READY),
        DATAGRAM("READY=1\0", .state = NOTIFY_READY),
        DATAGRAM("\n\nREADY=1\r\n\r\n", .state = NOTIFY_READY),
        /* of these three, the last counts */
        DATAGRAM("READY=1\nSTOPPING=1\n", .state = NOTIFY_STOPPING),
        DATAGRAM("STOPPING=1\nRELOADING=1\nREADY=1", .state = NOTIFY_READY),
        /* of the others, the first */
        DATAGRAM("STATUS=a\nSTATUS=b", .status = "a"),
        DATAGRAM("WATCHDOG=1\nWATCHDOG=trigger", .watchdog = true),
        DATAGRAM("ERRNO=x\nERRNO=2", .malformed = true),
        /* what we have no use for, or do not know */
        DATAGRAM("FDSTORE=1\nFDNAME=x\nFDPOLL=0\nFDSTOREREMOVE=1\nNOTIFYACCESS=all"),
        DATAGRAM("X_ANYTHING=\nREADY=1\n=\n=1\nnonsense", .state = NOTIFY_READY),
        DATAGRAM("ready=1\nREADY=0\nREADY= 1\nREADY=1 \nREADY\nREADY=\n READY=1\nREADY=11"),
        DATAGRAM("STOPPING=yes\nRELOADING=2\nBARRIER=0\nBARRIER=11"),
        DATAGRAM("XSTATUS=a\nSTATUS\nSTATU=a"),
        DATAGRAM("BARRIER=1\n", .barrier = true),
        /* spans are rounded up: nobody is told to be sooner than it said */
        DATAGRAM("EXTEND_TIMEOUT_USEC=1", .has_extend = true, .extend = 1),
        DATAGRAM("EXTEND_TIMEOUT_USEC=1000", .has_extend = true, .extend = 1),
        DATAGRAM("EXTEND_TIMEOUT_USEC=1001", .has_extend = true, .extend = 2),
        DATAGRAM("EXTEND_TIMEOUT_USEC=9223372036854775000", .has_extend = true,
                 .extend = 9223372036854775),
        DATAGRAM("EXTEND_TIMEOUT_USEC=9223372036854775001", .has_extend = true, .extend = NEVER),
        DATAGRAM("WATCHDOG_USEC=18446744073709551615", .has_watchdog_time = true,
                 .watchdog_time = NEVER),
        /* a status may be shown on a terminal */
        DATAGRAM("STATUS=a\tb\x1b[2Jc\x7f", .status = "a b [2Jc "),
        DATAGRAM("STATUS=a\xc2\x9b"
                 "b",
                 .status = "a b"),
        /* what cannot be read costs that assignment alone */
        DATAGRAM("STATUS=\xff\nREADY=1", .state = NOTIFY_READY, .malformed = true),
        DATAGRAM("STATUS=\xc3\nREADY=1", .state = NOTIFY_READY, .malformed = true),
        DATAGRAM("STATUS=\xed\xa0\x80", .malformed = true),
        DATAGRAM("WATCHDOG=0\nREADY=1", .state = NOTIFY_READY, .malformed = true),
        DATAGRAM("WATCHDOG=", .malformed = true),
        DATAGRAM("EXTEND_TIMEOUT_USEC=", .malformed = true),
        DATAGRAM("EXTEND_TIMEOUT_USEC=5s", .malformed = true),
        DATAGRAM("EXTEND_TIMEOUT_USEC=-1", .malformed = true),
        DATAGRAM("EXTEND_TIMEOUT_USEC=18446744073709551616", .malformed = true),
        DATAGRAM("WATCHDOG_USEC=1.5", .malformed = true),
        DATAGRAM("MONOTONIC_USEC= 1", .malformed = true),
        DATAGRAM("MONOTONIC_USEC=99999999999999999999999", .malformed = true),
        DATAGRAM("ERRNO=4095", .has_errno = true, .error = 4095),
        DATAGRAM("ERRNO=4096", .malformed = true),
        DATAGRAM("ERRNO=ENOENT", .malformed = true),
        DATAGRAM("EXIT_STATUS=256", .malformed = true),
        DATAGRAM("MAINPID=0", .malformed = true),
        DATAGRAM("MAINPID=-1", .malformed = true),
        DATAGRAM("MAINPID=2147483648", .malformed = true),
#undef DATAGRAM
    };
    for (size_t i = 0; i < COUNT(datagrams); i++)
        expect_parsed(datagrams[i].bytes, datagrams[i].size, &datagrams[i].message);
}

static void a_datagram_that_is_none_is_dropped_whole(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *fault;
    } datagrams[] = {
        {"", 0, "it is empty"},
        {"\0", 1, "it is empty"},
        {"\n\r\n", 3, "it is empty"},
        {"READY=1\0\0", 9, "it has a NUL before its end"},
        {"READY=1\0STOPPING=1", 18, "it has a NUL before its end"},
        {"\0READY=1", 8, "it has a NUL before its end"},
        {"BARRIER=1\nREADY=1", 17, "BARRIER=1 is not alone"},
        {"READY=1\nBARRIER=1", 17, "BARRIER=1 is not alone"},
        {"BARRIER=1\nBARRIER=1", 19, "BARRIER=1 is not alone"},
        {"BARRIER=1\nnonsense", 18, "BARRIER=1 is not alone"},
    };
    for (size_t i = 0; i < COUNT(datagrams); i++) {
        struct notify_message message;
        const char *fault = NULL;
        assert_false(parse(datagrams[i].bytes, datagrams[i].size, &message, &fault));
        assert_string_equal(fault, datagrams[i].fault);
        expect_message(&message, &(struct notify_message){0});
    }
}

/* Both ways, and a character that would be cut is left out whole. */
static void a_status_is_cut_to_what_a_control_line_holds(void **state)
{
    (void)state;
    for (size_t start = 0; start < 3; start++) {
        char datagram[NOTIFY_MAX + 1], expected[NOTIFY_MAX], buffer[NOTIFY_MAX];
        size_t used = strlen("STATUS=") + start;
        memcpy(datagram, "STATUS=xxx", used);
        for (; used + 3 <= NOTIFY_MAX; used += 3)
            memcpy(datagram + used, "\xe2\x82\xac", 3);
        datagram[used] = '\0';
        size_t length = start + (NOTIFY_STATUS_MAX - start) / 3 * 3;
        memcpy(expected, datagram + strlen("STATUS="), length);
        expected[length] = '\0';
        expect_parsed(datagram, used, &(struct notify_message){.status = expected});

        struct notify_message message = {.status = datagram + strlen("STATUS=")};
        assert_int_equal(notify_format(buffer, &message), strlen("STATUS=") + length + 1);
        assert_memory_equal(buffer, datagram, strlen("STATUS=") + length);
    }
}

static void what_goes_up_is_always_well_formed(void **state)
{
    (void)state;
    static const struct {
        struct notify_message message;
        const char *bytes;
    } formats[] = {
        {{0}, ""},
        {{.malformed = true}, ""},
        {{.status = "two\nlines\xff"}, "STATUS=two lines?\n"},
        {{.has_extend = true, .extend = -1}, "EXTEND_TIMEOUT_USEC=0\n"},
        {{.has_extend = true, .extend = NEVER - 1}, "EXTEND_TIMEOUT_USEC=18446744073709551615\n"},
        {{.state = NOTIFY_READY, .barrier = true}, "BARRIER=1"},
        {{.watchdog = true, .watchdog_trigger = true}, "WATCHDOG=1\n"},
    };
    for (size_t i = 0; i < COUNT(formats); i++) {
        char buffer[NOTIFY_MAX];
        size_t size = notify_format(buffer, &formats[i].message);
        assert_int_equal(size, strlen(formats[i].bytes));
        assert_memory_equal(buffer, formats[i].bytes, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_assignment_is_read_and_written),
        cmocka_unit_test(a_datagram_cut_anywhere_is_harmless),
        cmocka_unit_test(datagrams_are_read_as_systemd_reads_them),
        cmocka_unit_test(a_datagram_that_is_none_is_dropped_whole),
        cmocka_unit_test(a_status_is_cut_to_what_a_control_line_holds),
        cmocka_unit_test(what_goes_up_is_always_well_formed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
