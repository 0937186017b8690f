/* Bytes in the order of the axes, or with channels last, to blocks of four channels.
 *
 * Nothing is read beyond x. Channels that only fill a block become copies of other elements.
 */
#ifndef FARM_BLOCKS_H
#define FARM_BLOCKS_H

#include "vector.h"

typedef struct {
    int32_t outer, channels, positions;
} BlocksShape;

/* The words of four rows of positions, one by one from `first` on. */
FARM_INLINE void block_words(const uint8_t *const rows[4], uint8_t *restrict y, int32_t first,
                             int32_t positions) {
    const uint8_t *restrict a = rows[0], *restrict b = rows[1];
    const uint8_t *restrict c = rows[2], *restrict d = rows[3];
    EACH_ALONE
    for (int32_t i = first; i < positions; i++) {
        word_store(y + 4 * i, a[i] | (uint32_t)b[i] << 8 | (uint32_t)c[i] << 16 |
                                  (uint32_t)d[i] << 24);
    }
}

#ifdef __HVX__

enum { ROW_VECTOR = 128 };

/* The words of 128 positions from `i` on: shuffling bytes, then halves of words. */
FARM_INLINE void block_vectors(const uint8_t *const rows[4], uint8_t *y, int32_t i) {
    HVX_VectorPair ab = Q6_W_vshuff_VVR(bytes_load(rows[1] + i), bytes_load(rows[0] + i), -1);
    HVX_VectorPair cd = Q6_W_vshuff_VVR(bytes_load(rows[3] + i), bytes_load(rows[2] + i), -1);
    HVX_VectorPair low = Q6_W_vshuff_VVR(Q6_V_lo_W(cd), Q6_V_lo_W(ab), -2);
    HVX_VectorPair high = Q6_W_vshuff_VVR(Q6_V_hi_W(cd), Q6_V_hi_W(ab), -2);
    bytes_store(y + 4 * i, Q6_V_lo_W(low));
    bytes_store(y + 4 * i + 128, Q6_V_hi_W(low));
    bytes_store(y + 4 * i + 256, Q6_V_lo_W(high));
    bytes_store(y + 4 * i + 384, Q6_V_hi_W(high));
}

/* One block: the last vector begins early enough to end with the rows. */
FARM_INLINE void block_rows(const uint8_t *const rows[4], uint8_t *y, int32_t positions) {
    if (positions < ROW_VECTOR) {
        block_words(rows, y, 0, positions);
        return;
    }
    for (int32_t i = 0; i < positions - ROW_VECTOR; i += ROW_VECTOR) {
        block_vectors(rows, y, i);
        stores_in_order();
    }
    block_vectors(rows, y, positions - ROW_VECTOR);
}

#else

FARM_INLINE void block_rows(const uint8_t *const rows[4], uint8_t *y, int32_t positions) {
    block_words(rows, y, 0, positions);
}

#endif

/* From the order of the axes: every channel is a row. */
FARM_INLINE void blocks_from_rows(const uint8_t *x, uint8_t *y, BlocksShape s) {
    for (int32_t outer = 0; outer < s.outer; outer++) {
        for (int32_t first = 0; first < s.channels; first += 4) {
            const uint8_t *rows[4];
            for (int32_t c = 0; c < 4; c++) {
                rows[c] = x + (first + c < s.channels ? first + c : first) * s.positions;
            }
            block_rows(rows, y, s.positions);
            y += 4 * s.positions;
        }
        x += s.channels * s.positions;
    }
}

/* Three words, which are four positions of three channels, to four. Both begin at a multiple of
 * four bytes. */
FARM_INLINE void spread_words(const uint8_t *x, uint8_t *y) {
    const uint32_t a = word_load(x), b = word_load(x + 4), c = word_load(x + 8);
    word_store(y, a);
    word_store(y + 4, a >> 24 | b << 8);
    word_store(y + 8, b >> 16 | c << 16);
    word_store(y + 12, c >> 8);
}

#ifdef __HVX__

/* Which way every byte takes through the network of vdelta, so that byte 4 p + c of the result is
 * byte 3 p + c. */
static const uint8_t spread_ways[128] __attribute__((aligned(128))) = {
    0,   0,   0,   0,   1,   3,   1,   7,   2,   2,   6,   6,   3,   5,   15,  13,
    4,   4,   4,   4,   13,  15,  13,  11,  6,   6,   10,  10,  31,  25,  27,  25,
    8,   8,   8,   8,   9,   11,  9,   7,   26,  26,  30,  30,  27,  21,  23,  21,
    12,  12,  12,  4,   21,  23,  21,  19,  62,  54,  50,  50,  55,  49,  51,  49,
    16,  16,  16,  16,  17,  19,  17,  23,  18,  18,  22,  22,  19,  5,   15,  13,
    52,  52,  52,  52,  61,  63,  61,  59,  54,  38,  42,  42,  47,  41,  43,  41,
    24,  24,  24,  24,  25,  11,  9,   7,   42,  42,  46,  46,  43,  37,  39,  37,
    124, 108, 108, 100, 101, 103, 101, 99,  110, 102, 98,  98,  103, 97,  99,  97,
};

/* The first positions, 32 at a time, as long as a whole vector can be read; how many. */
FARM_INLINE int32_t spread_vectors(const uint8_t *x, uint8_t *y, int32_t positions) {
    const HVX_Vector ways = *(const HVX_Vector *)spread_ways;
    int32_t i = 0;
    for (; 3 * i + 128 <= 3 * positions; i += 32) {
        bytes_store(y + 4 * i, Q6_V_vdelta_VV(bytes_load(x + 3 * i), ways));
    }
    return i;
}

#else

FARM_INLINE int32_t spread_vectors(const uint8_t *x, uint8_t *y, int32_t positions) {
    (void)x, (void)y, (void)positions;
    return 0;
}

#endif

/* From three channels, which come last: the positions of all batch entries are one row. */
FARM_INLINE void blocks_from_triples(const uint8_t *x, uint8_t *y, int32_t positions) {
    int32_t i = spread_vectors(x, y, positions);
    for (; i + 4 <= positions; i += 4) {
        spread_words(x + 3 * i, y + 4 * i);
    }
    for (; i < positions; i++) {
        const uint8_t *p = x + 3 * i;
        word_store(y + 4 * i, p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16);
    }
}

#endif
