/* The verbs for people: one request on the admin socket, and its answer. */
#include "client/client.h"
#include "core/policy.h"
#include "protocol/admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFUSED 1 /* the exit status when the supervisor refuses, or it did not come to it */

/* ---- which supervisor ---- */

bool people_are_meant(const struct arguments *arguments)
{
    return arguments_option(arguments, "control") != NULL || !channel_is_named();
}

/* The live supervisors that were found.  No variable that is always there: it would cost every
 * supervisor, which looks for none, a page. */
struct found {
    struct channel first; /* to the first one */
    size_t count;
    char list[1024]; /* their names */
    size_t used;
};

static struct found *found;

static void note(const char *name)
{
    struct channel channel = {.link = people_dial(name), .interrupt = -1};
    channel.silent = channel.link == -1 && people_are_silent();
    if (channel.link == -1 && !channel.silent)
        return;
    if (found->count++ == 0)
        found->first = channel;
    else
        channel_close(&channel);
    int added = snprintf(found->list + found->used, sizeof found->list - found->used, "%s%s",
                         found->used > 0 ? ", " : "", name);
    if ((size_t)added < sizeof found->list - found->used)
        found->used += (size_t)added;
    else
        found->list[found->used] = '\0';
}

/* Would the verb rather have had a control pipe? */
static bool takes_pipe(const struct verb *verb)
{
    return strcmp(verb->name, "shutdown") == 0 || strcmp(verb->name, "submit") == 0;
}

static void refuse_silent(const struct verb *verb, const char *name)
{
    fail(verb, "the supervisor at '%s' does not answer", name);
}

static bool connect_to(struct channel *channel, const struct verb *verb, const char *name)
{
    *channel = (struct channel){.link = people_dial(name), .interrupt = -1};
    channel->silent = channel->link == -1 && people_are_silent();
    if (channel->silent)
        refuse_silent(verb, name);
    else if (channel->link == -1)
        fail(verb, "no supervisor answers at '%s': %s", name, system_reason());
    return channel->link != -1;
}

bool people_connect(struct channel *channel, const struct arguments *arguments)
{
    const char *name = arguments_option(arguments, "control");
    if (name == NULL)
        name = getenv("AIORUN_OPT_CONTROL");
    if (name != NULL)
        return connect_to(channel, arguments->verb, name);
    struct found here = {0};
    found = &here;
    people_search(note);
    *channel = found->first;
    if (found->count > 1)
        fail(arguments->verb, "several supervisors run, choose one by --control: %s", found->list);
    else if (found->count == 0)
        fail(arguments->verb, "%sno supervisor with an admin %s is found: name it by --control",
             takes_pipe(arguments->verb) ? "there is no aiorun above, and " : "", people_door);
    else if (channel->silent)
        refuse_silent(arguments->verb, found->list);
    return found->count == 1 && !channel->silent;
}

/* ---- the request ---- */

static const struct {
    const char *name;
    enum admin_verb verb;
    bool waits; /* for something else than an answer, but for --no-wait */
} requests[] = {
    {"status", ADMIN_STATUS, false}, {"start", ADMIN_START, true},
    {"stop", ADMIN_STOP, true},      {"restart", ADMIN_RESTART, true},
    {"reload", ADMIN_RELOAD, true},  {"signal", ADMIN_SIGNAL, false},
    {"drain", ADMIN_DRAIN, false},   {"wait-idle", ADMIN_WAIT_IDLE, true},
    {"events", ADMIN_EVENTS, true},  {"shutdown", ADMIN_SHUTDOWN, true},
};

static size_t row_of(const struct verb *verb)
{
    size_t i = 0;
    while (strcmp(requests[i].name, verb->name) != 0)
        i++;
    return i;
}

static bool is_given(const struct arguments *arguments, const char *name)
{
    return verb_find_option(arguments->verb, name, strlen(name)) != NULL &&
           arguments_option(arguments, name) != NULL;
}

/* Takes what follows the options: a signal, `off`, a status, names.  False with a complaint. */
static bool take_words(const struct arguments *arguments, struct admin_request *request,
                       char *names, size_t size)
{
    char **word = arguments->rest;
    size_t used = 0;
    if (request->verb == ADMIN_SIGNAL && *word != NULL)
        request->signal = *word++;
    if (request->verb == ADMIN_DRAIN && *word != NULL && strcmp(*word, "off") == 0) {
        request->off = true;
        word++;
    }
    if (request->verb == ADMIN_SHUTDOWN && *word != NULL) { /* checked before */
        request->has_status = true;
        request->status = (uint32_t)strtoul(*word++, NULL, 10);
    }
    bool takes_names = request->verb == ADMIN_STATUS || request->verb == ADMIN_START ||
                       request->verb == ADMIN_STOP || request->verb == ADMIN_RESTART ||
                       request->verb == ADMIN_SIGNAL;
    for (; *word != NULL; word++) {
        struct admin_target target;
        size_t length = strlen(*word) + 1;
        if (!takes_names || !admin_parse_target(*word, &target)) {
            fail(arguments->verb,
                 takes_names ? "'%.80s' is neither a worker nor an instance, as in web or web:1"
                             : "'%.80s' is a word too many",
                 *word);
            return false;
        }
        if (length > size - used) {
            fail(arguments->verb, "there are too many names");
            return false;
        }
        memcpy(names + used, *word, length);
        used += length;
        request->name_count++;
    }
    request->names = request->name_count > 0 ? names : NULL;
    return true;
}

/* Writes the request; 0 with a complaint. */
static size_t write_request(const struct arguments *arguments, char *line)
{
    char names[ADMIN_LINE_MAX];
    struct admin_request request = {
        .json = is_given(arguments, "json"),
        .names_only = is_given(arguments, "names"),
        .all = is_given(arguments, "all"),
        .no_wait = is_given(arguments, "no-wait"),
    };
    request.verb = requests[row_of(arguments->verb)].verb;
    if (!take_words(arguments, &request, names, sizeof names))
        return 0;
    bool whom =
        request.verb == ADMIN_START || request.verb == ADMIN_STOP || request.verb == ADMIN_RESTART;
    size_t length = admin_format(line, &request);
    if (length == 0 && whom && request.name_count == 0)
        fail(arguments->verb, "it needs the NAME of a worker or an instance, or --all");
    else if (length == 0)
        fail(arguments->verb, "it cannot be asked like this: write 'aiorun %s %s'%s",
             arguments->verb->name, arguments->verb->arguments,
             is_given(arguments, "all") ? ", or --all without a name" : "");
    return length;
}

/* ---- the answer ---- */

struct answer {
    char *bytes;
    size_t used, room;
};

static bool print(const struct verb *verb, const char *bytes, size_t count)
{
    bool printed = fwrite(bytes, 1, count, stdout) == count && fflush(stdout) == 0;
    if (!printed)
        fail(verb, "cannot write to standard output: %s", strerror(errno));
    return printed;
}

/* Adds what comes next; 1, 0 at the end, -1 with a complaint. */
static int receive(struct channel *channel, const struct verb *verb, struct answer *answer)
{
    if (answer->used == answer->room) {
        size_t room = answer->room > 0 ? answer->room * 2 : 8192;
        char *bytes = realloc(answer->bytes, room);
        if (bytes == NULL) {
            fail(verb, "out of memory");
            return -1;
        }
        answer->bytes = bytes;
        answer->room = room;
    }
    size_t count = 0;
    enum channel_result result =
        channel_take(channel, answer->bytes + answer->used, answer->room - answer->used, &count);
    if (result == CHANNEL_SILENT)
        channel_complain(channel, result, verb);
    else if (result == CHANNEL_FAILED)
        fail(verb, "cannot read the answer: %s", system_reason());
    if (result == CHANNEL_SILENT || result == CHANNEL_FAILED)
        return -1;
    answer->used += count;
    return count > 0;
}

/* Takes the first line off.  0: it was `ok`; else the exit status, with a complaint. */
static int take_verdict(const struct verb *verb, struct answer *answer)
{
    static const char refusal[] = "error ";
    char *newline = memchr(answer->bytes, '\n', answer->used);
    size_t length = (size_t)(newline - answer->bytes);
    *newline = '\0';
    if (strncmp(answer->bytes, refusal, sizeof refusal - 1) == 0) {
        complain(verb, LEVEL_ERROR, "%s", answer->bytes + sizeof refusal - 1);
        return REFUSED;
    }
    answer->used -= length + 1;
    memmove(answer->bytes, newline + 1, answer->used);
    return 0;
}

/* Reads the answer and prints it as it comes, but for `kept`, where all of it stays in `answer`. */
static int read_answer(struct channel *channel, const struct verb *verb, struct answer *answer,
                       bool kept)
{
    bool judged = false;
    int more;
    while ((more = receive(channel, verb, answer)) > 0) {
        if (!judged && memchr(answer->bytes, '\n', answer->used) != NULL) {
            int status = take_verdict(verb, answer);
            if (status != 0)
                return status;
            judged = true;
        }
        if (judged && !kept) {
            if (!print(verb, answer->bytes, answer->used))
                return STATUS_OWN_FAILURE;
            answer->used = 0;
        }
    }
    if (more < 0)
        return channel_status(channel);
    if (!judged)
        return fail(verb, "the supervisor is gone, or did not want to answer");
    return EXIT_SUCCESS;
}

/* ---- status on a terminal ---- */

static const char *colour_of(const char *state)
{
    static const struct {
        const char *state, *colour;
    } colours[] = {
        {"ready ", "\033[32m"},    {"up ", "\033[32m"},       {"stopped ", "\033[90m"},
        {"finished ", "\033[90m"}, {"queued ", "\033[90m"},   {"starting ", "\033[33m"},
        {"stopping ", "\033[33m"}, {"held ", "\033[33m"},     {"waiting ", "\033[31m"},
        {"failed ", "\033[31m"},   {"given-up ", "\033[31m"}, {"leftovers ", "\033[31m"},
    };
    for (size_t i = 0; i < sizeof colours / sizeof colours[0]; i++)
        if (strncmp(state, colours[i].state, strlen(colours[i].state)) == 0)
            return colours[i].colour;
    return NULL;
}

/* Its second line is the heading, where STATE stands above the states. */
static void print_in_colour(const char *text, size_t size)
{
    const char *end = text + size;
    size_t column = 0;
    for (int number = 0; text < end; number++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t length = newline != NULL ? (size_t)(newline - text) : (size_t)(end - text);
        const char *heading = NULL;
        if (number == 1)
            for (const char *at = text; at + 5 <= text + length && heading == NULL; at++)
                heading = strncmp(at, "STATE", 5) == 0 ? at : NULL;
        if (heading != NULL)
            column = (size_t)(heading - text);
        const char *colour = number > 1 && column + 10 <= length ? colour_of(text + column) : NULL;
        if (number == 1)
            printf("\033[1m%.*s\033[0m\n", (int)length, text);
        else if (colour == NULL)
            printf("%.*s\n", (int)length, text);
        else
            printf("%.*s%s%.*s\033[0m%.*s\n", (int)column, text, colour, 9, text + column,
                   (int)(length - column - 9), text + column + 9);
        text += length + 1;
    }
}

static int show_status(const struct arguments *arguments, struct channel *channel, bool redraws)
{
    const struct verb *verb = arguments->verb;
    struct answer answer = {0};
    bool is_table = !is_given(arguments, "json") && !is_given(arguments, "names");
    bool colours = is_table && system_shows_colours() && getenv("NO_COLOR") == NULL;
    int status = read_answer(channel, verb, &answer, true);
    if (status == EXIT_SUCCESS) {
        if (redraws && system_shows_colours())
            fputs("\033[H\033[2J", stdout);
        if (colours)
            print_in_colour(answer.bytes, answer.used);
        if (!print(verb, answer.bytes, colours ? 0 : answer.used))
            status = STATUS_OWN_FAILURE;
    }
    free(answer.bytes);
    return status;
}

/* ---- all of it ---- */

static int ask(const struct arguments *arguments, const char *line, size_t length)
{
    const struct verb *verb = arguments->verb;
    struct channel channel;
    struct answer answer = {0};
    int status;
    if (!people_connect(&channel, arguments))
        return channel_status(&channel);
    bool waits = requests[row_of(verb)].waits && !is_given(arguments, "no-wait");
    channel.patience = waits ? PATIENCE_TAKEN : PATIENCE_ANSWERED;
    /* Who is refused at once is told so although he could not speak. */
    enum channel_result result = channel_send(&channel, line, length);
    if (result == CHANNEL_FAILED) {
        channel_complain(&channel, result, verb);
        return STATUS_OWN_FAILURE;
    }
    if (strcmp(verb->name, "status") == 0)
        status = show_status(arguments, &channel, is_given(arguments, "watch"));
    else
        status = read_answer(&channel, verb, &answer, false);
    free(answer.bytes);
    channel_close(&channel);
    return status;
}

int people_run(const struct arguments *arguments)
{
    char line[ADMIN_LINE_MAX];
    size_t length = write_request(arguments, line);
    if (length == 0)
        return STATUS_OWN_FAILURE;
    int status = ask(arguments, line, length);
    while (status == EXIT_SUCCESS && is_given(arguments, "watch")) {
        system_wait_second();
        status = ask(arguments, line, length);
    }
    return status;
}
