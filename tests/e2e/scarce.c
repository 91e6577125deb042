/* For LD_PRELOAD: from some time on aiorun gets no memory.  The file that SCARCE names holds two
 * numbers: how many more allocations succeed (negative: all), and the process that it is about
 * (0: the first one that comes). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static volatile int *shared;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SCARCE");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *memory = mmap(NULL, 2 * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (fd < 0 || memory == MAP_FAILED)
        return;
    shared = memory;
    if (shared[1] == 0)
        shared[1] = getpid();
}

static int refused(void)
{
    if (shared == NULL || shared[1] != getpid() || shared[0] < 0)
        return 0;
    if (shared[0] > 0) {
        shared[0]--;
        return 0;
    }
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return refused() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return refused() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return refused() ? NULL : __libc_realloc(memory, size);
}
