#include "plan/drop_in.h"

#include <stdbool.h>
#include <string.h>

#define TINI      "tini"
#define DUMB_INIT "dumb-init"
#define CATATONIT "catatonit"

/* Only what is spelled differently; -g -v -p -s -w -e -h are tini's own letters. */
static const struct drop_in options[] = {
    {TINI, "l", "version", "yes"},
    {DUMB_INIT, "c", "terminal", "share"},
    {DUMB_INIT, "single-child", "terminal", "share"},
    {DUMB_INIT, "r", "rewrite", NULL},
    {DUMB_INIT, "V", "version", "yes"},
    {CATATONIT, "L", "version", "yes"},
    {CATATONIT, "P", "forever", "yes"},
    {CATATONIT, "V", "version", "yes"},
};

/* A word with a value asks only when the variable has it; one without asks when it is there. */
static const struct drop_in variables[] = {
    {TINI, "TINI_SUBREAPER", "subreaper", "yes"},
    {TINI, "TINI_KILL_PROCESS_GROUP", "group", "yes"},
    {TINI, "TINI_VERBOSITY=0", "quiet", "1"},
    {TINI, "TINI_VERBOSITY=2", "verbose", "1"},
    {TINI, "TINI_VERBOSITY=3", "verbose", "1"},
    {DUMB_INIT, "DUMB_INIT_SETSID=0", "terminal", "share"},
    {DUMB_INIT, "DUMB_INIT_DEBUG=1", "verbose", "1"},
};

const char *drop_in_name(const char *path)
{
    /* Docker and podman give the program behind --init a name of their own. */
    static const struct {
        const char *name, *program;
    } names[] = {
        {"tini", TINI},           {"docker-init", TINI},    {"podman-init", TINI},
        {"dumb-init", DUMB_INIT}, {"catatonit", CATATONIT},
    };
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i].name) == 0)
            return names[i].program;
    }
    return NULL;
}

const struct drop_in *drop_in_option(const char *program, const char *word, size_t length)
{
    if (program == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        const struct drop_in *alias = &options[i];
        bool same = strlen(alias->word) == length && memcmp(alias->word, word, length) == 0;
        if (same && strcmp(alias->program, program) == 0)
            return alias;
    }
    return NULL;
}

const struct drop_in *drop_in_variable(const char *program, const char *entry)
{
    if (program == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const struct drop_in *alias = &variables[i];
        size_t length = strlen(alias->word);
        char end = strchr(alias->word, '=') != NULL ? '\0' : '=';
        bool same = strncmp(entry, alias->word, length) == 0 && entry[length] == end;
        if (same && strcmp(alias->program, program) == 0)
            return alias;
    }
    return NULL;
}

void drop_in_defaults(const char *program, struct plan *plan)
{
    if (program == NULL)
        return;
    plan->timeout = NEVER;
    plan->rules.group = strcmp(program, DUMB_INIT) == 0;
}
