/* relay.c - what a log relay is measured with.
 *
 *     relay write SIZE LINE BYTES    writes of SIZE bytes, in lines of LINE, BYTES in all
 *     relay copy                     the least that a relay can be: read(2) and write(2)
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int put(const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, length);
        if (written < 0)
            return -1;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

/* A write may end within a line, which the next one goes on with. */
static int produce(size_t size, size_t line, long long rest)
{
    char *bytes = malloc(size + line);
    if (bytes == NULL)
        return 1;
    for (size_t i = 0; i < size + line; i++)
        bytes[i] = i % line == line - 1 ? '\n' : 'x';
    for (size_t at = 0; rest > 0; rest -= (long long)size, at = (at + size) % line)
        if (put(bytes + at, size) < 0)
            return 1;
    return 0;
}

static int copy(void)
{
    static char bytes[131072];
    ssize_t count;
    while ((count = read(STDIN_FILENO, bytes, sizeof bytes)) > 0)
        if (put(bytes, (size_t)count) < 0)
            return 1;
    return count < 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "copy") == 0)
        return copy();
    if (argc != 5 || strcmp(argv[1], "write") != 0 || atol(argv[2]) < 1 || atol(argv[3]) < 1)
        return 2;
    return produce((size_t)atol(argv[2]), (size_t)atol(argv[3]), atoll(argv[4]));
}
