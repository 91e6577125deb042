/* victim.c - the command that is supervised while something is measured.
 *
 * It sleeps until signals tell it otherwise, and stamps the shared page, where BENCH_PAGE names one:
 * USR1: handled.  USR2: ends with the page's status.  TERM: ends with 0. */
#include "page.h"

#include <signal.h>

static struct page *page;

static void on_signal(int signal)
{
    int64_t now = clock_now();
    if (signal == SIGUSR1 && page != NULL) {
        page->signalled = now;
        page_tell(&page->signals);
    } else if (signal == SIGUSR2 || signal == SIGTERM) {
        int status = signal == SIGUSR2 && page != NULL ? page->status : 0;
        if (page != NULL)
            page->ended = clock_now();
        _exit(status);
    }
}

int main(void)
{
    int64_t now = clock_now();
    const char *path = getenv("BENCH_PAGE");
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t none;

    if (path != NULL) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        page = fd < 0 ? NULL : page_map(fd);
        if (page == NULL)
            return 111;
        close(fd);
    }
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (page != NULL) {
        page->started = now;
        page->pid = (int32_t)getpid();
        page_tell(&page->starts);
    }
    sigemptyset(&none);
    for (;;)
        sigsuspend(&none);
}
