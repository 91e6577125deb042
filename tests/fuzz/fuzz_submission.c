/* Any bytes as the request of `submit`.
 *
 * What must hold: nothing outside of them is touched; what is accepted can be started, and written
 * again it is the same but for zeros before its number of arguments. */
#include "fuzz.h"
#include "protocol/submission.h"

#include <string.h>

static void check_within(const char *text, const char *bytes, size_t size)
{
    MUST(text >= bytes && text + strlen(text) < bytes + size);
}

static void check_submission(const struct submission *submission, char **pointers, size_t count,
                             const char *bytes, size_t size)
{
    char **pointer = pointers;
    MUST(submission->cwd == bytes && submission->cwd[0] == '/');
    MUST(submission->argv == pointers && submission->argv[0] != NULL);
    for (; *pointer != NULL; pointer++)
        check_within(*pointer, bytes, size);
    MUST(submission->environment == pointer + 1);
    for (pointer++; *pointer != NULL; pointer++) {
        check_within(*pointer, bytes, size);
        MUST(strchr(*pointer, '=') != NULL && (*pointer)[0] != '=');
    }
    MUST(pointer + 1 == pointers + count);
}

static void check_written(const struct submission *submission, const char *bytes, size_t size)
{
    const char *number = bytes + strlen(bytes) + 1;
    size_t zeros = strspn(number, "0"), head = (size_t)(number - bytes);
    size_t length =
        submission_write(NULL, submission->cwd, submission->argv, submission->environment);
    MUST(length == size - zeros);
    char *written = malloc(length);
    MUST(written != NULL);
    MUST(submission_write(written, submission->cwd, submission->argv, submission->environment) ==
         length);
    MUST(memcmp(written, bytes, head) == 0);
    MUST(memcmp(written + head, number + zeros, length - head) == 0);
    free(written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct submission submission;
    const char *fault = NULL;
    char *bytes = malloc(size > 0 ? size : 1);
    MUST(bytes != NULL);
    memcpy(bytes, data, size);
    size_t count = submission_pointers(bytes, size, &fault);
    if (count == 0) {
        MUST(fault != NULL && fault[0] != '\0');
    } else {
        char **pointers = malloc(count * sizeof *pointers);
        MUST(pointers != NULL);
        submission_fill(bytes, size, pointers, &submission);
        MUST(memcmp(bytes, data, size) == 0);
        check_submission(&submission, pointers, count, bytes, size);
        check_written(&submission, bytes, size);
        free(pointers);
    }
    free(bytes);
    return 0;
}
