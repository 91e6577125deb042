/* Control lines: what each line means, what is malformed, and that no cut into reads matters. */
/* cmocka.h needs the four headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "protocol/control.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define STREAM_MAX   8192

static char x64[65]; /* a name that is one byte too long */
static const char *const x63 = x64 + 1;

static int begin(void **state)
{
    (void)state;
    memset(x64, 'x', 64);
    return 0;
}

/* ---- bytes to lines ---- */

struct transcript {
    char text[STREAM_MAX];
    size_t used;
};

/* Reads all of `bytes`; a line becomes `=line;`, a bad one `!;`. */
static void feed(struct control_reader *reader, const char *bytes, size_t count,
                 struct transcript *transcript)
{
    while (count > 0) {
        size_t taken = 0;
        enum control_read got = control_read(reader, bytes, count, &taken);
        assert_in_range(taken, 1, count);
        bytes += taken;
        count -= taken;
        if (got == CONTROL_READ_MORE) {
            assert_int_equal(count, 0);
            return;
        }
        assert_int_equal(bytes[-1], '\n');
        bool good = got == CONTROL_READ_LINE;
        transcript->used += (size_t)snprintf(transcript->text + transcript->used,
                                             sizeof transcript->text - transcript->used, "%s%s;",
                                             good ? "=" : "!", good ? reader->line : "");
    }
}

static void expect_cut(const char *bytes, size_t size, size_t first, size_t second,
                       const char *expected)
{
    struct control_reader reader = {0};
    struct transcript transcript = {0};
    feed(&reader, bytes, first, &transcript);
    feed(&reader, bytes + first, second - first, &transcript);
    feed(&reader, bytes + second, size - second, &transcript);
    assert_string_equal(transcript.text, expected);
}

/* Whole, cut at every byte, cut at every two, and byte by byte. */
static void expect_stream(const char *bytes, size_t size, const char *expected)
{
    size_t longest = size > 200 ? 0 : size; /* every pair of a long one takes too long */
    for (size_t first = 0; first <= size; first++)
        expect_cut(bytes, size, first, size, expected);
    for (size_t first = 0; first < longest; first++) {
        for (size_t second = first; second <= size; second++)
            expect_cut(bytes, size, first, second, expected);
    }
    struct control_reader reader = {0};
    struct transcript transcript = {0};
    for (size_t i = 0; i < size; i++)
        feed(&reader, bytes + i, 1, &transcript);
    assert_string_equal(transcript.text, expected);
}

/* `line` comes out of the reader as it is; a copy of it that may be cut up. */
static char *line_of(const char *line)
{
    static char copy[CONTROL_LINE_MAX + 1];
    char stream[CONTROL_LINE_MAX + 2], expected[CONTROL_LINE_MAX + 3];
    int size = snprintf(stream, sizeof stream, "%s\n", line);
    assert_in_range(size, 1, CONTROL_LINE_MAX);
    snprintf(expected, sizeof expected, "=%s;", line);
    expect_stream(stream, (size_t)size, expected);
    strcpy(copy, line);
    return copy;
}

static void lines_come_out_however_they_were_cut(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *expected;
    } streams[] = {
#define STREAM(bytes, expected) {bytes, sizeof(bytes) - 1, expected}
        STREAM("", ""),
        STREAM("ready", ""),
        STREAM("ready\n", "=ready;"),
        STREAM("\n\n", "=;=;"),
        STREAM("ready\nstatus two words\nwatchd", "=ready;=status two words;"),
        STREAM("status na\xc3\xafve \xe2\x82\xac \xf0\x9f\x9a\x80\n",
               "=status na\xc3\xafve \xe2\x82\xac \xf0\x9f\x9a\x80;"),
        STREAM("status \xef\xbf\xbf\xf4\x8f\xbf\xbf\xed\x9f\xbf\n",
               "=status \xef\xbf\xbf\xf4\x8f\xbf\xbf\xed\x9f\xbf;"),
        /* one bad line between two good ones */
        STREAM("ready\na\0b\nwatchdog\n", "=ready;!;=watchdog;"),
        STREAM("ready\n\0\nwatchdog\n", "=ready;!;=watchdog;"),
        STREAM("ready\nstatus a\tb\nwatchdog\n", "=ready;!;=watchdog;"),
        STREAM("ready\r\nwatchdog\n", "!;=watchdog;"),
        STREAM("ready\n\x1b[2J\nwatchdog\n", "=ready;!;=watchdog;"),
        STREAM("ready\n\x7f\nwatchdog\n", "=ready;!;=watchdog;"),
        STREAM("status \xc2\x9b"
               "2J\nready\n",
               "!;=ready;"),                                         /* CSI in one character */
        STREAM("status \x80\nready\n", "!;=ready;"),                 /* continues nothing */
        STREAM("status \xc3\nready\n", "!;=ready;"),                 /* cut short by the newline */
        STREAM("status \xe2\x82 \nready\n", "!;=ready;"),            /* and by a blank */
        STREAM("status \xc0\xaf\xc1\x81\nready\n", "!;=ready;"),     /* overlong */
        STREAM("status \xe0\x80\xaf\nready\n", "!;=ready;"),         /* overlong */
        STREAM("status \xf0\x80\x80\xaf\nready\n", "!;=ready;"),     /* overlong */
        STREAM("status \xed\xa0\x80\nready\n", "!;=ready;"),         /* a surrogate */
        STREAM("status \xf4\x90\x80\x80\nready\n", "!;=ready;"),     /* above U+10FFFF */
        STREAM("status \xf8\x88\x80\x80\x80\nready\n", "!;=ready;"), /* five bytes */
        STREAM("status \xff\nready\n", "!;=ready;"),
#undef STREAM
    };
    for (size_t i = 0; i < COUNT(streams); i++)
        expect_stream(streams[i].bytes, streams[i].size, streams[i].expected);
}

static void a_line_has_1024_bytes_with_its_newline(void **state)
{
    (void)state;
    static const struct {
        size_t length; /* without the newline */
        bool good;
    } lines[] = {{1022, true}, {1023, true}, {1024, false}, {1025, false}, {3000, false}};
    for (size_t i = 0; i < COUNT(lines); i++) {
        char stream[STREAM_MAX], expected[STREAM_MAX];
        int length = (int)lines[i].length;
        memset(stream, 'x', sizeof stream);
        memcpy(stream, "status ", 7);
        if (lines[i].good)
            snprintf(expected, sizeof expected, "=%.*s;=ready;", length, stream);
        else
            strcpy(expected, "!;=ready;");
        strcpy(stream + length, "\nready\n");
        expect_stream(stream, lines[i].length + strlen("\nready\n"), expected);
    }
}

/* ---- what a worker says ---- */

static void same_text(const char *actual, const char *expected)
{
    if (expected == NULL)
        assert_null(actual);
    else
        assert_string_equal(actual, expected);
}

static void expect_message(const struct control_message *actual,
                           const struct control_message *expected)
{
    assert_int_equal(actual->verb, expected->verb);
    same_text(actual->name, expected->name);
    same_text(actual->text, expected->text);
    assert_int_equal(actual->has_time, expected->has_time);
    assert_true(actual->time == expected->time);
    assert_int_equal(actual->has_status, expected->has_status);
    assert_int_equal(actual->status, expected->status);
    assert_int_equal(actual->wait, expected->wait);
}

/* Lines that are also what control_format() makes of their message. */
static const struct {
    const char *line;
    struct control_message message;
} messages[] = {
    {"ready", {.verb = CONTROL_READY}},
    {"status ok", {.verb = CONTROL_STATUS, .text = "ok"}},
    {"status serving 3 of 5", {.verb = CONTROL_STATUS, .text = "serving 3 of 5"}},
    {"status  as  it is ", {.verb = CONTROL_STATUS, .text = " as  it is "}},
    {"status caf\xc3\xa9", {.verb = CONTROL_STATUS, .text = "caf\xc3\xa9"}},
    {"shield upload", {.verb = CONTROL_SHIELD, .name = "upload"}},
    {"shield a.B_9-", {.verb = CONTROL_SHIELD, .name = "a.B_9-"}},
    {"shield a 20", {.verb = CONTROL_SHIELD, .name = "a", .has_time = true, .time = 20000}},
    {"shield a 0", {.verb = CONTROL_SHIELD, .name = "a", .has_time = true, .time = 0}},
    {"shield a infinity", {.verb = CONTROL_SHIELD, .name = "a", .has_time = true, .time = NEVER}},
    {"unshield upload", {.verb = CONTROL_UNSHIELD, .name = "upload"}},
    {"extend 2", {.verb = CONTROL_EXTEND, .has_time = true, .time = 2000}},
    {"extend 0.5", {.verb = CONTROL_EXTEND, .has_time = true, .time = 500}},
    {"extend 0.05", {.verb = CONTROL_EXTEND, .has_time = true, .time = 50}},
    {"extend 0.001", {.verb = CONTROL_EXTEND, .has_time = true, .time = 1}},
    {"extend 9.998", {.verb = CONTROL_EXTEND, .has_time = true, .time = 9998}},
    {"extend 315360000", {.verb = CONTROL_EXTEND, .has_time = true, .time = 315360000000}},
    {"extend infinity", {.verb = CONTROL_EXTEND, .has_time = true, .time = NEVER}},
    {"shutdown", {.verb = CONTROL_SHUTDOWN}},
    {"shutdown 0", {.verb = CONTROL_SHUTDOWN, .has_status = true}},
    {"shutdown 255", {.verb = CONTROL_SHUTDOWN, .has_status = true, .status = 255}},
    {"error disk full", {.verb = CONTROL_ERROR, .text = "disk full"}},
    {"watchdog", {.verb = CONTROL_WATCHDOG}},
    {"attach", {.verb = CONTROL_ATTACH}},
    {"job backup", {.verb = CONTROL_JOB, .name = "backup"}},
    {"job backup 0.25", {.verb = CONTROL_JOB, .name = "backup", .has_time = true, .time = 250}},
    {"submit mail", {.verb = CONTROL_SUBMIT, .name = "mail"}},
    {"submit mail wait", {.verb = CONTROL_SUBMIT, .name = "mail", .wait = true}},
    {"submit wait", {.verb = CONTROL_SUBMIT, .name = "wait"}},
};

static void each_verb_is_read_and_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(messages); i++) {
        struct control_message message;
        const char *fault = NULL;
        char buffer[CONTROL_LINE_MAX];
        char *line = line_of(messages[i].line);
        assert_true(control_parse(line, &message, &fault));
        expect_message(&message, &messages[i].message);

        size_t length = control_format(buffer, &messages[i].message);
        assert_int_equal(length, strlen(messages[i].line) + 1);
        assert_memory_equal(buffer, messages[i].line, length - 1);
        assert_int_equal(buffer[length - 1], '\n');
    }
}

static void seconds_are_decimals_up_to_ten_years(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        msec time; /* -1: malformed */
    } times[] = {
        {"00", 0},
        {"007", 7000},
        {"0.0", 0},
        {"1.50", 1500},
        {"1.2345", 1235},
        {"1.2340000", 1234},
        {"0.0001", 1},
        {"0.00000000000000000000000000000000000000000000000000001", 1},
        {"0.9999", 1000},
        {"315360000.000", 315360000000},
        {"000000000000000000000000315360000", 315360000000},
        {"315360000.0001", -1},
        {"315360001", -1},
        {"18446744073709551617", -1},
        {"99999999999999999999999999999999999999999999", -1},
        {"-1", -1},
        {"+1", -1},
        {"1s", -1},
        {"0x1", -1},
        {"1e3", -1},
        {".5", -1},
        {"5.", -1},
        {".", -1},
        {"1.2.3", -1},
        {"1.-2", -1},
        {"1,5", -1},
        {"Infinity", -1},
        {"infinity.0", -1},
        {"inf", -1},
        {"nan", -1},
        {"\xd9\xa1", -1}, /* a digit, elsewhere */
    };
    for (size_t i = 0; i < COUNT(times); i++) {
        char line[128];
        struct control_message message;
        const char *fault = NULL;
        snprintf(line, sizeof line, "extend %s", times[i].text);
        if (control_parse(line_of(line), &message, &fault)) {
            assert_true(message.time == times[i].time);
        } else {
            assert_true(times[i].time == -1);
            assert_string_equal(fault,
                                "SECONDS is neither a decimal of at most ten years nor `infinity`");
        }
    }
}

static void a_malformed_line_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *line, *fault;
    } lines[] = {
        {"", "the verb is missing"},
        {" ", "the verb is missing"},
        {" ready", "the verb is missing"},
        {"READY", "the verb is unknown"},
        {"readyy", "the verb is unknown"},
        {"read", "the verb is unknown"},
        {"reload", "the verb is unknown"},
        {"ok", "the verb is unknown"},
        {"ready ", "there is a word too many"},
        {"ready now", "there is a word too many"},
        {"watchdog 1", "there is a word too many"},
        {"attach 1", "there is a word too many"},
        {"status", "TEXT is missing"},
        {"status ", "TEXT is missing"},
        {"error", "TEXT is missing"},
        {"shield", "NAME is missing"},
        {"shield ", "NAME is missing"},
        {"shield  a", "NAME is missing"},
        {"unshield", "NAME is missing"},
        {"unshield a b", "there is a word too many"},
        {"shield a ", "SECONDS is missing"},
        {"shield a  5", "SECONDS is missing"},
        {"shield a 5 ", "there is a word too many"},
        {"shield a 5 6", "there is a word too many"},
        {"extend", "SECONDS is missing"},
        {"extend ", "SECONDS is missing"},
        {"extend 1 2", "there is a word too many"},
        {"shutdown ", "STATUS is not 0 to 255"},
        {"shutdown 256", "STATUS is not 0 to 255"},
        {"shutdown 4294967296", "STATUS is not 0 to 255"},
        {"shutdown 18446744073709551616", "STATUS is not 0 to 255"},
        {"shutdown -1", "STATUS is not 0 to 255"},
        {"shutdown 1.0", "STATUS is not 0 to 255"},
        {"shutdown now", "STATUS is not 0 to 255"},
        {"shutdown 1 2", "there is a word too many"},
        {"job", "NAME is missing"},
        {"job a b", "SECONDS is neither a decimal of at most ten years nor `infinity`"},
        {"submit", "NAME is missing"},
        {"submit a ", "what follows NAME is not `wait`"},
        {"submit a waits", "what follows NAME is not `wait`"},
        {"submit a wait wait", "there is a word too many"},
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct control_message message;
        const char *fault = NULL;
        assert_false(control_parse(line_of(lines[i].line), &message, &fault));
        assert_string_equal(fault, lines[i].fault);
    }
}

static void a_name_is_of_1_to_63_plain_bytes(void **state)
{
    (void)state;
    const char *const good[] = {"a", "Z", "0", ".", "-", "_", "web.1", x63};
    const char *const bad[] = {"", " ", "a b", "a/b", "a\n", "caf\xc3\xa9", "a=", "*", x64};
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(control_is_name(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++) {
        char buffer[CONTROL_LINE_MAX], line[128];
        struct control_message message = {.verb = CONTROL_SHIELD, .name = bad[i]};
        const char *fault = NULL;
        assert_false(control_is_name(bad[i]));
        assert_int_equal(control_format(buffer, &message), 0);
        snprintf(line, sizeof line, "shield %s", bad[i]);
        assert_true(strcmp(bad[i], "a b") == 0 || !control_parse(line, &message, &fault));
    }
}

static void what_cannot_be_said_is_not_written(void **state)
{
    (void)state;
    static const struct control_message unsayable[] = {
        {.verb = CONTROL_STATUS},
        {.verb = CONTROL_ERROR, .text = ""},
        {.verb = CONTROL_UNSHIELD},
        {.verb = CONTROL_EXTEND},
        {.verb = CONTROL_SHUTDOWN, .has_status = true, .status = 256},
        {.verb = CONTROL_SHUTDOWN, .has_status = true, .status = UINT32_MAX},
    };
    for (size_t i = 0; i < COUNT(unsayable); i++) {
        char buffer[CONTROL_LINE_MAX];
        assert_int_equal(control_format(buffer, &unsayable[i]), 0);
    }
}

static void expect_written(const struct control_message *message, const char *line)
{
    char buffer[CONTROL_LINE_MAX];
    size_t length = control_format(buffer, message);
    assert_int_equal(length, strlen(line));
    assert_memory_equal(buffer, line, length);
}

static void a_text_is_made_to_fit_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *line;
    } texts[] = {
        {"two\nlines\r\n", "error two lines  \n"},
        {"\x1b[31mred\x7f", "error  [31mred \n"},
        {"\xc2\x9b"
         "31m",
         "error  31m\n"},
        {"\xff latin \xe9", "error ? latin ?\n"},
        {"\xe2\x82", "error ??\n"},
        {"\xed\xa0\x80", "error ???\n"},
    };
    for (size_t i = 0; i < COUNT(texts); i++)
        expect_written(&(struct control_message){.verb = CONTROL_ERROR, .text = texts[i].text},
                       texts[i].line);

    /* A character that would be cut is left out whole. */
    char longer[3000], line[CONTROL_LINE_MAX + 1];
    for (size_t start = 0; start < 4; start++) {
        memset(longer, 'x', start);
        longer[start] = '\0';
        while (strlen(longer) < 2000)
            strcat(longer, "\xf0\x9f\x9a\x80");
        size_t room = CONTROL_LINE_MAX - strlen("status ") - 1;
        size_t fits = start + (room - start) / 4 * 4;
        snprintf(line, sizeof line, "status %.*s\n", (int)fits, longer);
        expect_written(&(struct control_message){.verb = CONTROL_STATUS, .text = longer}, line);
    }
}

static void a_time_out_of_range_is_the_nearest_that_can_be_said(void **state)
{
    (void)state;
    struct control_message message = {.verb = CONTROL_EXTEND, .has_time = true};
    message.time = -1;
    expect_written(&message, "extend 0\n");
    message.time = INT64_MIN;
    expect_written(&message, "extend 0\n");
    message.time = CONTROL_TIME_MAX;
    expect_written(&message, "extend 315360000\n");
    message.time = CONTROL_TIME_MAX + 1;
    expect_written(&message, "extend infinity\n");
}

/* ---- what the supervisor says, and answers ---- */

static void orders_are_written_and_read(void **state)
{
    (void)state;
    static const struct {
        const char *reason;
        msec time, read;
        const char *line;
    } shutdowns[] = {
        {"signal", 9998, 9998, "shutdown signal 9.998"},
        {"request", 10000, 10000, "shutdown request 10"},
        {"error", 10, 10, "shutdown error 0.01"},
        {"finished", 0, 0, "shutdown finished 0"},
        {"stop", NEVER, NEVER, "shutdown stop infinity"},
        {"restart", -5, 0, "shutdown restart 0"},
        {"anything", 1500, 1500, "shutdown anything 1.5"},
    };
    char buffer[CONTROL_LINE_MAX];
    struct control_order_message message;
    const char *fault = NULL;
    size_t length;
    for (size_t i = 0; i < COUNT(shutdowns); i++) {
        length = control_format_shutdown(buffer, shutdowns[i].reason, shutdowns[i].time);
        assert_int_equal(length, strlen(shutdowns[i].line) + 1);
        assert_int_equal(buffer[length - 1], '\n');
        assert_memory_equal(buffer, shutdowns[i].line, length - 1);
        assert_true(control_parse_order(line_of(shutdowns[i].line), &message, &fault));
        assert_int_equal(message.order, ORDER_SHUTDOWN);
        assert_string_equal(message.reason, shutdowns[i].reason);
        assert_true(message.time == shutdowns[i].read);
    }
    length = control_format_reload(buffer);
    assert_int_equal(length, 7);
    assert_memory_equal(buffer, "reload\n", 7);
    assert_true(control_parse_order(line_of("reload"), &message, &fault));
    assert_int_equal(message.order, ORDER_RELOAD);
}

static void a_malformed_order_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *line, *fault;
    } lines[] = {
        {"", "the order is missing"},
        {"ready", "the order is unknown"},
        {"reload ", "there is a word too many"},
        {"reload now", "there is a word too many"},
        {"shutdown", "REASON is missing"},
        {"shutdown  5", "REASON is missing"},
        {"shutdown Signal 5", "REASON is not one word of lower-case letters"},
        {"shutdown 5", "REASON is not one word of lower-case letters"},
        {"shutdown signal", "SECONDS is missing"},
        {"shutdown signal soon",
         "SECONDS is neither a decimal of at most ten years nor `infinity`"},
        {"shutdown signal 5 6", "there is a word too many"},
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct control_order_message message;
        const char *fault = NULL;
        assert_false(control_parse_order(line_of(lines[i].line), &message, &fault));
        assert_string_equal(fault, lines[i].fault);
    }
}

static void replies_are_written_and_read(void **state)
{
    (void)state;
    static const struct {
        struct control_reply reply;
        const char *line;
    } replies[] = {
        {{ANSWER_OK, NULL, 0}, "ok"},
        {{ANSWER_OK, "1", 0}, "ok 1"},
        {{ANSWER_OK, "two words", 0}, "ok two words"},
        {{ANSWER_ERROR, "the queue is full", 0}, "error the queue is full"},
        {{ANSWER_EXITED, NULL, 0}, "ended exited 0"},
        {{ANSWER_EXITED, NULL, 255}, "ended exited 255"},
        {{ANSWER_EXITED, NULL, 4294967295}, "ended exited 4294967295"}, /* on Windows */
        {{ANSWER_KILLED, NULL, 9}, "ended killed 9"},
        {{ANSWER_KILLED, NULL, 64}, "ended killed 64"},
        {{ANSWER_FAILED, NULL, 127}, "ended failed 127"},
        {{ANSWER_DROPPED, NULL, 0}, "ended dropped"},
    };
    for (size_t i = 0; i < COUNT(replies); i++) {
        char buffer[CONTROL_LINE_MAX];
        struct control_reply reply;
        const char *fault = NULL;
        size_t length = control_format_reply(buffer, &replies[i].reply);
        assert_int_equal(length, strlen(replies[i].line) + 1);
        assert_int_equal(buffer[length - 1], '\n');
        assert_memory_equal(buffer, replies[i].line, length - 1);
        assert_true(control_parse_reply(line_of(replies[i].line), &reply, &fault));
        assert_int_equal(reply.answer, replies[i].reply.answer);
        assert_int_equal(reply.number, replies[i].reply.number);
        same_text(reply.text, replies[i].reply.text);
    }
}

static void there_is_an_answer_however_long_its_sentence(void **state)
{
    (void)state;
    char sentence[3000], buffer[CONTROL_LINE_MAX];
    memset(sentence, 'x', sizeof sentence);
    memcpy(sentence, "no\nway\xff", 7);
    sentence[sizeof sentence - 1] = '\0';
    struct control_reply reply = {.answer = ANSWER_ERROR, .text = sentence};
    assert_int_equal(control_format_reply(buffer, &reply), CONTROL_LINE_MAX);
    assert_memory_equal(buffer, "error no way?xxx", 16);
    assert_memory_equal(buffer + CONTROL_LINE_MAX - 4, "xxx\n", 4);
}

static void a_malformed_reply_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *line, *fault;
    } lines[] = {
        {"", "the answer is missing"},
        {"OK", "the answer is unknown"},
        {"ok ", "TEXT is missing"},
        {"error", "TEXT is missing"},
        {"ended", "how it ended is missing"},
        {"ended well", "how it ended is unknown"},
        {"ended exited", "the number it ended with is none"},
        {"ended exited 4294967296", "the number it ended with is none"},
        {"ended killed 0", "the number it ended with is none"},
        {"ended killed 128", "the number it ended with is none"},
        {"ended killed KILL", "the number it ended with is none"},
        {"ended failed 124", "the number it ended with is none"},
        {"ended failed 128", "the number it ended with is none"},
        {"ended dropped 0", "there is a word too many"},
        {"ended exited 0 0", "there is a word too many"},
    };
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct control_reply reply;
        const char *fault = NULL;
        assert_false(control_parse_reply(line_of(lines[i].line), &reply, &fault));
        assert_string_equal(fault, lines[i].fault);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_out_however_they_were_cut),
        cmocka_unit_test(a_line_has_1024_bytes_with_its_newline),
        cmocka_unit_test(each_verb_is_read_and_written),
        cmocka_unit_test(seconds_are_decimals_up_to_ten_years),
        cmocka_unit_test(a_malformed_line_is_refused_with_its_reason),
        cmocka_unit_test(a_name_is_of_1_to_63_plain_bytes),
        cmocka_unit_test(what_cannot_be_said_is_not_written),
        cmocka_unit_test(a_text_is_made_to_fit_its_line),
        cmocka_unit_test(a_time_out_of_range_is_the_nearest_that_can_be_said),
        cmocka_unit_test(orders_are_written_and_read),
        cmocka_unit_test(a_malformed_order_is_refused_with_its_reason),
        cmocka_unit_test(replies_are_written_and_read),
        cmocka_unit_test(there_is_an_answer_however_long_its_sentence),
        cmocka_unit_test(a_malformed_reply_is_refused_with_its_reason),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
