/* aiorun.c - main(): from argv to a plan, from a plan to an end. */

#include "client/verbs.h"
#include "plan/check.h"
#include "plan/cli.h"
#include "plan/completion.h"
#include "plan/config.h"
#include "plan/drop_in.h"
#include "plan/option_table.h"
#include "platform.h"
#include "report/log.h"
#include "supervisor/supervisor.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static struct plan plan;
static struct faults *faults;

static void open_log(void)
{
    /* Not stderr's own functions: they would wait for a pipe that nobody reads. */
    log_open(LEVEL_ERROR, LOG_STYLE_TEXT, platform_write_log);
}

static int refuse(void)
{
    open_log();
    for (size_t i = 0; i < faults->count; i++)
        log_line(LEVEL_ERROR, "%s", faults->items[i].text);
    if (faults->dropped > 0)
        log_line(LEVEL_ERROR, "and %zu more faults", faults->dropped);
    return STATUS_OWN_FAILURE;
}

static bool is_of_file(const struct fault *fault)
{
    return plan.config != NULL && strncmp(fault->text, plan.config, strlen(plan.config)) == 0;
}

/* `aiorun check`: the faults of the file themselves, as a compiler has them. */
static int check(void)
{
    open_log();
    for (size_t i = 0; i < faults->count; i++)
        if (is_of_file(&faults->items[i]))
            fprintf(stderr, "%s\n", faults->items[i].text);
        else
            log_line(LEVEL_ERROR, "%s", faults->items[i].text);
    if (faults->dropped > 0)
        fprintf(stderr, "%s: and %zu more faults\n", plan.config, faults->dropped);
    if (faults->count > 0)
        return STATUS_OWN_FAILURE;
    unsigned count = 0; /* loggers stand in the file as another one's output */
    for (uint32_t i = 0; i < plan.worker_count; i++)
        count += !plan.workers[i].is_logger;
    const char *plural = count == 1 ? "" : "s";
    if (printf("%s: %u worker%s, no fault\n", plan.config, count, plural) >= 0 &&
        fflush(stdout) == 0) /* musl's printf(3) may have tried, and forgotten what it could not */
        return EXIT_SUCCESS;
    perror("aiorun: cannot write to standard output");
    return STATUS_OWN_FAILURE;
}

static size_t write_text(char *buffer, size_t size)
{
    switch (plan.mode) {
    case MODE_HELP:
        return plan.help_verb != NULL ? cli_verb_help(plan.help_verb, buffer, size)
                                      : cli_help(buffer, size);
    case MODE_LIST_OPTIONS:
        return cli_list_options(buffer, size);
    case MODE_COMPLETION:
        return completion_write(plan.shell, buffer, size);
    case MODE_PRINT_CONFIG:
        return cli_print_config(&plan, buffer, size);
    case MODE_VERSION:
        return (size_t)snprintf(buffer, size, "aiorun %s\n", AIORUN_VERSION);
    case MODE_LAUNCH:
    case MODE_FOREVER:
    case MODE_FLEET:
    case MODE_CHECK:
        break;
    }
    return 0;
}

/* The modes that only print. */
static int print(void)
{
    size_t length = write_text(NULL, 0);
    char *text = malloc(length + 1);
    if (text == NULL)
        return STATUS_OWN_FAILURE;
    write_text(text, length + 1);
    bool printed = fputs(text, stdout) >= 0 && fflush(stdout) == 0;
    free(text);
    if (!printed)
        perror("aiorun: cannot write to standard output");
    return printed ? EXIT_SUCCESS : STATUS_OWN_FAILURE;
}

static char **arguments;

/* The same for the start and for each reload. */
static void load(struct plan *loaded, struct faults *found)
{
    plan_init(loaded);
    cli_parse(loaded, arguments, environ, found);
    config_load(loaded, found);
    check_plan(loaded, found);
}

int main(int argc, char **argv)
{
    if (argc > 1 && verbs_knows(argv[1]) && drop_in_name(argv[0]) == NULL)
        return verbs_run(argc, argv);
    platform_begin();
    faults = platform_reserve(sizeof *faults);
    assert(faults != NULL); /* the first allocation of all */
    arguments = argv;
    load(&plan, faults);
    if (plan.mode == MODE_CHECK)
        return check();
    bool runs = plan.mode == MODE_LAUNCH || plan.mode == MODE_FOREVER || plan.mode == MODE_FLEET;
    if (runs)
        platform_prepare(&plan, faults);
    if (faults->count > 0)
        return refuse();
    if (!runs)
        return print();
    platform_leave(supervisor_run(&plan, load));
}
