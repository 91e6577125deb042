/* note.h - what happens is written down in the world's record, by the words of the specification.
 */
#ifndef SIM_NOTE_H
#define SIM_NOTE_H

#include "world.h"

void note_error(struct world *world, struct record *record, struct ending end);
/* It outlived its KILL.  A worker's run that does is an error. */
void note_abandoned(struct world *world, struct record *record);
void note_ready(struct world *world, struct record *record);
/* The shutdown is over at the limit, if that comes before the cap. */
void note_limited(struct world *world);
void note_entered(struct world *world, enum core_trigger trigger, int cause);

/* Wishes follow from wishes: one after the other, each from those before it. */
void note_wishes(struct world *world);

/* It fails, unless it is to stop anyway. */
void note_failed(struct world *world, struct record *record, enum core_why why);
bool note_is_failure(enum core_why why);

/* A run starts; its process ends; and nothing of it is left. */
void note_start(struct world *world, struct record *record, uint32_t generation);
void note_end(struct world *world, uint32_t slot, struct ending end, bool requested);
void note_gone(struct world *world, struct record *record);

/* A roll begins.  A worker of which nothing is there, or that nobody wants, starts all at once. */
void note_roll(struct world *world, uint32_t worker);

#endif
