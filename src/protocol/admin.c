#include "protocol/admin.h"

#include "protocol/control.h"
#include "protocol/wire.h"

#include <string.h>

#define INSTANCE_MAX 1000000

/* What may follow a verb. */
enum option {
    OPTION_JSON = 1,
    OPTION_NAMES = 2,
    OPTION_ALL = 4,
    OPTION_NO_WAIT = 8,
    OPTION_WAIT = 16,
    OPTION_AS = 32,
};

enum arguments {
    NO_ARGUMENT,
    NAMES_OR_NONE,
    NAMES_OR_ALL,
    SIGNAL_AND_NAMES,
    OFF_OR_NONE,
    STATUS_OR_NONE,
    JOB_NAME,
};

static const struct grammar {
    const char *name;
    unsigned options;
    enum arguments arguments;
} grammars[] = {
    [ADMIN_STATUS] = {"status", OPTION_JSON | OPTION_NAMES, NAMES_OR_NONE},
    [ADMIN_START] = {"start", OPTION_ALL | OPTION_NO_WAIT, NAMES_OR_ALL},
    [ADMIN_STOP] = {"stop", OPTION_ALL | OPTION_NO_WAIT, NAMES_OR_ALL},
    [ADMIN_RESTART] = {"restart", OPTION_ALL | OPTION_NO_WAIT, NAMES_OR_ALL},
    [ADMIN_RELOAD] = {"reload", 0, NO_ARGUMENT},
    [ADMIN_SIGNAL] = {"signal", 0, SIGNAL_AND_NAMES},
    [ADMIN_DRAIN] = {"drain", 0, OFF_OR_NONE},
    [ADMIN_WAIT_IDLE] = {"wait-idle", 0, NO_ARGUMENT},
    [ADMIN_EVENTS] = {"events", OPTION_JSON, NO_ARGUMENT},
    [ADMIN_SHUTDOWN] = {"shutdown", OPTION_NO_WAIT, STATUS_OR_NONE},
    [ADMIN_SUBMIT] = {"submit", OPTION_WAIT | OPTION_AS, JOB_NAME},
};

#define VERBS (sizeof grammars / sizeof grammars[0])

static bool refuse(const char **fault, const char *reason)
{
    *fault = reason;
    return false;
}

bool admin_parse_target(const char *text, struct admin_target *target)
{
    char name[CONTROL_NAME_MAX + 1];
    uint64_t instance = 0;
    target->length = strcspn(text, ":");
    target->has_instance = text[target->length] == ':';
    if (target->length > CONTROL_NAME_MAX)
        return false;
    memcpy(name, text, target->length);
    name[target->length] = '\0';
    if (target->has_instance && !wire_number(text + target->length + 1, INSTANCE_MAX, &instance))
        return false;
    target->instance = (uint32_t)instance;
    return name[0] != '-' && control_is_name(name); /* that would be an option */
}

const char *admin_next_name(const char *name)
{
    return name + strlen(name) + 1;
}

/* TERM, SIGTERM, 15, RTMIN+3: which there are is not a protocol's to know. */
static bool is_signal(const char *text)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
    size_t length = strlen(text);
    return length >= 1 && length <= ADMIN_SIGNAL_MAX && strspn(text, allowed) == length;
}

/* ---- reading ---- */

/* Cuts the next word off; NULL when there is none.  An empty one stands for two blanks. */
static char *cut_word(char **rest)
{
    char *word = *rest;
    if (word == NULL)
        return NULL;
    char *blank = strchr(word, ' ');
    if (blank != NULL)
        *blank = '\0';
    *rest = blank != NULL ? blank + 1 : NULL;
    return word;
}

static bool find_verb(const char *word, enum admin_verb *verb)
{
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(grammars[i].name, word) == 0) {
            *verb = (enum admin_verb)i;
            return true;
        }
    }
    return false;
}

static unsigned read_option(char *word, struct admin_request *request)
{
    static const char as[] = "--as=";
    if (strcmp(word, "--json") == 0)
        return request->json = true, OPTION_JSON;
    if (strcmp(word, "--names") == 0)
        return request->names_only = true, OPTION_NAMES;
    if (strcmp(word, "--all") == 0)
        return request->all = true, OPTION_ALL;
    if (strcmp(word, "--no-wait") == 0)
        return request->no_wait = true, OPTION_NO_WAIT;
    if (strcmp(word, "--wait") == 0)
        return request->wait = true, OPTION_WAIT;
    if (strncmp(word, as, sizeof as - 1) == 0 && control_is_name(word + sizeof as - 1))
        return request->worker = word + sizeof as - 1, OPTION_AS;
    return 0;
}

/* `word` is the first name, `rest` what follows it. */
static bool read_names(char *word, char *rest, struct admin_request *request, const char **fault)
{
    struct admin_target target;
    request->names = word;
    for (; word != NULL; word = cut_word(&rest)) {
        if (!admin_parse_target(word, &target))
            return refuse(fault, "a NAME is none: worker, or worker:instance");
        request->name_count++;
    }
    return true;
}

static bool read_status(const char *word, struct admin_request *request, const char **fault)
{
    uint64_t status = 0;
    if (!wire_number(word, 255, &status))
        return refuse(fault, "STATUS is no number from 0 to 255");
    request->has_status = true;
    request->status = (uint32_t)status;
    return true;
}

static bool read_arguments(enum arguments kind, char *word, char *rest,
                           struct admin_request *request, const char **fault)
{
    bool single = kind == OFF_OR_NONE || kind == STATUS_OR_NONE || kind == JOB_NAME;
    if (word != NULL && (kind == NO_ARGUMENT || (single && rest != NULL)))
        return refuse(fault, "there is a word too many");
    switch (kind) {
    case NO_ARGUMENT:
        return true;
    case NAMES_OR_ALL:
        if (request->all == (word != NULL))
            return refuse(fault, request->all ? "--all takes no NAME" : "NAME is missing");
        return read_names(word, rest, request, fault);
    case NAMES_OR_NONE:
        return read_names(word, rest, request, fault);
    case SIGNAL_AND_NAMES:
        if (word == NULL || !is_signal(word))
            return refuse(fault, "SIG is missing, or no signal");
        request->signal = word;
        word = cut_word(&rest);
        return word != NULL ? read_names(word, rest, request, fault)
                            : refuse(fault, "NAME is missing");
    case OFF_OR_NONE:
        request->off = word != NULL;
        return word == NULL || strcmp(word, "off") == 0
                   ? true
                   : refuse(fault, "its only argument is 'off'");
    case STATUS_OR_NONE:
        return word == NULL || read_status(word, request, fault);
    case JOB_NAME:
        if (word == NULL || !control_is_name(word)) /* no option: those are read */
            return refuse(fault, "NAME is missing, or none");
        request->names = word;
        request->name_count = 1;
        return true;
    }
    return false;
}

bool admin_parse(char *line, size_t length, struct admin_request *request, const char **fault)
{
    char *rest = line;
    memset(request, 0, sizeof *request);
    if (length >= ADMIN_LINE_MAX || !wire_is_plain(line, length))
        return refuse(fault, "it is too long, or not plain text");
    line[length] = '\0';
    if (!find_verb(cut_word(&rest), &request->verb))
        return refuse(fault, "there is no such verb");
    const struct grammar *grammar = &grammars[request->verb];
    char *word = cut_word(&rest);
    for (; word != NULL && word[0] == '-'; word = cut_word(&rest)) {
        if ((read_option(word, request) & grammar->options) == 0)
            return refuse(fault, "there is no such option");
    }
    return read_arguments(grammar->arguments, word, rest, request, fault);
}

/* ---- writing ---- */

/* Appends a blank and the words; false when there is no room for them and the newline. */
static bool add(struct wire *wire, const char *prefix, const char *word)
{
    size_t room = (size_t)(wire->end - wire->at);
    if (strlen(prefix) + strlen(word) + 2 > room)
        return false;
    wire_put(wire, " ");
    wire_put(wire, prefix);
    wire_put(wire, word);
    return true;
}

static bool add_options(struct wire *wire, const struct admin_request *request)
{
    return (!request->json || add(wire, "", "--json")) &&
           (!request->names_only || add(wire, "", "--names")) &&
           (!request->all || add(wire, "", "--all")) &&
           (!request->no_wait || add(wire, "", "--no-wait")) &&
           (!request->wait || add(wire, "", "--wait")) &&
           (request->worker == NULL || add(wire, "--as=", request->worker));
}

size_t admin_format(char *buffer, const struct admin_request *request)
{
    struct wire wire = {.at = buffer, .end = buffer + ADMIN_LINE_MAX};
    struct admin_request again;
    char copy[ADMIN_LINE_MAX];
    const char *fault, *name = request->names;
    char digits[24];
    struct wire number = {.at = digits, .end = digits + sizeof digits - 1};
    wire_put(&wire, grammars[request->verb].name);
    bool fits = add_options(&wire, request) &&
                (request->signal == NULL || add(&wire, "", request->signal)) &&
                (!request->off || add(&wire, "", "off"));
    if (request->has_status) {
        wire_put_number(&number, request->status);
        *number.at = '\0';
        fits = fits && add(&wire, "", digits);
    }
    for (uint32_t i = 0; fits && i < request->name_count; i++, name = admin_next_name(name))
        fits = add(&wire, "", name);
    if (!fits)
        return 0;
    size_t length = (size_t)(wire.at - buffer);
    memcpy(copy, buffer, length);
    /* What the other side would refuse is not a line. */
    if (!admin_parse(copy, length, &again, &fault) || again.name_count != request->name_count)
        return 0;
    wire_put(&wire, "\n");
    return length + 1;
}
