/* worker.c - a worker in C that speaks to aiorun through libaiorun.
 *
 *     cc worker.c $(pkg-config --cflags --libs aiorun) -o worker
 *     aiorun -- ./worker
 *
 * It works on an item each second and holds a shield meanwhile.  When aiorun says `shutdown` it
 * finishes its item and ends; without aiorun it works until a signal ends it. */
#include <aiorun.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

static void work(int item)
{
    char text[40];
    struct pollfd nothing = {-1, 0, 0};
    sprintf(text, "item %d", item);
    aiorun_shield("item", 20);
    aiorun_status(text);
    printf("%s begun\n", text);
    poll(&nothing, 1, 300);
    printf("%s finished\n", text);
    aiorun_unshield("item");
}

/* Waits for an order, at most `milliseconds`; returns 1 when it is time to end. */
static int listen_for(int milliseconds, struct pollfd *control)
{
    struct aiorun_order order;
    int got;
    if (poll(control, 1, milliseconds) <= 0)
        return 0;
    while ((got = aiorun_receive(&order)) == 1) {
        if (order.kind == AIORUN_SHUTDOWN) {
            printf("asked to stop (%s), %.0f s left\n", order.reason, order.seconds);
            return 1;
        }
        if (order.kind == AIORUN_RELOAD)
            printf("asked to read the configuration again, if there were one\n");
    }
    if (got < 0)
        control->fd = -1; /* aiorun is gone; poll(2) passes over it from now on */
    return 0;
}

int main(void)
{
    struct pollfd control = {-1, POLLIN, 0};
    int item = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    control.fd = aiorun_fd();
    if (aiorun_available()) {
        signal(SIGTERM, SIG_IGN); /* the message says it, too, and leaves us the time we have */
        signal(SIGINT, SIG_IGN);
    }
    aiorun_ready();
    do
        work(++item);
    while (!listen_for(700, &control));
    return 0;
}
