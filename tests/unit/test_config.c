/* The config file: the reader, the values that only a file has, and what makes a good fleet. */
/* cmocka.h needs the four headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "plan/check.h"
#include "plan/cli.h"
#include "plan/config.h"
#include "plan/ini.h"
#include "plan/option_table.h"
#include "plan/parse.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define WORDS_MAX     16
#define BAD_FILES     "tests/unit/bad_files.list"
#define W             "[worker:w]\ncommand = x\n"

static struct plan plan, other;
static struct faults faults;

/* Reads `text` as the file that a command line and an environment name, as main() does. */
static void read_bytes(struct plan *into, const char *text, size_t size, const char *const *words,
                       const char *const *variables)
{
    char *argv[WORDS_MAX + 3] = {"aiorun", "--config", "bad.ini"};
    char *environment[WORDS_MAX] = {NULL};
    for (size_t i = 0; words != NULL && words[i] != NULL; i++)
        argv[i + 3] = (char *)(uintptr_t)words[i];
    for (size_t i = 0; variables != NULL && variables[i] != NULL; i++)
        environment[i] = (char *)(uintptr_t)variables[i];
    char *copy = malloc(size + 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    plan_free(into);
    plan_init(into);
    memset(&faults, 0, sizeof faults);
    cli_parse(into, argv, environment, &faults);
    config_parse(into, copy, size, &faults);
    check_plan(into, &faults);
}

static void read_text(const char *text)
{
    read_bytes(&plan, text, strlen(text), NULL, NULL);
}

static void expect_no_fault(void)
{
    if (faults.count > 0)
        fail_msg("%s", faults.items[0].text);
}

static void expect_fault(const char *words)
{
    for (size_t i = 0; i < faults.count; i++) {
        if (strstr(faults.items[i].text, words) != NULL)
            return;
    }
    fail_msg("no fault says '%s', the first of %zu says '%s'", words, faults.count,
             faults.count > 0 ? faults.items[0].text : "");
}

static const struct plan_worker *worker(const char *name)
{
    for (uint32_t i = 0; i < plan.worker_count; i++) {
        if (strcmp(plan.workers[i].name, name) == 0)
            return &plan.workers[i];
    }
    fail_msg("there is no worker '%s'", name);
    return NULL;
}

#define VARIABLES(...) ((const char *const[WORDS_MAX]){__VA_ARGS__})

/* ---- the whole of it ---- */

static const char shop[] = "[aiorun]\n"
                           "timeout = 30s\n"
                           "\n"
                           "[worker:db]\n"
                           "command = ./db --data /var/lib/db\n"
                           "ready   = notify\n"
                           "\n"
                           "[worker:web]\n"
                           "command   = ./web 'two words'\n"
                           "instances = 4\n"
                           "after     = db\n"
                           "listen    = tcp:127.0.0.1:8080\n"
                           "ready     = control\n"
                           "stop      = TERM 20s, QUIT 5s, KILL\n"
                           "restart   = on-failure\n"
                           "restart-delay = 100ms..30s\n"
                           "restart-limit = 5/1m\n"
                           "user      = www-data\n"
                           "env.PORT  = 8080\n"
                           "limit.nofile = 65536\n"
                           "output    = prefix\n";

static void test_a_file_becomes_a_plan(void **state)
{
    (void)state;
    read_text(shop);
    expect_no_fault();
    assert_int_equal(plan.mode, MODE_FLEET);
    assert_int_equal(plan.timeout, 30 * SECOND);
    assert_int_equal(plan.worker_count, 2);
    const struct plan_worker *db = &plan.workers[0], *web = &plan.workers[1];
    assert_string_equal(db->name, "db");
    assert_string_equal(db->argv[2], "/var/lib/db");
    assert_int_equal(db->rules->ready.kind, READY_NOTIFY);
    assert_int_equal(db->rules->rung_count, 1);
    assert_int_equal(db->rules->instances, 1);
    assert_string_equal(web->name, "web");
    assert_string_equal(web->argv[1], "two words");
    assert_null(web->argv[2]);
    assert_int_equal(web->rules->instances, 4);
    assert_int_equal(web->after_count, 1);
    assert_int_equal(web->after[0].worker, 0);
    assert_false(web->after[0].needs);
    assert_int_equal(web->rules->listen.count, 1);
    assert_int_equal(web->rules->rung_count, 2);
    assert_int_equal(web->rules->backoff.limit, 5);
    assert_string_equal(web->rules->attributes.user, "www-data");
    assert_int_equal(web->rules->attributes.env.count, 1);
    assert_string_equal(web->rules->attributes.env.items[0], "PORT=8080");
    assert_int_equal(web->rules->attributes.limits[LIMIT_NOFILE].hard, 65536);
    assert_int_equal(web->rules->output.kind, OUTPUT_PREFIX);
    assert_int_equal(web->line, 8);
    char place[OPTION_PLACE_MAX];
    assert_string_equal(option_place_in(option_find("user", 4), &plan, web, place),
                        "bad.ini:18: user");
    assert_string_equal(option_place_in(option_find("timeout", 7), &plan, web, place),
                        "bad.ini:2: timeout");
    assert_string_equal(option_place_in(option_find("nice", 4), &plan, web, place),
                        "option --nice");
}

static void test_defaults_are_those_of_a_fleet(void **state)
{
    (void)state;
    read_text(W);
    expect_no_fault();
    const struct plan_worker *w = worker("w");
    assert_true(plan.forever);
    assert_int_equal(plan.terminal, TERMINAL_NONE);
    assert_int_equal(plan_verbosity(&plan), 1); /* INFO */
    assert_int_equal(w->rules->restart, RESTART_ON_FAILURE);
    assert_true(w->rules->group);
    assert_int_equal(w->rules->rung_count, 1);
    assert_int_equal(w->rules->rungs[0].signal, SIGTERM);
    assert_int_equal(w->rules->rungs[0].time, NEVER);
    assert_int_equal(w->rules->backoff.min, 100);
    assert_int_equal(w->rules->backoff.max, 30 * SECOND);
    assert_int_equal(w->rules->backoff.limit, 0);
    assert_int_equal(w->rules->ready_timeout, 60 * SECOND);
    assert_int_equal(w->rules->shield_timeout, 60 * SECOND);
    assert_int_equal(w->rules->output.kind, OUTPUT_INHERIT);
    assert_int_equal(w->rules->watchdog, NEVER);
    assert_int_equal(w->rules->max_age, NEVER);
    assert_int_equal(w->rules->memory_max, PLAN_UNLIMITED);
    assert_int_equal(w->rules->pids_max, PLAN_UNLIMITED);
    assert_int_equal(w->rules->cpu_max, 0);
    assert_int_equal(w->rules->attributes.umask, -1);
    assert_true(w->rules->autostart);
    assert_false(w->rules->may_stop_set);
    assert_null(w->rules->health.argv);
    assert_int_equal(w->rules->listen.count, 0);
    assert_int_equal(w->after_count, 0);
    /* They are no options that somebody gave: a launcher's are others. */
    plan_free(&plan);
    plan_init(&plan);
    assert_false(plan.forever);
    assert_int_equal(plan.worker.rules->restart, RESTART_NEVER);
    assert_int_equal(plan_verbosity(&plan), 0);
}

/* ---- the reader ---- */

/* The value of the variable A in the file that is W and these bytes. */
static const char *variable_in(const char *bytes, size_t size)
{
    static char text[INI_SIZE_MAX + 1024];
    memcpy(text, W, strlen(W));
    memcpy(text + strlen(W), bytes, size);
    read_bytes(&plan, text, strlen(W) + size, NULL, NULL);
    expect_no_fault();
    assert_int_equal(worker("w")->rules->attributes.env.count, 1);
    const char *variable = worker("w")->rules->attributes.env.items[0];
    assert_memory_equal(variable, "A=", 2);
    return variable + 2;
}

static void test_values_arrive_whole(void **state)
{
    static const struct {
        const char *line, *value;
    } cases[] = {
        {"env.A = b ; c", "b ; c"},
        {"env.A = ; c", "; c"},
        {"env.A = # c", "# c"},
        {"env.A =b", "b"},
        {"env.A=", ""},
        {"env.A = \t ", ""},
        {"env.A\t=\tb\tc\t", "b\tc"},
        {"env.A = b = c: d", "b = c: d"},
        {"env.A = [x]", "[x]"},
        {"env.A = \"b\" \\", "\"b\" \\"},
        {"env.A = \xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x98\xc2\xa0",
         "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x98\xc2\xa0"},
        {"env.A = b\r\n", "b"},
        {"env.A = b \r", "b"},
        {"  # indented comment\n\t;\n \t\nenv.A = b\n\n", "b"},
        {"env.A = b\nrestart = never ", "b"},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        assert_string_equal(variable_in(cases[i].line, strlen(cases[i].line)), cases[i].value);
}

static void test_values_of_every_length_arrive_whole(void **state)
{
    static char line[70000];
    static const size_t lengths[] = {1,   40,  48,  49,  50,  51,   150,  185,   186,  187, 188,
                                     189, 190, 191, 192, 198, 199,  200,  201,   202,  255, 256,
                                     300, 399, 400, 401, 511, 1023, 1024, 65535, 65536};
    (void)state;
    for (size_t i = 0; i < LENGTH(lengths); i++) {
        memcpy(line, "env.A = ", 8);
        for (size_t n = 0; n < lengths[i]; n++)
            line[8 + n] = "b;=] #["[n % 7]; /* blanks before a ; included */
        line[8 + lengths[i]] = '!';
        line[9 + lengths[i]] = '\n';
        const char *value = variable_in(line, 10 + lengths[i]);
        assert_int_equal(strlen(value), lengths[i] + 1);
        assert_memory_equal(value, line + 8, lengths[i] + 1);
    }
}

static void test_long_names_arrive_whole(void **state)
{
    static const char name[] = "a23456789012345678901234567890123456789012345678901234567890123";
    char text[1024], variable[400];
    (void)state;
    assert_int_equal(strlen(name), 63);
    memset(variable, 'V', sizeof variable - 1);
    variable[sizeof variable - 1] = '\0';
    snprintf(text, sizeof text, "[worker:%s]\ncommand = x\nenv.%s = 1\nenv.%sX = 2\n", name,
             variable, variable);
    read_text(text);
    expect_no_fault();
    const struct plan_strings *env = &worker(name)->rules->attributes.env;
    assert_int_equal(env->count, 2);
    assert_int_equal(strlen(env->items[0]), strlen(variable) + 2);
    assert_int_equal(strlen(env->items[1]), strlen(variable) + 3);
}

static void test_a_byte_order_mark_and_carriage_returns_are_no_part_of_it(void **state)
{
    (void)state;
    read_text("\xef\xbb\xbf[worker:w]\r\ncommand = x y\r\n\r\n# c\r\n[aiorun]\r\ntimeout = 5\r");
    expect_no_fault();
    assert_string_equal(worker("w")->argv[1], "y");
    assert_int_equal(plan.timeout, 5 * SECOND);
}

/* Of 1 MiB: the last line, without an end, is there. */
static void test_a_file_of_full_size(void **state)
{
    static char text[INI_SIZE_MAX];
    (void)state;
    memset(text, '\n', sizeof text);
    memcpy(text, W, strlen(W));
    memcpy(text + sizeof text - 8, "nice = 7", 8);
    read_bytes(&plan, text, sizeof text, NULL, NULL);
    expect_no_fault();
    assert_int_equal(worker("w")->rules->attributes.nice, 7);
    char place[OPTION_PLACE_MAX], end[OPTION_PLACE_MAX];
    snprintf(end, sizeof end, "bad.ini:%zu: nice", sizeof text - strlen(W) - 8 + 2 + 1);
    assert_string_equal(option_place_in(option_find("nice", 4), &plan, worker("w"), place), end);
}

static void test_what_a_file_can_hold(void **state)
{
    (void)state;
    assert_true(ini_can_hold(""));
    assert_true(ini_can_hold("a b ; c\td"));
    assert_true(ini_can_hold("\xc3\xa4"));
    assert_false(ini_can_hold(" a"));
    assert_false(ini_can_hold("a\t"));
    assert_false(ini_can_hold("a\nb"));
    assert_false(ini_can_hold("a\rb"));
    assert_false(ini_can_hold("\x1b"));
    assert_false(ini_can_hold("\xe4"));
}

/* ---- files that are refused ---- */

/* Puts the bytes that a line of the list stands for at `out`; returns how many. */
static size_t unescape(const char *line, char *out)
{
    size_t size = 0;
    for (; *line != '\0' && *line != '\n'; line++) {
        unsigned byte = (unsigned char)*line;
        if (*line == '\\') {
            line++;
            if (*line == 'c')
                return size;
            byte = *line == 't' ? '\t' : *line == 'r' ? '\r' : (unsigned)'\\';
            if (*line == 'x') {
                assert_int_equal(sscanf(line + 1, "%2x", &byte), 1);
                line += 2;
            }
        }
        out[size++] = (char)byte;
    }
    out[size++] = '\n';
    return size;
}

/* Is this one of the faults, said of that line? */
static bool is_told(unsigned line, const char *words, size_t length)
{
    char place[64];
    if (line > 0)
        snprintf(place, sizeof place, "bad.ini:%u: ", line);
    else
        snprintf(place, sizeof place, "bad.ini: ");
    for (size_t i = 0; i < faults.count; i++) {
        const char *text = faults.items[i].text;
        if (strncmp(text, place, strlen(place)) != 0)
            continue;
        for (const char *at = text; *at != '\0'; at++) {
            if (strncmp(at, words, length) == 0)
                return true;
        }
    }
    return false;
}

static void expect_faults(unsigned where, const char *list)
{
    size_t expected = 0;
    char *words;
    const char *end;
    for (; list != NULL; list = end != NULL ? end + 3 : NULL, expected++) {
        unsigned line = (unsigned)strtoul(list, &words, 10);
        assert_int_equal(*words, ':');
        end = strstr(words, " | ");
        size_t length = end != NULL ? (size_t)(end - words) - 1 : strlen(words + 1);
        if (!is_told(line, words + 1, length))
            fail_msg(BAD_FILES
                     ":%u: line %u is not said to be '%.*s'; of %zu faults the first is '%s'",
                     where, line, (int)length, words + 1, faults.count,
                     faults.count > 0 ? faults.items[0].text : "");
    }
    if (faults.count != expected)
        fail_msg(BAD_FILES ":%u: %zu faults, not %zu, the last '%s'", where, faults.count, expected,
                 faults.items[faults.count - 1].text);
    for (size_t i = 0; i < faults.count; i++)
        assert_null(strpbrk(faults.items[i].text, "\r\n\t\x1b"));
}

static void test_every_bad_file_is_refused_by_its_lines(void **state)
{
    static char text[8192], line[2048], expected[1024];
    size_t size = 0;
    unsigned number = 0, start = 0, files = 0;
    FILE *list = fopen(BAD_FILES, "r");
    (void)state;
    assert_non_null(list);
    for (bool more = true; more;) {
        more = fgets(line, sizeof line, list) != NULL;
        number++;
        if (!more || strncmp(line, "== ", 3) == 0) {
            if (start > 0) {
                read_bytes(&plan, text, size, NULL, NULL);
                expect_faults(start, expected);
                files++;
            }
            start = number;
            size = 0;
            snprintf(expected, sizeof expected, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
        } else if (start > 0) {
            size += unescape(line, text + size);
        }
    }
    fclose(list);
    assert_true(files > 150);
}

static void test_faults_beyond_the_last_are_counted(void **state)
{
    static char text[16 * 1024];
    struct text out = {.buffer = text, .size = sizeof text};
    (void)state;
    text_add(&out, W);
    for (int i = 0; i < FAULTS_MAX + 7; i++)
        text_add(&out, "nonsense %d\n", i);
    read_text(text);
    assert_int_equal(faults.count, FAULTS_MAX);
    assert_int_equal(faults.dropped, 7);
}

/* ---- files that are accepted ---- */

static void test_lists_are_taken_apart(void **state)
{
    (void)state;
    read_text(W "env-file = /a \"/b c\"  '' /d\\ e\n");
    assert_int_equal(faults.count, 1); /* the empty one */
    read_text("[aiorun]\nrewrite = HUP:0, TERM:QUIT USR1:USR2\n" W "env-file = /a \"/b c\" /d\\ e\n"
              "success-status = 143 SIGINT, requested\n");
    expect_no_fault();
    const struct plan_strings *files = &worker("w")->rules->attributes.env_files;
    assert_int_equal(files->count, 3);
    assert_string_equal(files->items[0], "/a");
    assert_string_equal(files->items[1], "/b c");
    assert_string_equal(files->items[2], "/d e");
    assert_int_equal(plan.rewrite[SIGHUP], 0);
    assert_int_equal(plan.rewrite[SIGTERM], SIGQUIT);
    assert_int_equal(plan.rewrite[SIGUSR1], SIGUSR2);
    assert_true(worker("w")->rules->success.requested);
}

static void test_addresses(void **state)
{
    static const struct {
        const char *text;
        enum plan_listen_kind kind;
        const char *host;
        int port, mode;
    } cases[] = {
        {"tcp:127.0.0.1:8080", LISTEN_TCP, "127.0.0.1", 8080, -1},
        {"tcp:*:1", LISTEN_TCP, "*", 1, -1},
        {"tcp:localhost:65535", LISTEN_TCP, "localhost", 65535, -1},
        {"tcp:[::1]:80", LISTEN_TCP, "::1", 80, -1},
        {"tcp:[::]:80", LISTEN_TCP, "::", 80, -1},
        {"tcp:[1:2:3:4:5:6:7:8]:80", LISTEN_TCP, "1:2:3:4:5:6:7:8", 80, -1},
        {"tcp:[1:2:3:4:5:6:7::]:80", LISTEN_TCP, "1:2:3:4:5:6:7::", 80, -1},
        {"tcp:[::ffff:1.2.3.4]:80", LISTEN_TCP, "::ffff:1.2.3.4", 80, -1},
        {"tcp:[fe80::1%eth0]:80", LISTEN_TCP, "fe80::1%eth0", 80, -1},
        {"tcp6:[::]:80", LISTEN_TCP6, "::", 80, -1},
        {"tcp6:*:80", LISTEN_TCP6, "*", 80, -1},
        {"unix:/run/x.sock", LISTEN_UNIX, "/run/x.sock", 0, -1},
        {"unix:/run/x.sock:0660", LISTEN_UNIX, "/run/x.sock", 0, 0660},
        {"unix:/run/x:y", LISTEN_UNIX, "/run/x:y", 0, -1},
        {"'unix:/run/a b:600'", LISTEN_UNIX, "/run/a b", 0, 0600},
    };
    static const char *const bad[] = {"tcp:[:1]:80",
                                      "tcp:[1:2:3:4:5:6:7:8:9]:80",
                                      "tcp:[::1:]:80",
                                      "tcp:[:::]:80",
                                      "tcp:[1::2:]:80",
                                      "tcp:[::1.2.3]:80",
                                      "tcp:[1:2:3:4:5:6:7:8::]:80",
                                      "tcp:[::%]:80",
                                      "tcp:[1.2.3.4]:80",
                                      "tcp:1.2.3.4.5:80",
                                      "tcp:[g::]:80",
                                      "tcp:[::1]80",
                                      ",",
                                      "tcp:*:80,tcp:*:81",
                                      "unix:,"};
    static const char *const both[] = {"unix:/run/x tcp:*:80", "unix:/run/x, tcp:*:80",
                                       "unix:/run/x , tcp:*:80", "unix:/run/x,\ttcp:*:80,"};
    struct plan_listens value = {0};
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        if (!parse_listen(cases[i].text, &value))
            fail_msg("%s", cases[i].text);
        assert_int_equal(value.count, 1);
        assert_int_equal(value.items[0].kind, cases[i].kind);
        assert_string_equal(value.items[0].host, cases[i].host);
        assert_int_equal(value.items[0].port, cases[i].port);
        assert_int_equal(value.items[0].mode, cases[i].mode);
        parse_free_listen(&value);
    }
    for (size_t i = 0; i < LENGTH(bad); i++) {
        if (parse_listen(bad[i], &value))
            fail_msg("%s", bad[i]);
    }
    for (size_t i = 0; i < LENGTH(both); i++) {
        if (!parse_listen(both[i], &value))
            fail_msg("%s", both[i]);
        assert_int_equal(value.count, 2);
        assert_string_equal(value.items[0].host, "/run/x");
        assert_int_equal(value.items[0].mode, -1);
        assert_int_equal(value.items[1].port, 80);
        parse_free_listen(&value);
    }
}

static void test_checks_and_outputs(void **state)
{
    struct plan_health health = {0};
    struct plan_output output;
    uint32_t cpus;
    (void)state;
    assert_true(parse_health("curl -f 'a b' every 10s timeout 2s retries 5", &health));
    assert_string_equal(health.argv[2], "a b");
    assert_null(health.argv[3]);
    assert_int_equal(health.every, 10 * SECOND);
    assert_int_equal(health.timeout, 2 * SECOND);
    assert_int_equal(health.retries, 5);
    parse_free_health(&health);
    assert_true(parse_health("sh -c 'every 5s' retries 0 every 1m", &health));
    assert_string_equal(health.argv[2], "every 5s");
    assert_int_equal(health.every, 60 * SECOND);
    assert_int_equal(health.timeout, 10 * SECOND);
    assert_int_equal(health.retries, 0);
    parse_free_health(&health);

    assert_true(parse_output("null", &output));
    assert_int_equal(output.kind, OUTPUT_NULL);
    assert_true(parse_output("file:/var/log/a b", &output));
    assert_int_equal(output.kind, OUTPUT_FILE);
    assert_string_equal(output.text, "/var/log/a b");
    assert_true(parse_output("pipe: s6-log -b n20 t ./logs", &output));
    assert_int_equal(output.kind, OUTPUT_PIPE);
    assert_string_equal(output.text, "s6-log -b n20 t ./logs");

    assert_true(parse_cpus("1.5", &cpus) && cpus == 1500);
    assert_true(parse_cpus("50%", &cpus) && cpus == 500);
    assert_true(parse_cpus("0.5%", &cpus) && cpus == 5);
    assert_true(parse_cpus("0.125", &cpus) && cpus == 125);
    assert_true(parse_cpus("infinity", &cpus) && cpus == 0);
    assert_false(parse_cpus("0.1255", &cpus));
    assert_false(parse_cpus(".5", &cpus));
    assert_false(parse_cpus("4294967297", &cpus));
}

/* ---- who is stronger ---- */

static void test_the_command_line_and_the_environment_win_over_the_file(void **state)
{
    static const char text[] = "[aiorun]\ntimeout = 5\nlog-format = json\nverbose = 2\n"
                               "drain-delay = 1\n"
                               "[worker:a]\ncommand = x\nrestart = never\nnice = 1\numask = 027\n"
                               "stop = TERM 5s\nenv.A = file\nenv.B = file\n"
                               "[worker:b]\ncommand = y\nstop-signal = INT\nuser = f\n";
    (void)state;
    read_bytes(&plan, text, sizeof text - 1,
               VARIABLES("--timeout", "7", "--restart", "always", "--stop-signal", "QUIT", "--env",
                         "A=typed", "-q"),
               VARIABLES("AIORUN_OPT_TIMEOUT=6", "AIORUN_OPT_LOG_FORMAT=text", "AIORUN_OPT_NICE=3",
                         "AIORUN_OPT_RESTART=never"));
    expect_no_fault();
    const struct plan_worker *a = worker("a"), *b = worker("b");
    assert_int_equal(plan.timeout, 7 * SECOND);
    assert_int_equal(plan.log_format, LOG_TEXT);
    assert_int_equal(plan_verbosity(&plan), 0); /* one less than INFO */
    assert_int_equal(plan.drain_delay, SECOND);
    assert_int_equal(a->rules->restart, RESTART_ALWAYS);
    assert_int_equal(b->rules->restart, RESTART_ALWAYS);
    assert_int_equal(a->rules->attributes.nice, 3);
    assert_int_equal(a->rules->attributes.umask, 027);
    assert_int_equal(a->rules->rungs[0].signal,
                     SIGQUIT); /* over the ladder, which it contradicts */
    assert_int_equal(b->rules->rungs[0].signal, SIGQUIT);
    assert_int_equal(a->rules->attributes.env.count, 2);
    assert_string_equal(a->rules->attributes.env.items[0], "A=typed");
    assert_string_equal(a->rules->attributes.env.items[1], "B=file");
    assert_int_equal(b->rules->attributes.env.count, 1);
    assert_string_equal(b->rules->attributes.user, "f");
}

static void test_what_is_overridden_is_judged_all_the_same(void **state)
{
    static const char text[] = "[aiorun]\ntimeout = soon\n" W "nice = 99\n";
    (void)state;
    read_bytes(&plan, text, sizeof text - 1, VARIABLES("--timeout", "7", "--nice", "1"), NULL);
    assert_int_equal(faults.count, 2);
    expect_fault("bad.ini:2: timeout: 'soon'");
    expect_fault("bad.ini:5: nice: '99'");
}

static void test_what_is_said_of_all_workers_is_judged_once(void **state)
{
    static const char text[] = "[worker:a]\ncommand = x\n[worker:b]\ncommand = y\nuser = c:d\n";
    (void)state;
    read_bytes(&plan, text, sizeof text - 1,
               VARIABLES("--stop", "TERM", "--stop-signal", "INT", "--user", "a:b:c"), NULL);
    assert_int_equal(faults.count, 2);
    expect_fault("option --stop: it contradicts option --stop-signal");
    expect_fault("option --user: 'a:b:c' is not USER or USER:GROUP");
    read_bytes(&plan, text, sizeof text - 1, VARIABLES("--group-name", "e"), NULL);
    assert_int_equal(faults.count, 1);
    expect_fault("option --group-name: 'e' contradicts the group in the user 'c:d'");
}

static void test_a_terminal_is_refused_by_name(void **state)
{
    (void)state;
    read_bytes(&plan, W, strlen(W), VARIABLES("--terminal", "share"), NULL);
    assert_int_equal(faults.count, 1);
    expect_fault("option --terminal: ");
    read_bytes(&plan, W, strlen(W), VARIABLES("--terminal", "none"), NULL);
    expect_no_fault();
    read_bytes(&plan, W, strlen(W), NULL, VARIABLES("AIORUN_OPT_TERMINAL=own"));
    expect_no_fault(); /* a default for others */
    assert_int_equal(plan.terminal, TERMINAL_NONE);
}

/* ---- who waits for whom ---- */

static void expect_order(const char *names)
{
    char found[256];
    struct text out = {.buffer = found, .size = sizeof found};
    for (uint32_t i = 0; i < plan.worker_count; i++)
        text_add(&out, "%s%s%u", i > 0 ? " " : "", plan.workers[i].name,
                 (unsigned)plan.workers[i].wave);
    assert_string_equal(found, names);
}

static void test_workers_stand_in_waves(void **state)
{
    (void)state;
    read_text("[worker:e]\ncommand = x\nafter = d a\n[worker:d]\ncommand = x\nneeds = b\n"
              "[worker:c]\ncommand = x\n[worker:b]\ncommand = x\nafter = a\nneeds = a, c\n"
              "[worker:a]\ncommand = x\n");
    expect_no_fault();
    expect_order("c0 a0 b1 d2 e3");
    const struct plan_worker *b = worker("b"), *e = worker("e");
    assert_int_equal(b->after_count, 2);
    assert_string_equal(plan.workers[b->after[0].worker].name, "a");
    assert_true(b->after[0].needs); /* in both lists */
    assert_string_equal(plan.workers[b->after[1].worker].name, "c");
    assert_true(b->after[1].needs);
    assert_int_equal(e->after_count, 2);
    assert_string_equal(plan.workers[e->after[0].worker].name, "d");
    assert_false(e->after[0].needs);
    for (uint32_t i = 0; i < plan.worker_count; i++) {
        for (uint32_t n = 0; n < plan.workers[i].after_count; n++)
            assert_true(plan.workers[i].after[n].worker < i);
    }
}

static void test_a_logger_is_a_worker_before_those_that_it_serves(void **state)
{
    (void)state;
    read_text("[worker:web]\ncommand = x\ninstances = 3\nuser = w\noutput = pipe:cat -n\n"
              "[worker:db]\ncommand = x\nafter = web\noutput = pipe: 'my log' a\n"
              "[worker:a]\ncommand = x\noutput = prefix\n");
    expect_no_fault();
    expect_order("a0 web.log0 db.log0 web1 db2");
    const struct plan_worker *web = worker("web"), *logger = worker("web.log");
    assert_ptr_equal(&plan.workers[web->logger], logger);
    assert_int_equal(web->after_count, 1);
    assert_ptr_equal(&plan.workers[web->after[0].worker], logger);
    assert_false(web->after[0].needs);
    assert_true(logger->is_logger);
    assert_ptr_equal(&plan.workers[logger->logger], web);
    assert_false(web->is_logger);
    assert_int_equal(logger->rules->instances, 1);
    assert_string_equal(logger->argv[0], "cat");
    assert_string_equal(logger->argv[1], "-n");
    assert_null(logger->rules->attributes.user);
    assert_int_equal(logger->rules->restart, RESTART_ALWAYS);
    assert_string_equal(worker("db.log")->argv[0], "my log");
    assert_string_equal(plan.workers[worker("db")->logger].name, "db.log");
}

/* Far more than a recursion would survive, and than a search in all for each would finish. */
static void test_a_chain_of_thousands(void **state)
{
    static char text[INI_SIZE_MAX];
    struct text out = {.buffer = text, .size = sizeof text};
    enum { COUNT = 20000 };
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        text_add(&out, "[worker:w%d]\ncommand = x\n", i);
        if (i + 1 < COUNT)
            text_add(&out, "after = w%d\n", i + 1);
    }
    assert_true(out.length < sizeof text);
    read_bytes(&plan, text, out.length, NULL, NULL);
    expect_no_fault();
    assert_string_equal(plan.workers[0].name, "w19999");
    assert_int_equal(plan.workers[COUNT - 1].wave, COUNT - 1);
}

/* One more than the core has room for would end a supervisor that reads its file anew. */
static void test_instances_of_all_workers_are_bounded(void **state)
{
    static char text[65536];
    (void)state;
    for (int workers = 40; workers <= 41; workers++) {
        struct text out = {.buffer = text, .size = sizeof text};
        for (int i = 0; i < workers; i++)
            text_add(&out, "[worker:w%d]\ncommand = x\ninstances = 10000\n", i);
        read_bytes(&plan, text, out.length, NULL, NULL);
        if (workers == 40)
            expect_no_fault();
    }
    assert_int_equal(faults.count, 1);
    expect_fault("bad.ini: its workers have 410000 instances together, at most 400000");
}

/* ---- printing and comparing ---- */

static void expect_same_when_printed(const char *text)
{
    static char first[65536], second[65536];
    read_text(text);
    expect_no_fault();
    size_t length = cli_print_config(&plan, first, sizeof first);
    assert_true(length < sizeof first);
    read_bytes(&other, first, length, NULL, NULL);
    expect_no_fault();
    cli_print_config(&other, second, sizeof second);
    assert_string_equal(first, second);
    bool failed = false;
    assert_true(plan_settings_equal(&plan, &other, &failed));
    assert_int_equal(plan.worker_count, other.worker_count);
    for (uint32_t i = 0; i < plan.worker_count; i++)
        assert_true(plan_worker_equal(&plan.workers[i], &other.workers[i], &failed));
}

static void test_what_is_printed_reads_back(void **state)
{
    (void)state;
    expect_same_when_printed(shop);
    expect_same_when_printed(
        "[aiorun]\nrewrite = HUP:0 TERM:QUIT\nquiet = 1\non-error = sh -c 'a b'\n" W
        "stop-timeout = 5\nenv.A = b ; c\nenv.LONG = 1\nenv-file = /a '/b \"c'\nafter = v\n"
        "listen = tcp:*:80 'unix:/run/a b:600'\nhealth = a every 5s retries 2\ncpu-max = 50%\n"
        "memory-max = 1G\npids-max = 100\noutput = pipe:x 'y z'\nmay-stop = yes\nmax-age = 1h\n"
        "autostart = no\nbefore-start = a\nafter-stop = b\nwatchdog = 5\numask = 22\n"
        "success-status = requested 3\n[worker:v]\ncommand = sh -c \"it's\" '' \\\\\n");
}

static void test_equal_is_what_is_done_and_not_how_it_was_written(void **state)
{
    static const char *const same[] = {
        W "nice = 5\nrestart-delay = 1s..60s\n",
        "# a comment\n[worker:w]\n\nrestart-delay=1000ms..1m\nnice = 05\ncommand = \"x\"\n",
    };
    static const char *const different[] = {
        W "nice = 6\nrestart-delay = 1s..60s\n",
        W "restart-delay = 1s..60s\n",
        W "nice = 5\nrestart-delay = 1s..60s\nenv.A = b\n",
        W "nice = 5\nrestart-delay = 1s..60s\nlisten = tcp:*:80\n",
        "[worker:w]\ncommand = x y\nnice = 5\nrestart-delay = 1s..60s\n",
        "[worker:v]\ncommand = x\nnice = 5\nrestart-delay = 1s..60s\n",
    };
    bool failed = false;
    (void)state;
    read_text(same[0]);
    read_bytes(&other, same[1], strlen(same[1]), NULL, NULL);
    expect_no_fault();
    assert_true(plan_worker_equal(&plan.workers[0], &other.workers[0], &failed));
    assert_true(plan_settings_equal(&plan, &other, &failed));
    for (size_t i = 0; i < LENGTH(different); i++) {
        read_bytes(&other, different[i], strlen(different[i]), NULL, NULL);
        expect_no_fault();
        if (plan_worker_equal(&plan.workers[0], &other.workers[0], &failed))
            fail_msg("'%s' is the same", different[i]);
    }
    read_bytes(&other, "[aiorun]\nloop = poll\n" W, strlen("[aiorun]\nloop = poll\n" W), NULL,
               NULL);
    assert_false(plan_settings_equal(&plan, &other, &failed));
    assert_false(plan_setting_equal(&plan, &other, "loop", &failed));
    assert_true(plan_setting_equal(&plan, &other, "timeout", &failed));
    assert_false(failed);
}

/* ---- files on disk ---- */

static void load(const char *path)
{
    char *argv[] = {"aiorun", "--config", (char *)(uintptr_t)path, NULL};
    char *environment[] = {NULL};
    plan_free(&plan);
    plan_init(&plan);
    memset(&faults, 0, sizeof faults);
    cli_parse(&plan, argv, environment, &faults);
    config_load(&plan, &faults);
    check_plan(&plan, &faults);
}

/* ---- workers share what they have in common ---- */

static void test_workers_with_equal_options_share_them(void **state)
{
    (void)state;
    read_text("[worker:a]\ncommand = x\nafter = d\n[worker:b]\ncommand = y\n"
              "[worker:c]\ncommand = x\nnice = 1\n[worker:d]\ncommand = x\n");
    expect_no_fault();
    assert_int_equal(plan.fleet_rules_count, 2);
    assert_ptr_equal(worker("a")->rules, worker("b")->rules);
    assert_ptr_equal(worker("a")->rules, worker("d")->rules);
    assert_ptr_not_equal(worker("a")->rules, worker("c")->rules);
    assert_int_equal(worker("c")->rules->attributes.nice, 1);
    /* So do loggers, but not with those that they serve. */
    read_text("[worker:a]\ncommand = x\noutput = pipe:cat\n"
              "[worker:b]\ncommand = x\noutput = pipe:cat\n");
    expect_no_fault();
    assert_int_equal(plan.worker_count, 4);
    assert_ptr_equal(worker("a.log")->rules, worker("b.log")->rules);
    assert_ptr_not_equal(worker("a")->rules, worker("a.log")->rules);
}

__attribute__((noinline)) static void leave_on_the_stack(int byte)
{
    volatile unsigned char room[16384];
    for (size_t i = 0; i < sizeof room; i++)
        room[i] = (unsigned char)byte;
}

/* They are compared as bytes, those between the values included. */
static void test_equal_values_are_equal_bytes(void **state)
{
    static const char *const values[][2] = {
        {"stop", "TERM 20s, QUIT 5s, KILL"},
        {"output", "prefix"},
        {"output", "file:log"},
        {"ready", "after:3s"},
        {"success-status", "143 SIGTERM"},
        {"restart-limit", "3/1m"},
        {"restart-delay", "1s..2s"},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(values); i++) {
        const struct option *option = option_find(values[i][0], strlen(values[i][0]));
        static struct plan_rules rules[2];
        memset(rules, 0, sizeof rules);
        for (int n = 0; n < 2; n++) {
            struct plan_worker one = {.rules = &rules[n]};
            leave_on_the_stack(n == 0 ? 0x55 : 0xaa);
            assert_true(option_set(option, NULL, &one, values[i][1], "", &faults));
        }
        assert_memory_equal(&rules[0], &rules[1], sizeof rules[0]);
    }
}

static void test_files_that_cannot_be_read(void **state)
{
    static char path[8000];
    (void)state;
    load("tests/unit/no-such-file.ini");
    assert_int_equal(faults.count, 1);
    expect_fault("tests/unit/no-such-file.ini: it cannot be opened: No such file");
    load("tests/unit");
    assert_int_equal(faults.count, 1);
    expect_fault("tests/unit: it cannot be read: Is a directory");
    load("/dev/zero");
    assert_int_equal(faults.count, 1);
    expect_fault("/dev/zero: it is larger than 1 MiB");
    load("/dev/null");
    assert_int_equal(faults.count, 1);
    expect_fault("/dev/null: there is no worker in it");
    /* Of a path that is too long, the end is told: the sentence must be read. */
    memset(path, '/', sizeof path - 1);
    memcpy(path + sizeof path - 8, "end.ini", 8);
    load(path);
    assert_int_equal(faults.count, 1);
    expect_fault("//end.ini: it cannot be opened");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_becomes_a_plan),
        cmocka_unit_test(test_defaults_are_those_of_a_fleet),
        cmocka_unit_test(test_values_arrive_whole),
        cmocka_unit_test(test_values_of_every_length_arrive_whole),
        cmocka_unit_test(test_long_names_arrive_whole),
        cmocka_unit_test(test_a_byte_order_mark_and_carriage_returns_are_no_part_of_it),
        cmocka_unit_test(test_a_file_of_full_size),
        cmocka_unit_test(test_what_a_file_can_hold),
        cmocka_unit_test(test_every_bad_file_is_refused_by_its_lines),
        cmocka_unit_test(test_faults_beyond_the_last_are_counted),
        cmocka_unit_test(test_lists_are_taken_apart),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_checks_and_outputs),
        cmocka_unit_test(test_the_command_line_and_the_environment_win_over_the_file),
        cmocka_unit_test(test_what_is_overridden_is_judged_all_the_same),
        cmocka_unit_test(test_what_is_said_of_all_workers_is_judged_once),
        cmocka_unit_test(test_a_terminal_is_refused_by_name),
        cmocka_unit_test(test_workers_stand_in_waves),
        cmocka_unit_test(test_a_logger_is_a_worker_before_those_that_it_serves),
        cmocka_unit_test(test_a_chain_of_thousands),
        cmocka_unit_test(test_instances_of_all_workers_are_bounded),
        cmocka_unit_test(test_what_is_printed_reads_back),
        cmocka_unit_test(test_equal_is_what_is_done_and_not_how_it_was_written),
        cmocka_unit_test(test_workers_with_equal_options_share_them),
        cmocka_unit_test(test_equal_values_are_equal_bytes),
        cmocka_unit_test(test_files_that_cannot_be_read),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    plan_free(&plan);
    plan_free(&other);
    return failed;
}
