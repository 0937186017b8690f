/* Windows over images of blocked u8, [outer][height][width][4], and means over any axes. */
#ifndef FARM_POOL_H
#define FARM_POOL_H

#include "integer.h"
#include "vector.h"

/* outer: batch times blocks of channels. span: columns that windows reach over, padding included;
 * the image begins left of them by `left` columns. */
typedef struct {
    int32_t outer, height, width, out_height, out_width;
    int32_t kernel_height, kernel_width, stride_height, stride_width;
    int32_t dilation_height, dilation_width, top, left, span;
} PoolShape;

/* Bytes of so many positions, in whole vectors of every target. */
FARM_INLINE int32_t pool_row_bytes(int32_t positions) { return (4 * positions + 127) & ~127; }

/* The taps [first, last) of a window that lie in the image. */
typedef struct {
    int32_t first, last;
} PoolTaps;

FARM_INLINE PoolTaps pool_taps(int32_t begin, int32_t kernel, int32_t dilation, int32_t size) {
    PoolTaps taps = {0, kernel};
    while (taps.first < kernel && begin + taps.first * dilation < 0) {
        taps.first++;
    }
    while (taps.last > taps.first && begin + (taps.last - 1) * dilation >= size) {
        taps.last--;
    }
    return taps;
}

/* The columns of the image that lie in the span. */
FARM_INLINE int32_t pool_columns(PoolShape s) { return int_min(s.width, s.span - s.left); }

/* to[i] = larger of a[i] and b[i]; to may be a, bytes is a multiple of 128. */
FARM_INLINE void larger_bytes(uint8_t *to, const uint8_t *a, const uint8_t *b, int32_t bytes) {
#ifdef __HVX__
    for (int32_t i = 0; i < bytes; i += 128) {
        bytes_store(to + i, Q6_Vub_vmax_VubVub(bytes_load(a + i), bytes_load(b + i)));
    }
#else
    EACH_ALONE
    for (int32_t i = 0; i < bytes; i++) {
        to[i] = a[i] > b[i] ? a[i] : b[i];
    }
#endif
}

/* row[i] = largest of the rows of a window, 0 where its columns lie outside of the image. */
FARM_INLINE void max_rows(const uint8_t *x, uint8_t *row, PoolTaps taps, PoolShape s) {
    const int32_t step = 4 * s.width * s.dilation_height, columns = pool_columns(s);
    const int32_t bytes = pool_row_bytes(columns), right = s.left + columns;
    uint8_t *const inside = row + 4 * s.left;
    if (taps.first == taps.last) {
        memset(inside, 0, (size_t)(4 * columns));
    } else {
        const uint8_t *from = x + taps.first * step;
        larger_bytes(inside, from, taps.last - taps.first > 1 ? from + step : from, bytes);
    }
    for (int32_t tap = taps.first + 2; tap < taps.last; tap++) {
        larger_bytes(inside, inside, x + tap * step, bytes);
    }
    memset(row + 4 * right, 0, (size_t)(4 * (s.span - right)));
}

/* best[i] = largest of the columns of the window that begins at column i. */
FARM_INLINE void max_columns(const uint8_t *row, uint8_t *best, PoolShape s) {
    const int32_t bytes = pool_row_bytes((s.out_width - 1) * s.stride_width + 1);
    const int32_t step = 4 * s.dilation_width;
    larger_bytes(best, row, s.kernel_width > 1 ? row + step : row, bytes);
    for (int32_t tap = 2; tap < s.kernel_width; tap++) {
        larger_bytes(best, best, row + tap * step, bytes);
    }
}

/* y[i] = x[i * stride], positions of four channels. */
FARM_INLINE void take_positions(const uint8_t *x, uint8_t *y, int32_t positions, int32_t stride) {
    if (stride > 2) {
        for (int32_t i = 0; i < positions; i++) {
            word_store(y + 4 * i, word_load(x + 4 * i * stride));
        }
        return;
    }
    for (int32_t i = 0; i < positions; i += LANES) {
        const uint8_t *from = x + 4 * i * stride;
        Bytes taken = stride == 1 ? bytes_load(from)
                                  : bytes_even(bytes_load(from), bytes_load(from + 4 * LANES));
        if (positions - i >= LANES) {
            bytes_store(y + 4 * i, taken);
        } else {
            bytes_store_part(y + 4 * i, taken, positions - i);
        }
    }
}

/* Largest element of every window. Padding is 0 in scratch, so that it never wins. The rows of a
 * window are joined first, for all columns at once, then the columns. scratch: two rows, each
 * with a vector more than the span. */
FARM_INLINE void max_pool(const uint8_t *x, uint8_t *y, uint8_t *scratch, PoolShape s) {
    uint8_t *const row = scratch, *const best = scratch + pool_row_bytes(s.span) + 128;
    memset(row, 0, (size_t)(4 * s.left));
    for (int32_t i = 0; i < s.outer; i++) {
        for (int32_t j = 0; j < s.out_height; j++) {
            const int32_t begin = j * s.stride_height - s.top;
            const PoolTaps taps = pool_taps(begin, s.kernel_height, s.dilation_height, s.height);
            max_rows(x + 4 * begin * s.width, row, taps, s);
            max_columns(row, best, s);
            take_positions(best, y, s.out_width, s.stride_width);
            y += 4 * s.out_width;
        }
        x += 4 * s.height * s.width;
    }
}

/* The rule for windows with so many elements in the image. The offset includes, beside the rule's
 * own, the zero point of all these elements. */
typedef struct {
    int32_t offset, shift, multiplier, post_shift;
} CountRule;

/* whole: for windows that lie in the image with all their elements. */
typedef struct {
    PoolShape pool;
    CountRule whole;
} AverageShape;

/* One window of x, which begins where the window does, if the image were as large. */
FARM_INLINE void average_window(const uint8_t *x, uint8_t *y, PoolTaps rows, PoolTaps columns,
                                CountRule rule, int32_t width) {
    const IntegerRule r = {rule.shift, rule.multiplier, rule.post_shift, 0, 255};
    int32_t sums[4] = {rule.offset, rule.offset, rule.offset, rule.offset};
    for (int32_t i = rows.first; i < rows.last; i++) {
        for (int32_t j = columns.first; j < columns.last; j++) {
            for (int32_t channel = 0; channel < 4; channel++) {
                sums[channel] += x[4 * (i * width + j) + channel];
            }
        }
    }
    for (int32_t channel = 0; channel < 4; channel++) {
        y[channel] = integer_requantize(sums[channel], r);
    }
}

/* Neighbouring windows that lie in the image with all their elements, a vector of them at a time.
 * The stride is 1 or 2. */
FARM_INLINE void average_whole(const uint8_t *x, uint8_t *y, int32_t positions, AverageShape s) {
    const int32_t stride = s.pool.stride_width;
    const int16_t m = (int16_t)s.whole.multiplier, multipliers[4] = {m, m, m, m};
    for (int32_t k = 0; k < positions; k += LANES) {
        Words sums[4];
        for (int32_t channel = 0; channel < 4; channel++) {
            sums[channel] = words_fill(s.whole.offset);
        }
        for (int32_t i = 0; i < s.pool.kernel_height; i++) {
            for (int32_t j = 0; j < s.pool.kernel_width; j++) {
                const uint8_t *from = x + 4 * (i * s.pool.width + j + k * stride);
                Bytes v = bytes_load(from);
                v = stride == 1 ? v : bytes_even(v, bytes_load(from + 4 * LANES));
                for (int32_t channel = 0; channel < 4; channel++) {
                    sums[channel] = dot(sums[channel], v, 1 << (8 * channel));
                }
            }
        }
        Bytes means = requantize4(sums[0], sums[1], sums[2], sums[3], multipliers, s.whole.shift,
                                  s.whole.post_shift, 0, 255);
        if (positions - k >= LANES) {
            bytes_store(y + 4 * k, means);
        } else {
            bytes_store_part(y + 4 * k, means, positions - k);
        }
    }
}

/* The windows of one row of results. x: where the first of them begins, or would. */
FARM_INLINE void average_row(const uint8_t *x, const CountRule *rules, uint8_t *y, PoolTaps rows,
                             AverageShape shape) {
    const PoolShape s = shape.pool;
    const int32_t stride = s.stride_width, reach = s.width - s.kernel_width + s.left;
    int32_t first = 0, last = 0; /* windows that are whole, and fit a vector */
    if (rows.last - rows.first == s.kernel_height && stride <= 2 && reach >= 0) {
        first = (s.left + stride - 1) / stride;
        last = int_max(first, int_min(s.out_width, reach / stride + 1));
        average_whole(x + 4 * first * stride, y + 4 * first, last - first, shape);
    }
    for (int32_t k = 0; k < s.out_width; k++) {
        if (k < first || k >= last) {
            const PoolTaps columns = pool_taps(k * stride - s.left, s.kernel_width, 1, s.width);
            const int32_t count = (rows.last - rows.first) * (columns.last - columns.first);
            average_window(x + 4 * k * stride, y + 4 * k, rows, columns, rules[count], s.width);
        }
    }
}

/* Mean of every window, by rules[number of its elements that lie in the image], each a
 * CountRule. */
FARM_INLINE void average_pool(const uint8_t *x, const int32_t *rules, uint8_t *y,
                              AverageShape shape) {
    const PoolShape s = shape.pool;
    for (int32_t i = 0; i < s.outer; i++) {
        for (int32_t j = 0; j < s.out_height; j++) {
            const int32_t begin = j * s.stride_height - s.top;
            const PoolTaps rows = pool_taps(begin, s.kernel_height, 1, s.height);
            average_row(x + 4 * (begin * s.width - s.left), (const CountRule *)rules, y, rows,
                        shape);
            y += 4 * s.out_width;
        }
        x += 4 * s.height * s.width;
    }
}

#ifdef __HVX__

/* The first results of requantize_sums; how many. Every channel comes out four times in a row. */
FARM_INLINE int32_t requantize_vectors(const int32_t *sums, uint8_t *y, int32_t count,
                                       int32_t offset, IntegerRule r) {
    const int16_t m = (int16_t)r.multiplier, multipliers[4] = {m, m, m, m};
    const int32_t whole = count & ~3;
    for (int32_t i = 0; i < whole; i += LANES) {
        Words v = Q6_Vw_vadd_VwVw(bytes_load((const uint8_t *)(sums + i)), words_fill(offset));
        Bytes four =
            requantize4(v, v, v, v, multipliers, r.shift, r.post_shift, r.lowest, r.highest);
        Bytes two = Q6_Vb_vpacke_VhVh(four, four);
        bytes_store_part(y + i, Q6_Vb_vpacke_VhVh(two, two), int_min(whole - i, LANES) / 4);
    }
    return whole;
}

#else

FARM_INLINE int32_t requantize_vectors(const int32_t *sums, uint8_t *y, int32_t count,
                                       int32_t offset, IntegerRule r) {
    (void)sums, (void)y, (void)count, (void)offset, (void)r;
    return 0;
}

#endif

/* y[i] = requantized(sums[i] + offset); reads up to one vector past the sums. */
FARM_INLINE void requantize_sums(const int32_t *restrict sums, uint8_t *restrict y, int32_t count,
                                 int32_t offset, IntegerRule r) {
    for (int32_t i = requantize_vectors(sums, y, count, offset, r); i < count; i++) {
        y[i] = integer_requantize(sums[i] + offset, r);
    }
}

/* x and sums are walked in a nest of four loops over x; a stride is 0 along axes of the mean.
 * outputs: number of sums. */
typedef struct {
    int32_t length[4], stride[4];
    int32_t outputs, offset;
    IntegerRule rule;
} MeanShape;

/* Mean over any axes of a row-major tensor. scratch: the sums. */
FARM_INLINE void mean(const uint8_t *x, uint8_t *y, uint8_t *scratch, MeanShape s) {
    int32_t *const sums = (int32_t *)scratch;
    memset(sums, 0, (size_t)(4 * s.outputs));
    for (int32_t i = 0; i < s.length[0]; i++) {
        for (int32_t j = 0; j < s.length[1]; j++) {
            for (int32_t k = 0; k < s.length[2]; k++) {
                int32_t *to = sums + i * s.stride[0] + j * s.stride[1] + k * s.stride[2];
                if (s.stride[3] == 0) {
                    int32_t sum = 0;
                    for (int32_t l = 0; l < s.length[3]; l++) {
                        sum += x[l];
                    }
                    *to += sum;
                } else {
                    EACH_ALONE
                    for (int32_t l = 0; l < s.length[3]; l++) {
                        to[l * s.stride[3]] += x[l];
                    }
                }
                x += s.length[3];
            }
        }
    }
    requantize_sums(sums, y, s.outputs, s.offset, s.rule);
}

typedef struct {
    int32_t batch, channels, positions, offset;
    IntegerRule rule;
} GlobalMeanShape;

#ifdef __HVX__

/* The sums of a and of b, halved in number and interleaved in groups of `bytes`. */
#define FOLD(a, b, bytes) fold_pair(Q6_W_vshuff_VVR(b, a, -(bytes)))

FARM_INLINE HVX_Vector fold_pair(HVX_VectorPair pair) {
    return Q6_Vw_vadd_VwVw(Q6_V_lo_W(pair), Q6_V_hi_W(pair));
}

FARM_INLINE HVX_Vector fold_vector(HVX_Vector v, int32_t bytes) {
    return Q6_Vw_vadd_VwVw(v, Q6_V_vror_VR(v, bytes));
}

/* The first four of to: sums of the channels of a block. Writes a whole vector, reads up to one
 * vector past the block. */
FARM_INLINE void sum_block(const uint8_t *x, int32_t *to, int32_t positions) {
    Words a = words_fill(0), b = a, c = a, d = a;
    for (int32_t i = 0; i < positions; i += LANES) {
        Bytes v = bytes_load(x + 4 * i);
        if (positions - i < LANES) {
            v = Q6_V_vand_QV(Q6_Q_vsetq_R(4 * (positions - i)), v);
        }
        a = dot(a, v, 1);
        b = dot(b, v, 1 << 8);
        c = dot(c, v, 1 << 16);
        d = dot(d, v, 1 << 24);
    }
    Words sums = FOLD(FOLD(a, b, 4), FOLD(c, d, 4), 8);
    sums = fold_vector(fold_vector(fold_vector(sums, 64), 32), 16);
    bytes_store((uint8_t *)to, sums);
}

#else

/* The first four of to: sums of the channels of a block, four positions at a time. */
FARM_INLINE void sum_block(const uint8_t *x, int32_t *to, int32_t positions) {
    int32_t lanes[16] = {0};
    const int32_t whole = positions & ~3;
    for (int32_t i = 0; i < whole; i += 4) {
        for (int32_t lane = 0; lane < 16; lane++) {
            lanes[lane] += x[4 * i + lane];
        }
    }
    for (int32_t channel = 0; channel < 4; channel++) {
        int32_t sum = lanes[channel] + lanes[4 + channel];
        sum += lanes[8 + channel] + lanes[12 + channel];
        for (int32_t i = whole; i < positions; i++) {
            sum += x[4 * i + channel];
        }
        to[channel] = sum;
    }
}

#endif

/* Mean over all positions of a blocked tensor; y is [batch][channels]. scratch: sums of all
 * channels of a batch, and one vector. */
FARM_INLINE void global_mean(const uint8_t *x, uint8_t *y, uint8_t *scratch, GlobalMeanShape s) {
    int32_t *const sums = (int32_t *)scratch;
    for (int32_t i = 0; i < s.batch; i++) {
        for (int32_t channel = 0; channel < s.channels; channel += 4) {
            sum_block(x, sums + channel, s.positions);
            x += 4 * s.positions;
        }
        requantize_sums(sums, y, s.channels, s.offset, s.rule);
        y += s.channels;
    }
}

#endif
