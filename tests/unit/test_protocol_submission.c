/* The request of `submit`: what is written is read back, and nothing malformed gets through. */
/* cmocka.h needs the four headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "protocol/submission.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define STRINGS_MAX  8

/* Memory of just this size: a sanitizer sees the byte beyond it. */
static void *take(size_t size)
{
    void *memory = malloc(size);
    assert_non_null(memory);
    return memory;
}

static void expect_strings(char *const *actual, char *const *expected)
{
    for (; *expected != NULL; actual++, expected++) {
        assert_non_null(*actual);
        assert_string_equal(*actual, *expected);
    }
    assert_null(*actual);
}

/* Fills a copy of the bytes, and the lists are these. */
static void expect_filled(const char *bytes, size_t size, const char *cwd, char *const *argv,
                          char *const *environment)
{
    const char *fault = NULL;
    struct submission submission;
    char *copy = take(size);
    memcpy(copy, bytes, size);
    size_t count = submission_pointers(copy, size, &fault);
    assert_int_not_equal(count, 0);
    char **pointers = take(count * sizeof *pointers);
    submission_fill(copy, size, pointers, &submission);
    assert_string_equal(submission.cwd, cwd);
    expect_strings(submission.argv, argv);
    expect_strings(submission.environment, environment);
    free(pointers);
    free(copy);
}

static void a_request_is_written_and_read(void **state)
{
    (void)state;
    static const struct {
        const char *cwd;
        char *argv[STRINGS_MAX], *environment[STRINGS_MAX];
        const char *bytes;
        size_t size;
    } requests[] = {
#define BYTES(bytes) bytes, sizeof(bytes)
        {"/", {"true"}, {NULL}, BYTES("/\0001\0true")},
        {"/srv/a b",
         {"sh", "-c", "x=1; $x"},
         {"A=1"},
         BYTES("/srv/a b\0003\0sh\0-c\0x=1; $x\0A=1")},
        {"/", {"", ""}, {"A=", "B==", "A=2"}, BYTES("/\0002\0\0\0A=\0B==\0A=2")},
        {"/\xff", {"\xff\n"}, {"\xff=\n"}, BYTES("/\xff\0001\0\xff\n\0\xff=\n")},
#undef BYTES
    };
    for (size_t i = 0; i < COUNT(requests); i++) {
        char *const *argv = requests[i].argv, *const *environment = requests[i].environment;
        size_t size = submission_write(NULL, requests[i].cwd, argv, environment);
        assert_int_equal(size, requests[i].size);
        char *bytes = take(size);
        assert_int_equal(submission_write(bytes, requests[i].cwd, argv, environment), size);
        assert_memory_equal(bytes, requests[i].bytes, size);
        expect_filled(bytes, size, requests[i].cwd, argv, environment);
        free(bytes);
    }
}

static void twelve_arguments_are_counted_in_decimal(void **state)
{
    (void)state;
    char *argv[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", NULL};
    char *environment[] = {"A=1", "B=2", NULL};
    char bytes[128];
    size_t size = submission_write(bytes, "/", argv, environment);
    assert_string_equal(bytes + strlen("/") + 1, "12");
    expect_filled(bytes, size, "/", argv, environment);
}

static void what_cannot_be_asked_for_is_not_written(void **state)
{
    (void)state;
    char *none[] = {NULL}, *argv[] = {"true", NULL};
    char *environment[] = {"", "A", "=B", "C=", "=", NULL};
    char bytes[64];
    assert_int_equal(submission_write(bytes, "", argv, none), 0);
    assert_int_equal(submission_write(bytes, "a", argv, none), 0);
    assert_int_equal(submission_write(bytes, "(unreachable)/", argv, none), 0);
    assert_int_equal(submission_write(bytes, "/", none, none), 0);
    /* An environment may hold anything; a variable is NAME=VALUE. */
    size_t size = submission_write(bytes, "/", argv, environment);
    expect_filled(bytes, size, "/", argv, (char *[]){"C=", NULL});
}

static void a_malformed_request_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *fault;
    } requests[] = {
#define BYTES(bytes) bytes, sizeof(bytes) - 1
        {BYTES(""), "its last string has no end"},
        {BYTES("/"), "its last string has no end"},
        {BYTES("/\0001\0true"), "its last string has no end"},
        {BYTES("/\0001\0true\0A=1"), "its last string has no end"},
        {BYTES("\0"), "its directory is not absolute"},
        {BYTES("\0001\0true\0"), "its directory is not absolute"},
        {BYTES("srv\0001\0true\0"), "its directory is not absolute"},
        {BYTES("./\0001\0true\0"), "its directory is not absolute"},
        {BYTES("/\0"), "its number of arguments is none"},
        {BYTES("/\0\0"), "its number of arguments is none"},
        {BYTES("/\0000\0"), "its number of arguments is none"},
        {BYTES("/\000-1\0true\0"), "its number of arguments is none"},
        {BYTES("/\000+1\0true\0"), "its number of arguments is none"},
        {BYTES("/\0001 \0true\0"), "its number of arguments is none"},
        {BYTES("/\0000x1\0true\0"), "its number of arguments is none"},
        {BYTES("/\0004194305\0true\0"), "its number of arguments is none"},
        {BYTES("/\00018446744073709551617\0true\0"), "its number of arguments is none"},
        {BYTES("/\0true\0"), "its number of arguments is none"},
        {BYTES("/\0001\0"), "it has fewer arguments than it says"},
        {BYTES("/\0002\0true\0"), "it has fewer arguments than it says"},
        {BYTES("/\0004194304\0true\0A=1\0"), "it has fewer arguments than it says"},
        {BYTES("/\0001\0true\0A\0"), "a variable of its environment is not NAME=VALUE"},
        {BYTES("/\0001\0true\0=A\0"), "a variable of its environment is not NAME=VALUE"},
        {BYTES("/\0001\0true\0\0"), "a variable of its environment is not NAME=VALUE"},
        {BYTES("/\0001\0true\0A=1\0B\0C=1\0"), "a variable of its environment is not NAME=VALUE"},
#undef BYTES
    };
    for (size_t i = 0; i < COUNT(requests); i++) {
        const char *fault = NULL;
        char *copy = take(requests[i].size > 0 ? requests[i].size : 1);
        memcpy(copy, requests[i].bytes, requests[i].size);
        assert_int_equal(submission_pointers(copy, requests[i].size, &fault), 0);
        assert_string_equal(fault, requests[i].fault);
        free(copy);
    }
}

/* Cut anywhere, a request is either refused or a whole request with less environment. */
static void a_request_cut_anywhere_stays_within_its_bytes(void **state)
{
    (void)state;
    static const char bytes[] = "/srv\0002\0cat\0-n\0A=1\0B=2";
    for (size_t size = 0; size <= sizeof bytes; size++) {
        const char *fault = NULL;
        char *copy = take(size + (size == 0));
        memcpy(copy, bytes, size);
        size_t count = submission_pointers(copy, size, &fault);
        bool whole = size == sizeof bytes || size == sizeof bytes - 4 || size == sizeof bytes - 8;
        assert_int_equal(count != 0, whole);
        if (whole) {
            struct submission submission;
            char **pointers = take(count * sizeof *pointers);
            submission_fill(copy, size, pointers, &submission);
            assert_string_equal(submission.argv[1], "-n");
            free(pointers);
        }
        free(copy);
    }
}

static void a_request_has_at_most_4_mib(void **state)
{
    (void)state;
    const char *fault = NULL;
    size_t size = (size_t)4 * 1024 * 1024;
    char *bytes = take(size + 1);
    memset(bytes, 'x', size + 1);
    memcpy(bytes, "/\0001", 4);
    bytes[size - 1] = '\0';
    assert_int_equal(submission_pointers(bytes, size, &fault), 3);
    memcpy(bytes, "/\0001", 4);
    bytes[size - 1] = 'x';
    bytes[size] = '\0';
    assert_int_equal(submission_pointers(bytes, size + 1, &fault), 0);
    assert_string_equal(fault, "it is too large");

    /* Ten bytes before them, so as many empty arguments as this fit, and not one more. */
    memset(bytes, 0, size);
    memcpy(bytes, "/\0004194295", 10);
    assert_int_equal(submission_pointers(bytes, size, &fault), 0);
    memcpy(bytes, "/\0004194294", 10);
    assert_int_equal(submission_pointers(bytes, size, &fault), 4194294 + 2);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_written_and_read),
        cmocka_unit_test(twelve_arguments_are_counted_in_decimal),
        cmocka_unit_test(what_cannot_be_asked_for_is_not_written),
        cmocka_unit_test(a_malformed_request_is_refused_with_its_reason),
        cmocka_unit_test(a_request_cut_anywhere_stays_within_its_bytes),
        cmocka_unit_test(a_request_has_at_most_4_mib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
