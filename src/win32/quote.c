#include "win32/win32.h"

#include <string.h>

/* The rules are those of "Parsing C command-line arguments" in Microsoft's documentation: blanks
 * and tabs part arguments, quotation marks keep them together.  A backslash is itself, unless
 * quotation marks follow: then two are one, and one before the mark makes it a character.  Within
 * quotation marks two of them are one character.  The first argument, the program, knows no
 * backslashes: a quotation mark always begins or ends something there. */

#define BLANKS " \t"

struct line {
    char *buffer;
    size_t size, length;
};

static void add(struct line *line, char c, size_t times)
{
    for (; times > 0; times--, line->length++)
        if (line->length + 1 < line->size)
            line->buffer[line->length] = c;
}

static void add_program(struct line *line, const char *name)
{
    bool quoted = *name == '\0' || strpbrk(name, BLANKS) != NULL;
    add(line, '"', quoted);
    for (; *name != '\0'; name++)
        add(line, *name, *name != '"');
    add(line, '"', quoted);
}

static void add_argument(struct line *line, const char *argument)
{
    bool quoted = *argument == '\0' || strpbrk(argument, BLANKS "\n\v\"") != NULL;
    add(line, '"', quoted);
    while (quoted && *argument != '\0') {
        size_t backslashes = strspn(argument, "\\");
        argument += backslashes;
        bool before_mark = *argument == '"' || *argument == '\0';
        add(line, '\\', before_mark ? 2 * backslashes : backslashes);
        if (*argument == '"')
            add(line, '\\', 1);
        if (*argument != '\0')
            add(line, *argument++, 1);
    }
    for (; *argument != '\0'; argument++)
        add(line, *argument, 1);
    add(line, '"', quoted);
}

size_t quote_join(char *buffer, size_t size, char *const *argv)
{
    struct line line = {buffer, size, 0};
    for (size_t i = 0; argv[i] != NULL; i++) {
        add(&line, ' ', i > 0);
        if (i == 0)
            add_program(&line, argv[i]);
        else
            add_argument(&line, argv[i]);
    }
    if (size > 0)
        buffer[line.length < size ? line.length : size - 1] = '\0';
    return line.length;
}

/* Both take one word off `from`, and return where the rest begins. */

static char *take_program(char *from, char *to)
{
    bool quoted = false;
    for (; *from != '\0' && (quoted || strchr(BLANKS, *from) == NULL); from++) {
        if (*from == '"')
            quoted = !quoted;
        else
            *to++ = *from;
    }
    char *rest = *from != '\0' ? from + 1 : from;
    *to = '\0';
    return rest;
}

static char *take_argument(char *from, char *to)
{
    bool quoted = false;
    while (*from != '\0' && (quoted || strchr(BLANKS, *from) == NULL)) {
        size_t backslashes = strspn(from, "\\");
        from += backslashes;
        bool marked = *from == '"';
        size_t kept = marked ? backslashes / 2 : backslashes;
        memset(to, '\\', kept);
        to += kept;
        if (marked && backslashes % 2 == 0) {
            if (quoted && from[1] == '"')
                *to++ = *from++;
            else
                quoted = !quoted;
            from++;
        } else if (*from != '\0' && (marked || backslashes == 0)) {
            *to++ = *from++;
        }
    }
    char *rest = *from != '\0' ? from + 1 : from;
    *to = '\0';
    return rest;
}

size_t quote_split(char *line, char **argv, size_t max)
{
    size_t count = 0;
    argv[count++] = line;
    line = take_program(line, line);
    for (line += strspn(line, BLANKS); *line != '\0' && count < max; line += strspn(line, BLANKS)) {
        argv[count++] = line;
        line = take_argument(line, line);
    }
    argv[count] = NULL;
    return count;
}
