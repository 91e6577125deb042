/* scale.h - what an event costs in a small and in a large fleet. */
#ifndef SIM_SCALE_H
#define SIM_SCALE_H

#include <stdbool.h>

/* Prints times per event and their ratios; false when an event's cost grows with the fleet. */
bool scale_run(void);

#endif
