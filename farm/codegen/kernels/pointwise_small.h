/* Pointwise convolutions of blocked tensors with few positions: lanes are blocks of outputs.
 *
 * 128 output channels are computed together: lane i of four sums has the four channels of block i,
 * so that they narrow to that block's words. All lanes are multiplied with the same word of x. The
 * results of a position are thus spread over all blocks of y: they are collected in scratch memory
 * and turned there.
 *
 * Weights are u8, lifted by 128: [groups of 128 outputs][blocks of inputs][4 outputs of a block]
 * [32 blocks][4 inputs]. Bias and multiplier: [groups][4][32]. All are filled up with zeros.
 */
#ifndef FARM_POINTWISE_SMALL_H
#define FARM_POINTWISE_SMALL_H

#include "columns.h"

enum {
    GROUP_BLOCKS = 32,
    GROUP_OUTPUTS = 128,
    TURNED = LANES < 16 ? LANES : 16 /* positions that are turned at once */
};

/* `positions` positions of LANES blocks. x, sums: at the first of them; sums: of all channels of a
 * position, times DOT_WORD_LIFT, where that is not zero. results: a vector for each. */
FARM_INLINE void small_tile(const uint8_t *x, const int32_t *sums, const uint8_t *weights,
                            const int32_t *bias, const int16_t *multiplier, uint8_t *results,
                            const int32_t positions, ConvShape shape) {
    const int32_t x_bytes = shape.height * shape.width * 4;
    const Multipliers factors = multipliers_of_lanes(multiplier);
    Words sum[LANE_TILE][4];
    for (int32_t p = 0; p < positions; p++) {
        for (int32_t o = 0; o < 4; o++) {
            Words start = lane_words(bias + o * GROUP_BLOCKS);
            sum[p][o] = DOT_WORD_LIFT ? words_subtract(start, words_fill(sums[p])) : start;
        }
    }
    for (int32_t block = 0; block < shape.in_blocks; block++) {
        for (int32_t o = 0; o < 4; o++) {
            Bytes four = lane_weights(weights + o * GROUP_OUTPUTS);
            for (int32_t p = 0; p < positions; p++) {
                sum[p][o] = dot_word(sum[p][o], word_load(x + p * 4), four);
            }
        }
        x += x_bytes;
        weights += 4 * GROUP_OUTPUTS;
    }
    for (int32_t p = 0; p < positions; p++) {
        Bytes result = requantize(sum[p][0], sum[p][1], sum[p][2], sum[p][3], factors,
                                  shape.output.shift, shape.output.post_shift,
                                  shape.output.lowest, shape.output.highest);
        bytes_store(results + p * LANES * 4, result);
    }
}

/* All positions of LANES blocks, in tiles of nearly the same size. */
FARM_INLINE void small_tiles(const uint8_t *x, const int32_t *sums, const uint8_t *weights,
                             const int32_t *bias, const int16_t *multiplier, uint8_t *results,
                             ConvShape shape) {
    const int32_t positions = shape.height * shape.width;
    const int32_t tiles = (positions + LANE_TILE - 1) / LANE_TILE;
    const int32_t size = positions / tiles, larger = positions % tiles;
    int32_t at = 0;
    for (int32_t tile = 0; tile < larger; tile++) {
        small_tile(x + at * 4, sums + at, weights, bias, multiplier, results + at * LANES * 4,
                   size + 1, shape);
        at += size + 1;
    }
    for (int32_t tile = larger; tile < tiles; tile++) {
        small_tile(x + at * 4, sums + at, weights, bias, multiplier, results + at * LANES * 4,
                   size, shape);
        at += size;
    }
}

/* Vectors that the last positions are turned with, if TURNED do not divide them: a power of two. */
FARM_INLINE int32_t turned_rest(int32_t positions) {
    const int32_t rest = positions % TURNED;
    return rest <= 1 ? rest : rest <= 2 ? 2 : rest <= 4 ? 4 : rest <= 8 ? 8 : 16;
}

/* `count` vectors of results, a power of two, become as many positions of every lane. */
FARM_INLINE void turn_results(uint8_t *results, const int32_t count) {
    Bytes v[TURNED], zipped[TURNED];
    for (int32_t i = 0; i < count; i++) {
        v[i] = bytes_load(results + i * LANES * 4);
    }
    for (int32_t step = 1; step < count; step *= 2) {
        for (int32_t i = 0; i < count / 2; i++) {
            Pair pair = lanes_zip(v[i], v[i + count / 2]);
            zipped[2 * i] = pair.v[0];
            zipped[2 * i + 1] = pair.v[1];
        }
        for (int32_t i = 0; i < count; i++) {
            v[i] = zipped[i];
        }
    }
    for (int32_t i = 0; i < count; i++) {
        bytes_store(results + i * LANES * 4, v[i]);
    }
}

FARM_INLINE void store_lanes(uint8_t *to, Bytes words, const int32_t count) {
    if (count < LANES) {
        bytes_store_part(to, words, count);
    } else {
        bytes_store(to, words);
    }
}

/* The turned results of the lanes first..last - 1, which are rows of y. words: of each of them that
 * are written, where not a whole vector; what that has beyond is overwritten by the next ones. */
FARM_INLINE void store_turned_rows(const uint8_t *results, uint8_t *y, int32_t first,
                                   int32_t last, int32_t positions, const int32_t is_followed) {
    const int32_t whole = positions / TURNED * TURNED;
    for (int32_t row = first; row < last; row++) {
        uint8_t *to = y + row * positions * 4;
        for (int32_t at = 0; at < whole; at += TURNED) {
            Bytes words = bytes_load(results + (at * LANES + row * TURNED) * 4);
            store_lanes(to + at * 4, words, is_followed ? LANES : TURNED);
        }
        if (whole < positions) {
            Bytes words = bytes_load(results + (whole * LANES + row * turned_rest(positions)) * 4);
            store_lanes(to + whole * 4, words, is_followed ? LANES : positions - whole);
        }
    }
}

/* Sums of all channels, times DOT_WORD_LIFT, of every position of one image. */
FARM_INLINE void sum_channels(const uint8_t *x, int32_t *sums, ConvShape shape) {
    const int32_t positions = shape.height * shape.width;
    for (int32_t at = 0; at < positions; at += LANES) {
        Words sum = words_fill(0);
        for (int32_t block = 0; block < shape.in_blocks; block++) {
            sum = dot(sum, bytes_load_apart(x + (block * positions + at) * 4), 0x01010101);
        }
        words_store(sums + at, words_shift_left(sum, 7));
    }
}

/* 1 x 1, stride 1, no padding, one group, no skip. scratch: results of LANES blocks, and sums. */
FARM_INLINE void pointwise_small(const uint8_t *restrict x, const uint8_t *restrict weights,
                                 const int32_t *restrict bias, const int16_t *restrict multiplier,
                                 uint8_t *restrict y, uint8_t *restrict scratch, ConvShape shape) {
    const int32_t positions = shape.height * shape.width;
    const int32_t group_weights = shape.in_blocks * 4 * GROUP_OUTPUTS;
    const int32_t whole = positions / TURNED * TURNED;
    const int32_t vectors = (positions + TURNED - 1) / TURNED * TURNED;
    int32_t *sums = (int32_t *)(scratch + (vectors + 1) * LANES * 4);
    int32_t room = shape.batch * shape.out_blocks * positions;
    for (int32_t n = 0; n < shape.batch; n++) {
        if (DOT_WORD_LIFT) {
            sum_channels(x, sums, shape);
        }
        for (int32_t block = 0; block < shape.out_blocks; block += LANES) {
            const int32_t group = block / GROUP_BLOCKS, part = block % GROUP_BLOCKS;
            const int32_t first = group * GROUP_OUTPUTS + part;
            const int32_t rows = int_min(LANES, shape.out_blocks - block);
            /* Vectors may be written where whole ones follow the row's begin, and its last one's. */
            const int32_t last = (positions - 1) / TURNED * TURNED;
            const int32_t after = (LANES + last - 1) / positions;
            const int32_t followed = int_min(rows, int_max(room / positions - after, 0));
            small_tiles(x, sums, weights + group * group_weights + part * 4, bias + first,
                        multiplier + first, scratch, shape);
            stores_in_order();
            for (int32_t at = 0; at < whole; at += TURNED) {
                turn_results(scratch + at * LANES * 4, TURNED);
            }
            turn_results(scratch + whole * LANES * 4, turned_rest(positions));
            stores_in_order();
            store_turned_rows(scratch, y, 0, followed, positions, 1);
            store_turned_rows(scratch, y, followed, rows, positions, 0);
            stores_in_order();
            y += rows * positions * 4;
            room -= rows * positions;
        }
        x += shape.in_blocks * positions * 4;
    }
}

#endif
