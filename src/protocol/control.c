#include "protocol/control.h"

#include "protocol/wire.h"

#include <assert.h>
#include <string.h>

#define INFINITY_WORD "infinity"

/* ---- bytes to lines ---- */

enum control_read control_read(struct control_reader *reader, const char *bytes, size_t count,
                               size_t *taken)
{
    const char *newline = count > 0 ? memchr(bytes, '\n', count) : NULL;
    size_t part = newline != NULL ? (size_t)(newline - bytes) : count;
    *taken = newline != NULL ? part + 1 : part;
    if (part > CONTROL_LINE_MAX - 1U - reader->used)
        reader->skipping = true;
    if (!reader->skipping && part > 0) {
        memcpy(reader->line + reader->used, bytes, part);
        reader->used += (uint16_t)part;
    }
    if (newline == NULL)
        return CONTROL_READ_MORE;
    bool bad = reader->skipping || !wire_is_plain(reader->line, reader->used);
    reader->line[bad ? 0 : reader->used] = '\0';
    reader->used = 0;
    reader->skipping = false;
    return bad ? CONTROL_READ_BAD : CONTROL_READ_LINE;
}

/* ---- words and values ---- */

/* The next word of what is left; NULL when nothing is.  It is empty where two spaces meet. */
static char *take_word(char **rest)
{
    char *word = *rest;
    if (word == NULL)
        return NULL;
    char *space = strchr(word, ' ');
    *rest = space != NULL ? space + 1 : NULL;
    if (space != NULL)
        *space = '\0';
    return word;
}

/* Sets *fault; for `return refuse(...)`. */
static bool refuse(const char **fault, const char *sentence)
{
    *fault = sentence;
    return false;
}

static bool is_absent(const char *word)
{
    return word == NULL || *word == '\0';
}

bool control_is_name(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "._-");
    return length >= 1 && length <= CONTROL_NAME_MAX && name[length] == '\0';
}

static bool is_reason(const char *reason)
{
    size_t length = strspn(reason, "abcdefghijklmnopqrstuvwxyz");
    return length >= 1 && length <= CONTROL_NAME_MAX && reason[length] == '\0';
}

/* Three decimals count; a fourth that is not 0 is rounded up, so that no time becomes none. */
static bool read_fraction(const char *digits, msec *fraction)
{
    msec value = 0, place = SECOND / 10;
    bool more = false;
    if (*digits == '\0')
        return false;
    for (; *digits != '\0'; digits++) {
        if (*digits < '0' || *digits > '9')
            return false;
        value += (*digits - '0') * place;
        more = more || (place == 0 && *digits != '0');
        place /= 10;
    }
    *fraction = value + more;
    return true;
}

/* Cuts `word` at its point. */
static bool read_seconds(char *word, msec *time)
{
    uint64_t seconds = 0;
    msec fraction = 0;
    if (strcmp(word, INFINITY_WORD) == 0) {
        *time = NEVER;
        return true;
    }
    char *point = strchr(word, '.');
    if (point != NULL) {
        *point = '\0';
        if (!read_fraction(point + 1, &fraction))
            return false;
    }
    if (!wire_number(word, CONTROL_TIME_MAX / SECOND, &seconds))
        return false;
    msec value = (msec)seconds * SECOND + fraction;
    if (value > CONTROL_TIME_MAX)
        return false;
    *time = value;
    return true;
}

static bool take_name(char **rest, const char **name, const char **fault)
{
    const char *word = take_word(rest);
    if (is_absent(word))
        return refuse(fault, "NAME is missing");
    if (!control_is_name(word))
        return refuse(fault, "NAME is not 1 to 63 letters, digits, dots, underscores and dashes");
    *name = word;
    return true;
}

static bool take_seconds(char **rest, msec *time, const char **fault)
{
    char *word = take_word(rest);
    if (is_absent(word))
        return refuse(fault, "SECONDS is missing");
    if (!read_seconds(word, time))
        return refuse(fault, "SECONDS is neither a decimal of at most ten years nor `infinity`");
    return true;
}

/* `least` to `most`, which `sentence` names. */
static bool take_number(char **rest, uint32_t least, uint32_t most, uint32_t *number,
                        const char *sentence, const char **fault)
{
    const char *word = take_word(rest);
    uint64_t value = 0;
    if (is_absent(word) || !wire_number(word, most, &value) || value < least)
        return refuse(fault, sentence);
    *number = (uint32_t)value;
    return true;
}

static bool take_text(char **rest, const char **text, const char **fault)
{
    if (is_absent(*rest))
        return refuse(fault, "TEXT is missing");
    *text = *rest;
    *rest = NULL;
    return true;
}

static bool take_end(char **rest, const char **fault)
{
    return *rest == NULL || refuse(fault, "there is a word too many");
}

static void put_seconds(struct wire *wire, msec time)
{
    if (time > CONTROL_TIME_MAX) {
        wire_put(wire, INFINITY_WORD);
        return;
    }
    time = msec_max(time, 0);
    wire_put_number(wire, (uint64_t)(time / SECOND));
    msec fraction = time % SECOND;
    if (fraction == 0)
        return;
    wire_put(wire, ".");
    for (msec place = SECOND / 10; fraction > 0; place /= 10) {
        wire_put_number(wire, (uint64_t)(fraction / place));
        fraction %= place;
    }
}

/* Ends the line at `buffer`; its length. */
static size_t finish(struct wire *wire, const char *buffer)
{
    wire_put(wire, "\n");
    return (size_t)(wire->at - buffer);
}

/* ---- what a worker says ---- */

enum argument { NOTHING, NAME, TEXT, SECONDS, MAYBE_SECONDS, MAYBE_STATUS, MAYBE_WAIT };

static const struct form {
    const char *word;
    enum argument arguments[2];
} forms[] = {
    [CONTROL_READY] = {"ready", {NOTHING}},
    [CONTROL_STATUS] = {"status", {TEXT}},
    [CONTROL_SHIELD] = {"shield", {NAME, MAYBE_SECONDS}},
    [CONTROL_UNSHIELD] = {"unshield", {NAME}},
    [CONTROL_EXTEND] = {"extend", {SECONDS}},
    [CONTROL_SHUTDOWN] = {"shutdown", {MAYBE_STATUS}},
    [CONTROL_ERROR] = {"error", {TEXT}},
    [CONTROL_WATCHDOG] = {"watchdog", {NOTHING}},
    [CONTROL_ATTACH] = {"attach", {NOTHING}},
    [CONTROL_JOB] = {"job", {NAME, MAYBE_SECONDS}},
    [CONTROL_SUBMIT] = {"submit", {NAME, MAYBE_WAIT}},
};

#define VERB_COUNT (sizeof forms / sizeof forms[0])

static bool take_argument(enum argument argument, char **rest, struct control_message *message,
                          const char **fault)
{
    switch (argument) {
    case NOTHING:
        return true;
    case NAME:
        return take_name(rest, &message->name, fault);
    case TEXT:
        return take_text(rest, &message->text, fault);
    case MAYBE_SECONDS:
        if (*rest == NULL)
            return true;
        message->has_time = true;
        return take_seconds(rest, &message->time, fault);
    case SECONDS:
        message->has_time = true;
        return take_seconds(rest, &message->time, fault);
    case MAYBE_STATUS:
        message->has_status = *rest != NULL;
        return *rest == NULL ||
               take_number(rest, 0, 255, &message->status, "STATUS is not 0 to 255", fault);
    case MAYBE_WAIT:
        message->wait = *rest != NULL;
        return *rest == NULL || strcmp(take_word(rest), "wait") == 0 ||
               refuse(fault, "what follows NAME is not `wait`");
    }
    return false;
}

bool control_parse(char *line, struct control_message *message, const char **fault)
{
    char *rest = line;
    const char *word = take_word(&rest);
    size_t verb = 0;
    memset(message, 0, sizeof *message);
    if (is_absent(word))
        return refuse(fault, "the verb is missing");
    while (verb < VERB_COUNT && strcmp(forms[verb].word, word) != 0)
        verb++;
    if (verb == VERB_COUNT)
        return refuse(fault, "the verb is unknown");
    message->verb = (enum control_verb)verb;
    return take_argument(forms[verb].arguments[0], &rest, message, fault) &&
           take_argument(forms[verb].arguments[1], &rest, message, fault) && take_end(&rest, fault);
}

/* False when the message has no such argument, or one that cannot be said. */
static bool put_argument(enum argument argument, struct wire *wire,
                         const struct control_message *message)
{
    switch (argument) {
    case NOTHING:
        return true;
    case NAME:
        if (message->name == NULL || !control_is_name(message->name))
            return false;
        wire_put(wire, " ");
        wire_put(wire, message->name);
        return true;
    case TEXT:
        if (is_absent(message->text))
            return false;
        wire_put(wire, " ");
        wire_put_text(wire, message->text, 1);
        return true;
    case SECONDS:
    case MAYBE_SECONDS:
        if (!message->has_time)
            return argument == MAYBE_SECONDS;
        wire_put(wire, " ");
        put_seconds(wire, message->time);
        return true;
    case MAYBE_STATUS:
        if (!message->has_status)
            return true;
        wire_put(wire, " ");
        wire_put_number(wire, message->status);
        return message->status <= 255;
    case MAYBE_WAIT:
        wire_put(wire, message->wait ? " wait" : "");
        return true;
    }
    return false;
}

size_t control_format(char *buffer, const struct control_message *message)
{
    struct wire wire = {.at = buffer, .end = buffer + CONTROL_LINE_MAX};
    assert((size_t)message->verb < VERB_COUNT);
    const struct form *form = &forms[message->verb];
    wire_put(&wire, form->word);
    if (!put_argument(form->arguments[0], &wire, message) ||
        !put_argument(form->arguments[1], &wire, message))
        return 0;
    return finish(&wire, buffer);
}

/* ---- what the supervisor says ---- */

bool control_parse_order(char *line, struct control_order_message *message, const char **fault)
{
    char *rest = line;
    const char *word = take_word(&rest);
    memset(message, 0, sizeof *message);
    if (is_absent(word))
        return refuse(fault, "the order is missing");
    if (strcmp(word, "reload") == 0) {
        message->order = ORDER_RELOAD;
        return take_end(&rest, fault);
    }
    if (strcmp(word, "shutdown") != 0)
        return refuse(fault, "the order is unknown");
    message->order = ORDER_SHUTDOWN;
    message->reason = take_word(&rest);
    if (is_absent(message->reason))
        return refuse(fault, "REASON is missing");
    if (!is_reason(message->reason))
        return refuse(fault, "REASON is not one word of lower-case letters");
    return take_seconds(&rest, &message->time, fault) && take_end(&rest, fault);
}

size_t control_format_shutdown(char *buffer, const char *reason, msec time)
{
    struct wire wire = {.at = buffer, .end = buffer + CONTROL_LINE_MAX};
    assert(is_reason(reason));
    wire_put(&wire, "shutdown ");
    wire_put(&wire, reason);
    wire_put(&wire, " ");
    put_seconds(&wire, time);
    return finish(&wire, buffer);
}

size_t control_format_reload(char *buffer)
{
    struct wire wire = {.at = buffer, .end = buffer + CONTROL_LINE_MAX};
    wire_put(&wire, "reload");
    return finish(&wire, buffer);
}

/* ---- and what it answers ---- */

/* The words after `ended`, and what their number may be; a word without one has 0 to 0. */
static const struct end {
    const char *word;
    enum control_answer answer;
    uint32_t least, most;
} ends[] = {
    {"exited", ANSWER_EXITED, 0, UINT32_MAX},
    {"killed", ANSWER_KILLED, 1, 127},
    {"failed", ANSWER_FAILED, 125, 127},
    {"dropped", ANSWER_DROPPED, 0, 0},
};

#define END_COUNT (sizeof ends / sizeof ends[0])

static bool take_ending(char **rest, struct control_reply *reply, const char **fault)
{
    const char *word = take_word(rest);
    if (is_absent(word))
        return refuse(fault, "how it ended is missing");
    const struct end *end = ends;
    while (end < ends + END_COUNT && strcmp(end->word, word) != 0)
        end++;
    if (end == ends + END_COUNT)
        return refuse(fault, "how it ended is unknown");
    reply->answer = end->answer;
    return end->most == 0 || take_number(rest, end->least, end->most, &reply->number,
                                         "the number it ended with is none", fault);
}

bool control_parse_reply(char *line, struct control_reply *reply, const char **fault)
{
    char *rest = line;
    const char *word = take_word(&rest);
    memset(reply, 0, sizeof *reply);
    if (is_absent(word))
        return refuse(fault, "the answer is missing");
    if (strcmp(word, "ok") == 0) {
        reply->answer = ANSWER_OK;
        return rest == NULL || take_text(&rest, &reply->text, fault);
    }
    if (strcmp(word, "error") == 0) {
        reply->answer = ANSWER_ERROR;
        return take_text(&rest, &reply->text, fault);
    }
    if (strcmp(word, "ended") != 0)
        return refuse(fault, "the answer is unknown");
    return take_ending(&rest, reply, fault) && take_end(&rest, fault);
}

static void put_ending(struct wire *wire, const struct control_reply *reply)
{
    const struct end *end = ends;
    while (end->answer != reply->answer)
        end++;
    assert(reply->number >= end->least && reply->number <= end->most);
    wire_put(wire, "ended ");
    wire_put(wire, end->word);
    if (end->most > 0) {
        wire_put(wire, " ");
        wire_put_number(wire, reply->number);
    }
}

size_t control_format_reply(char *buffer, const struct control_reply *reply)
{
    struct wire wire = {.at = buffer, .end = buffer + CONTROL_LINE_MAX};
    switch (reply->answer) {
    case ANSWER_OK:
    case ANSWER_ERROR:
        assert(reply->text == NULL ? reply->answer == ANSWER_OK : reply->text[0] != '\0');
        wire_put(&wire, reply->answer == ANSWER_OK ? "ok" : "error");
        if (reply->text != NULL) {
            wire_put(&wire, " ");
            wire_put_text(&wire, reply->text, 1);
        }
        break;
    case ANSWER_EXITED:
    case ANSWER_KILLED:
    case ANSWER_FAILED:
    case ANSWER_DROPPED:
        put_ending(&wire, reply);
        break;
    }
    return finish(&wire, buffer);
}
