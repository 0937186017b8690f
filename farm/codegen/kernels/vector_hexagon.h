/* The vector interface of vector.h for a Hexagon without HVX: pairs of scalar registers, whose
 * vrmpy does eight products of u8 and s8. Doublewords are loaded as two words, because tensors
 * are aligned to four bytes only.
 */
#ifndef FARM_VECTOR_HEXAGON_H
#define FARM_VECTOR_HEXAGON_H

#include <hexagon_protos.h>

#include "common.h"

#define LANES 2
#define TILE 2
#define LANE_TILE 2 /* positions at once where lanes are outputs */
#define DOT_WORD_LIFT 0

typedef int64_t Bytes; /* LANES positions x 4 channels of u8 */
typedef int64_t Words; /* LANES positions of s32 */
typedef struct {
    Bytes v[4];
} Quad; /* LANES positions of 4 taps, one vector per channel */
typedef struct {
    Bytes v[2];
} Pair; /* even and odd ones of 2 * LANES positions */

FARM_INLINE Bytes bytes_load(const uint8_t *p) {
    return Q6_P_combine_RR((int32_t)word_load(p + 4), (int32_t)word_load(p));
}

FARM_INLINE Bytes bytes_load_apart(const uint8_t *p) { return bytes_load(p); }

FARM_INLINE void bytes_store(uint8_t *p, Bytes v) {
    word_store(p, (uint32_t)v);
    word_store(p + 4, (uint32_t)(v >> 32));
}

/* The same at a multiple of 4 * LANES. */
FARM_INLINE void bytes_store_aligned(uint8_t *p, Bytes v) { bytes_store(p, v); }

/* Writes the first 4 * positions bytes only; 0 < positions <= LANES. */
FARM_INLINE void bytes_store_part(uint8_t *p, Bytes v, int32_t positions) {
    word_store(p, (uint32_t)v);
    if (positions > 1) {
        word_store(p + 4, (uint32_t)(v >> 32));
    }
}

/* The weights of four channels for one word: four words, at a multiple of 16 bytes. */
FARM_INLINE void weights_load(int32_t four_weights[4], const int32_t *p) {
    for (int32_t o = 0; o < 4; o++) {
        four_weights[o] = p[o];
    }
}

FARM_INLINE Words words_fill(int32_t value) { return Q6_P_combine_RR(value, value); }

FARM_INLINE void words_store(int32_t *p, Words v) { bytes_store((uint8_t *)p, v); }

FARM_INLINE Bytes bytes_fill_word(uint32_t four) { return words_fill((int32_t)four); }

FARM_INLINE Bytes bytes_fill(uint8_t value) { return bytes_fill_word(value * 0x01010101u); }

/* Bytes of `yes` where the mask is 255, of `no` where it is 0. */
FARM_INLINE Bytes bytes_select(Bytes mask, Bytes yes, Bytes no) {
    return (mask & yes) | (~mask & no);
}

/* The lanes 0, 2, 4, ... of a, then those of b. */
FARM_INLINE Bytes bytes_even(Bytes a, Bytes b) {
    return Q6_P_combine_RR((int32_t)b, (int32_t)a);
}

/* The even lanes of a and then b, and their odd lanes. */
FARM_INLINE Pair bytes_deal(Bytes a, Bytes b) {
    return (Pair){{bytes_even(a, b),
                   Q6_P_combine_RR((int32_t)(b >> 32), (int32_t)(a >> 32))}};
}

/* Lane i gets what lane i + first has, 0 <= first < LANES; the last ones may get anything. */
FARM_INLINE Bytes lanes_from(Bytes v, int32_t first) {
    return v >> 32 * first;
}

/* The lanes 1, 3, 5, ... of a, then those of b. */
FARM_INLINE Bytes bytes_odd(Bytes a, Bytes b) {
    return Q6_P_combine_RR((int32_t)(b >> 32), (int32_t)(a >> 32));
}

/* The vector that begins `lanes` lanes behind p, less than LANES. here, next: those at p and LANES
 * lanes behind it, for targets that would rather not load once more. */
FARM_INLINE Bytes bytes_behind(const uint8_t *p, Bytes here, Bytes next, int32_t lanes) {
    (void)here;
    (void)next;
    return bytes_load_apart(p + lanes * 4);
}

/* Lane i of the result: the four bytes from i * step on. step: 1 or 2. */
FARM_INLINE Bytes bytes_windows(Bytes v, const int32_t step) {
    return Q6_P_combine_RR((int32_t)(v >> 8 * step), (int32_t)v);
}

/* The first half of a, then the second half of b. */
FARM_INLINE Bytes bytes_halves(Bytes a, Bytes b) {
    return Q6_P_combine_RR((int32_t)(b >> 32), (int32_t)a);
}

/* acc[i] += sum over j of x[i][j] * w[i][j]: u8 times s8. */
FARM_INLINE Words dot_vectors(Words acc, Bytes x, Bytes weights) {
    return Q6_P_vrmpybsuacc_PP(acc, weights, x);
}

/* acc[i] += sum over j of x[i][j] * w[j], w being the bytes of four_weights. */
FARM_INLINE Words dot(Words acc, Bytes x, int32_t four_weights) {
    return dot_vectors(acc, x, words_fill(four_weights));
}

FARM_INLINE Bytes bytes_clamp(Bytes v, int32_t lowest, int32_t highest) {
    v = lowest > 0 ? Q6_P_vmaxub_PP(v, bytes_fill((uint8_t)lowest)) : v;
    return highest < 255 ? Q6_P_vminub_PP(v, bytes_fill((uint8_t)highest)) : v;
}

typedef struct {
    int32_t v[4];
} Multipliers; /* of four channels: two lanes */

/* Two channels to bytes: both positions of the first, then of the second. The rounding before the
 * last shift saturates, which changes nothing: results beyond 255 are cut off anyway. */
FARM_INLINE int32_t requantize2(Words a, Words b, const int32_t *multiplier2, int32_t shift,
                                int32_t post_shift) {
    const int32_t half = (1 << post_shift >> 1) * 0x00010001;
    int32_t first = Q6_R_vsatwh_P(Q6_P_vasrw_PR(a, shift));
    int32_t second = Q6_R_vsatwh_P(Q6_P_vasrw_PR(b, shift));
    first = Q6_R_vmpyh_RR_s1_rnd_sat(first, multiplier2[0]);
    second = Q6_R_vmpyh_RR_s1_rnd_sat(second, multiplier2[1]);
    int64_t both = Q6_P_vaddh_PP_sat(Q6_P_combine_RR(second, first), words_fill(half));
    return Q6_R_vsathub_P(Q6_P_vasrh_PR(both, post_shift));
}

/* Lane i of the result holds channels 0..3 of position i, from their accumulators. */
FARM_INLINE Bytes requantize(Words a0, Words a1, Words a2, Words a3, Multipliers multipliers,
                             int32_t shift, int32_t post_shift, int32_t lowest, int32_t highest) {
    int32_t low = requantize2(a0, a1, multipliers.v, shift, post_shift);
    int32_t high = requantize2(a2, a3, multipliers.v + 2, shift, post_shift);
    int64_t all = Q6_P_combine_RR(high, low);
    return bytes_clamp(Q6_P_combine_RR(Q6_R_vtrunohb_P(all), Q6_R_vtrunehb_P(all)), lowest,
                       highest);
}

/* The same with one multiplier for all lanes of a channel. */
FARM_INLINE Bytes requantize4(Words a0, Words a1, Words a2, Words a3, const int16_t *multiplier4,
                              int32_t shift, int32_t post_shift, int32_t lowest, int32_t highest) {
    Multipliers multipliers;
    for (int32_t i = 0; i < 4; i++) {
        multipliers.v[i] = multiplier4[i] * 0x00010001;
    }
    return requantize(a0, a1, a2, a3, multipliers, shift, post_shift, lowest, highest);
}

/* Two bytes, given as 16 bits each, of a and b. */
FARM_INLINE int32_t add_weighted_halves(int32_t a, int32_t b, int64_t factors, int32_t offset,
                                        int32_t shift) {
    int64_t sums = Q6_P_vdmpyacc_PP_sat(words_fill(offset), Q6_P_packhl_RR(b, a), factors);
    return Q6_R_vsatwh_P(Q6_P_vasrw_PR(sums, shift));
}

FARM_INLINE int32_t add_weighted_word(int32_t a, int32_t b, int64_t factors, int32_t offset,
                                      int32_t shift) {
    int64_t wide_a = Q6_P_vzxtbh_R(a), wide_b = Q6_P_vzxtbh_R(b);
    int32_t low =
        add_weighted_halves((int32_t)wide_a, (int32_t)wide_b, factors, offset, shift);
    int32_t high = add_weighted_halves((int32_t)(wide_a >> 32), (int32_t)(wide_b >> 32), factors,
                                       offset, shift);
    return Q6_R_vsathub_P(Q6_P_combine_RR(high, low));
}

/* clamp((a * first + b * second + offset) >> shift) of every byte. */
FARM_INLINE Bytes add_weighted_bytes(Bytes a, Bytes b, int32_t first, int32_t second,
                                     int32_t offset, int32_t shift, int32_t lowest,
                                     int32_t highest) {
    const int64_t factors = words_fill((first & 0xffff) | (int32_t)((uint32_t)second << 16));
    int32_t low = add_weighted_word((int32_t)a, (int32_t)b, factors, offset, shift);
    int32_t high =
        add_weighted_word((int32_t)(a >> 32), (int32_t)(b >> 32), factors, offset, shift);
    return bytes_clamp(Q6_P_combine_RR(high, low), lowest, highest);
}

/* Four taps of the same positions, turned so that a lane of v[c] holds the taps a, b, c, d of
 * channel c: a 4 x 4 transposition of bytes in every lane. */
FARM_INLINE Quad interleave(Bytes a, Bytes b, Bytes c, Bytes d) {
    int64_t ab_even = Q6_P_shuffeb_PP(b, a), cd_even = Q6_P_shuffeb_PP(d, c);
    int64_t ab_odd = Q6_P_shuffob_PP(b, a), cd_odd = Q6_P_shuffob_PP(d, c);
    return (Quad){{Q6_P_shuffeh_PP(cd_even, ab_even), Q6_P_shuffeh_PP(cd_odd, ab_odd),
                   Q6_P_shuffoh_PP(cd_even, ab_even), Q6_P_shuffoh_PP(cd_odd, ab_odd)}};
}

/* Three taps of the same positions, joined so that a lane of v[c] holds taps of channel c, two
 * bytes of a and b, and then two of c: a0 b0 c0 c1, a1 b1 c0 c1, a2 b2 c2 c3 and a3 b3 c2 c3. */
FARM_INLINE Quad join_three(Bytes a, Bytes b, Bytes c) {
    int64_t even = Q6_P_shuffeb_PP(b, a), odd = Q6_P_shuffob_PP(b, a);
    return (Quad){{Q6_P_shuffeh_PP(c, even), Q6_P_shuffeh_PP(c, odd), Q6_P_shuffoh_PP(c, even),
                   Q6_P_shuffoh_PP(c, odd)}};
}

/* The lanes of a and b by turns: those of the first halves, then of the second ones. */
FARM_INLINE Pair lanes_zip(Bytes a, Bytes b) {
    return (Pair){{Q6_P_combine_RR((int32_t)b, (int32_t)a),
                   Q6_P_combine_RR((int32_t)(b >> 32), (int32_t)(a >> 32))}};
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

FARM_INLINE Words words_subtract(Words a, Words b) { return Q6_P_vsubw_PP(a, b); }

FARM_INLINE Words words_shift_left(Words v, int32_t bits) { return Q6_P_vaslw_PR(v, bits); }

/* The multipliers of lanes: 32 of the first channels of blocks, of the second ones, and so on. */
FARM_INLINE Multipliers multipliers_of_lanes(const int16_t *multiplier) {
    Multipliers multipliers;
    for (int32_t i = 0; i < 4; i++) {
        multipliers.v[i] = (int32_t)word_load((const uint8_t *)(multiplier + i * 32));
    }
    return multipliers;
}

#endif
