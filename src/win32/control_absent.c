#include "win32/win32.h"

#include <stdio.h>

/* A driver without a control pipe: every run is as with --no-control, and nobody asks. */

bool control_open(const struct plan *plan, uint32_t slots)
{
    (void)plan, (void)slots;
    return true;
}

bool control_start(struct run_id run, const struct platform_program *program, struct spawn *spawn)
{
    (void)run, (void)program, (void)spawn;
    return true;
}

void control_started(struct run_id run, bool ok)
{
    (void)run, (void)ok;
}

void control_ended(struct run_id run)
{
    (void)run;
}

const struct command *control_job(struct run_id run, struct spawn *spawn,
                                  struct platform_started *started)
{
    (void)run, (void)spawn;
    started->end = (struct ending){ENDING_NOT_STARTED, STATUS_OWN_FAILURE};
    snprintf(started->sentence, sizeof started->sentence, "cannot start a job: there is none");
    return NULL;
}

bool control_prepare(uint32_t slots)
{
    (void)slots;
    return true;
}

void control_drop(void)
{
}

void control_reload(const struct platform_map *map)
{
    (void)map;
}

void control_close(void)
{
}

void platform_order(struct run_id run, const char *line, size_t length)
{
    (void)run, (void)line, (void)length;
}

void platform_answer(struct channel_id channel, const char *line, size_t length)
{
    (void)channel, (void)line, (void)length;
}

const char *platform_judge_job(struct run_id run)
{
    (void)run;
    return "there is no control pipe";
}

const char *platform_judge_submission(void)
{
    return "there is no control pipe";
}

void platform_join(struct run_id job)
{
    (void)job;
}

void platform_keep(struct run_id job)
{
    (void)job;
}

void platform_drop(struct run_id job)
{
    (void)job;
}

bool platform_is_our_user(struct run_id run)
{
    (void)run;
    return true;
}

void platform_admin_wake(uint32_t client)
{
    (void)client;
}
