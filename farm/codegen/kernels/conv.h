/* Convolutions of blocked tensors, all groups but depthwise.
 *
 * An output channel is its bias and the sum of dot products, one per word of the columns (see
 * columns.h) with four weights. A pointwise convolution finds its columns in x; others build those
 * of a band of output rows in scratch memory and then compute all channels of the band.
 *
 * Weights are 32-bit words of four s8: [groups][blocks of outputs][blocks of inputs][row_planes]
 * [kernel_width][taps][4 outputs]. Bias and multiplier: [groups][blocks of outputs][4 outputs].
 * skip: a tensor like y, may be y itself, and is not looked at when the output has no skip.
 */
#ifndef FARM_CONV_H
#define FARM_CONV_H

#include "near_columns.h"
#include "windows.h"

/* Where a product reads: planes, and taps within a plane, both by their distance in bytes. */
typedef struct {
    const uint8_t *start;
    int32_t planes, plane_bytes, taps, tap_bytes;
} ConvColumns;

/* What belongs to four output channels. */
typedef struct {
    const int32_t *weights, *bias;
    const int16_t *multiplier;
} ConvChannels;

/* Where a tile's vector begins. One that would end outside begins earlier: some positions are then
 * computed twice, which does not matter unless a skip was added to them already. */
FARM_INLINE int32_t vector_start(int32_t v, int32_t positions, ConvOutput output) {
    const int32_t at = v * LANES;
    return output.has_skip || positions < LANES ? at : int_min(at, positions - LANES);
}

/* The sums of four output channels and `vectors` vectors of positions start with the bias. */
FARM_INLINE void start_tile(Words sum[4][TILE], ConvChannels channels, const int32_t vectors) {
    const int32_t *bias = __builtin_assume_aligned(channels.bias, 16);
    for (int32_t o = 0; o < 4; o++) {
        for (int32_t v = 0; v < vectors; v++) {
            sum[o][v] = words_fill(bias[o]);
        }
    }
}

/* And end as results, which are stored when there are all of them: y could be where multipliers
 * and skip are, for all that compilers know, so that they would wait for one another. */
FARM_INLINE void finish_tile(Bytes result[TILE], Words sum[4][TILE], ConvChannels channels,
                             const uint8_t *skip, int32_t positions, const int32_t vectors,
                             ConvOutput output) {
    const int16_t *multiplier = __builtin_assume_aligned(channels.multiplier, 8);
    for (int32_t v = 0; v < vectors; v++) {
        result[v] = requantize4(sum[0][v], sum[1][v], sum[2][v], sum[3][v], multiplier,
                                output.shift, output.post_shift, output.lowest, output.highest);
        if (output.has_skip) {
            result[v] = add_weighted_bytes(
                result[v], bytes_load(skip + vector_start(v, positions, output) * 4),
                output.skip_first, output.skip_second, output.skip_offset, output.skip_shift,
                output.skip_lowest, output.skip_highest);
        }
    }
}

/* The results in y; the last vector may have less than LANES positions. */
FARM_INLINE void store_results(const Bytes result[TILE], uint8_t *y, int32_t positions,
                               const int32_t vectors, ConvOutput output) {
    for (int32_t v = 0; v < vectors; v++) {
        const int32_t at = vector_start(v, positions, output);
        if (v + 1 < vectors || positions - at >= LANES) {
            bytes_store(y + at * 4, result[v]);
        } else {
            bytes_store_part(y + at * 4, result[v], positions - at);
        }
    }
}

FARM_INLINE void store_tile(Words sum[4][TILE], ConvChannels channels, const uint8_t *skip,
                            uint8_t *y, int32_t positions, const int32_t vectors,
                            ConvOutput output) {
    Bytes result[TILE];
    finish_tile(result, sum, channels, skip, positions, vectors, output);
    store_results(result, y, positions, vectors, output);
}

/* The channels `block` blocks further. */
FARM_INLINE ConvChannels channels_from(ConvChannels channels, int32_t block, ConvColumns columns) {
    return (ConvChannels){channels.weights + block * columns.planes * columns.taps * 4,
                          channels.bias + block * 4, channels.multiplier + block * 4};
}

/* One word of the columns, of `vectors` vectors of positions, times weights of four channels. */
FARM_INLINE void add_products(Words sum[4][TILE], const Bytes *words, const int32_t *weights,
                              const int32_t vectors) {
    int32_t four_weights[4];
    weights_load(four_weights, weights);
    for (int32_t o = 0; o < 4; o++) {
        for (int32_t v = 0; v < vectors; v++) {
            sum[o][v] = dot(sum[o][v], words[v], four_weights[o]);
        }
    }
}

/* `blocks` blocks of four output channels, and `vectors` vectors of positions that start `offset`
 * bytes into the columns; the last vector may have less than LANES positions. y_bytes: distance of
 * blocks. */
FARM_INLINE void conv_tile(ConvColumns columns, int32_t offset, ConvChannels channels,
                           const uint8_t *skip, uint8_t *y, int32_t y_bytes, int32_t positions,
                           const int32_t blocks, const int32_t vectors, ConvOutput output) {
    const int32_t block_words = columns.planes * columns.taps * 4;
    const int32_t *weights = channels.weights;
    Words sum[TILE][4][TILE];
    for (int32_t b = 0; b < blocks; b++) {
        start_tile(sum[b], channels_from(channels, b, columns), vectors);
    }
    for (int32_t plane = 0; plane < columns.planes; plane++) {
        const uint8_t *x = columns.start + plane * columns.plane_bytes + offset;
        for (int32_t tap = 0; tap < columns.taps; tap++) {
            Bytes words[TILE];
            for (int32_t v = 0; v < vectors; v++) {
                words[v] = bytes_load_apart(x + vector_start(v, positions, output) * 4);
            }
            for (int32_t b = 0; b < blocks; b++) {
                add_products(sum[b], words, weights + b * block_words, vectors);
            }
            x += columns.tap_bytes;
            weights += 4;
        }
    }
    Bytes result[TILE][TILE];
    for (int32_t b = 0; b < blocks; b++) {
        finish_tile(result[b], sum[b], channels_from(channels, b, columns), skip + b * y_bytes,
                    positions, vectors, output);
    }
    for (int32_t b = 0; b < blocks; b++) {
        store_results(result[b], y + b * y_bytes, positions, vectors, output);
    }
}

/* All blocks for `vectors` vectors of positions: so many blocks at once that there are as many
 * sums as in a tile of TILE vectors. */
FARM_INLINE void conv_rest(ConvColumns columns, int32_t offset, ConvChannels channels,
                           const uint8_t *skip, uint8_t *y, int32_t y_bytes, int32_t positions,
                           int32_t blocks, const int32_t vectors, ConvOutput output) {
    int32_t block = 0;
    for (; block + TILE / vectors <= blocks; block += TILE / vectors) {
        conv_tile(columns, offset, channels_from(channels, block, columns), skip + block * y_bytes,
                  y + block * y_bytes, y_bytes, positions, TILE / vectors, vectors, output);
    }
    for (; block < blocks; block++) {
        conv_tile(columns, offset, channels_from(channels, block, columns), skip + block * y_bytes,
                  y + block * y_bytes, y_bytes, positions, 1, vectors, output);
    }
}

/* All output channels of one group, for `positions` neighbouring positions. y, skip: the first of
 * them in the first block; y_bytes: distance of blocks. */
FARM_INLINE void conv_product(ConvColumns columns, ConvChannels channels, const uint8_t *skip,
                              uint8_t *y, int32_t y_bytes, int32_t positions, int32_t blocks,
                              ConvOutput output) {
    const int32_t whole = (positions + LANES - 1) / (TILE * LANES) * (TILE * LANES);
    int32_t at = int_min(whole, positions);
    for (int32_t block = 0; block < blocks; block++) {
        for (int32_t start = 0; start < whole; start += TILE * LANES) {
            int32_t place = block * y_bytes + start * 4;
            conv_tile(columns, start * 4, channels_from(channels, block, columns), skip + place,
                      y + place, y_bytes, positions - start, 1, TILE, output);
        }
    }
    if (TILE > 2 && positions - at > LANES) {
        conv_rest(columns, at * 4, channels, skip + at * 4, y + at * 4, y_bytes, positions - at,
                  blocks, 2, output);
        at += 2 * LANES;
    }
    for (; at < positions; at += LANES) {
        conv_rest(columns, at * 4, channels, skip + at * 4, y + at * 4, y_bytes, positions - at,
                  blocks, 1, output);
    }
}

/* 1 x 1, stride 1, no padding: the planes are the blocks of x. */
FARM_INLINE void conv_pointwise(const uint8_t *restrict x, const int32_t *restrict weights,
                                const int32_t *restrict bias, const int16_t *restrict multiplier,
                                const uint8_t *skip, uint8_t *y, ConvShape shape) {
    const int32_t positions = shape.height * shape.width;
    for (int32_t n = 0; n < shape.batch; n++) {
        for (int32_t g = 0; g < shape.groups; g++) {
            int32_t place = (n * shape.groups + g) * positions * 4;
            int32_t first = g * shape.out_blocks * 4;
            ConvColumns columns = {x + place * shape.in_blocks, shape.in_blocks, positions * 4, 1,
                                   0};
            ConvChannels channels = {weights + first * shape.in_blocks, bias + first,
                                 multiplier + first};
            conv_product(columns, channels, skip + place * shape.out_blocks,
                         y + place * shape.out_blocks, positions * 4, positions,
                         shape.out_blocks, shape.output);
        }
    }
}

/* Any kernel, stride, dilation and padding, by columns built in scratch memory. */
FARM_INLINE void conv_columns(const uint8_t *restrict x, const int32_t *restrict weights,
                              const int32_t *restrict bias, const int16_t *restrict multiplier,
                              const uint8_t *skip, uint8_t *y, uint8_t *restrict scratch,
                              ConvShape shape) {
    const int32_t x_bytes = shape.height * shape.width * 4;
    const int32_t y_bytes = shape.out_height * shape.out_width * 4;
    const int32_t planes = shape.in_blocks * shape.row_planes * shape.kernel_width;
    uint8_t *built = scratch + masks_before(shape.kernel_width, shape);
    ConvColumns columns = {built, planes, plane_bytes(shape), shape.taps,
                           shape.tap_rows * shape.out_width * 4};
    build_masks_of_taps(scratch, shape);
    for (int32_t group = 0; group < shape.batch * shape.groups; group++) {
        int32_t first = group % shape.groups * shape.out_blocks * 4;
        ConvChannels channels = {weights + first * planes * shape.taps, bias + first,
                             multiplier + first};
        int32_t place = group * shape.out_blocks * y_bytes;
        for (int32_t top = 0; top < shape.out_height; top += shape.band) {
            int32_t rows = band_rows(top, shape);
            build_columns(x + group * shape.in_blocks * x_bytes, built, scratch, rows, top, shape);
            int32_t start = place + top * shape.out_width * 4;
            conv_product(columns, channels, skip + start, y + start, y_bytes,
                         rows * shape.out_width, shape.out_blocks, shape.output);
        }
    }
}

/* One input channel, whose x is plain [batch][height][width]: a word is four taps along the row.
 * kernel_width counts these words. */
FARM_INLINE void conv_single(const uint8_t *restrict x, const int32_t *restrict weights,
                             const int32_t *restrict bias, const int16_t *restrict multiplier,
                             const uint8_t *skip, uint8_t *y, uint8_t *restrict scratch,
                             ConvShape shape) {
    const int32_t y_bytes = shape.out_height * shape.out_width * 4;
    const int32_t planes = shape.row_planes * shape.kernel_width;
    ConvColumns columns = {scratch + bytes_before_windows(shape), planes, plane_bytes(shape),
                           shape.taps, shape.tap_rows * shape.out_width * 4};
    ConvChannels channels = {weights, bias, multiplier};
    build_window_mask(scratch, shape);
    for (int32_t n = 0; n < shape.batch; n++) {
        for (int32_t top = 0; top < shape.out_height; top += shape.band) {
            int32_t rows = band_rows(top, shape);
            build_windows(x + n * shape.height * shape.width, scratch, rows, top, shape);
            int32_t start = n * shape.out_blocks * y_bytes + top * shape.out_width * 4;
            conv_product(columns, channels, skip + start, y + start, y_bytes,
                         rows * shape.out_width, shape.out_blocks, shape.output);
        }
    }
}

#endif
