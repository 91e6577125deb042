/* The option table, the command line, the environment, and what contradicts what. */
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
#include "plan/option_table.h"
#include "plan/verb_table.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define WORDS_MAX     24
#define TEXT_MAX      65536

static struct plan plan;
static struct faults faults;

/* Reads a command line and an environment as main() does. */
static void parse(char **argv, char **environment)
{
    plan_free(&plan);
    plan_init(&plan);
    memset(&faults, 0, sizeof faults);
    cli_parse(&plan, argv, environment, &faults);
    check_plan(&plan, &faults);
}

/* Reads the words after the program's name, and the environment. */
static void read_as(const char *name, const char *const *words, const char *const *variables)
{
    char *argv[WORDS_MAX + 1] = {(char *)(uintptr_t)name};
    char *environment[WORDS_MAX] = {NULL};
    for (size_t i = 0; words[i] != NULL; i++)
        argv[i + 1] = (char *)(uintptr_t)words[i];
    for (size_t i = 0; variables != NULL && variables[i] != NULL; i++)
        environment[i] = (char *)(uintptr_t)variables[i];
    parse(argv, environment);
    plan.worker.argv = NULL; /* it points into this frame */
}

static void expect_no_fault(void)
{
    if (faults.count > 0)
        fail_msg("%s", faults.items[0].text);
}

#define READ(...)      read_as("aiorun", (const char *const[WORDS_MAX]){__VA_ARGS__}, NULL)
#define VARIABLES(...) ((const char *const[WORDS_MAX]){__VA_ARGS__})

static const struct option *row(const char *name)
{
    const struct option *option = option_find(name, strlen(name));
    if (option == NULL)
        fail_msg("there is no row '%s'", name);
    return option;
}

static const char *show(const char *name)
{
    static char buffer[4096];
    if (!option_show(row(name), &plan, &plan.worker, 0, buffer, sizeof buffer))
        return "(no value)";
    return buffer;
}

/* ---- the table ---- */

static void test_rows_are_consistent(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        assert_ptr_equal(option_find(option->name, strlen(option->name)), option);
        if (option->letter != 0)
            assert_ptr_equal(option_find_letter(option->letter), option);
        assert_non_null(option->group);
        assert_non_null(option->help);
        assert_null(strchr(option->help, '\t'));
        assert_int_not_equal(option->help[strlen(option->help) - 1], '.');
        assert_int_equal(option->type == TYPE_CHOICE, option->choices != NULL);
        assert_true(option->min <= option->max);
        /* An argument is named where one is taken, and nowhere else. */
        if (option->type != TYPE_CHOICE)
            assert_int_equal(option_takes_argument(option), option->argument != NULL);
        for (size_t n = 0; n < LENGTH(option->excludes); n++) {
            if (option->excludes[n] != NULL)
                assert_int_equal(row(option->excludes[n])->scope, option->scope);
        }
    }
    assert_null(option_find("timeou", 6));
    assert_null(option_find("timeouts", 8));
    assert_null(option_find("", 0));
    assert_null(option_find_letter('\0'));
    assert_null(option_find_letter('Z'));
}

static void test_defaults_are_those_of_a_launcher(void **state)
{
    static const struct {
        const char *name, *value;
    } defaults[] = {
        {"timeout", "1m"},
        {"drain-delay", "0s"},
        {"shutdown-signals", "INT TERM"},
        {"repeat-signal", "auto"},
        {"stop-on-unhandled-errors", "no"},
        {"forever", "no"},
        {"loop", "auto"},
        {"orphans", "auto"},
        {"group", "no"},
        {"subreaper", "yes"},
        {"parent-death-signal", "none"},
        {"worker-death-signal", "TERM"},
        {"restart", "never"},
        {"restart-delay", "100ms..30s"},
        {"restart-limit", "none"},
        {"clear-env", "no"},
        {"no-new-privileges", "no"},
        {"warn-on-reap", "no"},
        {"log-format", "auto"},
        {"stop-signal", "(no value)"},
        {"stop-timeout", "(no value)"},
        {"stop", "(no value)"},
        {"success-status", "(no value)"},
        {"rewrite", "(no value)"},
        {"user", "(no value)"},
        {"umask", "(no value)"},
        {"nice", "(no value)"},
        {"env", "(no value)"},
        {"limit-nofile", "(no value)"},
        {"verbose", "(no value)"},
        {"quiet", "(no value)"},
    };
    (void)state;
    plan_free(&plan);
    plan_init(&plan);
    for (size_t i = 0; i < LENGTH(defaults); i++)
        assert_string_equal(show(defaults[i].name), defaults[i].value);
    assert_int_equal(plan.mode, MODE_LAUNCH);
    assert_int_equal(plan.timeout, 60 * SECOND);
    assert_int_equal(plan.worker.rules->stop_timeout, NEVER);
    assert_int_equal(plan.worker.rules->attributes.umask, -1);
    assert_int_equal(plan.rewrite[SIGTERM], SIGTERM);
    assert_false(plan.shutdown_signals_given);
    assert_false(plan.worker.rules->stop_timeout_set);
    assert_string_equal(plan.worker.name, "main");
}

/* A value of each type that differs from every default, and how it is shown. */
static const struct {
    enum option_type type;
    const char *text, *shown;
} samples[] = {
    {TYPE_SWITCH, "true", "yes"},
    {TYPE_COUNT, "3", "3"},
    {TYPE_DURATION, "1.5h", "90m"},
    {TYPE_DELAY_RANGE, "1..2000ms", "1s..2s"},
    {TYPE_RATE, "7/60", "7/1m"},
    {TYPE_INTEGER, "7", "7"},
    {TYPE_OCTAL, "27", "0027"},
    {TYPE_SIGNAL, "sigusr1", "USR1"},
    {TYPE_SIGNALS, "quit,1", "HUP QUIT"},
    {TYPE_STATUSES, "requested SIGUSR1 143,3", "3 143 USR1 requested"},
    {TYPE_REWRITE, "15:SIGQUIT", "TERM:QUIT"},
    {TYPE_LADDER, "INT 1500ms,15", "INT 1500ms, TERM, KILL"},
    {TYPE_STRING, "www-data", "www-data"},
    {TYPE_COMMAND, "sh -c 'exit 0'", "sh -c 'exit 0'"},
    {TYPE_STRINGS, "/etc/default/x", "/etc/default/x"},
    {TYPE_ENV, "A=b=c d", "A=b=c d"},
    {TYPE_READY, "after:2000ms", "after:2s"},
    {TYPE_READY, "tcp:[::1]:80", "tcp:[::1]:80"},
    {TYPE_READY, "exec:test -e x", "exec:test -e x"},
    {TYPE_NAMES, "db, cache", "db, cache"},
    {TYPE_AMOUNT, "64K", "65536"},
    {TYPE_CPUS, "150%", "1.500"},
    {TYPE_LISTEN, "tcp:*:80 'unix:/run/a b'", "tcp:*:80 'unix:/run/a b'"},
    {TYPE_HEALTH, "curl x every 5s", "curl x every 5s"},
    {TYPE_OUTPUT, "pipe: s6-log -b ./logs", "pipe:s6-log -b ./logs"},
    {TYPE_LIMIT, "1K:infinity", "1024:infinity"},
};

static const char *sample_of(const struct option *option, const char **shown)
{
    if (option->type == TYPE_CHOICE)
        return *shown = option->choices[1].name;
    for (size_t i = 0; i < LENGTH(samples); i++) {
        if (samples[i].type == option->type) {
            *shown = samples[i].shown;
            return samples[i].text;
        }
    }
    return NULL;
}

static void test_every_row_reads_back_what_it_shows(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        const char *expected;
        const char *sample = sample_of(option, &expected);
        if (option->type == TYPE_ACTION)
            continue;
        assert_non_null(sample);

        struct plan first, second;
        char shown[256] = "", again[256] = "";
        plan_init(&first);
        plan_init(&second);
        assert_true(option_set(option, &first, &first.worker, sample, option->name, &faults));
        assert_true(option_show(option, &first, &first.worker, 0, shown, sizeof shown));
        assert_string_equal(shown, expected);
        assert_true(option_set(option, &second, &second.worker, shown, option->name, &faults));
        assert_true(option_show(option, &second, &second.worker, 0, again, sizeof again));
        assert_string_equal(again, expected);
        assert_false(option_show(option, &first, &first.worker, 1, again, sizeof again));
        plan_free(&first);
        plan_free(&second);
    }
}

static void test_every_choice_is_read_and_shown(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        for (const struct option_choice *c = option->choices; c != NULL && c->name != NULL; c++) {
            plan_free(&plan);
            plan_init(&plan);
            assert_true(option_set(option, &plan, &plan.worker, c->name, NULL, &faults));
            assert_string_equal(show(option->name), c->name);
        }
    }
}

static void test_show_is_cut_but_ends(void **state)
{
    char buffer[5] = "xxxx";
    (void)state;
    plan_free(&plan);
    plan_init(&plan);
    assert_true(
        option_show(row("shutdown-signals"), &plan, &plan.worker, 0, buffer, sizeof buffer));
    assert_string_equal(buffer, "INT ");
    assert_false(option_show(row("user"), &plan, &plan.worker, 0, buffer, sizeof buffer));
    assert_string_equal(buffer, "");
}

/* ---- values on the command line ---- */

static void test_values_reach_the_plan(void **state)
{
    (void)state;
    READ("--timeout", "28s", "--stop-signal=QUIT", "--stop-timeout", "5", "--drain-delay=7s",
         "--shutdown-signals", "HUP", "--", "x");
    expect_no_fault();
    assert_int_equal(plan.timeout, 28 * SECOND);
    assert_int_equal(plan.drain_delay, 7 * SECOND);
    assert_int_equal(plan.shutdown_signals, signal_bit(SIGHUP));
    assert_true(plan.shutdown_signals_given);
    assert_true(plan.worker.rules->stop_timeout_set);
    assert_int_equal(plan.worker.rules->rung_count, 1);
    assert_int_equal(plan.worker.rules->rungs[0].signal, SIGQUIT);
    assert_int_equal(plan.worker.rules->rungs[0].time, 5 * SECOND);

    READ("--on-error", "logger 'it failed'", "--orphans=wait", "--loop", "poll", "--rewrite",
         "TERM:QUIT", "--rewrite=HUP:0", "--nice=-5", "--umask", "027", "--", "x");
    expect_no_fault();
    assert_string_equal(plan.on_error, "logger 'it failed'");
    assert_int_equal(plan.orphans, ORPHANS_WAIT);
    assert_int_equal(plan.loop, LOOP_POLL);
    assert_int_equal(plan.rewrite[SIGTERM], SIGQUIT);
    assert_int_equal(plan.rewrite[SIGHUP], 0);
    assert_int_equal(plan.rewrite[SIGINT], SIGINT);
    assert_true(plan.worker.rules->attributes.nice_set);
    assert_int_equal(plan.worker.rules->attributes.nice, -5);
    assert_int_equal(plan.worker.rules->attributes.umask, 027);
}

static void test_ladder_is_made_of_the_two_simple_options(void **state)
{
    (void)state;
    READ("--", "x");
    assert_int_equal(plan.worker.rules->rung_count, 1);
    assert_int_equal(plan.worker.rules->rungs[0].signal, 0); /* the signal that arrived */
    assert_int_equal(plan.worker.rules->rungs[0].time, NEVER);

    READ("--stop", "TERM 20s, QUIT 5s, KILL", "--", "x");
    expect_no_fault();
    assert_int_equal(plan.worker.rules->rung_count, 2);
    assert_int_equal(plan.worker.rules->rungs[1].signal, SIGQUIT);
    assert_int_equal(plan.worker.rules->rungs[1].time, 5 * SECOND);
}

static void test_letters(void **state)
{
    (void)state;
    READ("-vvg", "-pKILL", "-e", "143", "-s", "-w", "-eSIGTERM requested", "--", "x");
    expect_no_fault();
    assert_int_equal(plan.verbosity, 2);
    assert_true(plan.worker.rules->group);
    assert_true(plan.subreaper);
    assert_true(plan.warn_on_reap);
    assert_int_equal(plan.parent_death_signal, SIGKILL);
    assert_string_equal(show("success-status"), "143 TERM requested");

    READ("-gvp", "TERM", "--", "x");
    expect_no_fault();
    assert_true(plan.worker.rules->group);
    assert_int_equal(plan.verbosity, 1);
    assert_int_equal(plan.parent_death_signal, SIGTERM);
}

static void test_repeated_options_add_up(void **state)
{
    (void)state;
    READ("--env", "A=1", "--env=B=", "--env-file", "/a", "--env-file", "/b", "--env", "A=2", "--",
         "x");
    expect_no_fault();
    const struct plan_attributes *attributes = &plan.worker.rules->attributes;
    assert_int_equal(attributes->env.count, 3);
    assert_string_equal(attributes->env.items[1], "B=");
    assert_string_equal(attributes->env.items[2], "A=2");
    assert_int_equal(attributes->env_files.count, 2);
    assert_string_equal(attributes->env_files.items[0], "/a");

    char shown[16];
    assert_true(option_show(row("env"), &plan, &plan.worker, 2, shown, sizeof shown));
    assert_string_equal(shown, "A=2");
    assert_false(option_show(row("env"), &plan, &plan.worker, 3, shown, sizeof shown));

    /* Of the others the last one counts. */
    READ("--timeout", "1", "--timeout", "2", "--forever", "--no-forever", "--", "x");
    expect_no_fault();
    assert_int_equal(plan.timeout, 2 * SECOND);
    assert_false(plan.forever);
}

static void test_switches_have_a_no(void **state)
{
    (void)state;
    READ("--no-subreaper", "--group", "--no-group", "--clear-env", "--", "x");
    expect_no_fault();
    assert_false(plan.subreaper);
    assert_false(plan.worker.rules->group);
    assert_true(plan.worker.rules->attributes.clear_env);

    READ("--no-new-privileges", "--", "x");
    expect_no_fault();
    assert_true(plan.worker.rules->attributes.no_new_privileges);

    READ("--no-no-new-privileges", "--", "x"); /* what was given up is not taken back */
    assert_int_equal(faults.count, 1);
}

/* ---- what is run ---- */

static void test_modes(void **state)
{
    static const struct {
        const char *words[WORDS_MAX];
        enum plan_mode mode;
    } cases[] = {
        {{"--", "x"}, MODE_LAUNCH},
        {{"--", "help"}, MODE_LAUNCH},
        {{"--", ""}, MODE_LAUNCH}, /* the driver says that '' is not found */
        {{"--forever", "--", "x"}, MODE_LAUNCH},
        {{"--forever"}, MODE_FOREVER},
        {{"--help"}, MODE_HELP},
        {{"-h"}, MODE_HELP},
        {{"help"}, MODE_HELP},
        {{"--version"}, MODE_VERSION},
        {{"version"}, MODE_VERSION},
        {{"--list-options"}, MODE_LIST_OPTIONS},
        {{"--print-config"}, MODE_PRINT_CONFIG},
        {{"--print-config", "--", "x"}, MODE_PRINT_CONFIG},
        {{"--print-config", "--forever"}, MODE_PRINT_CONFIG},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        read_as("aiorun", cases[i].words, NULL);
        expect_no_fault();
        assert_int_equal(plan.mode, cases[i].mode);
    }
}

/* The file itself is not read here, so that it has no workers. */
static void test_modes_with_a_file(void **state)
{
    static const struct {
        const char *words[WORDS_MAX];
        enum plan_mode mode;
    } cases[] = {
        {{"--config", "f"}, MODE_FLEET},
        {{"--config=f", "--no-forever"}, MODE_FLEET},
        {{"--forever", "--config=f"}, MODE_FLEET},
        {{"--config", "f", "--print-config"}, MODE_PRINT_CONFIG},
        {{"check", "f"}, MODE_CHECK},
        {{"--timeout", "5", "check", "f"}, MODE_CHECK},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        read_as("aiorun", cases[i].words, NULL);
        assert_int_equal(plan.mode, cases[i].mode);
        assert_string_equal(plan.config, "f");
        assert_true(plan_is_fleet(&plan));
    }
    READ("--config", "f", "--help");
    assert_int_equal(plan.mode, MODE_HELP);
    assert_null(plan.config); /* so that it is not read */
}

static void test_command_is_what_follows_the_dashes(void **state)
{
    char *argv[] = {"aiorun", "-g", "--", "sh", "--timeout", "--", "-c", NULL};
    char *environment[] = {NULL};
    (void)state;
    parse(argv, environment);
    expect_no_fault();
    assert_ptr_equal(plan.worker.argv, argv + 3);
    assert_true(plan.worker.rules->group);
}

static void test_called_as_another_init(void **state)
{
    char *argv[] = {"/usr/bin/tini", "-g", "sleep", "-v", NULL};
    char *environment[] = {NULL};
    (void)state;
    parse(argv, environment);
    expect_no_fault();
    assert_int_equal(plan.timeout, NEVER);
    assert_ptr_equal(plan.worker.argv, argv + 2);
    assert_int_equal(plan.verbosity, 0);

    read_as("dumb-init", VARIABLES("--timeout", "5", "--", "x"), NULL);
    expect_no_fault();
    assert_int_equal(plan.timeout, 5 * SECOND);
    read_as("./catatonit", VARIABLES("--", "x"), VARIABLES("AIORUN_OPT_TIMEOUT=6"));
    expect_no_fault();
    assert_int_equal(plan.timeout, 6 * SECOND);
    read_as("/tini/aiorun", VARIABLES("--", "x"), NULL);
    assert_int_equal(plan.timeout, 60 * SECOND);
}

static void test_no_name_at_all(void **state)
{
    char *argv[] = {NULL};
    char *environment[] = {NULL};
    (void)state;
    parse(argv, environment);
    assert_int_equal(faults.count, 1);
}

/* ---- the environment ---- */

static void test_environment_sets_defaults(void **state)
{
    (void)state;
    read_as("aiorun", VARIABLES("--", "x"),
            VARIABLES("PATH=/bin", "AIORUN_OPT_TIMEOUT=5s",
                      "AIORUN_OPT_STOP_ON_UNHANDLED_ERRORS=yes", "AIORUN_OPT_SUBREAPER=no",
                      "AIORUN_OPT_VERBOSE=2", "AIORUN_OPT_ENV=A=b", "AIORUN_OPT_LIMIT_NOFILE=10",
                      "AIORUN_OPTIONS=junk", "AIORUN_PID=1"));
    expect_no_fault();
    assert_int_equal(plan.timeout, 5 * SECOND);
    assert_true(plan.stop_on_unhandled_errors);
    assert_false(plan.subreaper);
    assert_int_equal(plan.verbosity, 2);
    assert_int_equal(plan.worker.rules->attributes.env.count, 1);
    assert_int_equal(plan.worker.rules->attributes.limits[LIMIT_NOFILE].hard, 10);
    assert_int_equal(option_source(row("timeout"), &plan, &plan.worker), SOURCE_ENVIRONMENT);
    assert_int_equal(option_source(row("loop"), &plan, &plan.worker), SOURCE_DEFAULT);
}

static void test_environment_alone_may_say_forever(void **state)
{
    (void)state;
    read_as("aiorun", VARIABLES(NULL), VARIABLES("AIORUN_OPT_FOREVER=yes"));
    expect_no_fault();
    assert_int_equal(plan.mode, MODE_FOREVER);
    read_as("aiorun", VARIABLES("--no-forever"), VARIABLES("AIORUN_OPT_FOREVER=yes"));
    assert_int_equal(faults.count, 1);
}

static void test_command_line_wins(void **state)
{
    (void)state;
    read_as("aiorun", VARIABLES("--timeout", "7", "--env", "B=2", "--no-group", "-q", "--", "x"),
            VARIABLES("AIORUN_OPT_TIMEOUT=5s", "AIORUN_OPT_ENV=A=1", "AIORUN_OPT_GROUP=yes",
                      "AIORUN_OPT_VERBOSE=3", "AIORUN_OPT_LOOP=poll"));
    expect_no_fault();
    assert_int_equal(plan.timeout, 7 * SECOND);
    assert_int_equal(plan.worker.rules->attributes.env.count, 1);
    assert_string_equal(plan.worker.rules->attributes.env.items[0], "B=2");
    assert_false(plan.worker.rules->group);
    assert_int_equal(plan.verbosity, -1);
    assert_int_equal(plan.loop, LOOP_POLL);

    /* It wins over what contradicts it, too. */
    read_as("aiorun", VARIABLES("--stop-signal", "INT", "--", "x"),
            VARIABLES("AIORUN_OPT_STOP=TERM 5s, KILL"));
    expect_no_fault();
    assert_int_equal(plan.worker.rules->rungs[0].signal, SIGINT);
    assert_int_equal(plan.worker.rules->rungs[0].time, NEVER);
    read_as("aiorun", VARIABLES("--no-stop-on-unhandled-errors", "--", "x"),
            VARIABLES("AIORUN_OPT_ON_ERROR=mail"));
    expect_no_fault();
    assert_string_equal(plan.on_error, "mail");
}

static void test_first_of_two_equal_variables_counts(void **state)
{
    (void)state;
    read_as("aiorun", VARIABLES("--", "x"),
            VARIABLES("AIORUN_OPT_TIMEOUT=1", "AIORUN_OPT_TIMEOUT=2"));
    expect_no_fault();
    assert_int_equal(plan.timeout, SECOND); /* as getenv() has it */
}

static void test_broken_environment_does_not_keep_help_away(void **state)
{
    (void)state;
    read_as("aiorun", VARIABLES("--help"), VARIABLES("AIORUN_OPT_NONSENSE=1"));
    expect_no_fault();
    read_as("aiorun", VARIABLES("--print-config"), VARIABLES("AIORUN_OPT_NONSENSE=1"));
    assert_int_equal(faults.count, 1);
}

static void test_own_variables(void **state)
{
    (void)state;
    assert_true(cli_is_own_variable("AIORUN_OPT_TIMEOUT=1"));
    assert_true(cli_is_own_variable("AIORUN_OPT_X"));
    assert_false(cli_is_own_variable("AIORUN_PID=1"));
    assert_false(cli_is_own_variable("AIORUN_OPT"));
    assert_false(cli_is_own_variable("XAIORUN_OPT_TIMEOUT=1"));
}

/* ---- what is refused ---- */

/* Each makes exactly one sentence, with these parts in it: option, value, what is allowed. */
static const struct {
    const char *words[WORDS_MAX];
    const char *variables[4];
    const char *parts[4];
} refused[] = {
    /* values */
    {{"--timeout", "soon", "--", "x"}, {0}, {"--timeout", "'soon'", "1ms", "infinity"}},
    {{"--timeout", "0", "--", "x"}, {0}, {"--timeout", "'0'", "1ms"}},
    {{"--timeout", "87601h", "--", "x"}, {0}, {"--timeout", "'87601h'", "87600h"}},
    {{"--timeout=", "--", "x"}, {0}, {"--timeout", "''", "duration"}},
    {{"--drain-delay", "infinity", "--", "x"}, {0}, {"--drain-delay", "'infinity'", "87600h"}},
    {{"--stop-timeout", "-1", "--", "x"}, {0}, {"--stop-timeout", "'-1'", "0s"}},
    {{"--stop-signal", "NOPE", "--", "x"}, {0}, {"--stop-signal", "'NOPE'", "SIGTERM"}},
    {{"--stop-signal", "none", "--", "x"}, {0}, {"--stop-signal", "'none'", "signal"}},
    {{"-p", "0", "--", "x"}, {0}, {"--parent-death-signal", "'0'", "none"}},
    {{"--stop", "TERM, QUIT 5s", "--", "x"}, {0}, {"--stop", "'TERM, QUIT 5s'", "ladder"}},
    {{"--shutdown-signals", "INT KILL", "--", "x"},
     {0},
     {"--shutdown-signals", "'INT KILL'", "KILL"}},
    {{"--shutdown-signals", "STOP", "--", "x"}, {0}, {"--shutdown-signals", "'STOP'", "STOP"}},
    {{"--shutdown-signals", "CHLD", "--", "x"}, {0}, {"--shutdown-signals", "'CHLD'", "CHLD"}},
    {{"--shutdown-signals", "", "--", "x"}, {0}, {"--shutdown-signals", "''", "INT TERM"}},
    {{"--repeat-signal", "never", "--", "x"},
     {0},
     {"--repeat-signal", "'never'", "ignore, escalate"}},
    {{"--loop", "uv", "--", "x"}, {0}, {"--loop", "'uv'", "auto, epoll, poll, select"}},
    {{"--loop", "EPOLL", "--", "x"}, {0}, {"--loop", "'EPOLL'"}},
    {{"--orphans", "kill", "--", "x"}, {0}, {"--orphans", "'kill'", "auto, stop, wait, leave"}},
    {{"--restart", "yes", "--", "x"}, {0}, {"--restart", "'yes'", "never, on-failure, always"}},
    {{"--log-format", "xml", "--", "x"}, {0}, {"--log-format", "'xml'", "journal"}},
    {{"--restart", "always", "--restart-delay", "5..1", "--", "x"},
     {0},
     {"--restart-delay", "'5..1'", "MIN..MAX"}},
    {{"--restart", "always", "--restart-delay", "87601h", "--", "x"},
     {0},
     {"--restart-delay", "87600h"}},
    {{"--restart", "always", "--restart-limit", "5", "--", "x"},
     {0},
     {"--restart-limit", "'5'", "N/D"}},
    {{"--shutdown-handler", "sh -c 'x", "--", "x"},
     {0},
     {"--shutdown-handler", "'sh -c 'x'", "quotes"}},
    {{"--shutdown-callback", " ", "--", "x"}, {0}, {"--shutdown-callback", "' '", "command"}},
    {{"--on-error=", "--", "x"}, {0}, {"--on-error", "''", "command"}},
    {{"--rewrite", "KILL:TERM", "--", "x"}, {0}, {"--rewrite", "'KILL:TERM'", "FROM:TO"}},
    {{"--rewrite", "STOP:TERM", "--", "x"}, {0}, {"--rewrite", "'STOP:TERM'", "STOP"}},
    {{"--rewrite", "TERM", "--", "x"}, {0}, {"--rewrite", "'TERM'", "FROM:TO"}},
    {{"-e", "256", "--", "x"}, {0}, {"--success-status", "'256'", "255"}},
    {{"--nice", "20", "--", "x"}, {0}, {"--nice", "'20'", "-20 to 19"}},
    {{"--oom-score-adjust", "-1001", "--", "x"},
     {0},
     {"--oom-score-adjust", "'-1001'", "-1000 to 1000"}},
    {{"--umask", "1000", "--", "x"}, {0}, {"--umask", "'1000'", "777"}},
    {{"--umask", "8", "--", "x"}, {0}, {"--umask", "'8'", "octal"}},
    {{"--env", "NAME", "--", "x"}, {0}, {"--env", "'NAME'", "NAME=VALUE"}},
    {{"--env", "=VALUE", "--", "x"}, {0}, {"--env", "'=VALUE'", "NAME=VALUE"}},
    {{"--env-file", "", "--", "x"}, {0}, {"--env-file", "''", "empty"}},
    {{"--cwd", "", "--", "x"}, {0}, {"--cwd", "''", "empty"}},
    {{"--limit-nofile", "2:1", "--", "x"}, {0}, {"--limit-nofile", "'2:1'", "SOFT"}},
    {{"--limit-as", "lots", "--", "x"}, {0}, {"--limit-as", "'lots'", "infinity"}},
    {{"--user", ":", "--", "x"}, {0}, {"--user", "':'", "USER:GROUP"}},
    {{"--user", "a:b:c", "--", "x"}, {0}, {"--user", "'a:b:c'", "USER:GROUP"}},

    /* options */
    {{"--tiemout", "5", "--", "x"}, {0}, {"--tiemout", "no such option", "--timeout"}},
    {{"--time", "5", "--", "x"}, {0}, {"--time:", "no such option", "--timeout"}},
    {{"--no-timeout", "--", "x"}, {0}, {"--no-timeout", "no such option"}},
    {{"--zzz", "--", "x"}, {0}, {"--zzz", "no such option", "--help"}},
    {{"--=5", "--", "x"}, {0}, {"--", "no such option"}},
    {{"---", "--", "x"}, {0}, {"---", "no such option"}},
    {{"-x", "--", "x"}, {0}, {"-x", "no such option"}},
    {{"-gx", "--", "x"}, {0}, {"-x", "no such option"}},
    {{"-timeout", "5", "--", "x"}, {0}, {"-timeout", "no such option", "--timeout"}},
    {{"--timeout"}, {0}, {"--timeout", "missing"}},
    {{"-p"}, {0}, {"--parent-death-signal", "SIG", "missing"}},
    {{"--loop"}, {0}, {"--loop", "auto|epoll|poll|select", "missing"}},
    {{"--forever=yes"}, {0}, {"--forever", "'yes'", "no argument"}},
    {{"--no-forever=yes"}, {0}, {"--no-forever", "'yes'", "no argument"}},
    {{"--verbose=2", "--", "x"}, {0}, {"--verbose", "'2'", "no argument"}},

    /* commands and verbs */
    {{NULL}, {0}, {"no command", "-- COMMAND", "--forever"}},
    {{"-v"}, {0}, {"no command"}},
    {{"--"}, {0}, {"'--'", "COMMAND"}},
    {{"--forever", "--"}, {0}, {"'--'", "COMMAND"}},
    {{"nginx", "-g", "daemon off;"}, {0}, {"'nginx'", "verb", "aiorun -- nginx"}},
    {{"staus"}, {0}, {"'staus'", "no verb", "did you mean status", "aiorun -- staus"}},
    {{"restar", "web"}, {0}, {"'restar'", "did you mean restart", "aiorun -- restar"}},
    {{"-", "x"}, {0}, {"'-'", "verb"}},
    {{""}, {0}, {"''", "verb"}},
    {{"help", "me"}, {0}, {"help", "'me'", "no verb"}},
    {{"help", "shield", "now"}, {0}, {"help", "'now'", "no second argument"}},
    {{"version", "now"}, {0}, {"version", "'now'", "no argument"}},
    {{"-v", "shield", "--", "x"}, {0}, {"shield", "first word"}},
    {{"\x1b[2J"}, {0}, {"'?[2J'", "verb"}},

    /* files */
    {{"--config"}, {0}, {"--config", "FILE", "missing"}},
    {{"--config="}, {0}, {"--config", "''", "empty"}},
    {{"--config", "f", "--", "x"}, {0}, {"--config", "'--'", "only one"}},
    {{"--instances", "4", "--", "x"}, {0}, {"--instances", "--config FILE only"}},
    {{"--instnces", "4", "--", "x"}, {0}, {"--instnces", "no such option"}},
    {{"--", "x"}, {"AIORUN_OPT_INSTANCES=4"}, {"AIORUN_OPT_INSTANCES", "--config FILE only"}},
    {{"--", "x"}, {"AIORUN_OPT_CONFIG=f"}, {"AIORUN_OPT_CONFIG", "command line"}},
    {{"check"}, {0}, {"check", "FILE", "missing"}},

    /* the environment */
    {{"--", "x"}, {"AIORUN_OPT_TIMEOUT=soon"}, {"AIORUN_OPT_TIMEOUT: ", "'soon'", "duration"}},
    {{"--", "x"}, {"AIORUN_OPT_TIMEOUT="}, {"AIORUN_OPT_TIMEOUT: ", "''", "duration"}},
    {{"--", "x"}, {"AIORUN_OPT_TIMEOUT"}, {"AIORUN_OPT_TIMEOUT: ", "''", "duration"}},
    {{"--", "x"}, {"AIORUN_OPT_GROUP=maybe"}, {"AIORUN_OPT_GROUP", "'maybe'", "yes or no"}},
    {{"--", "x"}, {"AIORUN_OPT_VERBOSE=10"}, {"AIORUN_OPT_VERBOSE", "'10'", "0 to 9"}},
    {{"--", "x"},
     {"AIORUN_OPT_TIEMOUT=5"},
     {"AIORUN_OPT_TIEMOUT", "no such option", "AIORUN_OPT_TIMEOUT"}},
    {{"--", "x"}, {"AIORUN_OPT_ZZZ=5"}, {"AIORUN_OPT_ZZZ", "no such option"}},
    {{"--", "x"}, {"AIORUN_OPT_=5"}, {"AIORUN_OPT_:", "no such option"}},
    {{"--", "x"}, {"AIORUN_OPT_timeout=5"}, {"AIORUN_OPT_timeout", "no such option"}},
    {{"--", "x"}, {"AIORUN_OPT_STOP-SIGNAL=INT"}, {"AIORUN_OPT_STOP-SIGNAL", "no such option"}},
    {{"--", "x"}, {"AIORUN_OPT_HELP=yes"}, {"AIORUN_OPT_HELP", "--help", "command line"}},
    {{"--", "x"}, {"AIORUN_OPT_PRINT_CONFIG=1"}, {"AIORUN_OPT_PRINT_CONFIG", "command line"}},

    /* contradictions */
    {{"--stop", "TERM", "--stop-signal", "INT", "--", "x"},
     {0},
     {"--stop:", "--stop-signal", "only one"}},
    {{"--stop-timeout", "5", "--stop", "TERM", "--", "x"},
     {0},
     {"--stop:", "--stop-timeout", "only one"}},
    {{"--", "x"},
     {"AIORUN_OPT_STOP=TERM", "AIORUN_OPT_STOP_SIGNAL=INT"},
     {"AIORUN_OPT_STOP:", "AIORUN_OPT_STOP_SIGNAL"}},
    {{"--on-error", "x", "--stop-on-unhandled-errors", "--", "x"},
     {0},
     {"--on-error:", "--stop-on-unhandled-errors", "only one"}},
    {{"--quiet", "-v", "--", "x"}, {0}, {"--quiet:", "--verbose", "only one"}},
    {{"--drain-delay", "16", "--", "x"}, {0}, {"--drain-delay", "'16s'", "quarter", "1m"}},
    {{"--drain-delay", "1", "--timeout", "3", "--", "x"}, {0}, {"--drain-delay", "'1s'", "3s"}},
    {{"--timeout", "4", "--", "x"},
     {"AIORUN_OPT_DRAIN_DELAY=2"},
     {"AIORUN_OPT_DRAIN_DELAY", "'2s'", "4s"}},
    {{"--restart-limit", "5/1m", "--", "x"}, {0}, {"--restart-limit", "on-failure", "never"}},
    {{"--restart-delay", "1", "--restart", "never", "--", "x"}, {0}, {"--restart-delay", "never"}},
    {{"--forever", "--restart", "always"}, {0}, {"--restart:", "command", "--forever"}},
    {{"--forever", "--user", "nobody"}, {0}, {"--user", "command", "--forever"}},
    {{"--forever", "--limit-cpu", "5"}, {0}, {"--limit-cpu", "command"}},
    {{"--forever", "-g"}, {0}, {"--group", "command"}},
    {{"--user", "a:b", "--group-name", "c", "--", "x"}, {0}, {"--group-name", "'c'", "'a:b'"}},
};

static void test_faults_are_one_sentence_each(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(refused); i++) {
        read_as("aiorun", refused[i].words, refused[i].variables);
        const char *word = refused[i].words[0] != NULL ? refused[i].words[0] : "";
        const char *variable = refused[i].variables[0] != NULL ? refused[i].variables[0] : "";
        if (faults.count != 1)
            fail_msg("case %zu (%s %s): %zu faults, the last '%s'", i, variable, word, faults.count,
                     faults.count > 0 ? faults.items[faults.count - 1].text : "");
        const char *text = faults.items[0].text;
        for (size_t n = 0; n < LENGTH(refused[i].parts) && refused[i].parts[n] != NULL; n++) {
            if (strstr(text, refused[i].parts[n]) == NULL)
                fail_msg("case %zu: '%s' is not in '%s'", i, refused[i].parts[n], text);
        }
        assert_null(strpbrk(text, "\n\x1b"));
    }
}

static void test_what_looks_odd_but_means_something_is_accepted(void **state)
{
    static const struct {
        const char *words[WORDS_MAX];
        const char *variables[4];
    } cases[] = {
        {{"--stop-timeout", "2m", "--", "x"}, {0}}, /* the cap wins */
        {{"--drain-delay", "15", "--", "x"}, {0}},  /* exactly a quarter */
        {{"--drain-delay", "9h", "--timeout", "infinity", "--", "x"}, {0}},
        {{"--on-error", "x", "--no-stop-on-unhandled-errors", "--", "x"}, {0}},
        {{"--forever", "--stop-signal", "INT", "--stop-timeout", "5"}, {0}}, /* of the orphans */
        {{"--forever", "-e", "requested"}, {0}},
        {{"--forever"}, {"AIORUN_OPT_USER=nobody"}}, /* a default for others */
        {{"--", "x"}, {"AIORUN_OPT_RESTART_LIMIT=5/1m"}},
        {{"-v", "--", "x"}, {"AIORUN_OPT_QUIET=2"}},
        {{"--timeout", "5", "--", "x"}, {"AIORUN_OPT_TIMEOUT=soon"}}, /* does not count */
        {{"--user", "1000:www-data", "--", "x"}, {0}},
        {{"--user", "a", "--group-name", "b", "--", "x"}, {0}},
        {{"-p", "none", "--worker-death-signal", "none", "--", "x"}, {0}},
        {{"--restart", "always", "--restart-limit", "none", "--", "x"}, {0}},
        {{"-s", "--", "x"}, {0}},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        read_as("aiorun", cases[i].words, cases[i].variables);
        expect_no_fault();
    }
}

static void test_faults_do_not_hide_each_other(void **state)
{
    (void)state;
    read_as("aiorun", VARIABLES("--timeout", "x", "--nice", "y", "-z", "--umask", "9", "--", "x"),
            VARIABLES("AIORUN_OPT_LOOP=uv"));
    assert_int_equal(faults.count, 5);
}

/* ---- faults ---- */

static void test_fault_text_is_harmless_and_bounded(void **state)
{
    char value[2 * FAULT_TEXT_MAX];
    (void)state;
    memset(&faults, 0, sizeof faults);
    fault_add(&faults, "here", "a\tb\x1b\x7f\x9b|\xc2\x9b|\xc3\xa4|%d", 7);
    assert_string_equal(faults.items[0].text, "here: a?b???|\xc2?|\xc3\xa4|7");

    memset(value, 'a', sizeof value);
    value[sizeof value - 1] = '\0';
    fault_add(&faults, NULL, "%s", value);
    assert_int_equal(strlen(faults.items[1].text), FAULT_TEXT_MAX - 1);
    assert_string_equal(faults.items[1].text + FAULT_TEXT_MAX - 5, "a...");
    fault_add(&faults, value, "x");
    assert_string_equal(faults.items[2].text + FAULT_TEXT_MAX - 5, "a...");

    fault_add(NULL, "nowhere", "nothing");
}

static void test_faults_beyond_the_last_are_counted(void **state)
{
    (void)state;
    memset(&faults, 0, sizeof faults);
    for (int i = 0; i < FAULTS_MAX + 3; i++)
        fault_add(&faults, NULL, "%d", i);
    assert_int_equal(faults.count, FAULTS_MAX);
    assert_int_equal(faults.dropped, 3);
    assert_string_equal(faults.items[FAULTS_MAX - 1].text, "255");
}

static void test_long_values_leave_room_for_what_is_allowed(void **state)
{
    char value[5000];
    (void)state;
    memset(value, '9', sizeof value);
    value[sizeof value - 1] = '\0';
    READ("--timeout", value, "--", "x");
    assert_int_equal(faults.count, 1);
    assert_non_null(strstr(faults.items[0].text, "infinity"));
    assert_non_null(strstr(faults.items[0].text, "9...'"));
}

/* ---- what is printed ---- */

static char printed[TEXT_MAX];

/* How many lines of the help introduce --NAME. */
static size_t count_introductions(const char *name, char letter)
{
    char start[64];
    size_t count = 0;
    struct text text = {.buffer = start, .size = sizeof start};
    if (letter != 0)
        text_add(&text, "\n  -%c, --%s", letter, name);
    else
        text_add(&text, "\n      --%s", name);
    for (const char *at = printed; (at = strstr(at, start)) != NULL; at++)
        count += strchr(" ,\n", at[text.length]) != NULL;
    return count;
}

static void test_help_has_every_option_once(void **state)
{
    (void)state;
    assert_true(cli_help(printed, sizeof printed) < sizeof printed);
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        size_t wanted = option->file_only ? 0 : 1;
        if (count_introductions(option->name, option->letter) != wanted)
            fail_msg("--%s is not in the help %zu times", option->name, wanted);
        for (const struct option_choice *c = option->choices; c != NULL && c->name != NULL; c++)
            assert_non_null(strstr(printed, c->name));
    }
    assert_memory_equal(printed, "Usage: aiorun", 13);
    assert_non_null(strstr(printed, "(default: 60s)"));
    assert_non_null(strstr(printed, "--no-forever"));
    assert_non_null(strstr(printed, "aiorun(1)"));
}

static void test_help_fits_a_terminal(void **state)
{
    (void)state;
    cli_help(printed, sizeof printed);
    for (const char *line = printed; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        if (length > 92 || (length > 0 && line[length - 1] == ' '))
            fail_msg("%zu columns, or a blank at the end: %.*s", length, (int)length, line);
        line += length + 1;
    }
}

static void test_help_has_every_verb_once(void **state)
{
    (void)state;
    cli_help(printed, sizeof printed);
    const char *verbs = strstr(printed, "\nVerbs");
    assert_non_null(verbs);
    for (size_t i = 0; i < verb_count; i++) {
        char start[40];
        snprintf(start, sizeof start, "\n  %s ", verb_table[i].name);
        const char *found = strstr(verbs, start);
        assert_non_null(found);
        assert_null(strstr(found + 1, start));
        assert_non_null(strstr(found, verb_table[i].help));
    }
}

static void test_help_of_a_verb_has_its_options(void **state)
{
    (void)state;
    for (size_t i = 0; i < verb_count; i++) {
        const struct verb *verb = &verb_table[i];
        READ("help", verb->name);
        assert_int_equal(plan.mode, MODE_HELP);
        assert_ptr_equal(plan.help_verb, verb);
        assert_true(cli_verb_help(verb, printed, sizeof printed) < sizeof printed);
        assert_memory_equal(printed, "Usage: aiorun ", 14);
        assert_non_null(strstr(printed, verb->arguments));
        for (const struct verb_option *option = verb->options; option->name != NULL; option++) {
            char words[40];
            snprintf(words, sizeof words, "\n      --%s ", option->name);
            assert_non_null(strstr(printed, words));
            assert_ptr_equal(verb_find_option(verb, option->name, strlen(option->name)), option);
        }
        assert_null(verb_find_option(verb, "nameless", 8));
        assert_null(verb_find_option(verb, "nam", 3));
    }
}

static void test_called_as_another_a_verb_is_a_command(void **state)
{
    static const char *const words[WORDS_MAX] = {"help", "me"};
    (void)state;
    read_as("tini", words, NULL);
    expect_no_fault();
    assert_int_equal(plan.mode, MODE_LAUNCH);
}

static void test_writers_count_what_does_not_fit(void **state)
{
    char small[10];
    (void)state;
    READ("--", "x");
    assert_int_equal(cli_help(small, sizeof small), cli_help(printed, sizeof printed));
    assert_memory_equal(small, printed, sizeof small - 1);
    assert_int_equal(small[sizeof small - 1], '\0');
    assert_int_equal(cli_list_options(small, sizeof small), cli_list_options(NULL, 0));
    assert_int_equal(cli_print_config(&plan, small, sizeof small),
                     cli_print_config(&plan, NULL, 0));
}

static void test_list_has_ten_columns_for_every_option(void **state)
{
    (void)state;
    assert_true(cli_list_options(printed, sizeof printed) < sizeof printed);
    size_t lines = 0, tabs = 0;
    for (const char *c = printed; *c != '\0'; c++) {
        assert_false(c[0] == '\t' &&
                     c[1] == '\t'); /* an empty column is lost on the shell's read */
        tabs += *c == '\t';
        lines += *c == '\n';
    }
    assert_int_equal(lines, option_count);
    assert_int_equal(tabs, 9 * option_count);
    assert_non_null(strstr(printed, "\nsubreaper\ts\tsupervisor\ttoggle\t-\tyes\t"));
    assert_non_null(
        strstr(printed, "\nloop\t-\tsupervisor\tchoice\tauto|epoll|poll|select\tauto\t"));
    assert_non_null(strstr(printed, "\nenv\t-\tworker\tenv\tNAME=VALUE\t-\t"));
}

static void print_config(const char *const *words)
{
    char *argv[WORDS_MAX + 1] = {"aiorun"};
    char *environment[] = {NULL};
    for (size_t i = 0; words[i] != NULL; i++)
        argv[i + 1] = (char *)(uintptr_t)words[i];
    parse(argv, environment);
    expect_no_fault();
    assert_true(cli_print_config(&plan, printed, sizeof printed) < sizeof printed);
    plan.worker.argv = NULL;
}

static void test_config_shows_the_plan(void **state)
{
    (void)state;
    print_config(VARIABLES("--stop", "TERM 5s, KILL", "--env", "A=b c", "--env", "Z=1\n2",
                           "--limit-nofile", "5:6", "--rewrite=HUP:0", "-vv", "--", "sh", "-c",
                           "it's"));
    static const char *const lines[] = {
        "\n[aiorun]\n",
        "\ntimeout = 1m\n",
        "\nrewrite = HUP:0\n",
        "\nverbose = 2\n",
        "\n[worker:main]\n",
        "\ncommand = sh -c 'it'\\''s'\n",
        "\nstop = TERM 5s, KILL\n",
        "\nenv.A = b c\n",
        "\n; env: a value with a line break", /* said, not garbled */
        "\nlimit.nofile = 5:6\n",
    };
    for (size_t i = 0; i < LENGTH(lines); i++) {
        if (strstr(printed, lines[i]) == NULL)
            fail_msg("'%s' is not in '%s'", lines[i], printed);
    }
    /* What contradicts another line, or cannot stand in a file, is not there. */
    assert_null(strstr(printed, "stop-timeout"));
    assert_null(strstr(printed, "quiet"));
    assert_null(strstr(printed, "help"));
}

/* The row that a key of the file belongs to, and the value as option_set() reads it. */
static const struct option *find_key(const char *key, char *value, size_t size)
{
    char copy[512], name[80];
    if (strncmp(key, "env.", 4) == 0) {
        struct text text = {.buffer = copy, .size = sizeof copy};
        text_add(&text, "%s=%s", key + 4, value);
        assert_true(text.length < sizeof copy && text.length < size);
        memcpy(value, copy, text.length + 1);
        return row("env");
    }
    struct text text = {.buffer = name, .size = sizeof name};
    text_add(&text, "%s", key);
    if (strncmp(key, "limit.", 6) == 0)
        name[5] = '-';
    return row(name);
}

static void test_config_reads_back(void **state)
{
    static char first[TEXT_MAX];
    static char values[64][256];
    size_t used = 0;
    struct plan back;
    (void)state;
    print_config(VARIABLES("--print-config", "--timeout=90", "--no-subreaper", "-e",
                           "143 INT requested", "-q", "--restart=always", "--restart-limit=5/1m",
                           "--restart-delay=1..2", "--env=A=b c", "--limit-as=1G:infinity",
                           "--umask=27", "--nice=-3", "--rewrite=TERM:QUIT"));
    memcpy(first, printed, sizeof first);
    plan_init(&back);
    for (char *line = strtok(printed, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char *equals = strstr(line, " = ");
        if (line[0] == ';' || line[0] == '[')
            continue;
        assert_non_null(equals);
        *equals = '\0';
        assert_true(used < LENGTH(values));
        char *value = values[used++];
        struct text text = {.buffer = value, .size = sizeof values[0]};
        text_add(&text, "%s", equals + 3);
        const struct option *option = find_key(line, value, sizeof values[0]);
        if (!option_set(option, &back, &back.worker, value, line, &faults))
            fail_msg("%s", faults.items[0].text);
    }
    cli_print_config(&back, printed, sizeof printed);
    assert_string_equal(printed, first);
    plan_free(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_consistent),
        cmocka_unit_test(test_defaults_are_those_of_a_launcher),
        cmocka_unit_test(test_every_row_reads_back_what_it_shows),
        cmocka_unit_test(test_every_choice_is_read_and_shown),
        cmocka_unit_test(test_show_is_cut_but_ends),
        cmocka_unit_test(test_values_reach_the_plan),
        cmocka_unit_test(test_ladder_is_made_of_the_two_simple_options),
        cmocka_unit_test(test_letters),
        cmocka_unit_test(test_repeated_options_add_up),
        cmocka_unit_test(test_switches_have_a_no),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_modes_with_a_file),
        cmocka_unit_test(test_command_is_what_follows_the_dashes),
        cmocka_unit_test(test_called_as_another_init),
        cmocka_unit_test(test_no_name_at_all),
        cmocka_unit_test(test_environment_sets_defaults),
        cmocka_unit_test(test_environment_alone_may_say_forever),
        cmocka_unit_test(test_command_line_wins),
        cmocka_unit_test(test_first_of_two_equal_variables_counts),
        cmocka_unit_test(test_broken_environment_does_not_keep_help_away),
        cmocka_unit_test(test_own_variables),
        cmocka_unit_test(test_faults_are_one_sentence_each),
        cmocka_unit_test(test_what_looks_odd_but_means_something_is_accepted),
        cmocka_unit_test(test_faults_do_not_hide_each_other),
        cmocka_unit_test(test_fault_text_is_harmless_and_bounded),
        cmocka_unit_test(test_faults_beyond_the_last_are_counted),
        cmocka_unit_test(test_long_values_leave_room_for_what_is_allowed),
        cmocka_unit_test(test_help_has_every_option_once),
        cmocka_unit_test(test_help_fits_a_terminal),
        cmocka_unit_test(test_help_has_every_verb_once),
        cmocka_unit_test(test_help_of_a_verb_has_its_options),
        cmocka_unit_test(test_called_as_another_a_verb_is_a_command),
        cmocka_unit_test(test_writers_count_what_does_not_fit),
        cmocka_unit_test(test_list_has_ten_columns_for_every_option),
        cmocka_unit_test(test_config_shows_the_plan),
        cmocka_unit_test(test_config_reads_back),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    plan_free(&plan);
    return failed;
}
