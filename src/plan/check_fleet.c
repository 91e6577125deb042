#include "plan/check_fleet.h"

#include "plan/logger.h"
#include "plan/option_table.h"
#include "plan/parse.h"

#include <stdlib.h>
#include <string.h>

#define NOBODY UINT32_MAX

/* A socket that a worker wants. */
struct claim {
    const struct plan_listen *listen;
    const struct plan_worker *worker;
};

struct graph {
    struct plan *plan;
    struct faults *faults;
    struct claim *claims; /* of all workers, by port */
    size_t claim_count;
    struct plan_worker **by_name;
    uint32_t *stack; /* whom we came by, while we look for circles */
    uint32_t *next;  /* which of a worker's dependencies to look at next */
    enum { UNSEEN, OPEN, DONE } * state;
};

static const char *place_of(const struct graph *graph, const struct plan_worker *worker,
                            const char *key, char *buffer)
{
    return option_place_in(option_find(key, strlen(key)), graph->plan, worker, buffer);
}

/* ---- names ---- */

static int compare_names(const void *a, const void *b)
{
    const struct plan_worker *first = *(struct plan_worker *const *)a;
    const struct plan_worker *second = *(struct plan_worker *const *)b;
    return strcmp(first->name, second->name);
}

static int compare_name(const void *name, const void *worker)
{
    return strcmp(name, (*(struct plan_worker *const *)worker)->name);
}

/* The worker's place in the fleet, or NOBODY. */
static uint32_t find_worker(const struct graph *graph, const char *name)
{
    struct plan_worker **found = bsearch(name, graph->by_name, graph->plan->fleet_size,
                                         sizeof *graph->by_name, compare_name);
    return found != NULL ? (uint32_t)(*found - graph->plan->fleet) : NOBODY;
}

static uint32_t count_names(const char *names)
{
    char name[WORKER_NAME_MAX];
    uint32_t count = 0;
    for (; names != NULL; count++) {
        parse_next_name(&names, name);
        if (name[0] == '\0')
            break;
    }
    return count;
}

/* Adds the workers of a list to those that `worker` waits for.  One in both lists is needed. */
static void add_names(struct graph *graph, struct plan_worker *worker, const char *names,
                      const char *key)
{
    bool needs = strcmp(key, "needs") == 0;
    char name[WORKER_NAME_MAX], place[OPTION_PLACE_MAX];
    for (;;) {
        if (names == NULL)
            return;
        parse_next_name(&names, name);
        if (name[0] == '\0')
            return;
        uint32_t found = find_worker(graph, name);
        /* `next` is free until the search for circles, and says here where a worker stands in the
         * list. */
        uint32_t at = found != NOBODY ? graph->next[found] : 0;
        if (found == NOBODY) {
            fault_add(graph->faults, place_of(graph, worker, key, place), "there is no worker '%s'",
                      name);
        } else if (at < worker->after_count && worker->after[at].worker == found) {
            if (worker->after[at].needs == needs)
                fault_add(graph->faults, place_of(graph, worker, key, place), "it names '%s' twice",
                          name);
            worker->after[at].needs = needs || worker->after[at].needs;
        } else {
            graph->next[found] = worker->after_count;
            worker->after[worker->after_count++] =
                (struct plan_dependency){.worker = found, .needs = needs};
        }
    }
}

static bool resolve(struct graph *graph, struct plan_worker *worker)
{
    bool logs = worker->rules->output.kind == OUTPUT_PIPE;
    uint32_t count = count_names(worker->after_names) + count_names(worker->needs_names) + logs;
    if (count == 0)
        return true;
    worker->after = malloc(count * sizeof *worker->after);
    if (worker->after == NULL)
        return false;
    add_names(graph, worker, worker->after_names, "after");
    add_names(graph, worker, worker->needs_names, "needs");
    bool named = false;
    for (uint32_t i = 0; logs && i < worker->after_count; i++)
        named = named || worker->after[i].worker == worker->logger;
    if (logs && !named)
        worker->after[worker->after_count++] = (struct plan_dependency){.worker = worker->logger};
    return true;
}

/* ---- circles and waves ---- */

/* `web -> db -> web`: `web`, last on the stack, waits for `first`, which is on it already. */
static void refuse_circle(struct graph *graph, uint32_t depth, uint32_t first, bool needs)
{
    const struct plan_worker *fleet = graph->plan->fleet;
    char words[FAULT_TEXT_MAX], place[OPTION_PLACE_MAX];
    struct text text = {.buffer = words, .size = sizeof words};
    const struct plan_worker *last = &fleet[graph->stack[depth - 1]];
    uint32_t i = depth - 1;
    while (graph->stack[i] != first)
        i--;
    text_add(&text, "%s", last->name);
    for (; i < depth; i++)
        text_add(&text, " -> %s", fleet[graph->stack[i]].name);
    fault_add(graph->faults, place_of(graph, last, needs ? "needs" : "after", place),
              "these workers wait for each other: %s", words);
}

/* Goes from a worker to whom it waits for, and back; a worker's wave is known when it is left.  Not
 * recursive: a file may hold a chain of thousands. */
static void walk(struct graph *graph, uint32_t start)
{
    struct plan_worker *fleet = graph->plan->fleet;
    uint32_t depth = 0;
    graph->stack[depth++] = start;
    graph->state[start] = OPEN;
    while (depth > 0) {
        uint32_t here = graph->stack[depth - 1];
        struct plan_worker *worker = &fleet[here];
        if (graph->next[here] == worker->after_count) {
            graph->state[here] = DONE;
            depth--;
            continue;
        }
        const struct plan_dependency *dependency = &worker->after[graph->next[here]];
        uint32_t there = dependency->worker;
        if (graph->state[there] == UNSEEN) {
            graph->state[there] = OPEN;
            graph->stack[depth++] = there;
            continue;
        }
        if (graph->state[there] == OPEN)
            refuse_circle(graph, depth, there, dependency->needs);
        else if (worker->wave <= fleet[there].wave)
            worker->wave = fleet[there].wave + 1;
        graph->next[here]++;
    }
}

static bool is_sorted(const struct plan *plan)
{
    bool sorted = true;
    for (uint32_t i = 1; i < plan->fleet_size; i++)
        sorted = sorted && plan->fleet[i - 1].wave <= plan->fleet[i].wave;
    return sorted;
}

/* Puts the fleet into the order of its waves. */
static bool sort_by_wave(struct graph *graph)
{
    struct plan *plan = graph->plan;
    uint32_t count = plan->fleet_size;
    if (is_sorted(plan)) /* as they mostly are, all in the first */
        return true;
    struct plan_worker *sorted = calloc(count + 1, sizeof *sorted);
    uint32_t *start =
        calloc(count + 2, sizeof *start); /* of each wave; there are at most `count` */
    uint32_t *moved = graph->next;
    if (sorted == NULL || start == NULL) {
        free(sorted);
        free(start);
        return false;
    }
    for (uint32_t i = 0; i < count; i++)
        start[plan->fleet[i].wave + 1]++;
    for (uint32_t wave = 1; wave <= count; wave++)
        start[wave] += start[wave - 1];
    for (uint32_t i = 0; i < count; i++)
        moved[i] = start[plan->fleet[i].wave]++;
    for (uint32_t i = 0; i < count; i++) {
        struct plan_worker *worker = &sorted[moved[i]];
        *worker = plan->fleet[i];
        for (uint32_t n = 0; n < worker->after_count; n++)
            worker->after[n].worker = moved[worker->after[n].worker];
        if (worker->rules->output.kind == OUTPUT_PIPE || worker->is_logger)
            worker->logger = moved[worker->logger];
    }
    free(start);
    free(plan->fleet);
    plan->fleet = sorted;
    return true;
}

/* ---- who listens where ---- */

/* `tcp:*:80 tcp6:*:80` are two addresses, but those of a host in brackets are the same. */
static int family_of(const struct plan_listen *listen)
{
    bool is_ipv6 = listen->kind == LISTEN_TCP && strchr(listen->host, ':') != NULL;
    return (int)(is_ipv6 ? LISTEN_TCP6 : listen->kind);
}

/* By address, its port first; the same ones by their place in the file. */
static int compare_addresses(const struct plan_listen *a, const struct plan_listen *b)
{
    int order = (int)a->port - (int)b->port;
    if (order == 0)
        order = family_of(a) - family_of(b);
    return order != 0 ? order : strcmp(a->host, b->host);
}

static int compare_claims(const void *a, const void *b)
{
    const struct claim *first = a, *second = b;
    int order = compare_addresses(first->listen, second->listen);
    if (order == 0 && first->worker != second->worker)
        order = first->worker->line < second->worker->line ? -1 : 1;
    return order;
}

static bool collect_claims(struct graph *graph)
{
    const struct plan *plan = graph->plan;
    size_t count = 0;
    for (uint32_t i = 0; i < plan->fleet_size; i++)
        count += plan->fleet[i].rules->listen.count;
    graph->claims = malloc((count + 1) * sizeof *graph->claims);
    if (graph->claims == NULL)
        return false;
    for (uint32_t i = 0; i < plan->fleet_size; i++) {
        for (size_t n = 0; n < plan->fleet[i].rules->listen.count; n++)
            graph->claims[graph->claim_count++] =
                (struct claim){&plan->fleet[i].rules->listen.items[n], &plan->fleet[i]};
    }
    qsort(graph->claims, count, sizeof *graph->claims, compare_claims);
    return true;
}

static void check_claims(struct graph *graph)
{
    const struct claim *claims = graph->claims;
    for (size_t i = 1; i < graph->claim_count; i++) {
        const struct plan_listen *listen = claims[i].listen;
        char place[OPTION_PLACE_MAX];
        if (compare_addresses(claims[i - 1].listen, listen) != 0)
            continue;
        place_of(graph, claims[i].worker, "listen", place);
        if (listen->kind == LISTEN_UNIX)
            fault_add(graph->faults, place, "worker '%s' listens at '%s' already",
                      claims[i - 1].worker->name, listen->host);
        else
            fault_add(graph->faults, place, "worker '%s' listens at port %u of '%s' already",
                      claims[i - 1].worker->name, (unsigned)listen->port, listen->host);
    }
}

/* The first of those with this port, or a higher one. */
static size_t find_port(const struct graph *graph, uint16_t port)
{
    size_t first = 0, end = graph->claim_count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (graph->claims[middle].listen->port < port)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

/* Other workers of one name were refused with their headings. */
static void check_logger_names(struct graph *graph)
{
    for (uint32_t i = 1; i < graph->plan->fleet_size; i++) {
        const struct plan_worker *a = graph->by_name[i - 1], *b = graph->by_name[i];
        char place[PLAN_PLACE_MAX];
        if (strcmp(a->name, b->name) == 0 && (a->is_logger || b->is_logger))
            fault_add(graph->faults,
                      plan_place(graph->plan, a->is_logger ? b->line : a->line, place),
                      "worker '%s' has the name of another one's logger", a->name);
    }
}

/* Where we listen ourselves, a connection is made whether anybody accepts it or not. */
static void check_ready_address(struct graph *graph, const struct plan_worker *worker)
{
    char words[PLAN_READY_TCP_MAX + 1], place[OPTION_PLACE_MAX];
    const char *host;
    uint16_t port;
    if (worker->rules->ready.kind != READY_TCP)
        return;
    strcpy(words, worker->rules->ready.text);
    parse_host(words, &host, &port);
    for (size_t i = find_port(graph, port); i < graph->claim_count; i++) {
        const struct claim *claim = &graph->claims[i];
        if (claim->listen->port != port)
            break;
        if (strcmp(claim->listen->host, "*") == 0 || strcmp(claim->listen->host, host) == 0)
            fault_add(graph->faults, place_of(graph, worker, "ready", place),
                      "the supervisor itself listens at 'tcp:%s', for worker '%s': a connection "
                      "there says nothing",
                      worker->rules->ready.text, claim->worker->name);
    }
}

void check_fleet(struct plan *plan, struct faults *faults)
{
    bool added = logger_add_all(plan, faults);
    uint32_t count = plan->fleet_size;
    struct graph graph = {.plan = plan, .faults = faults};
    graph.by_name = malloc((count + 1) * sizeof *graph.by_name);
    graph.stack = malloc((count + 1) * sizeof *graph.stack);
    graph.next = calloc(count + 1, sizeof *graph.next);
    graph.state = calloc(count + 1, sizeof *graph.state);
    bool done = added && graph.by_name != NULL && graph.stack != NULL && graph.next != NULL &&
                graph.state != NULL && collect_claims(&graph);
    for (uint32_t i = 0; done && i < count; i++)
        graph.by_name[i] = &plan->fleet[i];
    if (done) {
        check_claims(&graph);
        qsort(graph.by_name, count, sizeof *graph.by_name, compare_names);
        check_logger_names(&graph);
    }
    for (uint32_t i = 0; done && i < count; i++)
        done = resolve(&graph, &plan->fleet[i]);
    if (done)
        memset(graph.next, 0, count * sizeof *graph.next);
    for (uint32_t i = 0; done && i < count; i++) {
        if (graph.state[i] == UNSEEN)
            walk(&graph, i);
    }
    for (uint32_t i = 0; done && i < count; i++)
        check_ready_address(&graph, &plan->fleet[i]);
    if (!done || !sort_by_wave(&graph)) {
        char place[PLAN_PLACE_MAX];
        fault_add(faults, plan_place(plan, 0, place), "no memory is left to check it");
    }
    free(graph.claims);
    free(graph.by_name);
    free(graph.stack);
    free(graph.next);
    free(graph.state);
}
