#include "plan/cli.h"
#include "plan/option_table.h"
#include "plan/parse.h"
#include "posix/posix.h"
#include "protocol/wire.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

#define VARIABLES_SIZE 640 /* bytes of the variables that are added at a start, */

/* ---- memory ---- */

struct command_block {
    struct command_block *next;
    void *memory;
};

static struct command_memory *collection;

void command_collect(struct command_memory *memory)
{
    collection = memory;
}

bool command_own(void *memory)
{
    struct command_block *block = memory != NULL ? platform_allocate(sizeof *block) : NULL;
    if (block == NULL) {
        platform_free(memory);
        return false;
    }
    block->memory = memory;
    block->next = collection->first;
    collection->first = block;
    return true;
}

void *command_allocate(size_t size)
{
    void *memory = platform_allocate(size);
    return command_own(memory) ? memory : NULL;
}

void command_release(struct command_memory *memory)
{
    while (memory->first != NULL) {
        struct command_block *block = memory->first;
        memory->first = block->next;
        platform_free(block->memory);
        platform_free(block);
    }
}

/* ---- environment ------------------------------------------------------------------------------
 */

/* Sets NAME=VALUE, instead of an entry with that name.  False without memory. */
static bool set_variable(struct command *command, const char *entry)
{
    size_t name = strcspn(entry, "=") + 1;
    for (size_t i = 0; i < command->environment_count; i++) {
        if (strncmp(command->environment[i], entry, name) == 0) {
            command->environment[i] = (char *)(uintptr_t)entry;
            return true;
        }
    }
    if (command->environment_room == 0) {
        size_t count = command->environment_count;
        size_t room = 2 * count + 16 + COMMAND_VARIABLES;
        char **grown = command_allocate(room * sizeof *grown);
        if (grown == NULL)
            return false;
        memcpy(grown, command->environment, count * sizeof *grown);
        command->environment = grown;
        command->environment_room = (uint32_t)count + 15; /* and the NULL at the end */
    }
    command->environment[command->environment_count++] = (char *)(uintptr_t)entry;
    command->environment[command->environment_count] = NULL;
    command->environment_room--;
    return true;
}

static bool is_control_variable(const char *entry)
{
    static const char *const names[] = {
        "CONTROL_FD=", "CONTROL_ID=", "PROTOCOL=", "WORKER=", "INSTANCE=", "PID="};
    if (strncmp(entry, "AIORUN_", 7) != 0)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(entry + 7, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

bool command_drops(const char *entry)
{
    return is_control_variable(entry) || cli_is_own_variable(entry);
}

/* With --no-control an outer pipe passes through us. */
static bool inherited_is_ours(const char *entry)
{
    bool ours = inherited.keeps_outer ? cli_is_own_variable(entry) : command_drops(entry);
    return ours || ready_drops(entry);
}

/* Our own environment, without what was meant for us. */
static bool inherit_environment(struct command *command, bool clear)
{
    size_t count = 0;
    while (environ[count] != NULL)
        count++;
    size_t room = count + 16;
    command->environment =
        command_allocate((room + COMMAND_VARIABLES + 1) * sizeof *command->environment);
    command->environment_room = (uint32_t)room;
    if (command->environment == NULL)
        return false;
    command->environment[0] = NULL;
    for (size_t i = 0; i < count && !clear; i++) {
        if (inherited_is_ours(environ[i]))
            continue;
        command->environment[command->environment_count++] = environ[i];
        command->environment_room--;
    }
    command->environment[command->environment_count] = NULL;
    return true;
}

static void trim_end(char *line, size_t length)
{
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
        line[--length] = '\0';
}

/* NAME=VALUE lines; empty ones and those that begin with '#' are skipped; nothing is unquoted
 * (docker run's --env-file).  The lines live as long as the command. */
static void read_env_file(struct command *command, const char *path, const char *place,
                          struct faults *faults)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    int number = 0;
    if (file == NULL) {
        fault_add(faults, place, "cannot open '%s': %s", path, strerror(errno));
        return;
    }
    while ((length = getline(&line, &size, file)) >= 0) {
        number++;
        bool whole = strlen(line) == (size_t)length; /* no NUL hides the rest */
        trim_end(line, strlen(line));
        if (whole && (line[0] == '\0' || line[0] == '#'))
            continue;
        const char *fault = whole ? parse_env_line(line) : "is followed by a NUL byte";
        if (fault != NULL) {
            fault_add(faults, place, "%s:%d: '%s' %s", path, number, line, fault);
            continue;
        }
        char *kept = strdup(line);
        if (!command_own(kept) || !set_variable(command, kept)) {
            fault_add(faults, place, "out of memory");
            break;
        }
    }
    if (length < 0 && !feof(file)) /* there may have been no memory for a line */
        fault_add(faults, place, "cannot read '%s': %s", path, strerror(errno));
    free(line);
    fclose(file);
}

/* Ours are added at each start, and whoever looks finds the first of a name. */
static void drop_control_variables(struct command *command)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < command->environment_count; i++)
        if (inherited.keeps_outer || !is_control_variable(command->environment[i]))
            command->environment[kept++] = command->environment[i];
    command->environment_room += command->environment_count - kept;
    command->environment_count = kept;
    command->environment[kept] = NULL;
}

/* That of a worker that wants nothing of its own is everybody's: a start ends before the next one
 * begins, so that even what it adds has room there. */
static bool share_environment(struct command *command)
{
    static struct command plain;
    static struct command_memory kept; /* it is every plan's, and outlives the first */
    const struct plan_attributes *attributes = command->attributes;
    struct command_memory *collecting = collection;
    if (attributes == NULL || attributes->clear_env || attributes->env_files.count > 0 ||
        attributes->env.count > 0)
        return false;
    collection = &kept;
    if (plain.environment == NULL && inherit_environment(&plain, false))
        drop_control_variables(&plain);
    collection = collecting;
    command->environment = plain.environment;
    command->environment_count = plain.environment_count;
    command->environment_room = 0; /* nothing is added to it for good */
    return plain.environment != NULL;
}

/* `place`: where its env-file stands, if it has any. */
static void prepare_environment(struct command *command, const char *home, const char *place,
                                struct faults *faults)
{
    const struct plan_attributes *attributes = command->attributes;
    bool clear = attributes != NULL && attributes->clear_env;
    if (home == NULL && share_environment(command))
        return;
    bool done = inherit_environment(command, clear);
    if (done && home != NULL)
        done = set_variable(command, home);
    for (size_t i = 0; done && attributes != NULL && i < attributes->env_files.count; i++)
        read_env_file(command, attributes->env_files.items[i], place, faults);
    for (size_t i = 0; done && attributes != NULL && i < attributes->env.count; i++)
        done = set_variable(command, attributes->env.items[i]);
    if (!done)
        fault_add(faults, NULL, "out of memory for the environment");
    if (command->environment != NULL)
        drop_control_variables(command);
}

/* ---- users and groups ---- */

static bool parse_id(const char *text, uint32_t *id)
{
    int64_t value;
    if (!parse_integer(text, 10, 0, UINT32_MAX - 1, &value))
        return false;
    *id = (uint32_t)value;
    return true;
}

/* Nobody was found: does errno say that it is for another reason than that there is nobody
 * (getpwnam(3))?  It was 0 before. */
static bool lookup_failed(void)
{
    static const int errors[] = {EAGAIN, EINTR, EIO, EMFILE, ENFILE, ENOMEM};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (errno == errors[i])
            return true;
    return false;
}

static void refuse_lookup(const char *name, const char *place, struct faults *faults)
{
    fault_add(faults, place, "cannot look up '%s': %s", name, strerror(errno));
}

static void find_group(struct credentials *credentials, const char *name, const char *place,
                       struct faults *faults)
{
    errno = 0;
    const struct group *entry = getgrnam(name);
    uint32_t id;
    credentials->set_group = true;
    if (entry == NULL && lookup_failed())
        refuse_lookup(name, place, faults);
    else if (entry != NULL)
        credentials->group = entry->gr_gid;
    else if (parse_id(name, &id))
        credentials->group = id;
    else
        fault_add(faults, place, "'%s' is no group of this system and no group number", name);
}

/* The supplementary groups that a login of `user` would have.  False with errno. */
static bool find_supplementary(struct credentials *credentials, const char *user)
{
    int count = 16;
    for (;;) {
        gid_t *groups = command_allocate((size_t)count * sizeof *groups);
        if (groups == NULL)
            return false;
        credentials->groups = groups;
        int room = count;
        errno = 0;
        int found = getgrouplist(user, credentials->group, groups, &count);
        if (lookup_failed()) /* and it would tell of those that it knows (getgrouplist(3)) */
            return false;
        if (found >= 0) {
            credentials->group_count = (uint32_t)count;
            return true;
        }
        if (count <= room)
            count = 2 * room;
    }
}

/* "HOME=directory"; NULL without memory. */
static const char *home_variable(const char *directory)
{
    char *entry = command_allocate(sizeof "HOME=" + strlen(directory));
    if (entry != NULL) {
        strcpy(entry, "HOME=");
        strcat(entry, directory);
    }
    return entry;
}

/* `name` is cut off from NAME:GROUP.  Sets *home when the user is to get it in HOME. */
static void find_user(struct credentials *credentials, const char *name, const char **home,
                      const char *place, struct faults *faults)
{
    uint32_t id;
    errno = 0;
    const struct passwd *entry = getpwnam(name);
    credentials->set_user = true;
    if (entry == NULL && !lookup_failed() && parse_id(name, &id)) {
        credentials->user = id;
        entry = getpwuid(id);
    } else if (entry == NULL && !lookup_failed()) {
        fault_add(faults, place, "'%s' is no user of this system and no user number", name);
        return;
    }
    if (entry == NULL && lookup_failed()) {
        refuse_lookup(name, place, faults);
        return;
    }
    *home = "HOME=/"; /* of a number without a name, as gosu(1) gives it */
    if (entry == NULL)
        return;
    credentials->user = entry->pw_uid;
    credentials->group = entry->pw_gid;
    *home = home_variable(entry->pw_dir);
    if (*home == NULL || !find_supplementary(credentials, entry->pw_name))
        refuse_lookup(name, place, faults);
}

static void prepare_credentials(struct command *command, const struct plan *plan,
                                const struct plan_worker *worker, const char **home,
                                struct faults *faults)
{
    const struct plan_attributes *attributes = command->attributes;
    struct credentials *credentials = &command->credentials;
    char name[LOGIN_NAME_MAX + 1], place[OPTION_PLACE_MAX];
    if (attributes->user != NULL) {
        option_place_of("user", plan, worker, place);
        size_t length = strcspn(attributes->user, ":");
        const char *group = attributes->user[length] ? attributes->user + length + 1 : NULL;
        if (length == 0 || (group != NULL && (*group == '\0' || strchr(group, ':') != NULL)))
            return; /* check.c says so */
        if (length >= sizeof name) {
            fault_add(faults, place, "'%.80s' is longer than a user's name can be",
                      attributes->user);
            return;
        }
        memcpy(name, attributes->user, length);
        name[length] = '\0';
        find_user(credentials, name, home, place, faults);
        if (group != NULL) {
            credentials->group_count = 0; /* an explicit group comes alone */
            find_group(credentials, group, place, faults);
        }
    }
    if (attributes->group != NULL)
        find_group(credentials, attributes->group,
                   option_place_of("group-name", plan, worker, place), faults);
}

/* ---- where the program is ---- */

static const char *variable(const struct command *command, const char *name)
{
    size_t length = strlen(name);
    for (char **entry = command->environment; *entry != NULL; entry++)
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=')
            return *entry + length + 1;
    return NULL;
}

/* In PATH, the command's own PATH, as execvp(3) would try them. */
bool command_find(struct command *command, void *(*allocate)(size_t))
{
    const char *name = command->name;
    const char *path = variable(command, "PATH");
    size_t count = 1;
    command->paths = NULL;
    if (name[0] == '\0' || strchr(name, '/') != NULL)
        return true;
    if (path == NULL)
        path = "/usr/local/bin:/usr/bin:/bin";
    for (const char *c = path; *c; c++)
        count += *c == ':';
    size_t text = strlen(path) + count * (strlen(name) + 2);
    command->paths = allocate((count + 1) * sizeof *command->paths + text);
    if (command->paths == NULL)
        return false;
    command->paths[count] = NULL;
    char *next = (char *)(command->paths + count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t length = strcspn(path, ":");
        command->paths[i] = next;
        memcpy(next, path, length);
        next += length;
        if (length > 0) /* an empty entry is the current directory */
            *next++ = '/';
        strcpy(next, name);
        next += strlen(name) + 1;
        path += length + 1;
    }
    return true;
}

void command_prepare(struct command *command, const struct plan *plan,
                     const struct plan_worker *worker, struct faults *faults)
{
    const char *home = NULL;
    char room[OPTION_PLACE_MAX];
    const char *place = NULL;
    memset(command, 0, sizeof *command);
    command->attributes = &worker->rules->attributes;
    command->argv = worker->argv;
    prepare_credentials(command, plan, worker, &home, faults);
    if (worker->rules->attributes.env_files.count > 0)
        place = option_place_of("env-file", plan, worker, room);
    prepare_environment(command, home, place, faults);
    if (worker->argv == NULL || command->environment == NULL)
        return;
    command->name = worker->argv[0];
    if (!command_find(command, command_allocate))
        fault_add(faults, NULL, "out of memory for the command's path");
}

void command_prepare_beside(struct command *command, const struct command *beside, char **argv,
                            struct faults *faults)
{
    *command = *beside;
    command->argv = argv;
    command->name = argv[0];
    if (command->environment != NULL && !command_find(command, command_allocate))
        fault_add(faults, NULL, "out of memory for the command's path");
}

void command_prepare_hook(struct command *command, const char *line, const char *place,
                          struct faults *faults)
{
    memset(command, 0, sizeof *command);
    if (line == NULL)
        return;
    prepare_environment(command, NULL, NULL, faults);
    if (!parse_command(line, &command->argv) || !command_own(command->argv)) {
        command->argv = NULL;
        fault_add(faults, place, "'%s' is no command line: a quote is open, or it is empty", line);
        return;
    }
    command->name = command->argv[0];
    if (command->environment != NULL && !command_find(command, command_allocate))
        fault_add(faults, NULL, "out of memory for the command's path");
}

/* ---- what is added for one start ---- */

/* vfork(2) copies them to the new program before the next start can need the room. */
static char variables[VARIABLES_SIZE];
static size_t variables_used;

void command_begin(struct command *command)
{
    variables_used = 0;
    command->variables = 0;
    command->environment[command->environment_count] = NULL;
}

void command_add_entry(struct command *command, char *entry)
{
    char **place = command->environment + command->environment_count + command->variables;
    assert(command->variables < COMMAND_VARIABLES);
    command->variables++;
    place[0] = entry;
    place[1] = NULL;
}

/* Not printf(3): most of a start's own instructions were its, and its pages of the C library, and
 * of our stack, would be touched by this alone. */
char *command_add(struct command *command, const char *name, const char *value)
{
    char *entry = variables + variables_used;
    struct wire wire = {.at = entry, .end = variables + sizeof variables - PID_ROOM};
    wire_put(&wire, name);
    wire_put(&wire, "=");
    char *place = wire.at;
    wire_put(&wire, value);
    memset(wire.at, 0, PID_ROOM);
    variables_used = (size_t)(wire.at - variables) + PID_ROOM;
    command_add_entry(command, entry);
    return place;
}

void command_add_number(struct command *command, const char *name, uint64_t number)
{
    char digits[WIRE_DIGITS_MAX + 1];
    struct wire wire = {.at = digits, .end = digits + WIRE_DIGITS_MAX};
    wire_put_number(&wire, number);
    *wire.at = '\0';
    command_add(command, name, digits);
}
