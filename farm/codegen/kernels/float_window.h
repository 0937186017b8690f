/* Windows that slide over up to three axes, and the part of them that lies inside the input. */
#ifndef FARM_FLOAT_WINDOW_H
#define FARM_FLOAT_WINDOW_H

#include "float_math.h"

/* Axes of one channel in the order depth, height, width; axes that are not there have length 1.
 * pad: at the beginning of the axis. */
typedef struct {
    int32_t input[3], output[3], kernel[3], stride[3], dilation[3], pad[3];
} FloatWindow;

typedef struct {
    int32_t first, last;
} Span;

/* The outputs first <= i < last along an axis for which tap number `tap` reads the input. */
FARM_INLINE Span window_span(FloatWindow w, int32_t axis, int32_t tap) {
    int32_t offset = tap * w.dilation[axis] - w.pad[axis], stride = w.stride[axis];
    int32_t room = w.input[axis] - 1 - offset;
    int32_t first = offset < 0 ? (stride - 1 - offset) / stride : 0;
    int32_t last = room < 0 ? 0 : room / stride + 1;
    return (Span){first, int_min(last, w.output[axis])};
}

/* The element that output `at` reads by this tap, which lies inside only if it is in the span. */
FARM_INLINE int32_t window_place(FloatWindow w, int32_t axis, int32_t tap, int32_t at) {
    return at * w.stride[axis] + tap * w.dilation[axis] - w.pad[axis];
}

#endif
