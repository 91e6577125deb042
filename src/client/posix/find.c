/* Which supervisor is meant, and a connection to its admin socket. */
#include "client/posix/posix.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATH_MAX_HERE (sizeof(((struct sockaddr_un *)0)->sun_path))

/* A connected socket; -1 with errno. */
static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = keep_away(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* The live supervisors that were found. */
struct found {
    int fd; /* of the first one; -1: none */
    size_t count;
    char list[1024]; /* their sockets */
    size_t used;
};

static void note(struct found *found, const char *path)
{
    int fd = connect_to(path);
    if (fd < 0)
        return;
    if (found->count++ == 0)
        found->fd = fd;
    else
        close(fd);
    int added = snprintf(found->list + found->used, sizeof found->list - found->used, "%s%s",
                         found->used > 0 ? ", " : "", path);
    if ((size_t)added < sizeof found->list - found->used)
        found->used += (size_t)added;
    else
        found->list[found->used] = '\0';
}

static void search(struct found *found, const char *directory)
{
    DIR *entries = opendir(directory);
    if (entries == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        char path[PATH_MAX_HERE + sizeof entry->d_name]; /* too long a one is nobody's */
        size_t length = strlen(entry->d_name);
        const char *suffix = length > 5 ? entry->d_name + length - 5 : "";
        bool named =
            strcmp(suffix, ".sock") == 0 && strspn(entry->d_name, "0123456789") == length - 5;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (named)
            note(found, path);
    }
    closedir(entries);
}

/* The places where a supervisor of ours puts its socket by itself. */
static void search_all(struct found *found)
{
    const char *runtime = getenv("RUNTIME_DIRECTORY");
    const char *user = getenv("XDG_RUNTIME_DIR");
    char directory[PATH_MAX_HERE];
    static const char common[] = "/run/aiorun";
    char searched[PATH_MAX_HERE] = "";
    found->fd = -1;
    if (runtime != NULL && runtime[0] == '/') {
        snprintf(searched, sizeof searched, "%.*s", (int)strcspn(runtime, ":"), runtime);
        search(found, searched);
    }
    if (user != NULL && user[0] == '/') {
        snprintf(directory, sizeof directory, "%s/aiorun", user);
        if (strcmp(directory, searched) != 0)
            search(found, directory);
    }
    if (strcmp(common, searched) != 0)
        search(found, common);
}

/* Would the verb rather have had a control pipe? */
static bool takes_pipe(const struct verb *verb)
{
    return strcmp(verb->name, "shutdown") == 0 || strcmp(verb->name, "submit") == 0;
}

bool people_connect(struct channel *channel, const struct arguments *arguments)
{
    const char *path = arguments_option(arguments, "control");
    struct found found = {.fd = -1};
    memset(channel, 0, sizeof *channel);
    channel->interrupt = -1;
    if (path == NULL)
        path = getenv("AIORUN_OPT_CONTROL");
    if (path != NULL) {
        channel->link = connect_to(path);
        if (channel->link < 0)
            fail(arguments->verb, "no supervisor answers at '%s': %s", path, strerror(errno));
        return channel->link >= 0;
    }
    search_all(&found);
    channel->link = found.fd;
    if (found.count > 1)
        fail(arguments->verb, "several supervisors run, choose one by --control: %s", found.list);
    else if (found.count == 0)
        fail(arguments->verb, "%sno supervisor with an admin socket is found: name it by --control",
             takes_pipe(arguments->verb) ? "there is no aiorun above, and " : "");
    return found.count == 1;
}
