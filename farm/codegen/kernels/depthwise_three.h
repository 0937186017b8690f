/* Depthwise convolutions whose kernels are three taps wide, by strides of 1 or 2.
 *
 * Nothing is built in memory. The three taps that positions have in one row of x are joined in
 * registers, so that a word of theirs belongs to one channel; beside x they are zero points, put
 * in by masks. Wide images are taken in strips: as many columns as a vector has lanes go down the
 * rows, and joined taps serve all rows of the output that read them. Of small images, vectors hold
 * several rows, and all blocks are taken for one vector before the next one.
 *
 * Weights are 32-bit words of four s8, [blocks][rows of the kernel][4 channels], three taps and a
 * zero in the order of join_three of the vectors. Bias and multiplier: [blocks][4 channels].
 */
#ifndef FARM_DEPTHWISE_THREE_H
#define FARM_DEPTHWISE_THREE_H

#include "columns.h"
#include "conv.h"

enum {
    MOST_ROWS = 7,   /* of a kernel */
    MOST_VECTORS = 4 /* of a small image whose rows are taken by twos */
};

/* Where taps are inside of x: the first and the last tap of a row, and row ky of the kernel, which
 * is not looked at where all taps of it are inside. */
typedef struct {
    Bytes has_first, has_last, has_row[MOST_ROWS];
} ThreeMasks;

FARM_INLINE int32_t three_rows(ConvShape shape) { return shape.row_planes * shape.taps; }

/* 0 in the lanes lane, lane + out_width, ..., 255 in the others. room: for a vector. */
FARM_INLINE Bytes column_mask(int32_t lane, uint8_t *room, ConvShape shape) {
    bytes_store(room, bytes_fill(255));
    stores_in_order();
    for (int32_t i = lane; i < LANES; i += shape.out_width) {
        word_store(room + i * 4, 0);
    }
    stores_in_order();
    Bytes mask = bytes_load(room);
    stores_in_order();
    return mask;
}

/* Those of columns `column`, `column` + 1, ... of the output, again and again. */
FARM_INLINE ThreeMasks column_masks(int32_t column, uint8_t *room, ConvShape shape) {
    const int32_t first = column ? shape.out_width - column : 0;
    ThreeMasks masks = {column_mask(first, room, shape), bytes_fill(255), {bytes_fill(255)}};
    masks.has_last = column_mask(shape.out_width - 1 - column, room, shape);
    return masks;
}

/* 255 in the lanes from begin to end - 1, 0 in the others. ramp: vectors of 0, 255 and 0. */
FARM_INLINE Bytes lanes_mask(int32_t begin, int32_t end, const uint8_t *ramp) {
    const int32_t from = LANES - int_max(int_min(begin, LANES), 0);
    const int32_t before = 2 * LANES - int_max(int_min(end, LANES), 0);
    return bytes_select(bytes_load(ramp + from * 4), bytes_load(ramp + before * 4), bytes_fill(0));
}

/* Whether the last tap of a row's last position is outside of x. */
FARM_INLINE int32_t last_is_outside(ConvShape shape) {
    return (shape.out_width - 1) * shape.stride_x + 2 - shape.left >= shape.width;
}

/* The joined taps of `lanes` positions, the first tap of the first at `from`. has_row: a mask for
 * all of them, or none. */
FARM_INLINE Quad three_taps(const uint8_t *from, int32_t lanes, const ThreeMasks *masks,
                            const Bytes *has_row, ConvShape shape) {
    const Bytes zeros = bytes_fill((uint8_t)shape.zero_point);
    Bytes taps[3];
    if (shape.stride_x == 1) {
        for (int32_t kx = 0; kx < 3; kx++) {
            taps[kx] = bytes_load_apart(from + kx * 4);
        }
    } else {
        Bytes low = bytes_load_apart(from), high = low;
        if (lanes * 2 >= LANES) { /* the last tap is one word further */
            high = bytes_load_apart(from + LANES * 4);
        }
        Pair pair = bytes_deal(low, high);
        taps[0] = pair.v[0];
        taps[1] = pair.v[1];
        if (lanes < LANES) {
            taps[2] = lanes_from(pair.v[0], 1);
        } else {
            low = bytes_load_apart(from + 8);
            taps[2] = bytes_even(low, bytes_load_apart(from + LANES * 4 + 8));
        }
    }
    taps[0] = shape.left > 0 ? bytes_select(masks->has_first, taps[0], zeros) : taps[0];
    taps[2] = last_is_outside(shape) ? bytes_select(masks->has_last, taps[2], zeros) : taps[2];
    for (int32_t kx = 0; kx < 3; kx++) {
        taps[kx] = has_row ? bytes_select(*has_row, taps[kx], zeros) : taps[kx];
    }
    return join_three(taps[0], taps[1], taps[2]);
}

/* The sums of four channels start with the bias. */
FARM_INLINE void start_three(Words sum[4], ConvChannels channels) {
    int32_t bias[4];
    weights_load(bias, channels.bias);
    for (int32_t c = 0; c < 4; c++) {
        sum[c] = words_fill(bias[c]);
    }
}

FARM_INLINE void add_three(Words sum[4], Quad taps, const int32_t weights[4]) {
    for (int32_t c = 0; c < 4; c++) {
        sum[c] = dot(sum[c], taps.v[c], weights[c]);
    }
}

FARM_INLINE Bytes end_three(const Words sum[4], ConvChannels channels, ConvOutput output) {
    return requantize4(sum[0], sum[1], sum[2], sum[3], channels.multiplier, output.shift,
                       output.post_shift, output.lowest, output.highest);
}

/* The channels of a block, which may be one of any batch. */
FARM_INLINE ConvChannels three_channels(ConvChannels all, int32_t block, ConvShape shape) {
    const int32_t first = block % shape.in_blocks * 4;
    return (ConvChannels){all.weights + first * three_rows(shape), all.bias + first,
                          all.multiplier + first};
}

/* How many blocks are followed by so much that a whole vector may be written that begins at their
 * last `words` words: what follows is written later. */
FARM_INLINE int32_t followed_blocks(int32_t words, ConvShape shape) {
    const int32_t block_words = shape.out_height * shape.out_width;
    const int32_t blocks = shape.batch * shape.in_blocks;
    if (words >= LANES) {
        return blocks;
    }
    const int32_t last = (LANES - words + block_words - 1) / block_words;
    return shape.output.has_skip ? 0 : int_max(blocks - last, 0);
}

/* Small images: lanes are positions in rows of out_width. Where rows are taken by twos, those of x
 * between them have lanes, too, whose results are not stored. */

/* Rows of the output that a vector holds where they are taken by twos; 0 where it holds one. */
FARM_INLINE int32_t rows_at_once(ConvShape shape) {
    int32_t rows = int_min((LANES / shape.out_width + 1) / 2, shape.out_height);
    while (rows > 1 && (2 * rows - 1) * shape.out_width >= LANES) {
        rows--;
    }
    const int32_t fits = shape.width == 2 * shape.out_width &&
                         shape.out_height <= rows * MOST_VECTORS &&
                         (shape.out_height % rows == 0 || !shape.output.has_skip);
    return rows > 1 && fits ? rows : 0;
}

/* Which rows of the kernel are inside of x, for lanes from `lane` of the rows of x on. room: for
 * three vectors. */
FARM_INLINE void row_masks(ThreeMasks *masks, int32_t lane, uint8_t *room, ConvShape shape) {
    for (int32_t i = 0; i < 3; i++) {
        bytes_store(room + i * LANES * 4, bytes_fill(i == 1 ? 255 : 0));
    }
    stores_in_order();
    for (int32_t ky = 0; ky < three_rows(shape); ky++) {
        int32_t first = lane + ky * shape.out_width;
        masks->has_row[ky] = lanes_mask(-first, shape.height * shape.out_width - first, room);
    }
    stores_in_order();
}

/* One vector of a block. lane: of the rows of x, where the first row of the kernel is. */
FARM_INLINE Bytes small_vector(const uint8_t *x, int32_t lane, int32_t lanes,
                               ConvChannels channels, const ThreeMasks *masks, ConvShape shape) {
    const uint8_t *from = x + (lane * shape.stride_x - shape.left) * 4;
    Words sum[4];
    start_three(sum, channels);
    for (int32_t ky = 0; ky < three_rows(shape); ky++) {
        const int32_t last = (shape.out_height - 1) * shape.stride_y + ky - shape.top;
        const Bytes *has_row = ky < shape.top || last >= shape.height ? &masks->has_row[ky] : 0;
        int32_t weights[4];
        weights_load(weights, channels.weights + ky * 4);
        add_three(sum, three_taps(from + ky * shape.width * 4, lanes, masks, has_row, shape),
                  weights);
    }
    return end_three(sum, channels, shape.output);
}

/* Stores one vector of results, of which the first `positions` lanes exist. */
FARM_INLINE void store_output(Bytes result, const uint8_t *skip, uint8_t *y, int32_t positions,
                              ConvOutput output) {
    if (output.has_skip) {
        result = add_weighted_bytes(result, bytes_load(skip), output.skip_first,
                                    output.skip_second, output.skip_offset, output.skip_shift,
                                    output.skip_lowest, output.skip_highest);
    }
    if (positions >= LANES) {
        bytes_store(y, result);
    } else {
        bytes_store_part(y, result, positions);
    }
}

/* By strides of 1: the blocks first..last - 1 of a vector that begins at position `at`. */
FARM_INLINE void small_blocks(const uint8_t *x, ConvChannels all, const uint8_t *skip, uint8_t *y,
                              int32_t first, int32_t last, int32_t at, const int32_t words,
                              const ThreeMasks *masks, ConvShape shape) {
    for (int32_t block = first; block < last; block++) {
        const uint8_t *from = x + block * shape.height * shape.width * 4;
        const int32_t place = (block * shape.out_height * shape.out_width + at) * 4;
        Bytes result = small_vector(from, at - shape.top * shape.out_width, LANES,
                                    three_channels(all, block, shape), masks, shape);
        store_output(result, skip + place, y + place, words, shape.output);
    }
}

FARM_INLINE void depthwise_small(const uint8_t *x, ConvChannels all, const uint8_t *skip,
                                 uint8_t *y, uint8_t *room, ConvShape shape) {
    const int32_t words = shape.out_height * shape.out_width;
    for (int32_t v = 0; v * LANES < words; v++) {
        const int32_t at = vector_start(v, words, shape.output);
        const int32_t followed = followed_blocks(words - at, shape);
        ThreeMasks masks = column_masks(at % shape.out_width, room, shape);
        row_masks(&masks, at - shape.top * shape.out_width, room, shape);
        small_blocks(x, all, skip, y, 0, followed, at, LANES, &masks, shape);
        small_blocks(x, all, skip, y, followed, shape.batch * shape.in_blocks, at, words - at,
                     &masks, shape);
    }
}

/* By strides of 2: the rows of one block. */
FARM_INLINE void small_rows(const uint8_t *x, ConvChannels channels, const uint8_t *skip,
                            uint8_t *y, const int32_t is_followed, const ThreeMasks *masks,
                            ConvShape shape) {
    const int32_t at_once = rows_at_once(shape), lanes = (2 * at_once - 1) * shape.out_width;
    for (int32_t v = 0; v * at_once < shape.out_height; v++) {
        const int32_t row = int_min(v * at_once, shape.out_height - at_once);
        const int32_t lane = (2 * row - shape.top) * shape.out_width;
        Bytes result = small_vector(x, lane, lanes, channels, &masks[v], shape);
        for (int32_t r = 0; r < at_once; r++) {
            const int32_t place = (row + r) * shape.out_width * 4;
            store_output(lanes_from(result, 2 * r * shape.out_width), skip + place, y + place,
                         is_followed ? LANES : shape.out_width, shape.output);
        }
    }
}

FARM_INLINE void depthwise_small_halved(const uint8_t *x, ConvChannels all, const uint8_t *skip,
                                        uint8_t *y, uint8_t *room, ConvShape shape) {
    const int32_t at_once = rows_at_once(shape), followed = followed_blocks(shape.out_width, shape);
    const int32_t y_bytes = shape.out_height * shape.out_width * 4;
    ThreeMasks masks[MOST_VECTORS];
    for (int32_t v = 0; v * at_once < shape.out_height; v++) {
        const int32_t row = int_min(v * at_once, shape.out_height - at_once);
        masks[v] = column_masks(0, room, shape);
        row_masks(&masks[v], (2 * row - shape.top) * shape.out_width, room, shape);
    }
    for (int32_t block = 0; block < shape.batch * shape.in_blocks; block++) {
        const uint8_t *from = x + block * shape.height * shape.width * 4;
        ConvChannels channels = three_channels(all, block, shape);
        const int32_t place = block * y_bytes;
        if (block < followed) {
            small_rows(from, channels, skip + place, y + place, 1, masks, shape);
        } else {
            small_rows(from, channels, skip + place, y + place, 0, masks, shape);
        }
    }
}

/* Strips of wide images. */

/* The taps of one row of x, which may lie outside. zeros: a row of zero points within more. */
FARM_INLINE Quad strip_row(const uint8_t *x, const uint8_t *zeros, int32_t row, int32_t column,
                           const ThreeMasks *masks, ConvShape shape) {
    const int32_t is_inside = row >= 0 && row < shape.height;
    const uint8_t *from = is_inside ? x + row * shape.width * 4 : zeros;
    from += (column * shape.stride_x - shape.left) * 4;
    return three_taps(from, shape.out_width, masks, 0, shape);
}

/* One strip of one block, from a column of the output on. is_followed: whether a vector may be
 * written that begins at any of its positions, because what is behind it is written later. */
FARM_INLINE void three_strip(const uint8_t *x, const uint8_t *zeros, ConvChannels channels,
                             const uint8_t *skip, uint8_t *y, const int32_t is_followed,
                             int32_t column, const ThreeMasks *masks, ConvShape shape) {
    const int32_t kernel_rows = three_rows(shape);
    const int32_t kept = int_max(kernel_rows - shape.stride_y, 0);
    const int32_t words = int_min(shape.out_width - column, LANES);
    int32_t weights[MOST_ROWS][4];
    Quad rows[MOST_ROWS];
    Words start[4], sum[4];
    start_three(start, channels);
    for (int32_t ky = 0; ky < kernel_rows; ky++) {
        weights_load(weights[ky], channels.weights + ky * 4);
    }
    for (int32_t ky = 0; ky < kept; ky++) {
        rows[ky] = strip_row(x, zeros, ky - shape.top, column, masks, shape);
    }
    for (int32_t r = 0; r < shape.out_height; r++) {
        const int32_t at = (r * shape.out_width + column) * 4;
        for (int32_t ky = kept; ky < kernel_rows; ky++) {
            int32_t row = r * shape.stride_y + ky - shape.top;
            rows[ky] = strip_row(x, zeros, row, column, masks, shape);
        }
        for (int32_t c = 0; c < 4; c++) {
            sum[c] = start[c];
        }
        for (int32_t ky = 0; ky < kernel_rows; ky++) {
            add_three(sum, rows[ky], weights[ky]);
        }
        for (int32_t ky = 0; ky < kept; ky++) {
            rows[ky] = rows[ky + shape.stride_y];
        }
        store_output(end_three(sum, channels, shape.output), skip + at, y + at,
                     is_followed ? LANES : words, shape.output);
    }
}

/* scratch: for a vector, and for a row of zero points among others. */
FARM_INLINE void depthwise_strips(const uint8_t *x, ConvChannels all, const uint8_t *skip,
                                  uint8_t *y, uint8_t *scratch, ConvShape shape) {
    uint8_t *zeros = scratch + 2 * LANES * 4;
    const int32_t y_words = shape.out_height * shape.out_width;
    const int32_t blocks = shape.batch * shape.in_blocks;
    fill_vectors(zeros - LANES * 4, shape.out_width * shape.stride_x + 3 * LANES + 2,
                 shape.zero_point);
    stores_in_order();
    for (int32_t column = 0; column < shape.out_width; column += LANES) {
        int32_t start = column;
        if (!shape.output.has_skip && shape.out_width >= LANES) {
            start = int_min(column, shape.out_width - LANES);
        }
        const int32_t followed = followed_blocks(shape.out_width - start, shape);
        ThreeMasks masks = column_masks(start, scratch, shape);
        for (int32_t block = 0; block < blocks; block++) {
            ConvChannels channels = three_channels(all, block, shape);
            const uint8_t *from = x + block * shape.height * shape.width * 4;
            const int32_t place = block * y_words * 4;
            if (block < followed) {
                three_strip(from, zeros, channels, skip + place, y + place, 1, start, &masks,
                            shape);
            } else {
                three_strip(from, zeros, channels, skip + place, y + place, 0, start, &masks,
                            shape);
            }
        }
    }
}

/* groups = channels: in_blocks blocks of x and y. scratch: for a row of x and six vectors. */
FARM_INLINE void depthwise_three(const uint8_t *restrict x, const int32_t *restrict weights,
                                 const int32_t *restrict bias, const int16_t *restrict multiplier,
                                 const uint8_t *skip, uint8_t *y, uint8_t *restrict scratch,
                                 ConvShape shape) {
    const ConvChannels channels = {weights, bias, multiplier};
    if (shape.stride_x == 1 && shape.stride_y == 1 && shape.out_width <= LANES / 2) {
        depthwise_small(x, channels, skip, y, scratch, shape);
    } else if (shape.stride_x == 2 && shape.stride_y == 2 && rows_at_once(shape)) {
        depthwise_small_halved(x, channels, skip, y, scratch, shape);
    } else {
        depthwise_strips(x, channels, skip, y, scratch, shape);
    }
}

#endif
