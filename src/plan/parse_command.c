/* Command lines into words: parse_command(). */
#include "plan/parse.h"

#include <stdlib.h>
#include <string.h>

/* Where words are written while a command line is split. */
struct splitter {
    char **argv;
    size_t count;
    char *out;
    bool in_word;
};

static void put(struct splitter *splitter, char c)
{
    if (!splitter->in_word)
        splitter->argv[splitter->count++] = splitter->out;
    splitter->in_word = true;
    *splitter->out++ = c;
}

/* An empty pair of quotes is a word too: it begins one without a byte. */
static void begin_word(struct splitter *splitter)
{
    put(splitter, '\0');
    splitter->out--;
}

static void end_word(struct splitter *splitter)
{
    if (splitter->in_word)
        *splitter->out++ = '\0';
    splitter->in_word = false;
}

/* Copies what stands between quotes; returns the closing quote, or NULL when there is none. */
static const char *copy_quoted(struct splitter *splitter, const char *text)
{
    char quote = *text++;
    if (!splitter->in_word)
        begin_word(splitter);
    for (; *text != quote; text++) {
        if (*text == '\0')
            return NULL;
        /* Between double quotes sh takes a backslash as one unless it quotes something. */
        if (quote == '"' && *text == '\\' && text[1] != '\0' && strchr("$`\"\\\n", text[1])) {
            if (*++text == '\n')
                continue;
        }
        put(splitter, *text);
    }
    return text;
}

/* Splits `text`; false when a quote or a backslash is left open. */
static bool split(struct splitter *splitter, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case ' ':
        case '\t':
        case '\n':
            end_word(splitter);
            break;
        case '\'':
        case '"':
            text = copy_quoted(splitter, text);
            if (text == NULL)
                return false;
            break;
        case '\\':
            if (*++text == '\0')
                return false;
            if (*text != '\n') /* a backslash joins lines */
                put(splitter, *text);
            break;
        default:
            put(splitter, *text);
        }
    }
    end_word(splitter);
    return true;
}

/* The words, and a NULL, in a block of their own that has no room to spare: a plan keeps one for
 * each worker. */
static char **copy_words(const struct splitter *splitter)
{
    const char *text = splitter->argv[0]; /* they stand one behind the other */
    size_t length = (size_t)(splitter->out - text);
    char **copy = malloc((splitter->count + 1) * sizeof *copy + length);
    if (copy == NULL)
        return NULL;
    char *words = (char *)(copy + splitter->count + 1);
    memcpy(words, text, length);
    for (size_t i = 0; i < splitter->count; i++)
        copy[i] = words + (splitter->argv[i] - text);
    copy[splitter->count] = NULL;
    return copy;
}

bool parse_command(const char *text, char ***argv)
{
    /* At most every other byte begins a word, and no word is longer than its text. */
    size_t length = strlen(text);
    size_t words = length / 2 + 2;
    char **block = malloc(words * sizeof *block + length + 1);
    if (block == NULL)
        return false;
    struct splitter splitter = {.argv = block, .out = (char *)(block + words)};
    char **copy = split(&splitter, text) && splitter.count > 0 ? copy_words(&splitter) : NULL;
    free(block);
    if (copy != NULL)
        *argv = copy;
    return copy != NULL;
}
