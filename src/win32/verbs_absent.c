#include "client/verbs.h"
#include "core/policy.h"
#include "plan/verb_table.h"

#include <stdio.h>
#include <string.h>

bool verbs_knows(const char *word)
{
    static const char *const offline[] = {"check", "completion", "help", "version"};
    for (size_t i = 0; i < sizeof offline / sizeof offline[0]; i++)
        if (strcmp(word, offline[i]) == 0)
            return false;
    return verb_find(word) != NULL;
}

int verbs_run(int argc, char **argv)
{
    (void)argc;
    fprintf(stderr, "aiorun: error: verb %s: it is not there on Windows\n", argv[1]);
    return STATUS_OWN_FAILURE;
}
