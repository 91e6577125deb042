/* small.h - every course that a small world can take. */
#ifndef SIM_SMALL_H
#define SIM_SMALL_H

#include <stdbool.h>
#include <stdint.h>

/* How many small worlds there are. */
uint32_t small_count(void);

/* Searches one of them, `shallower` steps less far than usual; false when a promise is broken. */
bool small_run(uint32_t which, uint32_t shallower);

#endif
