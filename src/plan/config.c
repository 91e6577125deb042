#include "plan/config.h"

#include "plan/ini.h"
#include "plan/nearest.h"
#include "plan/option_table.h"
#include "plan/parse.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKER_PREFIX "worker:"
#define SHOWN         80 /* how much of a wrong word its fault repeats */

struct loader {
    struct plan *plan;
    struct plan *spare; /* takes values that do not count, since they are judged all the same */
    struct faults *faults;
    enum { IN_NOTHING, IN_AIORUN, IN_WORKER } where;
    struct plan_worker *worker; /* IN_WORKER; NULL where the section is a second one of that name */
    struct plan_key *next_key;  /* where the next key of a worker goes, */
    char **next_word;           /* and the next word of a command */
};

static void refuse(struct loader *loader, uint32_t line, const char *sentence, const char *word)
{
    char place[PLAN_PLACE_MAX];
    fault_add(loader->faults, plan_place(loader->plan, line, place), sentence, SHOWN, word);
}

static void refuse_memory(struct loader *loader)
{
    refuse(loader, 0, "no memory is left to read it%.*s", "");
}

/* ---- keys ---- */

static bool suits_aiorun(const struct option *option)
{
    return option->scope == SCOPE_SUPERVISOR;
}

static bool suits_worker(const struct option *option)
{
    return option->scope == SCOPE_WORKER;
}

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* The key in the table's spelling: `limit.nofile` is `limit-nofile` there.  Of `length` bytes, not
 * all of which may fit. */
static size_t spell(const char *key, char *name, size_t size)
{
    size_t length = strlen(key), fitting = length < size ? length : size - 1;
    memcpy(name, key, fitting);
    name[fitting] = '\0';
    if (begins_with(name, "limit."))
        name[strlen("limit")] = '-';
    return length;
}

/* The row of `key`; NULL when there is none that is spelled like this. */
static const struct option *find_key(const char *key)
{
    char name[NEAREST_MAX + 1];
    if (begins_with(key, "env."))
        return key[strlen("env.")] != '\0' ? option_find("env", strlen("env")) : NULL;
    size_t length = spell(key, name, sizeof name);
    if (length >= sizeof name)
        return NULL;
    const struct option *option = option_find(name, length);
    if (option == NULL || option->type == TYPE_ENV)
        return NULL;
    return (option->type == TYPE_LIMIT) == begins_with(key, "limit.") ? option : NULL;
}

static void refuse_key(struct loader *loader, const struct ini_entry *entry)
{
    char name[NEAREST_MAX + 2], known[OPTION_PLACE_MAX], place[PLAN_PLACE_MAX];
    size_t length = spell(entry->key, name, sizeof name);
    const struct option *nearest =
        nearest_option(name, length, loader->where == IN_WORKER ? suits_worker : suits_aiorun);
    if (begins_with(entry->key, "env.") && loader->where == IN_WORKER)
        nearest = option_find("env", strlen("env"));
    if (nearest == NULL) {
        refuse(loader, entry->line, "there is no key '%.*s', aiorun.ini(5) lists all", entry->key);
        return;
    }
    struct text text = {.buffer = known, .size = sizeof known};
    option_add_key(nearest, &text);
    fault_add(loader->faults, plan_place(loader->plan, entry->line, place),
              "there is no key '%.*s', did you mean %s?", SHOWN, entry->key, known);
}

/* ---- values ---- */

/* `env.NAME = VALUE` becomes NAME=VALUE, at the end of the line's own bytes: NAME has a '=' behind
 * it there, so that what is needed is no longer than what there is. */
static const char *join_variable(const struct ini_entry *entry)
{
    const char *name = entry->key + strlen("env.");
    size_t length = strlen(name);
    char *value = (char *)(uintptr_t)entry->value;
    assert(name + length < value);
    memmove(value - 1 - length, name, length);
    value[-1] = '=';
    return value - 1 - length;
}

static bool has_variable(const struct plan_strings *list, const char *variable)
{
    size_t length = strcspn(variable, "=") + 1;
    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->items[i], variable, length) == 0)
            return true;
    }
    return false;
}

/* The place of a key, in words that nearly all keys do without. */
static const char *place_key(const struct loader *loader, const struct option *option,
                             uint32_t line, char *buffer)
{
    char file[PLAN_PLACE_MAX];
    struct text text = {.buffer = buffer, .size = OPTION_PLACE_MAX};
    text_add(&text, "%s: ", plan_place(loader->plan, line, file));
    option_add_key(option, &text);
    return buffer;
}

/* Nothing is changed by a value that is refused: it can be given again, to be told why. */
static void set_value(struct loader *loader, const struct option *option, struct plan *plan,
                      struct plan_worker *worker, const char *value, uint32_t line)
{
    char place[OPTION_PLACE_MAX];
    if (!option_set(option, plan, worker, value, NULL, NULL))
        option_set(option, plan, worker, value, place_key(loader, option, line, place),
                   loader->faults);
}

/* Puts a word of a value back into the value's own bytes: words are never longer than their quoted
 * form.  `*out` is where, and then behind it. */
static char *keep_word(char **out, const char *word)
{
    size_t size = strlen(word) + 1;
    char *kept = memcpy(*out, word, size);
    *out += size;
    return kept;
}

/* Takes each word of a value that is a list. */
static void take_words(struct loader *loader, const struct option *option, struct plan *plan,
                       struct plan_worker *worker, const char *value, uint32_t line)
{
    char **words, place[OPTION_PLACE_MAX];
    char *out = (char *)(uintptr_t)value;
    for (char *c = out; option->type == TYPE_REWRITE && *c != '\0'; c++) {
        if (*c == ',')
            *c = ' ';
    }
    errno = 0;
    if (!parse_command(value, &words)) {
        bool scarce = errno == ENOMEM;
        place_key(loader, option, line, place);
        if (scarce)
            fault_add(loader->faults, place, "no memory is left for it");
        else
            fault_add(loader->faults, place, "'%.*s' is empty, or leaves a quote open", SHOWN,
                      value);
        return;
    }
    for (char **word = words; *word != NULL; word++)
        set_value(loader, option, plan, worker, keep_word(&out, *word), line);
    free(words);
}

static bool is_list(const struct option *option)
{
    return option->type == TYPE_STRINGS || option->type == TYPE_REWRITE;
}

static void take_value(struct loader *loader, const struct option *option,
                       const struct ini_entry *entry)
{
    struct plan *plan = loader->plan;
    struct plan_worker *worker = loader->worker;
    size_t row = (size_t)(option - option_table);
    const char *value = entry->value;
    bool overridden = option_is_overridden(option, plan, SOURCE_FILE);

    if (option->type == TYPE_ENV) {
        /* Each variable is a key of its own: another one on the command line does not hide it. */
        value = join_variable(entry);
        overridden = has_variable(&plan->worker.rules->attributes.env, value);
    }
    if (overridden || entry->twin != 0 || (loader->where == IN_WORKER && worker == NULL)) {
        plan = loader->spare;
        worker = &loader->spare->worker;
    } else if (option->scope == SCOPE_WORKER) {
        *loader->next_key++ = (struct plan_key){.row = (uint32_t)row, .line = entry->line};
        worker->key_count++;
    } else {
        plan->source[row] = SOURCE_FILE;
        plan->lines[row] = entry->line;
    }
    if (is_list(option))
        take_words(loader, option, plan, worker, value, entry->line);
    else
        set_value(loader, option, plan, worker, value, entry->line);
}

static void take_key(struct loader *loader, const struct ini_entry *entry)
{
    const struct option *option = find_key(entry->key);
    if (option == NULL)
        refuse_key(loader, entry);
    else if (option->scope == SCOPE_CLI)
        refuse(loader, entry->line, "'%.*s' can be given on the command line only", entry->key);
    else if (option->scope == SCOPE_WORKER && loader->where == IN_AIORUN)
        refuse(loader, entry->line, "key '%.*s' is for a [worker:NAME], not for [aiorun]",
               entry->key);
    else if (option->scope == SCOPE_SUPERVISOR && loader->where == IN_WORKER)
        refuse(loader, entry->line, "key '%.*s' is for [aiorun], not for a worker", entry->key);
    else
        take_value(loader, option, entry);
}

/* ---- sections ---- */

/* A worker begins as what the command line and the environment make of the defaults. */
static void begin_worker(struct loader *loader, const struct ini_entry *entry)
{
    const char *name = entry->section + strlen(WORKER_PREFIX);
    struct plan_worker *worker = &loader->plan->fleet[loader->plan->fleet_size];
    if (!parse_name(name))
        refuse(loader, entry->line,
               "'%.*s' is no name for a worker: at most 63 letters, digits, '.', '_' and '-'",
               name);
    struct plan_rules *rules = &loader->plan->fleet_rules[loader->plan->fleet_rules_count++];
    bool copied = plan_worker_copy(worker, rules, &loader->plan->worker);
    worker->name = name;
    worker->line = entry->line;
    worker->keys = loader->next_key;
    loader->plan->fleet_size++;
    loader->worker = worker;
    loader->where = IN_WORKER;
    if (copied)
        return;
    refuse_memory(loader);
    loader->where = IN_NOTHING;
}

/* A plan keeps its words for each worker. */
static void split_command(struct loader *loader, struct plan_worker *worker, const char *command)
{
    char **words;
    char *out = (char *)(uintptr_t)command;
    if (!parse_command(command, &words)) {
        refuse_memory(loader); /* it was read before */
        return;
    }
    worker->argv = loader->next_word;
    for (char **word = words; *word != NULL; word++)
        *loader->next_word++ = keep_word(&out, *word);
    *loader->next_word++ = NULL;
    free(words);
}

static void end_worker(struct loader *loader, struct plan_worker *worker, struct plan_rules *rules)
{
    const struct option *command = option_find("command", strlen("command"));
    if (rules->command != NULL)
        split_command(loader, worker, rules->command);
    else if (!option_is_in_file(command, worker))
        refuse(loader, worker->line, "worker '%.*s' has no command", worker->name);
    rules->command = NULL;
}

/* A thousand sections are mostly alike: one that says what the one before says takes no memory for
 * it.  Others that do are found when all are complete: plan_share_rules(). */
static void share_rules(struct plan *plan, struct plan_worker *worker)
{
    uint32_t count = plan->fleet_rules_count;
    if (count > 1 &&
        plan_rules_equal(&plan->fleet_rules[count - 2], &plan->fleet_rules[count - 1])) {
        worker->rules = &plan->fleet_rules[count - 2];
        plan->fleet_rules_count--;
    }
}

static void end_section(struct loader *loader)
{
    if (loader->worker != NULL) {
        struct plan *plan = loader->plan;
        end_worker(loader, loader->worker, &plan->fleet_rules[plan->fleet_rules_count - 1]);
        share_rules(plan, loader->worker);
    }
    loader->where = IN_NOTHING;
    loader->worker = NULL;
}

static void begin_section(struct loader *loader, const struct ini_entry *entry)
{
    end_section(loader);
    if (begins_with(entry->section, WORKER_PREFIX) && entry->twin != 0)
        loader->where = IN_WORKER;
    else if (begins_with(entry->section, WORKER_PREFIX))
        begin_worker(loader, entry);
    else if (strcmp(entry->section, "aiorun") == 0)
        loader->where = IN_AIORUN;
    else
        refuse(loader, entry->line, "there is no section [%.*s], only [aiorun] and [worker:NAME]",
               entry->section);
}

/* ---- files ---- */

static void set_fleet_defaults(struct plan *plan)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        if (option->fleet == NULL || option_source(option, plan, &plan->worker) != SOURCE_DEFAULT)
            continue;
        bool accepted = option_set(option, plan, &plan->worker, option->fleet, NULL, NULL);
        assert(accepted);
        (void)accepted;
    }
}

/* Of a text of `size` bytes. */
static void take_entries(struct loader *loader, const struct ini_file *file, size_t size)
{
    struct plan *plan = loader->plan;
    size_t workers = 0;
    for (size_t i = 0; i < file->count; i++)
        workers += file->entries[i].key == NULL;
    plan->lines = calloc(option_count, sizeof *plan->lines);
    plan->fleet = calloc(workers + 1, sizeof *plan->fleet);
    plan->fleet_rules = calloc(workers + 1, sizeof *plan->fleet_rules);
    plan->keys = calloc(file->count - workers + 1, sizeof *plan->keys);
    /* A word takes two bytes, a NULL those of `command=`.  What is not needed is not touched. */
    plan->words = malloc((size / 2 + 1) * sizeof *plan->words);
    loader->next_key = plan->keys;
    loader->next_word = plan->words;
    loader->spare = malloc(sizeof *loader->spare);
    if (plan->lines == NULL || plan->keys == NULL || plan->words == NULL || plan->fleet == NULL ||
        plan->fleet_rules == NULL || loader->spare == NULL) {
        refuse_memory(loader);
        free(loader->spare);
        return;
    }
    plan_init(loader->spare);
    for (size_t i = 0; i < file->count; i++) {
        if (file->entries[i].key == NULL)
            begin_section(loader, &file->entries[i]);
        else if (loader->where != IN_NOTHING)
            take_key(loader, &file->entries[i]);
    }
    end_section(loader);
    plan_free(loader->spare);
    free(loader->spare);
}

void config_parse(struct plan *plan, char *text, size_t size, struct faults *faults)
{
    struct loader loader = {.plan = plan, .faults = faults};
    struct ini_file file;
    char path[PLAN_PLACE_MAX];
    set_fleet_defaults(plan);
    plan->text = text;
    ini_read(&file, text, size, plan_place(plan, 0, path), faults);
    take_entries(&loader, &file, size);
    ini_free(&file);
}

/* The whole file and a byte of room; NULL with a fault. */
static char *read_file(const struct plan *plan, size_t *size, struct faults *faults)
{
    char place[PLAN_PLACE_MAX];
    char *text = malloc(INI_SIZE_MAX + 2);
    FILE *file = fopen(plan->config, "rb");
    plan_place(plan, 0, place);
    if (file == NULL)
        fault_add(faults, place, "it cannot be opened: %s", strerror(errno));
    else if (text == NULL)
        fault_add(faults, place, "no memory is left to read it");
    else
        *size = fread(text, 1, INI_SIZE_MAX + 1, file);
    bool good = file != NULL && text != NULL;
    if (good && ferror(file)) {
        fault_add(faults, place, "it cannot be read: %s", strerror(errno));
        good = false;
    } else if (good && *size > INI_SIZE_MAX) {
        fault_add(faults, place, "it is larger than 1 MiB");
        good = false;
    }
    if (file != NULL)
        fclose(file);
    if (good)
        return text;
    free(text);
    return NULL;
}

void config_load(struct plan *plan, struct faults *faults)
{
    size_t size = 0;
    if (plan->config == NULL)
        return;
    char *text = read_file(plan, &size, faults);
    if (text != NULL)
        config_parse(plan, text, size, faults);
}
