/* Where admin sockets are. */
#include "client/posix/posix.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PATH_MAX_HERE (sizeof(((struct sockaddr_un *)0)->sun_path))

const char people_door[] = "socket";

intptr_t people_dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = descriptor_keep_away(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const struct timeval within = {.tv_sec = ANSWER_WITHIN / SECOND};
    if (fd >= 0) /* that others wait there is told by EAGAIN then (socket(7)) */
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &within, sizeof within);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

bool people_are_silent(void)
{
    return errno == EAGAIN;
}

static void search(void (*note)(const char *), const char *directory)
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
            note(path);
    }
    closedir(entries);
}

void people_search(void (*note)(const char *name))
{
    const char *runtime = getenv("RUNTIME_DIRECTORY");
    const char *user = getenv("XDG_RUNTIME_DIR");
    char directory[PATH_MAX_HERE];
    static const char common[] = "/run/aiorun";
    char searched[PATH_MAX_HERE] = "";
    if (runtime != NULL && runtime[0] == '/') {
        snprintf(searched, sizeof searched, "%.*s", (int)strcspn(runtime, ":"), runtime);
        search(note, searched);
    }
    if (user != NULL && user[0] == '/') {
        snprintf(directory, sizeof directory, "%s/aiorun", user);
        if (strcmp(directory, searched) != 0)
            search(note, directory);
    }
    if (strcmp(common, searched) != 0)
        search(note, common);
}
