#include "protocol/submission.h"

#include "protocol/wire.h"

#include <string.h>

/* The bytes that `string` takes with its NUL. */
static size_t bytes_of(const char *string)
{
    return strlen(string) + 1;
}

static bool is_variable(const char *entry)
{
    const char *equals = strchr(entry, '=');
    return equals != NULL && equals != entry;
}

static size_t refuse(const char **fault, const char *sentence)
{
    *fault = sentence;
    return 0;
}

size_t submission_pointers(const char *bytes, size_t size, const char **fault)
{
    const char *end = bytes + size;
    uint64_t arguments = 0;
    size_t variables = 0;
    if (size > SUBMISSION_MAX)
        return refuse(fault, "it is too large");
    if (size == 0 || end[-1] != '\0')
        return refuse(fault, "its last string has no end");
    if (bytes[0] != '/')
        return refuse(fault, "its directory is not absolute");
    const char *string = bytes + bytes_of(bytes);
    if (string == end || !wire_number(string, SUBMISSION_MAX, &arguments) || arguments == 0)
        return refuse(fault, "its number of arguments is none");
    string += bytes_of(string);
    for (uint64_t i = 0; i < arguments; i++, string += bytes_of(string)) {
        if (string == end)
            return refuse(fault, "it has fewer arguments than it says");
    }
    for (; string != end; string += bytes_of(string), variables++) {
        if (!is_variable(string))
            return refuse(fault, "a variable of its environment is not NAME=VALUE");
    }
    return (size_t)arguments + 1 + variables + 1;
}

void submission_fill(char *bytes, size_t size, char **pointers, struct submission *submission)
{
    const char *end = bytes + size;
    uint64_t arguments = 0;
    char *string = bytes + bytes_of(bytes);
    wire_number(string, SUBMISSION_MAX, &arguments);
    submission->cwd = bytes;
    submission->argv = pointers;
    for (; arguments > 0; arguments--) {
        string += bytes_of(string);
        *pointers++ = string;
    }
    *pointers++ = NULL;
    submission->environment = pointers;
    for (string += bytes_of(string); string != end; string += bytes_of(string))
        *pointers++ = string;
    *pointers = NULL;
}

/* Writes `string` at `used` where there is a buffer; how many bytes it takes. */
static size_t put(char *buffer, size_t used, const char *string)
{
    size_t size = bytes_of(string);
    if (buffer != NULL)
        memcpy(buffer + used, string, size);
    return size;
}

size_t submission_write(char *buffer, const char *cwd, char *const *argv, char *const *environment)
{
    size_t arguments = 0;
    char number[21];
    struct wire wire = {.at = number, .end = number + sizeof number - 1};
    while (argv[arguments] != NULL)
        arguments++;
    if (cwd[0] != '/' || arguments == 0)
        return 0;
    wire_put_number(&wire, arguments);
    *wire.at = '\0';

    size_t used = put(buffer, 0, cwd);
    used += put(buffer, used, number);
    for (char *const *argument = argv; *argument != NULL; argument++)
        used += put(buffer, used, *argument);
    for (char *const *entry = environment; *entry != NULL; entry++) {
        if (is_variable(*entry))
            used += put(buffer, used, *entry);
    }
    return used;
}
