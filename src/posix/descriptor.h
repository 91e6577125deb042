/* descriptor.h - what the verbs know of this folder, too. */
#ifndef AIORUN_POSIX_DESCRIPTOR_H
#define AIORUN_POSIX_DESCRIPTOR_H

/* Moves `fd`, which may be -1, out of the way of the standard streams, which may be closed and must
 * stay so: returns a descriptor above 2 that closes on exec; -1 with errno. */
int descriptor_keep_away(int fd);

#endif
