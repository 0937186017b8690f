/* Between s8 and u8: the same numbers, moved by 128. */
#ifndef FARM_FLIP_H
#define FARM_FLIP_H

#include "common.h"

enum { FLIP_BYTES = 128 };

/* Vectors of any target make up this one. */
typedef uint32_t FlipBlock
    __attribute__((vector_size(FLIP_BYTES), aligned(4), may_alias));

/* y = x with the other first bit, byte by byte. Both begin at a multiple of four. */
FARM_INLINE void flip(const void *x, void *y, int32_t bytes) {
    const uint8_t *from = x;
    uint8_t *to = y;
    int32_t i = 0;
    for (; i + FLIP_BYTES <= bytes; i += FLIP_BYTES) {
        *(FlipBlock *)(to + i) = *(const FlipBlock *)(from + i) ^ 0x80808080u;
    }
    for (; i + 4 <= bytes; i += 4) {
        word_store(to + i, word_load(from + i) ^ 0x80808080u);
    }
    for (; i < bytes; i++) {
        to[i] = from[i] ^ 0x80;
    }
}

#endif
