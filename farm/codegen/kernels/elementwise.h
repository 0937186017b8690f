/* Sums and products of two tensors of u8, and functions of one as tables of their 256 results. */
#ifndef FARM_ELEMENTWISE_H
#define FARM_ELEMENTWISE_H

#include "integer.h"
#include "vector.h"

#define VECTOR_BYTES (4 * LANES)

/* A nest of four loops over a row-major output; a stride is 0 where an operand is broadcast. The
 * innermost strides are 0 or 1. Tensors of one shape and layout are a single loop. */
typedef struct {
    int32_t length[4], a_stride[4], b_stride[4];
} BroadcastLoops;

/* first, second: 16 bits. offset: holds zero points and the rounding. */
typedef struct {
    int32_t first, second, offset, shift, lowest, highest;
} SumRule;

typedef struct {
    BroadcastLoops loops;
    SumRule rule;
} WeightedAddShape;

FARM_INLINE uint8_t weighted_value(int32_t a, int32_t b, SumRule r) {
    return (uint8_t)integer_clamp((a * r.first + b * r.second + r.offset) >> r.shift, r.lowest,
                                  r.highest);
}

/* A vector of an operand that runs along, or of the same element again and again. */
FARM_INLINE Bytes operand_vector(const uint8_t *x, int32_t i, int32_t stride) {
    return stride == 0 ? bytes_fill(*x) : bytes_load(x + i);
}

/* Stores the words that are left of `size` bytes, at most a vector; returns how far that goes. */
FARM_INLINE int32_t store_words(uint8_t *y, Bytes v, int32_t i, int32_t size) {
    if (size - i >= VECTOR_BYTES) {
        bytes_store(y + i, v);
        return i + VECTOR_BYTES;
    }
    bytes_store_part(y + i, v, (size - i) / 4);
    return size & ~3;
}

/* One row; reads up to one vector past the operands' ends. */
FARM_INLINE void weighted_row(const uint8_t *a, const uint8_t *b, uint8_t *y, BroadcastLoops n,
                              SumRule r) {
    const int32_t size = n.length[3], a_stride = n.a_stride[3], b_stride = n.b_stride[3];
    int32_t i = 0;
    while (size - i >= 4) {
        Bytes first = operand_vector(a, i, a_stride), second = operand_vector(b, i, b_stride);
        Bytes sums = add_weighted_bytes(first, second, r.first, r.second, r.offset, r.shift,
                                        r.lowest, r.highest);
        i = store_words(y, sums, i, size);
    }
    for (; i < size; i++) {
        y[i] = weighted_value(a[i * a_stride], b[i * b_stride], r);
    }
}

/* y = clamp((a * first + b * second + offset) >> shift); y may be an operand of its size. */
FARM_INLINE void weighted_add(const uint8_t *a, const uint8_t *b, uint8_t *y, WeightedAddShape s) {
    const BroadcastLoops n = s.loops;
    for (int32_t i = 0; i < n.length[0]; i++) {
        for (int32_t j = 0; j < n.length[1]; j++) {
            for (int32_t k = 0; k < n.length[2]; k++) {
                weighted_row(a + i * n.a_stride[0] + j * n.a_stride[1] + k * n.a_stride[2],
                             b + i * n.b_stride[0] + j * n.b_stride[1] + k * n.b_stride[2], y, n,
                             s.rule);
                y += n.length[3];
            }
        }
    }
}

typedef struct {
    BroadcastLoops loops;
    IntegerRule rule;
    int32_t a_zero, b_zero, offset;
} ProductShape;

#ifdef __HVX__

/* Products come apart by their places in a word, as accumulators of four channels would. */
FARM_INLINE Bytes product_vector(Bytes a, Bytes b, ProductShape s) {
    const int16_t m = (int16_t)s.rule.multiplier, multipliers[4] = {m, m, m, m};
    const HVX_Vector a_zero = Q6_Vh_vsplat_R(s.a_zero), b_zero = Q6_Vh_vsplat_R(s.b_zero);
    const HVX_VectorPair a_wide = Q6_Wuh_vzxt_Vub(a), b_wide = Q6_Wuh_vzxt_Vub(b);
    const HVX_VectorPair even = Q6_Ww_vmpy_VhVh(Q6_Vh_vsub_VhVh(Q6_V_lo_W(a_wide), a_zero),
                                                Q6_Vh_vsub_VhVh(Q6_V_lo_W(b_wide), b_zero));
    const HVX_VectorPair odd = Q6_Ww_vmpy_VhVh(Q6_Vh_vsub_VhVh(Q6_V_hi_W(a_wide), a_zero),
                                               Q6_Vh_vsub_VhVh(Q6_V_hi_W(b_wide), b_zero));
    const HVX_Vector offset = words_fill(s.offset);
    return requantize4(Q6_Vw_vadd_VwVw(Q6_V_lo_W(even), offset),
                       Q6_Vw_vadd_VwVw(Q6_V_lo_W(odd), offset),
                       Q6_Vw_vadd_VwVw(Q6_V_hi_W(even), offset),
                       Q6_Vw_vadd_VwVw(Q6_V_hi_W(odd), offset), multipliers, s.rule.shift,
                       s.rule.post_shift, s.rule.lowest, s.rule.highest);
}

/* The first products of a row, reading up to one vector past the operands; how many. */
FARM_INLINE int32_t product_vectors(const uint8_t *a, const uint8_t *b, uint8_t *y,
                                    ProductShape s) {
    const int32_t size = s.loops.length[3];
    int32_t i = 0;
    while (size - i >= 4) {
        Bytes first = operand_vector(a, i, s.loops.a_stride[3]);
        Bytes second = operand_vector(b, i, s.loops.b_stride[3]);
        i = store_words(y, product_vector(first, second, s), i, size);
    }
    return i;
}

#else

FARM_INLINE int32_t product_vectors(const uint8_t *a, const uint8_t *b, uint8_t *y,
                                    ProductShape s) {
    (void)a, (void)b, (void)y, (void)s;
    return 0; /* compilers turn the loop over single elements into vector code */
}

#endif

FARM_INLINE void product_row(const uint8_t *a, const uint8_t *b, uint8_t *y, ProductShape s) {
    const int32_t a_stride = s.loops.a_stride[3], b_stride = s.loops.b_stride[3];
    EACH_ALONE
    for (int32_t i = product_vectors(a, b, y, s); i < s.loops.length[3]; i++) {
        int32_t product = (a[i * a_stride] - s.a_zero) * (b[i * b_stride] - s.b_zero);
        y[i] = integer_requantize(product + s.offset, s.rule);
    }
}

/* y = requantized((a - a_zero) * (b - b_zero) + offset); y may be an operand of its size. */
FARM_INLINE void product(const uint8_t *a, const uint8_t *b, uint8_t *y, ProductShape s) {
    const BroadcastLoops n = s.loops;
    for (int32_t i = 0; i < n.length[0]; i++) {
        for (int32_t j = 0; j < n.length[1]; j++) {
            for (int32_t k = 0; k < n.length[2]; k++) {
                product_row(a + i * n.a_stride[0] + j * n.a_stride[1] + k * n.a_stride[2],
                            b + i * n.b_stride[0] + j * n.b_stride[1] + k * n.b_stride[2], y, s);
                y += n.length[3];
            }
        }
    }
}

#ifdef __HVX__

/* A lookup instruction takes its index from 5 bits of a byte, and gives 0 for bytes whose other
 * 3 bits are not the number of its 32 entries: eight of them make 256. Entries n and n + 64 of a
 * vector of the table must be neighbours. */
FARM_INLINE Bytes table_vector(Bytes x, Bytes low, Bytes high) {
    Bytes y = Q6_Vb_vlut32_VbVbI(x, low, 0);
    y = Q6_Vb_vlut32or_VbVbVbI(y, x, low, 1);
    y = Q6_Vb_vlut32or_VbVbVbI(y, x, low, 2);
    y = Q6_Vb_vlut32or_VbVbVbI(y, x, low, 3);
    y = Q6_Vb_vlut32or_VbVbVbI(y, x, high, 4);
    y = Q6_Vb_vlut32or_VbVbVbI(y, x, high, 5);
    y = Q6_Vb_vlut32or_VbVbVbI(y, x, high, 6);
    return Q6_Vb_vlut32or_VbVbVbI(y, x, high, 7);
}

/* Looks up the first elements, reading up to one vector past them; how many were done. */
FARM_INLINE int32_t table_vectors(const uint8_t *x, const uint8_t *table, uint8_t *y,
                                  int32_t size) {
    const Bytes low = Q6_Vb_vshuff_Vb(bytes_load(table));
    const Bytes high = Q6_Vb_vshuff_Vb(bytes_load(table + 128));
    int32_t i = 0;
    while (size - i >= 4) {
        i = store_words(y, table_vector(bytes_load(x + i), low, high), i, size);
    }
    return i;
}

#else

FARM_INLINE int32_t table_vectors(const uint8_t *x, const uint8_t *table, uint8_t *y,
                                  int32_t size) {
    (void)x, (void)table, (void)y, (void)size;
    return 0;
}

#endif

/* y[i] = table[x[i]]; x and y may be the same. */
FARM_INLINE void table_lookup(const uint8_t *x, const uint8_t *table, uint8_t *y, int32_t size) {
    for (int32_t i = table_vectors(x, table, y, size); i < size; i++) {
        y[i] = table[x[i]];
    }
}

/* Tensors are [outer][channels][inner], or [outer][channels / 4][inner][4]: channels is then a
 * multiple of 4. */
typedef struct {
    int32_t outer, channels, inner;
} ChannelTableShape;

/* A table of its own for every channel; x and y may be the same. */
FARM_INLINE void channel_table(const uint8_t *x, const uint8_t *tables, uint8_t *y,
                               ChannelTableShape s) {
    for (int32_t i = 0; i < s.outer * s.channels; i++) {
        table_lookup(x + i * s.inner, tables + i % s.channels * 256, y + i * s.inner, s.inner);
    }
}

FARM_INLINE void channel_table_blocked(const uint8_t *x, const uint8_t *tables, uint8_t *y,
                                       ChannelTableShape s) {
    const int32_t blocks = s.channels / 4;
    for (int32_t i = 0; i < s.outer * blocks; i++) {
        const uint8_t *table = tables + i % blocks * 1024;
        for (int32_t j = 0; j < s.inner; j++) {
            for (int32_t channel = 0; channel < 4; channel++) {
                y[channel] = table[256 * channel + x[channel]];
            }
            x += 4;
            y += 4;
        }
    }
}

#endif
