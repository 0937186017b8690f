/* Depthwise convolutions of blocked tensors: every channel has a kernel of its own, of any size.
 * Those of three taps along the row are mostly computed by depthwise_three.h.
 *
 * The columns (see columns.h) of one block of channels are turned so that a word holds four taps
 * along the row of one channel. A kernel of 3 x 3 then costs three dot products per output. Turned
 * planes are [row_planes][kernel_width][4 channels], kernel_width counting words of four taps.
 *
 * Weights are 32-bit words of four s8: [blocks][row_planes][kernel_width][taps][4 channels]. Bias
 * and multiplier: [blocks][4 channels]. skip: like y, may be y itself; not looked at without one.
 */
#ifndef FARM_DEPTHWISE_H
#define FARM_DEPTHWISE_H

#include "columns.h"
#include "conv.h"

enum { DEPTHWISE_TILE = 2 }; /* vectors of positions at once, at most TILE */

/* Distance of turned planes: whole vectors, with room for one that begins anywhere. */
FARM_INLINE int32_t turned_bytes(ConvShape shape) {
    return (plane_bytes(shape) + 255) / 128 * 128;
}

FARM_INLINE void store_turned(uint8_t *turned, int32_t at, Quad quad, ConvShape shape) {
    for (int32_t c = 0; c < 4; c++) {
        bytes_store(turned + c * turned_bytes(shape) + at, (Bytes)quad.v[c]);
    }
}

/* Turned planes of any kernel: four taps of columns at a time, in `room`, then turned. */
FARM_INLINE void build_turned(const uint8_t *x, uint8_t *turned, uint8_t *room, int32_t rows,
                              int32_t top, ConvShape shape) {
    const int32_t words = plane_rows(rows, shape) * shape.out_width;
    for (int32_t ky = 0; ky < shape.row_planes; ky++) {
        int32_t first_row = top * shape.stride_y + ky * shape.dilation_y - shape.top;
        for (int32_t word = 0; word < shape.kernel_width; word++) {
            const int32_t taps = int_min(4, shape.kernel_taps - word * 4);
            for (int32_t tap = 0; tap < taps; tap++) {
                int32_t column = (word * 4 + tap) * shape.dilation_x - shape.left;
                build_plane(x, room + tap * plane_bytes(shape), plane_rows(rows, shape),
                            first_row, column, shape);
            }
            for (int32_t at = 0; at < words * 4; at += LANES * 4) {
                Bytes columns[4];
                for (int32_t tap = 0; tap < 4; tap++) {
                    columns[tap] =
                        bytes_load(room + int_min(tap, taps - 1) * plane_bytes(shape) + at);
                }
                Quad quad = interleave(columns[0], columns[1], columns[2], columns[3]);
                store_turned(turned, at, quad, shape);
            }
            turned += 4 * turned_bytes(shape);
        }
    }
}

/* One block of channels of `vectors` vectors of positions. */
FARM_INLINE void depthwise_tile(const uint8_t *turned, ConvChannels channels, const uint8_t *skip,
                                uint8_t *y, int32_t positions, const int32_t vectors,
                                ConvShape shape) {
    const int32_t planes = shape.row_planes * shape.kernel_width;
    const int32_t tap_bytes = shape.tap_rows * shape.out_width * 4;
    const int32_t *weights = channels.weights;
    Words sum[4][TILE];
    start_tile(sum, channels, vectors);
    for (int32_t plane = 0; plane < planes; plane++) {
        for (int32_t tap = 0; tap < shape.taps; tap++) {
            for (int32_t c = 0; c < 4; c++) {
                int32_t place = (plane * 4 + c) * turned_bytes(shape) + tap * tap_bytes;
                for (int32_t v = 0; v < vectors; v++) {
                    int32_t at = vector_start(v, positions, shape.output);
                    Bytes four = bytes_load_apart(turned + place + at * 4);
                    sum[c][v] = dot(sum[c][v], four, weights[c]);
                }
            }
            weights += 4;
        }
    }
    store_tile(sum, channels, skip, y, positions, vectors, shape.output);
}

/* Outputs of one block from its turned planes. */
FARM_INLINE void depthwise_product(const uint8_t *turned, ConvChannels channels,
                                   const uint8_t *skip, uint8_t *y, int32_t positions,
                                   ConvShape shape) {
    int32_t at = 0;
    for (; positions - at > (DEPTHWISE_TILE - 1) * LANES; at += DEPTHWISE_TILE * LANES) {
        depthwise_tile(turned + at * 4, channels, skip + at * 4, y + at * 4, positions - at,
                       DEPTHWISE_TILE, shape);
    }
    for (; at < positions; at += LANES) {
        depthwise_tile(turned + at * 4, channels, skip + at * 4, y + at * 4, positions - at, 1,
                       shape);
    }
}

/* groups = channels: in_blocks blocks of x and y. Behind the turned planes, the scratch memory has
 * room for four planes that are not turned yet and one vector. */
FARM_INLINE void depthwise(const uint8_t *restrict x, const int32_t *restrict weights,
                           const int32_t *restrict bias, const int16_t *restrict multiplier,
                           const uint8_t *skip, uint8_t *y, uint8_t *restrict scratch,
                           ConvShape shape) {
    const int32_t planes = shape.row_planes * shape.kernel_width;
    uint8_t *room = scratch + planes * 4 * turned_bytes(shape);
    for (int32_t n = 0; n < shape.batch; n++) {
        for (int32_t block = 0; block < shape.in_blocks; block++) {
            ConvChannels channels = {weights + block * planes * shape.taps * 4, bias + block * 4,
                                     multiplier + block * 4};
            for (int32_t top = 0; top < shape.out_height; top += shape.band) {
                int32_t rows = band_rows(top, shape);
                int32_t start = top * shape.out_width * 4;
                build_turned(x, scratch, room, rows, top, shape);
                depthwise_product(scratch, channels, skip + start, y + start,
                                  rows * shape.out_width, shape);
            }
            x += shape.height * shape.width * 4;
            skip += shape.out_height * shape.out_width * 4;
            y += shape.out_height * shape.out_width * 4;
        }
    }
}

#endif
