/* fuzz.h - what the fuzzers share: claims, and who calls them. */
#ifndef AIORUN_FUZZ_H
#define AIORUN_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* assert() may be compiled out, these must not be. */
#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim)) {                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #claim);                    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
