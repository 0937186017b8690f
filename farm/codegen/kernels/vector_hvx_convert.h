/* Rows of floats to u8 and back for HVX, whose vectors have no floats before V68: exact integer
 * arithmetic on their bits, with the results that quantize_value and dequantize_value have.
 */
#ifndef FARM_VECTOR_HVX_CONVERT_H
#define FARM_VECTOR_HVX_CONVERT_H

#include "vector.h"

FARM_INLINE HVX_Vector bits_fill(uint32_t bits) { return Q6_V_vsplat_R((int32_t)bits); }

/* x = m * 2^(e - 150) and inverse = M * 2^(E - 150), m and M having 24 bits, have the product
 * p * 2^-shift with p = (m * M << 7) * 2^-32 and shift = 275 - E - e, which gets rounded to 24
 * bits before it is rounded to an integer. From 13 on, x of a larger shift than 24 becomes 0, and
 * below it saturates; for such x the shift stops there. */
enum { QUANTIZE_LEAST_SHIFT = 13, QUANTIZE_MOST_SHIFT = 24 };

FARM_INLINE int32_t quantize_exponent(uint32_t inverse, int32_t shift) {
    return 275 - (int32_t)(inverse >> 23) - shift;
}

/* Whether the shifts that matter belong to exponents of normal numbers. */
FARM_INLINE int32_t quantize_fits_vectors(uint32_t inverse) {
    return quantize_exponent(inverse, QUANTIZE_MOST_SHIFT) > 0 &&
           quantize_exponent(inverse, QUANTIZE_LEAST_SHIFT) < 255;
}

/* Twice the rounded product of 32 numbers and inverse, or twice and one less: what half of it is
 * when 1 is added and the rest cut off. Only the first `count` numbers are read, one at least. */
FARM_INLINE HVX_Vector quantize_doubled(const float *numbers, int32_t count, uint32_t inverse) {
    const HVX_Vector x = bytes_load_first(numbers, 4 * count);
    const uint32_t least = (uint32_t)quantize_exponent(inverse, QUANTIZE_MOST_SHIFT) << 23;
    const uint32_t most = (uint32_t)quantize_exponent(inverse, QUANTIZE_LEAST_SHIFT) << 23;
    HVX_Vector size = Q6_V_vand_VV(x, bits_fill(0x7fffffff));
    size = Q6_Vw_vmin_VwVw(Q6_Vw_vmax_VwVw(size, bits_fill(least)), bits_fill(most | 0x7fffff));
    HVX_Vector exponent = Q6_Vuw_vlsr_VuwR(size, 23);
    HVX_Vector m = Q6_V_vand_VV(x, bits_fill(0x7fffff));
    m = Q6_V_vor_VV(m, bits_fill(0x800000));
    const HVX_Vector factor = bits_fill(((inverse & 0x7fffff) | 0x800000) << 7);
    HVX_VectorPair p = Q6_W_vmpyoacc_WVwVh(Q6_W_vmpye_VwVuh(factor, m), factor, m);
    HVX_Vector high = Q6_V_hi_W(p), low = Q6_V_lo_W(p);

    /* Both roundings are one: a product goes up from n if it is n + 1/2 or more, where a product
     * rounds to n + 1/2 from half a unit of its last place below if n is odd, for then n + 1/2 goes
     * up, and from there to half a unit above goes down with it if n is even. half: of that unit,
     * in `low`. */
    const HVX_Vector lift = bits_fill((uint32_t)quantize_exponent(inverse, 31));
    HVX_Vector is_odd = Q6_Vw_vasl_VwVw(high, Q6_Vw_vsub_VwVw(exponent, lift));
    is_odd = Q6_Vw_vasr_VwR(is_odd, 31);
    HVX_Vector half = Q6_V_vmux_QVV(Q6_Q_vcmp_gt_VwVw(high, bits_fill(0x3fffff)),
                                    bits_fill(0x40000000), bits_fill(0x20000000));
    HVX_VectorPred carry = Q6_Q_vcmp_gt_VuwVuw(low, Q6_V_vxor_VV(half, is_odd));
    high = Q6_Vw_vsub_VwVwQ_carry(high, is_odd, &carry);
    const HVX_Vector drop = bits_fill((uint32_t)quantize_exponent(inverse, 1));
    high = Q6_Vw_vasr_VwVw(high, Q6_Vw_vsub_VwVw(drop, exponent));

    /* Negative numbers, among which is what is not a number, too. */
    HVX_VectorPred is_negative = Q6_Q_vcmp_gt_VuwVuw(x, bits_fill(0x7f800000));
    return Q6_V_vxor_VV(high, Q6_V_vand_QR(is_negative, -1));
}

FARM_INLINE HVX_Vector quantize_halves(HVX_Vector doubled, int32_t zero_point) {
    return Q6_Vh_vavg_VhVh_rnd(doubled, bits_fill((uint32_t)zero_point * 0x00020002u));
}

/* What quantize_doubled gives, four vectors of it, to bytes in their order. */
FARM_INLINE Bytes quantize_narrow(const HVX_Vector n[4], int32_t zero_point) {
    HVX_Vector first = quantize_halves(Q6_Vh_vpacke_VwVw(n[1], n[0]), zero_point);
    HVX_Vector second = quantize_halves(Q6_Vh_vpacke_VwVw(n[3], n[2]), zero_point);
    return Q6_Vub_vpack_VhVh_sat(second, first);
}

/* Runs a statement for `step` elements at a time of `size`, or once for all if they are fewer. The
 * last time begins early enough to end with the last element. */
#define IN_STEPS(size, step, i, count, statement)                                              \
    if ((size) >= (step)) {                                                                    \
        for (int32_t next = 0; next < (size); next += (step)) {                                \
            const int32_t i = int_min(next, (size) - (step)), count = (step);                  \
            statement;                                                                         \
        }                                                                                      \
    } else {                                                                                   \
        const int32_t i = 0, count = (size);                                                   \
        statement;                                                                             \
    }

/* inverse: bits of a number for which quantize_fits_vectors, here and below. */
FARM_INLINE void quantize_some(const float *x, uint8_t *y, const int32_t count, uint32_t inverse,
                               int32_t zero_point) {
    HVX_Vector n[4];
    for (int32_t v = 0; v < 4; v++) {
        const int32_t at = v * LANES;
        n[v] = at < count ? quantize_doubled(x + at, count - at, inverse) : n[0];
    }
    bytes_store_most(y, quantize_narrow(n, zero_point), count);
}

/* A row. */
FARM_INLINE void quantize_vectors(const float *x, uint8_t *y, int32_t size, uint32_t inverse,
                                  int32_t zero_point) {
    IN_STEPS(size, 4 * LANES, i, count,
             quantize_some(x + i, y + i, count, inverse, zero_point))
}

/* Some positions of a block, up to a vector; channels: of the block. */
FARM_INLINE void quantize_four(const float *x, uint8_t *y, int32_t channels, int32_t positions,
                               const int32_t count, uint32_t inverse, int32_t zero_point) {
    HVX_Vector n[4];
    for (int32_t c = 0; c < 4; c++) {
        const int32_t channel = int_min(c, channels - 1);
        n[c] = quantize_doubled(x + channel * positions, count, inverse);
    }
    HVX_Vector even = quantize_halves(Q6_Vh_vshuffe_VhVh(n[2], n[0]), zero_point);
    HVX_Vector odd = quantize_halves(Q6_Vh_vshuffe_VhVh(n[3], n[1]), zero_point);
    bytes_store_most(y, Q6_Vub_vsat_VhVh(odd, even), 4 * count);
}

/* From channels first to blocks. The last channel also fills up its block. */
FARM_INLINE void quantize_planes(const float *x, uint8_t *y, int32_t channels, int32_t positions,
                                 uint32_t inverse, int32_t zero_point) {
    for (int32_t first = 0; first < channels; first += 4) {
        IN_STEPS(positions, LANES, i, count,
                 quantize_four(x + i, y + 4 * i, channels - first, positions, count, inverse,
                               zero_point))
        x += 4 * positions;
        y += 4 * positions;
    }
}

/* For vdelta: three bytes of every four come from three in a row. */
static const uint8_t THREE_IN_FOUR[128] __attribute__((aligned(128))) = {
    0, 0, 0, 0, 1, 3, 1, 6, 2, 2, 6, 4, 3, 5, 13, 12,
    4, 4, 4, 0, 13, 15, 9, 10, 6, 2, 10, 8, 27, 25, 25, 24,
    8, 8, 8, 8, 9, 11, 1, 6, 26, 26, 30, 28, 19, 21, 21, 20,
    12, 12, 4, 0, 21, 23, 17, 18, 54, 50, 50, 48, 51, 49, 49, 48,
    16, 16, 16, 16, 17, 19, 17, 22, 18, 18, 22, 20, 3, 5, 13, 12,
    52, 52, 52, 48, 61, 63, 57, 58, 38, 34, 42, 40, 43, 41, 41, 40,
    24, 24, 24, 24, 9, 11, 1, 6, 42, 42, 46, 44, 35, 37, 37, 36,
    108, 108, 100, 96, 101, 103, 97, 98, 102, 98, 98, 96, 99, 97, 97, 96};

/* Up to three channels of positions in a row, each position to a word of its own. */
FARM_INLINE Bytes spread_channels(Bytes v, const int32_t channels) {
    switch (channels) {
    case 1:
        return Q6_V_lo_W(Q6_Wuw_vunpack_Vuh(Q6_V_lo_W(Q6_Wuh_vunpack_Vub(v))));
    case 2:
        return Q6_V_lo_W(Q6_Wuw_vunpack_Vuh(v));
    default:
        return Q6_V_vdelta_VV(v, *(const HVX_Vector *)THREE_IN_FOUR);
    }
}

FARM_INLINE void quantize_words_of_few(const float *x, uint8_t *y, const int32_t channels,
                                       const int32_t count, uint32_t inverse,
                                       int32_t zero_point) {
    HVX_Vector n[4];
    for (int32_t v = 0; v < 4; v++) {
        const int32_t at = v * LANES, left = count * channels - at;
        n[v] = left > 0 ? quantize_doubled(x + at, left, inverse) : n[0];
    }
    bytes_store_most(y, spread_channels(quantize_narrow(n, zero_point), channels), 4 * count);
}

/* Up to three channels, from channels last to one block. */
FARM_INLINE void quantize_few_channels(const float *x, uint8_t *y, const int32_t channels,
                                       int32_t positions, uint32_t inverse, int32_t zero_point) {
    IN_STEPS(positions, LANES, i, count,
             quantize_words_of_few(x + i * channels, y + 4 * i, channels, count, inverse,
                                   zero_point))
}

/* A scale of which no multiple up to 255 is too small or too large for normal numbers. */
FARM_INLINE int32_t dequantize_fits_vectors(uint32_t scale) {
    const uint32_t exponent = scale >> 23;
    return exponent > 0 && exponent < 246;
}

/* Words from 0 to 255 to bits of floats. A difference of 8 bits times a mantissa of 24 fits 32;
 * it is shifted up to its highest bit, and rounded to 24 bits, half to even. */
FARM_INLINE HVX_Vector dequantize_words(HVX_Vector x, uint32_t scale, int32_t zero_point) {
    const HVX_Vector mantissa = bits_fill((scale & 0x7fffff) | 0x800000);
    HVX_Vector difference = Q6_Vw_vsub_VwVw(x, bits_fill((uint32_t)zero_point));
    HVX_Vector p = Q6_Vw_vmpyie_VwVuh(mantissa, Q6_Vw_vabs_Vw(difference));
    HVX_Vector zeros = Q6_Vuw_vcl0_Vuw(p);
    HVX_Vector m = Q6_Vw_vasl_VwVw(p, zeros);
    HVX_Vector is_odd = Q6_V_vand_VV(Q6_Vuw_vlsr_VuwR(m, 8), bits_fill(1));
    m = Q6_Vuw_vavg_VuwVuw_rnd(m, Q6_Vw_vadd_VwVw(is_odd, bits_fill(126)));
    HVX_Vector exponent = Q6_Vw_vsub_VwVw(bits_fill((scale >> 23) + 7), zeros);
    HVX_Vector bits = Q6_Vw_vadd_VwVw(Q6_Vw_vasl_VwR(exponent, 23), Q6_Vuw_vlsr_VuwR(m, 7));
    bits = Q6_V_vand_QnV(Q6_Q_vcmp_eq_VwVw(p, bits_fill(0)), bits);
    return Q6_V_vor_VV(bits, Q6_V_vand_VV(difference, bits_fill(0x80000000)));
}

/* scale: bits of a number for which dequantize_fits_vectors, here and below. */
FARM_INLINE void dequantize_some(const uint8_t *x, float *y, const int32_t count, uint32_t scale,
                                 int32_t zero_point) {
    HVX_VectorPair halves = Q6_Wuh_vunpack_Vub(bytes_load_first(x, count));
    HVX_VectorPair low = Q6_Wuw_vunpack_Vuh(Q6_V_lo_W(halves));
    HVX_VectorPair high = Q6_Wuw_vunpack_Vuh(Q6_V_hi_W(halves));
    const HVX_Vector words[4] = {Q6_V_lo_W(low), Q6_V_hi_W(low), Q6_V_lo_W(high),
                                 Q6_V_hi_W(high)};
    for (int32_t v = 0; v < 4; v++) {
        const int32_t at = v * LANES;
        if (at < count) {
            HVX_Vector reals = dequantize_words(words[v], scale, zero_point);
            bytes_store_most(y + at, reals, 4 * (count - at));
        }
    }
}

/* A row. */
FARM_INLINE void dequantize_vectors(const uint8_t *x, float *y, int32_t size, uint32_t scale,
                                    int32_t zero_point) {
    IN_STEPS(size, 4 * LANES, i, count,
             dequantize_some(x + i, y + i, count, scale, zero_point))
}

/* Some positions of a block, up to a vector; channels: of the block. */
FARM_INLINE void dequantize_four(const uint8_t *x, float *y, int32_t channels, int32_t positions,
                                 const int32_t count, uint32_t scale, int32_t zero_point) {
    Bytes four = bytes_load_first(x, 4 * count);
    for (int32_t c = 0; c < 4; c++) {
        if (c < channels) {
            HVX_Vector one = Q6_V_vand_VV(Q6_Vuw_vlsr_VuwR(four, 8 * c), bits_fill(255));
            bytes_store_most(y + c * positions, dequantize_words(one, scale, zero_point),
                             4 * count);
        }
    }
}

/* From blocks to channels first. */
FARM_INLINE void dequantize_planes(const uint8_t *x, float *y, int32_t channels,
                                   int32_t positions, uint32_t scale, int32_t zero_point) {
    for (int32_t first = 0; first < channels; first += 4) {
        IN_STEPS(positions, LANES, i, count,
                 dequantize_four(x + 4 * i, y + i, channels - first, positions, count, scale,
                                 zero_point))
        x += 4 * positions;
        y += 4 * positions;
    }
}

/* Some positions of a block, up to four vectors of words; channels: of the block. */
FARM_INLINE void planes_to_block(const uint8_t *x, uint8_t *y, int32_t channels,
                                 int32_t positions, const int32_t count) {
    Bytes plane[4];
    for (int32_t c = 0; c < 4; c++) {
        plane[c] = bytes_load_first(x + int_min(c, channels - 1) * positions, count);
    }
    HVX_VectorPair a = Q6_W_vshuff_VVR(plane[1], plane[0], -1);
    HVX_VectorPair b = Q6_W_vshuff_VVR(plane[3], plane[2], -1);
    HVX_VectorPair low = Q6_W_vshuff_VVR(Q6_V_lo_W(b), Q6_V_lo_W(a), -2);
    HVX_VectorPair high = Q6_W_vshuff_VVR(Q6_V_hi_W(b), Q6_V_hi_W(a), -2);
    const Bytes words[4] = {Q6_V_lo_W(low), Q6_V_hi_W(low), Q6_V_lo_W(high), Q6_V_hi_W(high)};
    for (int32_t v = 0; v < 4; v++) {
        const int32_t at = v * LANES;
        if (at < count) {
            bytes_store_most(y + 4 * at, words[v], 4 * (count - at));
        }
    }
}

FARM_INLINE void block_to_planes(const uint8_t *x, uint8_t *y, int32_t channels,
                                 int32_t positions, const int32_t count) {
    Bytes words[4];
    for (int32_t v = 0; v < 4; v++) {
        const int32_t at = v * LANES;
        words[v] = at < count ? bytes_load_first(x + 4 * at, 4 * (count - at)) : words[0];
    }
    HVX_VectorPair low = Q6_W_vdeal_VVR(words[1], words[0], -2);
    HVX_VectorPair high = Q6_W_vdeal_VVR(words[3], words[2], -2);
    HVX_VectorPair a = Q6_W_vdeal_VVR(Q6_V_lo_W(high), Q6_V_lo_W(low), -1);
    HVX_VectorPair b = Q6_W_vdeal_VVR(Q6_V_hi_W(high), Q6_V_hi_W(low), -1);
    const Bytes plane[4] = {Q6_V_lo_W(a), Q6_V_hi_W(a), Q6_V_lo_W(b), Q6_V_hi_W(b)};
    for (int32_t c = 0; c < 4; c++) {
        if (c < channels) {
            bytes_store_most(y + c * positions, plane[c], count);
        }
    }
}

/* From channels first to blocks. The last channel also fills up its block. */
FARM_INLINE void relayout_to_blocks(const uint8_t *x, uint8_t *y, int32_t channels,
                                    int32_t positions) {
    for (int32_t first = 0; first < channels; first += 4) {
        IN_STEPS(positions, 4 * LANES, i, count,
                 planes_to_block(x + i, y + 4 * i, channels - first, positions, count))
        x += 4 * positions;
        y += 4 * positions;
    }
}

/* And back. */
FARM_INLINE void relayout_from_blocks(const uint8_t *x, uint8_t *y, int32_t channels,
                                      int32_t positions) {
    for (int32_t first = 0; first < channels; first += 4) {
        IN_STEPS(positions, 4 * LANES, i, count,
                 block_to_planes(x + 4 * i, y + i, channels - first, positions, count))
        x += 4 * positions;
        y += 4 * positions;
    }
}

/* Up to three channels, from channels last to one block. */
FARM_INLINE void relayout_few_channels(const uint8_t *x, uint8_t *y, const int32_t channels,
                                       int32_t positions) {
    IN_STEPS(positions, LANES, i, count, {
        Bytes row = bytes_load_first(x + i * channels, count * channels);
        bytes_store_most(y + 4 * i, spread_channels(row, channels), 4 * count);
    })
}

#endif
