/* trace.h - events and actions as people read them. */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include "world.h"

void trace_setting(const struct setting *setting);
void trace_event(const struct world *world, const struct core_event *event, bool accepted);
void trace_action(const struct world *world, const struct core_action *action);
void trace_reload(const struct world *world, uint32_t changed);
void trace_deadline(struct world *world);

#endif
