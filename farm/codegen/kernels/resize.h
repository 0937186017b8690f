/* Images of u8 at another size, by linear interpolation in integers. */
#ifndef FARM_RESIZE_H
#define FARM_RESIZE_H

#include "integer.h"

/* Images are [outer][height][width][channels]. */
typedef struct {
    int32_t outer, height, width, out_height, out_width, channels;
} ResizeShape;

/* What one row or column of the result is made of: two of the image. weight: of the second one,
 * of 2048. */
typedef struct {
    int32_t low, high, weight;
} ResizeTap;

/* blend[i] = two rows by their weights, times 2048. */
FARM_INLINE void blend_rows(const uint8_t *restrict low, const uint8_t *restrict high,
                            int32_t *restrict blend, int32_t weight, int32_t size) {
    for (int32_t i = 0; i < size; i++) {
        blend[i] = low[i] * (2048 - weight) + high[i] * weight;
    }
}

/* taps: of all rows of the result, then of all its columns, each a ResizeTap. The sum of a
 * position's four neighbours has 22 bits after the point and is rounded once, half up. scratch:
 * one row of the image in 32 bits. */
FARM_INLINE void resize_linear(const uint8_t *x, const int32_t *taps, uint8_t *y, uint8_t *scratch,
                               ResizeShape s) {
    const ResizeTap *const rows = (const ResizeTap *)taps, *const columns = rows + s.out_height;
    const int32_t row_size = s.width * s.channels;
    int32_t *const blend = (int32_t *)scratch;
    for (int32_t i = 0; i < s.outer; i++) {
        for (int32_t j = 0; j < s.out_height; j++) {
            blend_rows(x + rows[j].low * row_size, x + rows[j].high * row_size, blend,
                       rows[j].weight, row_size);
            for (int32_t k = 0; k < s.out_width; k++) {
                const ResizeTap tap = columns[k];
                for (int32_t channel = 0; channel < s.channels; channel++) {
                    const int32_t low = blend[tap.low * s.channels + channel];
                    const int32_t high = blend[tap.high * s.channels + channel];
                    const int32_t sum = low * (2048 - tap.weight) + high * tap.weight;
                    *y++ = (uint8_t)((sum + (1 << 21)) >> 22);
                }
            }
        }
        x += s.height * row_size;
    }
}

#endif
