/* programs.h - the commands of a plan, as each driver keeps them; for the file that starts them,
 * behind the header that says what a `struct command` is there.
 */
#ifndef AIORUN_PROGRAMS_H
#define AIORUN_PROGRAMS_H

#include "platform.h"

/* The commands around a worker's instances. */
struct companions {
    struct command before_start, after_stop, health;
};

/* Those of the whole. */
struct hooks {
    struct command handler, callback, on_error;
};

struct programs {
    struct command *commands;      /* by worker */
    struct companions *companions; /* by worker; NULL: there are none */
    struct hooks *hooks;           /* NULL: there are none */
};

/* The command of a program that has one of its own, which is not PLATFORM_JOB. */
static inline struct command *programs_choose(const struct programs *programs,
                                              const struct platform_program *program)
{
    switch (program->what) {
    case PLATFORM_COMMAND:
    case PLATFORM_JOB:
        break;
    case PLATFORM_BEFORE_START:
        return &programs->companions[program->worker].before_start;
    case PLATFORM_AFTER_STOP:
        return &programs->companions[program->worker].after_stop;
    case PLATFORM_HEALTH:
        return &programs->companions[program->worker].health;
    case PLATFORM_HANDLER:
        return &programs->hooks->handler;
    case PLATFORM_CALLBACK:
        return &programs->hooks->callback;
    case PLATFORM_ON_ERROR:
        return &programs->hooks->on_error;
    }
    return &programs->commands[program->worker];
}

#endif
