/* The rule that takes an accumulator of s32 back to u8, for one value at a time. */
#ifndef FARM_INTEGER_H
#define FARM_INTEGER_H

#include "common.h"

/* multiplier: 1..32767. The accumulator already holds the zero point of the result. */
typedef struct {
    int32_t shift, multiplier, post_shift, lowest, highest;
} IntegerRule;

FARM_INLINE int32_t integer_clamp(int32_t value, int32_t lowest, int32_t highest) {
    value = value < lowest ? lowest : value;
    return value > highest ? highest : value;
}

FARM_INLINE uint8_t integer_requantize(int32_t accumulator, IntegerRule r) {
    int32_t narrow = integer_clamp(accumulator >> r.shift, -32768, 32767);
    int32_t high = (narrow * r.multiplier + (1 << 14)) >> 15;
    int32_t value = (high + ((1 << r.post_shift) >> 1)) >> r.post_shift;
    return (uint8_t)integer_clamp(value, r.lowest, r.highest);
}

#endif
