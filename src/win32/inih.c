#include "win32/win32.h"

#include <string.h>

/* Debian has no inih for Windows.  Of its functions plan/ini.c needs one, and gives it lines that
 * it has taken apart already: `[12]`, `24=34`, and empty ones (there it says why). */

typedef char *ini_reader(char *line, int size, void *stream);
typedef int ini_handler(void *user, const char *section, const char *key, const char *value);

int ini_parse_stream(ini_reader *reader, void *stream, ini_handler *handler, void *user);

int ini_parse_stream(ini_reader *reader, void *stream, ini_handler *handler, void *user)
{
    char line[200], section[sizeof line] = "";
    int number = 0, fault = 0;
    while (reader(line, sizeof line, stream) != NULL) {
        char *bracket = strchr(line, ']'), *equals = strchr(line, '=');
        bool good = true;
        number++;
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] == '[' && bracket != NULL) {
            *bracket = '\0';
            strcpy(section, line + 1);
        } else if (equals != NULL) {
            *equals = '\0';
            good = handler(user, section, line, equals + 1);
        } else {
            good = line[0] == '\0';
        }
        if (!good && fault == 0)
            fault = number;
    }
    return fault;
}
