/* The requests of the admin socket: what is written is read back, and nothing malformed gets
 * through. */
/* cmocka.h needs the four headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "protocol/admin.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Memory of just this size: a sanitizer sees the byte beyond it. */
static char *line_of(const char *text)
{
    char *line = malloc(strlen(text) + 1);
    assert_non_null(line);
    memcpy(line, text, strlen(text) + 1);
    return line;
}

static void good_lines_are_read_and_written_again(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "status",
        "status --json",
        "status --names",
        "status web db:3",
        "start --all",
        "start --no-wait web",
        "stop web:0 web:1",
        "restart db",
        "signal RTMIN+3 web",
        "signal 15 web:2",
        "reload",
        "drain",
        "drain off",
        "wait-idle",
        "events",
        "events --json",
        "shutdown",
        "shutdown 0",
        "shutdown --no-wait 255",
        "submit convert",
        "submit --wait --as=web convert.7",
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct admin_request request;
        const char *fault = NULL;
        char buffer[ADMIN_LINE_MAX];
        char *line = line_of(lines[i]);
        if (!admin_parse(line, strlen(lines[i]), &request, &fault))
            fail_msg("'%s' is refused: %s", lines[i], fault);
        size_t length = admin_format(buffer, &request);
        assert_int_equal(length, strlen(lines[i]) + 1);
        assert_memory_equal(buffer, lines[i], length - 1);
        assert_int_equal(buffer[length - 1], '\n');
        free(line);
    }
}

static void bad_lines_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        " ",
        "stat",
        "STATUS",
        "status ",
        "status  web",
        " status",
        "status\tweb",
        "status \xff",
        "status --all",
        "status --json=yes",
        "status web --json",
        "status a/b",
        "status :1",
        "status web:",
        "status web:x",
        "status web:-1",
        "status web:99999999",
        "status web:1:2",
        "status aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "start",
        "stop --all web",
        "signal",
        "signal TERM",
        "signal SIGTERMANDMOREANDMORE web",
        "signal T,RM web",
        "reload web",
        "drain on",
        "drain off off",
        "wait-idle now",
        "events web",
        "shutdown 256",
        "shutdown -1",
        "shutdown x",
        "shutdown 1 2",
        "submit",
        "submit a b",
        "submit --as= a",
        "submit --as=a/b c",
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct admin_request request;
        const char *fault = NULL;
        char *line = line_of(lines[i]);
        if (admin_parse(line, strlen(lines[i]), &request, &fault))
            fail_msg("'%s' is accepted", lines[i]);
        assert_non_null(fault);
        free(line);
    }
}

static void a_nul_is_not_the_end_of_a_line(void **state)
{
    (void)state;
    struct admin_request request;
    const char *fault = NULL;
    char line[] = "stop web\0db";
    assert_false(admin_parse(line, sizeof line - 1, &request, &fault));
}

static void the_longest_line_is_read_and_a_longer_one_is_not_written(void **state)
{
    (void)state;
    struct admin_request request;
    const char *fault = NULL;
    char buffer[ADMIN_LINE_MAX];
    char *line = malloc(ADMIN_LINE_MAX + 1);
    assert_non_null(line);
    size_t used = strlen("stop");
    memcpy(line, "stop", used);
    for (; used + 3 < ADMIN_LINE_MAX; used += 2)
        memcpy(line + used, " x", 2);
    size_t rest = ADMIN_LINE_MAX - 1 - used;
    memset(line + used, 'y', rest);
    used += rest;
    assert_true(admin_parse(line, used, &request, &fault));
    assert_int_equal(admin_format(buffer, &request), ADMIN_LINE_MAX);
    request.no_wait = true;
    assert_int_equal(admin_format(buffer, &request), 0);
    assert_false(admin_parse(line, ADMIN_LINE_MAX, &request, &fault));
    free(line);
}

static void names_that_are_none_are_not_written(void **state)
{
    (void)state;
    static const char *const names[] = {"", "a b", "a/b", "--all", "a:b", "a\nstop"};
    char buffer[ADMIN_LINE_MAX];
    for (size_t i = 0; i < COUNT(names); i++) {
        const struct admin_request request = {
            .verb = ADMIN_STOP, .names = names[i], .name_count = 1};
        assert_int_equal(admin_format(buffer, &request), 0);
    }
}

static void targets_are_workers_or_instances(void **state)
{
    (void)state;
    struct admin_target target;
    assert_true(admin_parse_target("web", &target));
    assert_int_equal(target.length, 3);
    assert_false(target.has_instance);
    assert_true(admin_parse_target("web:12", &target));
    assert_int_equal(target.length, 3);
    assert_true(target.has_instance);
    assert_int_equal(target.instance, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_lines_are_read_and_written_again),
        cmocka_unit_test(bad_lines_are_refused_with_a_reason),
        cmocka_unit_test(a_nul_is_not_the_end_of_a_line),
        cmocka_unit_test(the_longest_line_is_read_and_a_longer_one_is_not_written),
        cmocka_unit_test(names_that_are_none_are_not_written),
        cmocka_unit_test(targets_are_workers_or_instances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
