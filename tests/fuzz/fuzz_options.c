/* Any text as the value of any option, as a command line, as an environment.
 *
 * What must hold: nothing crashes; what is refused leaves the plan as it was and adds one sentence;
 * what is accepted is shown in words that are read back as the same value. */
#include "fuzz.h"
#include "plan/check.h"
#include "plan/cli.h"
#include "plan/option_table.h"
#include "plan/parse.h"

#include <string.h>

#define WORDS_MAX 64

static struct faults faults;

/* Every fault is a sentence that a terminal may show. */
static void check_faults(void)
{
    MUST(faults.count <= FAULTS_MAX);
    for (size_t i = 0; i < faults.count; i++) {
        const char *text = faults.items[i].text;
        MUST(text[0] != '\0' && memchr(text, '\0', FAULT_TEXT_MAX) != NULL);
        for (; *text != '\0'; text++)
            MUST((unsigned char)*text >= 0x20 && *text != 0x7f);
    }
}

/* The option's n-th value in memory of its own; NULL when there is none. */
static char *show(const struct option *option, const struct plan *plan, size_t n)
{
    struct text measure = {0};
    if (!option_add_value(option, plan, &plan->worker, n, &measure))
        return NULL;
    char *value = malloc(measure.length + 1);
    MUST(value != NULL);
    MUST(option_show(option, plan, &plan->worker, n, value, measure.length + 1));
    MUST(strlen(value) == measure.length);
    return value;
}

/* An accepted value is shown, read back, and shown again: both times the same. */
static void check_round_trip(const struct option *option, const struct plan *plan)
{
    struct plan again;
    char *shown = show(option, plan, 0);
    /* `none`, nothing rewritten (TERM:TERM) or a count of zero: no value is left to show. */
    if (shown == NULL)
        return;
    plan_init(&again);
    MUST(option_set(option, &again, &again.worker, shown, "again", &faults));
    char *shown_again = show(option, &again, 0);
    MUST(shown_again != NULL && strcmp(shown, shown_again) == 0);
    free(shown);
    free(shown_again);
    plan_free(&again);
}

static void try_value(const struct option *option, const char *text)
{
    struct plan plan, before;
    plan_init(&plan);
    memcpy(&before, &plan, sizeof plan);
    faults.count = faults.dropped = 0;
    if (option_set(option, &plan, &plan.worker, text, option->name, &faults)) {
        MUST(faults.count == 0);
        check_round_trip(option, &plan);
    } else {
        MUST(faults.count == 1);
        MUST(memcmp(&plan, &before, sizeof plan) == 0);
        check_faults();
    }
    plan_free(&plan);
}

static void try_ladder(const char *text)
{
    struct plan_rung rungs[PLAN_RUNGS_MAX];
    uint32_t count = 0;
    if (!parse_ladder(text, rungs, &count)) {
        MUST(count == 0);
        return;
    }
    MUST(count >= 1 && count <= PLAN_RUNGS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        MUST(rungs[i].signal >= 1 && rungs[i].signal <= PLAN_SIGNAL_MAX);
        MUST(rungs[i].time >= 0 && (rungs[i].time != NEVER || i + 1 == count));
        MUST(rungs[i].signal != SIGNAL_KILL || count == 1);
    }
}

/* Quoted again, the words of a command line are the same words. */
static void try_command(const char *text)
{
    char **argv = NULL, **again = NULL;
    if (!parse_command(text, &argv)) {
        MUST(argv == NULL);
        return;
    }
    size_t room = 5 * strlen(text) + 16; /* a quote takes four bytes, an empty word three */
    char *line = malloc(room);
    MUST(line != NULL && argv[0] != NULL);
    struct text out = {.buffer = line, .size = room};
    for (char **word = argv; *word != NULL; word++) {
        text_add(&out, " ");
        text_add_quoted(&out, *word);
    }
    MUST(out.length < room);
    MUST(parse_command(line, &again));
    size_t n = 0;
    for (; argv[n] != NULL; n++)
        MUST(again[n] != NULL && strcmp(argv[n], again[n]) == 0);
    MUST(again[n] == NULL);
    free(line);
    free(argv);
    free(again);
}

/* Splits at newlines, in place; the list ends in NULL. */
static void split_lines(char *text, char **lines)
{
    size_t count = 0;
    while (count + 1 < WORDS_MAX) {
        lines[count++] = text;
        text += strcspn(text, "\n");
        if (*text == '\0')
            break;
        *text++ = '\0';
    }
    lines[count] = NULL;
}

static void try_command_line(char *text)
{
    char *words[WORDS_MAX + 1] = {0}, *environment[WORDS_MAX + 1] = {0};
    size_t variables = 0;
    struct plan plan;
    split_lines(text, words);
    /* Lines that look like our variables are the environment as well. */
    for (char **word = words; *word != NULL; word++) {
        if (cli_is_own_variable(*word))
            environment[variables++] = *word;
    }
    plan_init(&plan);
    faults.count = faults.dropped = 0;
    cli_parse(&plan, words, environment, &faults);
    check_plan(&plan, &faults);
    check_faults();
    MUST(plan.worker.rules->rung_count >= 1);
    if (faults.count == 0 && plan.mode == MODE_LAUNCH)
        MUST(plan.worker.argv != NULL && plan.worker.argv[0] != NULL);
    if (plan.mode == MODE_FOREVER)
        MUST(plan.worker.argv == NULL && plan.forever);

    size_t length = cli_print_config(&plan, NULL, 0);
    char *config = malloc(length + 1);
    MUST(config != NULL);
    MUST(cli_print_config(&plan, config, length + 1) == length && strlen(config) == length);
    free(config);
    plan_free(&plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    MUST(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t i = 0; i < option_count; i++)
        try_value(&option_table[i], text);
    try_ladder(text);
    try_command(text);
    try_command_line(text);
    free(text);
    return 0;
}
