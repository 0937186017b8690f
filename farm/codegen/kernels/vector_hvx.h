/* The vector interface of vector.h for Hexagon with HVX, 128-byte vectors (V66 and later).
 *
 * vrmpy multiplies all lanes with four weights from one scalar register; two of them fit into a
 * packet along with a load. Unaligned loads and stores take as many packets as aligned ones, but
 * the memory system more time when they cross a 128-byte line.
 */
#ifndef FARM_VECTOR_HVX_H
#define FARM_VECTOR_HVX_H

#include <hexagon_types.h>

#include <hexagon_protos.h>
#include <hvx_hexagon_protos.h>

#include "common.h"

#define LANES 32
#define TILE 4
#define LANE_TILE 6 /* positions at once where lanes are outputs */
#define DOT_WORD_LIFT 128

typedef HVX_Vector Bytes; /* LANES positions x 4 channels of u8 */
typedef HVX_Vector Words; /* LANES positions of s32 */
typedef struct {
    Bytes v[4];
} Quad; /* LANES positions of 4 taps, one vector per channel */
typedef struct {
    Bytes v[2];
} Pair; /* even and odd ones of 2 * LANES positions */

typedef int64_t FourHalves __attribute__((may_alias));
typedef int32_t AnywhereVector __attribute__((vector_size(128), aligned(1), may_alias));

FARM_INLINE Bytes bytes_load(const uint8_t *p) { return (Bytes) * (const AnywhereVector *)p; }

/* volatile: clang would rather load whole lines of 128 bytes, for neighbours together, and shift
 * them, which takes more packets in loops of products.
 */
FARM_INLINE Bytes bytes_load_apart(const uint8_t *p) {
    return (Bytes) * (const volatile AnywhereVector *)p;
}

FARM_INLINE void bytes_store(uint8_t *p, Bytes v) { *(AnywhereVector *)p = (AnywhereVector)v; }

/* The same at a multiple of 128: leaves room for more in its packet. */
FARM_INLINE void bytes_store_aligned(uint8_t *p, Bytes v) { *(HVX_Vector *)p = v; }

/* Writes the first bytes only; 0 < bytes <= 128. They may lie in two lines of 128 bytes; a
 * predicated store leaves the other bytes of its line alone.
 */
FARM_INLINE void bytes_store_first(uint8_t *p, Bytes v, int32_t bytes) {
    int32_t first = (int32_t)((uintptr_t)p & 127), last = first + bytes;
    HVX_Vector *line = (HVX_Vector *)(p - first);
    Bytes rotated = Q6_V_vlalign_VVR(v, v, first);
    HVX_VectorPred before = Q6_Q_vsetq_R(first);
    if (last > 128) {
        Q6_vmem_QnRIV(before, line, rotated);
        Q6_vmem_QRIV(Q6_Q_vsetq2_R(last - 128), line + 1, rotated);
    } else {
        Q6_vmem_QRIV(Q6_Q_and_QQn(Q6_Q_vsetq2_R(last), before), line, rotated);
    }
}

/* The first bytes at p, at most 128. Reads no line of 128 bytes in which there is none of them. */
FARM_INLINE Bytes bytes_load_first(const void *p, int32_t bytes) {
    const uint8_t *begin = p, *last = begin + bytes - 1;
    if (bytes >= 4 * LANES) {
        return bytes_load(begin);
    }
    const HVX_Vector *first_line = (const HVX_Vector *)((uintptr_t)begin & ~(uintptr_t)127);
    const HVX_Vector *last_line = (const HVX_Vector *)((uintptr_t)last & ~(uintptr_t)127);
    return Q6_V_valign_VVR(*last_line, *first_line, (int32_t)(uintptr_t)begin);
}

/* Writes the first bytes; a vector if there are as many. */
FARM_INLINE void bytes_store_most(void *p, Bytes v, int32_t bytes) {
    if (bytes >= 4 * LANES) {
        bytes_store(p, v);
    } else {
        bytes_store_first(p, v, bytes);
    }
}

/* Writes the first 4 * positions bytes only; 0 < positions <= LANES. */
FARM_INLINE void bytes_store_part(uint8_t *p, Bytes v, int32_t positions) {
    bytes_store_first(p, v, 4 * positions);
}

/* The weights of four channels for one word: four words, at a multiple of 16 bytes.
 * Two words in one load leave more room in the packets of products.
 */
FARM_INLINE void weights_load(int32_t four_weights[4], const int32_t *p) {
    const int64_t *pairs = __builtin_assume_aligned(p, 8);
    for (int32_t o = 0; o < 4; o += 2) {
        int64_t pair = pairs[o / 2];
        four_weights[o] = (int32_t)pair;
        four_weights[o + 1] = (int32_t)(pair >> 32);
    }
}

FARM_INLINE Words words_fill(int32_t value) { return Q6_V_vsplat_R(value); }

FARM_INLINE void words_store(int32_t *p, Words v) { bytes_store((uint8_t *)p, v); }

FARM_INLINE Bytes bytes_fill(uint8_t value) { return Q6_V_vsplat_R((int32_t)(value * 0x01010101u)); }

FARM_INLINE Bytes bytes_fill_word(uint32_t four) { return Q6_V_vsplat_R((int32_t)four); }

/* a where the bytes of the mask are 255, b where they are 0. */
FARM_INLINE Bytes bytes_select(Bytes mask, Bytes a, Bytes b) {
    return Q6_V_vmux_QVV(Q6_Q_vand_VR(mask, -1), a, b);
}

/* The lanes 0, 2, 4, ... of a, then those of b. */
FARM_INLINE Bytes bytes_even(Bytes a, Bytes b) { return Q6_V_lo_W(Q6_W_vdeal_VVR(b, a, -4)); }

/* The even lanes of a and then b, and their odd lanes. */
FARM_INLINE Pair bytes_deal(Bytes a, Bytes b) {
    HVX_VectorPair dealt = Q6_W_vdeal_VVR(b, a, -4);
    return (Pair){{Q6_V_lo_W(dealt), Q6_V_hi_W(dealt)}};
}

/* Lane i gets what lane i + first has, 0 <= first < LANES; the last ones may get anything. */
FARM_INLINE Bytes lanes_from(Bytes v, int32_t first) {
    return Q6_V_vror_VR(v, first * 4);
}

/* The lanes 1, 3, 5, ... of a, then those of b. */
FARM_INLINE Bytes bytes_odd(Bytes a, Bytes b) { return Q6_V_hi_W(Q6_W_vdeal_VVR(b, a, -4)); }

/* The vector that begins `lanes` lanes behind p, less than LANES. here, next: those at p and LANES
 * lanes behind it. */
FARM_INLINE Bytes bytes_behind(const uint8_t *p, Bytes here, Bytes next, int32_t lanes) {
    (void)p;
    return lanes == 0 ? here : Q6_V_valign_VVR(next, here, lanes * 4);
}

/* Lane i of the result: the four bytes from i * step on. step: 1 or 2. */
FARM_INLINE Bytes bytes_windows(Bytes v, const int32_t step) {
    if (step == 2) {
        return Q6_V_lo_W(Q6_W_vshuff_VVR(Q6_V_vror_VR(v, 2), v, -2));
    }
    HVX_Vector pairs = Q6_V_lo_W(Q6_W_vshuff_VVR(Q6_V_vror_VR(v, 1), v, -1));
    return Q6_V_lo_W(Q6_W_vshuff_VVR(Q6_V_vror_VR(pairs, 4), pairs, -2));
}

/* The first half of a, then the second half of b. */
FARM_INLINE Bytes bytes_halves(Bytes a, Bytes b) { return Q6_V_vmux_QVV(Q6_Q_vsetq_R(64), a, b); }

/* acc[i] += sum over j of x[i][j] * w[j], w being the bytes of four_weights. */
FARM_INLINE Words dot(Words acc, Bytes x, int32_t four_weights) {
    return Q6_Vw_vrmpyacc_VwVubRb(acc, x, four_weights);
}

/* acc[i] += sum over j of x[i][j] * w[i][j]: u8 times s8. */
FARM_INLINE Words dot_vectors(Words acc, Bytes x, Bytes weights) {
    return Q6_Vw_vrmpyacc_VwVubVb(acc, x, weights);
}

FARM_INLINE Bytes bytes_clamp(Bytes v, int32_t lowest, int32_t highest) {
    if (lowest > 0) v = Q6_Vub_vmax_VubVub(v, bytes_fill((uint8_t)lowest));
    if (highest < 255) v = Q6_Vub_vmin_VubVub(v, bytes_fill((uint8_t)highest));
    return v;
}

/* Of the channels (0, 2) and (1, 3) of every lane. */
typedef struct {
    HVX_Vector even, odd;
} Multipliers;

/* Lane i of the result holds channels 0..3 of position i, from their accumulators. Narrowing two
 * vectors alternates their lanes: words to halves gives channels (0, 2) and (1, 3), halves to
 * bytes then (0, 1, 2, 3).
 */
FARM_INLINE Bytes requantize(Words a0, Words a1, Words a2, Words a3, Multipliers multipliers,
                             int32_t shift, int32_t post_shift, int32_t lowest, int32_t highest) {
    HVX_Vector even = Q6_Vh_vasr_VwVwR_sat(a2, a0, shift);
    HVX_Vector odd = Q6_Vh_vasr_VwVwR_sat(a3, a1, shift);
    even = Q6_Vh_vmpy_VhVh_s1_rnd_sat(even, multipliers.even);
    odd = Q6_Vh_vmpy_VhVh_s1_rnd_sat(odd, multipliers.odd);
    return bytes_clamp(Q6_Vub_vasr_VhVhR_rnd_sat(odd, even, post_shift), lowest, highest);
}

/* The same with one multiplier for all lanes of a channel. */
FARM_INLINE Bytes requantize4(Words a0, Words a1, Words a2, Words a3, const int16_t *multiplier4,
                              int32_t shift, int32_t post_shift, int32_t lowest, int32_t highest) {
    const int64_t four = *(const FourHalves *)multiplier4;
    int32_t multiplier02 = Q6_R_combine_RlRl((int32_t)(four >> 32), (int32_t)four);
    int32_t multiplier13 = Q6_R_combine_RhRh((int32_t)(four >> 32), (int32_t)four);
    HVX_Vector even = Q6_Vh_vasr_VwVwR_sat(a2, a0, shift);
    HVX_Vector odd = Q6_Vh_vasr_VwVwR_sat(a3, a1, shift);
    even = Q6_Vh_vmpy_VhRh_s1_rnd_sat(even, multiplier02);
    odd = Q6_Vh_vmpy_VhRh_s1_rnd_sat(odd, multiplier13);
    return bytes_clamp(Q6_Vub_vasr_VhVhR_rnd_sat(odd, even, post_shift), lowest, highest);
}

/* clamp((a * first + b * second + offset) >> shift) of every byte: pairs (a, b) of halves are
 * multiplied with the pair (first, second).
 */
FARM_INLINE Bytes add_weighted_bytes(Bytes a, Bytes b, int32_t first, int32_t second,
                                     int32_t offset, int32_t shift, int32_t lowest,
                                     int32_t highest) {
    int32_t factors = Q6_R_combine_RlRl(second, first);
    HVX_VectorPair from_a = Q6_Wuh_vzxt_Vub(a), from_b = Q6_Wuh_vzxt_Vub(b);
    HVX_VectorPair even = Q6_Wh_vshuffoe_VhVh(Q6_V_lo_W(from_b), Q6_V_lo_W(from_a));
    HVX_VectorPair odd = Q6_Wh_vshuffoe_VhVh(Q6_V_hi_W(from_b), Q6_V_hi_W(from_a));
    Words start = words_fill(offset);
    Words sum0 = Q6_Vw_vdmpyacc_VwVhRh_sat(start, Q6_V_lo_W(even), factors);
    Words sum1 = Q6_Vw_vdmpyacc_VwVhRh_sat(start, Q6_V_lo_W(odd), factors);
    Words sum2 = Q6_Vw_vdmpyacc_VwVhRh_sat(start, Q6_V_hi_W(even), factors);
    Words sum3 = Q6_Vw_vdmpyacc_VwVhRh_sat(start, Q6_V_hi_W(odd), factors);
    HVX_Vector low = Q6_Vh_vasr_VwVwR_sat(sum2, sum0, shift);
    HVX_Vector high = Q6_Vh_vasr_VwVwR_sat(sum3, sum1, shift);
    return bytes_clamp(Q6_Vub_vsat_VhVh(high, low), lowest, highest);
}

/* Four taps of the same positions, turned so that a lane of v[c] holds the taps a, b, c, d of
 * channel c: a 4 x 4 transposition of bytes in every lane.
 */
FARM_INLINE Quad interleave(Bytes a, Bytes b, Bytes c, Bytes d) {
    HVX_VectorPair ab = Q6_Wb_vshuffoe_VbVb(b, a), cd = Q6_Wb_vshuffoe_VbVb(d, c);
    HVX_VectorPair even = Q6_Wh_vshuffoe_VhVh(Q6_V_lo_W(cd), Q6_V_lo_W(ab));
    HVX_VectorPair odd = Q6_Wh_vshuffoe_VhVh(Q6_V_hi_W(cd), Q6_V_hi_W(ab));
    return (Quad){{Q6_V_lo_W(even), Q6_V_lo_W(odd), Q6_V_hi_W(even), Q6_V_hi_W(odd)}};
}

/* Three taps of the same positions, joined so that a lane of v[c] holds taps of channel c, two
 * bytes of a and b, and then two of c: a0 b0 c0 c1, a1 b1 c0 c1, a2 b2 c2 c3 and a3 b3 c2 c3. */
FARM_INLINE Quad join_three(Bytes a, Bytes b, Bytes c) {
    HVX_VectorPair ab = Q6_Wb_vshuffoe_VbVb(b, a);
    HVX_VectorPair even = Q6_Wh_vshuffoe_VhVh(c, Q6_V_lo_W(ab));
    HVX_VectorPair odd = Q6_Wh_vshuffoe_VhVh(c, Q6_V_hi_W(ab));
    return (Quad){{Q6_V_lo_W(even), Q6_V_lo_W(odd), Q6_V_hi_W(even), Q6_V_hi_W(odd)}};
}

/* The lanes of a and b by turns: those of the first halves, then of the second ones. */
FARM_INLINE Pair lanes_zip(Bytes a, Bytes b) {
    HVX_VectorPair zipped = Q6_W_vshuff_VVR(b, a, -4);
    return (Pair){{Q6_V_lo_W(zipped), Q6_V_hi_W(zipped)}};
}

/* Lanes that are outputs: lane i of the four sums of `requantize` is a channel of block i. There
 * is no product of s8 with the u8 of a scalar register, so weights stay lifted by 128; what sums
 * are too large by then is the same for all outputs. */

/* Weights of LANES outputs for one word, as dot_word wants them. p: lifted by 128, at a multiple of
 * a vector. */
FARM_INLINE Bytes lane_weights(const uint8_t *p) {
    return *(const HVX_Vector *)p;
}

/* Words at a multiple of a vector. */
FARM_INLINE Words lane_words(const int32_t *p) { return *(const HVX_Vector *)p; }

/* acc[i] += sum over j of x[j] * w[i][j], x being the bytes of four, and DOT_WORD_LIFT times the
 * sum of x. */
FARM_INLINE Words dot_word(Words acc, uint32_t four, Bytes weights) {
    return Q6_Vuw_vrmpyacc_VuwVubRub(acc, weights, (int32_t)four);
}

FARM_INLINE Words words_subtract(Words a, Words b) { return Q6_Vw_vsub_VwVw(a, b); }

FARM_INLINE Words words_shift_left(Words v, int32_t bits) { return Q6_Vw_vasl_VwR(v, bits); }

/* The multipliers of lanes: 32 of the first channels of blocks, of the second ones, and so on. */
FARM_INLINE Multipliers multipliers_of_lanes(const int16_t *multiplier) {
    Bytes first = bytes_load((const uint8_t *)multiplier);
    Bytes second = bytes_load((const uint8_t *)(multiplier + 64));
    HVX_VectorPair both = Q6_W_vshuff_VVR(second, first, -2);
    return (Multipliers){Q6_V_lo_W(both), Q6_V_hi_W(both)};
}

#endif
