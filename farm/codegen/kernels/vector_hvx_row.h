/* Sums of one row of a matrix product, lanes being outputs: what row.h defines, for HVX.
 *
 * HVX multiplies two vectors once per packet, and filling a vector with four elements of the row
 * takes a packet, too. It multiplies a vector with a scalar register twice per packet, but the
 * vector must be unsigned there if the register is. So 128 is added to the weights, by flipping
 * their highest bits, and 128 times the sum of the row is taken from the sums at the end.
 */
#ifndef FARM_VECTOR_HVX_ROW_H
#define FARM_VECTOR_HVX_ROW_H

#include "vector.h"

enum { ROW_VECTORS = 4 };

typedef struct {
    Words v[ROW_VECTORS];
    int64_t of_row; /* two sums of its elements */
} RowSums;

/* Sums begin with the bias of their output. */
FARM_INLINE RowSums row_begin(const int32_t *bias, const int32_t vectors) {
    RowSums sums;
    sums.of_row = 0;
    for (int32_t v = 0; v < vectors; v++) {
        sums.v[v] = *(const HVX_Vector *)(bias + v * LANES);
    }
    return sums;
}

/* Four weights of every lane plus 128, at a multiple of a vector's bytes. */
FARM_INLINE Bytes row_weights(const int8_t *weights) {
    return Q6_V_vxor_VV(*(const HVX_Vector *)weights, bytes_fill(128));
}

/* Words of the row to take at once. Two are counted in together; with as many vectors as that
 * leaves nothing to wait for, one at a time needs fewer registers. */
FARM_INLINE int32_t row_words(int32_t rows, int32_t vectors) {
    return rows == 1 && vectors > 1 ? 1 : 2;
}

/* Counts one or two words of the row in. */
FARM_INLINE void row_elements(RowSums *sums, uint32_t first, uint32_t second) {
    const int64_t eight = Q6_P_combine_RR((int32_t)second, (int32_t)first);
    sums->of_row = Q6_P_vrmpybuacc_PP(sums->of_row, eight, 0x0101010101010101);
}

/* Adds the products of four elements of the row and the weights of all lanes. */
FARM_INLINE void row_products(RowSums *sums, uint32_t four, const Bytes *weights,
                              const int32_t vectors) {
    for (int32_t v = 0; v < vectors; v++) {
        sums->v[v] = Q6_Vuw_vrmpyacc_VuwVubRub(sums->v[v], weights[v], (int32_t)four);
    }
}

/* Two vectors of sums, in their order, multiplied and narrowed to 16 bits. */
FARM_INLINE HVX_Vector row_halves(Words first, Words second, const int16_t *multiplier,
                                  RowRule rule) {
    HVX_Vector narrow = Q6_Vh_vpack_VwVw_sat(Q6_Vw_vasr_VwR(second, rule.shift),
                                             Q6_Vw_vasr_VwR(first, rule.shift));
    HVX_Vector high =
        Q6_Vh_vmpy_VhVh_s1_rnd_sat(narrow, bytes_load((const uint8_t *)multiplier));
    if (rule.post_shift == 0) return high;
    /* The addition saturates, which changes nothing: results beyond 255 are cut off anyway. */
    const HVX_Vector half = Q6_V_vsplat_R((1 << rule.post_shift >> 1) * 0x00010001);
    return Q6_Vh_vasr_VhR(Q6_Vh_vadd_VhVh_sat(high, half), rule.post_shift);
}

/* The first `outputs` results, which end in the last vector. Multipliers are read for two vectors
 * at a time. */
FARM_INLINE void row_end(const RowSums *sums, const int16_t *multiplier, uint8_t *y,
                         const int32_t vectors, int32_t outputs, RowRule rule) {
    const uint32_t of_row = (uint32_t)sums->of_row + (uint32_t)(sums->of_row >> 32);
    const Words surplus = words_fill((int32_t)(0u - 128u * of_row));
    Words sum[ROW_VECTORS];
    for (int32_t v = 0; v < ROW_VECTORS; v++) {
        sum[v] = Q6_Vw_vadd_VwVw(sums->v[int_min(v, vectors - 1)], surplus);
    }
    HVX_Vector low = row_halves(sum[0], sum[1], multiplier, rule);
    HVX_Vector high =
        vectors <= 2 ? low : row_halves(sum[2], sum[3], multiplier + 2 * LANES, rule);
    Bytes bytes = bytes_clamp(Q6_Vub_vpack_VhVh_sat(high, low), rule.lowest, rule.highest);
    if (outputs == ROW_VECTORS * LANES) {
        bytes_store(y, bytes);
    } else {
        bytes_store_first(y, bytes, outputs);
    }
}

#endif
