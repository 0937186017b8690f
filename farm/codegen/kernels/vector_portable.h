/* The vector interface of vector.h in plain C, with the 128-bit vectors that GCC and Clang offer
 * for every processor.
 */
#ifndef FARM_VECTOR_PORTABLE_H
#define FARM_VECTOR_PORTABLE_H

#include "common.h"

#define LANES 4
#define TILE 2
#define LANE_TILE 2 /* positions at once where lanes are outputs */
#define DOT_WORD_LIFT 0

typedef uint32_t Bytes __attribute__((vector_size(16))); /* LANES positions x 4 channels of u8 */
typedef int32_t Words __attribute__((vector_size(16)));  /* LANES positions of s32 */
typedef int16_t Halves __attribute__((vector_size(16)));
typedef struct {
    Bytes v[4];
} Quad; /* LANES positions of 4 taps, one vector per channel */
typedef struct {
    Bytes v[2];
} Pair; /* even and odd ones of 2 * LANES positions */

FARM_INLINE Bytes bytes_load(const uint8_t *p) {
    Bytes v;
    memcpy(&v, p, sizeof v);
    return v;
}

FARM_INLINE Bytes bytes_load_apart(const uint8_t *p) { return bytes_load(p); }

FARM_INLINE void bytes_store(uint8_t *p, Bytes v) { memcpy(p, &v, sizeof v); }

/* The same at a multiple of 4 * LANES. */
FARM_INLINE void bytes_store_aligned(uint8_t *p, Bytes v) { bytes_store(p, v); }

/* Writes the first 4 * positions bytes only; 0 < positions <= LANES. */
FARM_INLINE void bytes_store_part(uint8_t *p, Bytes v, int32_t positions) {
    for (int32_t i = 0; i < LANES; i++) {
        if (i < positions) {
            uint32_t lane = v[i];
            memcpy(p + 4 * i, &lane, 4);
        }
    }
}

/* The weights of four channels for one word: four words, at a multiple of 16 bytes. */
FARM_INLINE void weights_load(int32_t four_weights[4], const int32_t *p) {
    for (int32_t o = 0; o < 4; o++) {
        four_weights[o] = p[o];
    }
}

FARM_INLINE Words words_fill(int32_t value) { return (Words){0} + value; }

FARM_INLINE void words_store(int32_t *p, Words v) { memcpy(p, &v, sizeof v); }

FARM_INLINE Bytes bytes_fill(uint8_t value) { return (Bytes){0} + value * 0x01010101u; }

FARM_INLINE Bytes bytes_fill_word(uint32_t four) { return (Bytes){0} + four; }

/* Bytes of `yes` where the mask is 255, of `no` where it is 0. */
FARM_INLINE Bytes bytes_select(Bytes mask, Bytes yes, Bytes no) {
    return (mask & yes) | (~mask & no);
}

/* The lanes 0, 2, 4, ... of a, then those of b. */
FARM_INLINE Bytes bytes_even(Bytes a, Bytes b) { return (Bytes){a[0], a[2], b[0], b[2]}; }

/* The even lanes of a and then b, and their odd lanes. */
FARM_INLINE Pair bytes_deal(Bytes a, Bytes b) {
    return (Pair){{bytes_even(a, b), (Bytes){a[1], a[3], b[1], b[3]}}};
}

/* Lane i gets what lane i + first has, 0 <= first < LANES; the last ones may get anything. */
FARM_INLINE Bytes lanes_from(Bytes v, int32_t first) {
    uint32_t lanes[2 * LANES] = {v[0], v[1], v[2], v[3]};
    return bytes_load((const uint8_t *)(lanes + first));
}

/* The lanes 1, 3, 5, ... of a, then those of b. */
FARM_INLINE Bytes bytes_odd(Bytes a, Bytes b) { return (Bytes){a[1], a[3], b[1], b[3]}; }

/* The vector that begins `lanes` lanes behind p, less than LANES. here, next: those at p and LANES
 * lanes behind it, for targets that would rather not load once more. */
FARM_INLINE Bytes bytes_behind(const uint8_t *p, Bytes here, Bytes next, int32_t lanes) {
    (void)here;
    (void)next;
    return bytes_load_apart(p + lanes * 4);
}

/* Lane i of the result: the four bytes from i * step on. step: 1 or 2. */
FARM_INLINE Bytes bytes_windows(Bytes v, const int32_t step) {
    uint8_t bytes[sizeof v];
    Bytes windows;
    memcpy(bytes, &v, sizeof v);
    for (int32_t i = 0; i < LANES; i++) {
        windows[i] = word_load_anywhere(bytes + i * step);
    }
    return windows;
}

/* The first half of a, then the second half of b. */
FARM_INLINE Bytes bytes_halves(Bytes a, Bytes b) { return (Bytes){a[0], a[1], b[2], b[3]}; }

FARM_INLINE Words low_halves(Halves v) { return (Words)v << 16 >> 16; }

FARM_INLINE Words high_halves(Halves v) { return (Words)v >> 16; }

/* acc[i] += sum over j of x[i][j] * w[i][j]: u8 times s8. A single product fits 16 bits. */
FARM_INLINE Words dot_vectors(Words acc, Bytes x, Bytes weights) {
    Halves even = (Halves)(x & 0x00ff00ffu) * ((Halves)weights << 8 >> 8);
    Halves odd = (Halves)(x >> 8 & 0x00ff00ffu) * ((Halves)weights >> 8);
    return acc + low_halves(even) + high_halves(even) + low_halves(odd) + high_halves(odd);
}

/* acc[i] += sum over j of x[i][j] * w[j], w being the bytes of four_weights. */
FARM_INLINE Words dot(Words acc, Bytes x, int32_t four_weights) {
    return dot_vectors(acc, x, bytes_fill_word((uint32_t)four_weights));
}

FARM_INLINE Words words_clamp(Words v, int32_t lowest, int32_t highest) {
    Words below = v < lowest, above = v > highest;
    return (v & ~(below | above)) | (below & lowest) | (above & highest);
}

/* Four vectors of values within 0..255 to the bytes 0..3 of their lanes. */
FARM_INLINE Bytes words_to_bytes(Words a0, Words a1, Words a2, Words a3) {
    return (Bytes)(a0 | a1 << 8 | a2 << 16 | a3 << 24);
}

typedef struct {
    Words v[4];
} Multipliers; /* of four channels */

FARM_INLINE Words requantize1(Words acc, Words multiplier, int32_t shift, int32_t post_shift,
                              int32_t lowest, int32_t highest) {
    Words narrow = words_clamp(acc >> shift, -32768, 32767);
    Words high = (narrow * multiplier + (1 << 14)) >> 15;
    return words_clamp((high + (1 << post_shift >> 1)) >> post_shift, lowest, highest);
}

/* Lane i of the result holds channels 0..3 of position i, from their accumulators. */
FARM_INLINE Bytes requantize(Words a0, Words a1, Words a2, Words a3, Multipliers multipliers,
                             int32_t shift, int32_t post_shift, int32_t lowest, int32_t highest) {
    Words sums[4] = {a0, a1, a2, a3};
    for (int32_t i = 0; i < 4; i++) {
        sums[i] = requantize1(sums[i], multipliers.v[i], shift, post_shift, lowest, highest);
    }
    return words_to_bytes(sums[0], sums[1], sums[2], sums[3]);
}

/* The same with one multiplier for all lanes of a channel. */
FARM_INLINE Bytes requantize4(Words a0, Words a1, Words a2, Words a3, const int16_t *multiplier4,
                              int32_t shift, int32_t post_shift, int32_t lowest, int32_t highest) {
    Multipliers multipliers = {{words_fill(multiplier4[0]), words_fill(multiplier4[1]),
                                words_fill(multiplier4[2]), words_fill(multiplier4[3])}};
    return requantize(a0, a1, a2, a3, multipliers, shift, post_shift, lowest, highest);
}

/* clamp((a * first + b * second + offset) >> shift) of every byte. */
FARM_INLINE Bytes add_weighted_bytes(Bytes a, Bytes b, int32_t first, int32_t second,
                                     int32_t offset, int32_t shift, int32_t lowest,
                                     int32_t highest) {
    Words sums[4];
    for (int32_t i = 0; i < 4; i++) {
        Words from_a = (Words)(a >> 8 * i & 255u), from_b = (Words)(b >> 8 * i & 255u);
        Words sum = from_a * first + from_b * second + offset;
        sums[i] = words_clamp(sum >> shift, lowest, highest);
    }
    return words_to_bytes(sums[0], sums[1], sums[2], sums[3]);
}

/* Four taps of the same positions, turned so that a lane of v[c] holds the taps a, b, c, d of
 * channel c: a 4 x 4 transposition of bytes in every lane. */
FARM_INLINE Quad interleave(Bytes a, Bytes b, Bytes c, Bytes d) {
    Quad quad;
    for (int32_t i = 0; i < 4; i++) {
        quad.v[i] = (a >> 8 * i & 255u) | (b >> 8 * i & 255u) << 8 | (c >> 8 * i & 255u) << 16 |
                    (d >> 8 * i & 255u) << 24;
    }
    return quad;
}

/* Three taps of the same positions, joined so that a lane of v[c] holds taps of channel c, two
 * bytes of a and b, and then two of c: a0 b0 c0 c1, a1 b1 c0 c1, a2 b2 c2 c3 and a3 b3 c2 c3. */
FARM_INLINE Quad join_three(Bytes a, Bytes b, Bytes c) {
    return (Quad){{(a & 255u) | (b << 8 & 0xff00u) | c << 16,
                   (a >> 8 & 255u) | (b & 0xff00u) | c << 16,
                   (a >> 16 & 255u) | (b >> 8 & 0xff00u) | (c & 0xffff0000u),
                   a >> 24 | (b >> 16 & 0xff00u) | (c & 0xffff0000u)}};
}

/* The lanes of a and b by turns: those of the first halves, then of the second ones. */
FARM_INLINE Pair lanes_zip(Bytes a, Bytes b) {
    return (Pair){{(Bytes){a[0], b[0], a[1], b[1]}, (Bytes){a[2], b[2], a[3], b[3]}}};
}

/* Lanes that are outputs: lane i of the four sums of `requantize` is a channel of block i. */

/* Weights of LANES outputs for one word, as dot_word wants them. p: lifted by 128, at a multiple of
 * a vector. */
FARM_INLINE Bytes lane_weights(const uint8_t *p) {
    return bytes_load(p) ^ bytes_fill(128);
}

/* Words at a multiple of a vector. */
FARM_INLINE Words lane_words(const int32_t *p) { return (Words)bytes_load((const uint8_t *)p); }

/* acc[i] += sum over j of x[j] * w[i][j], x being the bytes of four. */
FARM_INLINE Words dot_word(Words acc, uint32_t four, Bytes weights) {
    return dot_vectors(acc, bytes_fill_word(four), weights);
}

FARM_INLINE Words words_subtract(Words a, Words b) { return a - b; }

FARM_INLINE Words words_shift_left(Words v, int32_t bits) { return v << bits; }

/* The multipliers of lanes: 32 of the first channels of blocks, of the second ones, and so on. */
FARM_INLINE Multipliers multipliers_of_lanes(const int16_t *multiplier) {
    Multipliers multipliers;
    for (int32_t i = 0; i < 4; i++) {
        const int16_t *p = multiplier + i * 32;
        multipliers.v[i] = (Words){p[0], p[1], p[2], p[3]};
    }
    return multipliers;
}

#endif
