/* Sums of one row of a matrix product, lanes being outputs: from biases to u8. */
#ifndef FARM_ROW_H
#define FARM_ROW_H

#include "integer.h"
#include "vector.h"

typedef struct {
    int32_t shift, post_shift, lowest, highest;
} RowRule;

#ifdef __HVX__
#include "vector_hvx_row.h"
#else

enum { ROW_VECTORS = LANES > 2 ? 8 : 4 }; /* pairs of scalar registers are few */

typedef struct {
    Words v[ROW_VECTORS];
} RowSums;

/* Sums begin with the bias of their output. */
FARM_INLINE RowSums row_begin(const int32_t *bias, const int32_t vectors) {
    RowSums sums;
    for (int32_t v = 0; v < vectors; v++) {
        sums.v[v] = (Words)bytes_load((const uint8_t *)(bias + v * LANES));
    }
    return sums;
}

/* Four weights of every lane, at a multiple of a vector's bytes. */
FARM_INLINE Bytes row_weights(const int8_t *weights) { return *(const Bytes *)weights; }

/* Words of the row to take at once. */
FARM_INLINE int32_t row_words(int32_t rows, int32_t vectors) {
    (void)rows, (void)vectors;
    return 1;
}

/* Counts one or two words of the row in, where that is needed: not here. */
FARM_INLINE void row_elements(RowSums *sums, uint32_t first, uint32_t second) {
    (void)sums, (void)first, (void)second;
}

/* Adds the products of four elements of the row and the weights of all lanes. */
FARM_INLINE void row_products(RowSums *sums, uint32_t four, const Bytes *weights,
                              const int32_t vectors) {
    for (int32_t v = 0; v < vectors; v++) {
        sums->v[v] = dot_vectors(sums->v[v], bytes_fill_word(four), weights[v]);
    }
}

/* The first `outputs` results, which end in the last vector. */
FARM_INLINE void row_end(const RowSums *sums, const int16_t *multiplier, uint8_t *y,
                         const int32_t vectors, int32_t outputs, RowRule rule) {
    int32_t words[ROW_VECTORS * LANES];
    for (int32_t v = 0; v < vectors; v++) {
        words_store(words + v * LANES, sums->v[v]);
    }
    EACH_ALONE
    for (int32_t o = 0; o < outputs; o++) {
        const IntegerRule each = {rule.shift, multiplier[o], rule.post_shift, rule.lowest,
                                  rule.highest};
        y[o] = integer_requantize(words[o], each);
    }
}

#endif

#endif
