/* Any bytes as a request on the admin socket.
 *
 * What must hold: nothing outside of the line is touched; a refusal has its reason; what is
 * accepted is within its bounds, and written again it is accepted as the same. */
#include "fuzz.h"
#include "protocol/admin.h"
#include "protocol/control.h"

#include <string.h>

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool is_within(const char *text, const char *line, size_t length)
{
    return text == NULL || (text >= line && text + strlen(text) <= line + length);
}

static void check_names(const struct admin_request *request, const char *line, size_t length)
{
    const char *name = request->names;
    MUST((name != NULL) == (request->name_count > 0));
    for (uint32_t i = 0; i < request->name_count; i++, name = admin_next_name(name)) {
        struct admin_target target;
        MUST(is_within(name, line, length));
        MUST(admin_parse_target(name, &target));
        MUST(target.length >= 1 && target.length <= CONTROL_NAME_MAX);
    }
}

static void check_same(const struct admin_request *a, const struct admin_request *b)
{
    const char *one = a->names, *other = b->names;
    MUST(a->verb == b->verb && a->json == b->json && a->names_only == b->names_only);
    MUST(a->all == b->all && a->no_wait == b->no_wait && a->wait == b->wait && a->off == b->off);
    MUST(a->has_status == b->has_status && a->status == b->status);
    MUST(same_text(a->signal, b->signal) && same_text(a->worker, b->worker));
    MUST(a->name_count == b->name_count);
    for (uint32_t i = 0; i < a->name_count; i++) {
        MUST(strcmp(one, other) == 0);
        one = admin_next_name(one);
        other = admin_next_name(other);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct admin_request request, again;
    const char *fault = NULL;
    char *line = malloc(size + 1);
    MUST(line != NULL);
    memcpy(line, data, size);
    if (admin_parse(line, size, &request, &fault)) {
        char buffer[ADMIN_LINE_MAX];
        MUST(is_within(request.signal, line, size) && is_within(request.worker, line, size));
        MUST(request.status <= 255);
        check_names(&request, line, size);
        size_t length = admin_format(buffer, &request);
        /* Options that were said twice are said once: it never gets longer. */
        MUST(length >= 1 && length <= size + 1 && buffer[length - 1] == '\n');
        MUST(admin_parse(buffer, length - 1, &again, &fault));
        check_same(&request, &again);
    } else {
        MUST(fault != NULL && fault[0] != '\0');
    }
    free(line);
    return 0;
}
