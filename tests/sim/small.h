/* small.h - every course that a small world can take. */
#ifndef SIM_SMALL_H
#define SIM_SMALL_H

#include <stdbool.h>
#include <stdint.h>

/* True when all promises hold on all of them; `shallower`: look so many steps less far. */
bool small_run(uint32_t shallower);

#endif
