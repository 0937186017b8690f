/* Numbers and truth values of one type as those of another. */
#ifndef FARM_CAST_H
#define FARM_CAST_H

#include "common.h"

/* Towards zero. What does not fit becomes the nearest number that does, and what is no number 0:
 * the language leaves both open. */
FARM_INLINE int32_t float_to_int32(float x) {
    if (x >= 2147483648.0f) return INT32_MAX;
    if (x < -2147483648.0f) return INT32_MIN;
    return x == x ? (int32_t)x : 0;
}

FARM_INLINE int64_t float_to_int64(float x) {
    if (x >= 9223372036854775808.0f) return INT64_MAX;
    if (x < -9223372036854775808.0f) return INT64_MIN;
    return x == x ? (int64_t)x : 0;
}

#define CAST(NAME, FROM, TO, VALUE)                                \
    FARM_INLINE void NAME(const FROM *x, TO *y, int32_t size) {    \
        for (int32_t i = 0; i < size; i++) {                       \
            y[i] = VALUE;                                          \
        }                                                          \
    }

CAST(cast_float32_to_int32, float, int32_t, float_to_int32(x[i]))
CAST(cast_float32_to_int64, float, Long, float_to_int64(x[i]))
CAST(cast_float32_to_bool, float, uint8_t, x[i] != 0.0f)
CAST(cast_int32_to_float32, int32_t, float, (float)x[i])
CAST(cast_int32_to_int64, int32_t, Long, x[i])
CAST(cast_int32_to_bool, int32_t, uint8_t, x[i] != 0)
CAST(cast_int64_to_float32, Long, float, (float)x[i])
CAST(cast_int64_to_int32, Long, int32_t, (int32_t)(uint32_t)x[i])
CAST(cast_int64_to_bool, Long, uint8_t, x[i] != 0)
CAST(cast_bool_to_float32, uint8_t, float, x[i] != 0 ? 1.0f : 0.0f)
CAST(cast_bool_to_int32, uint8_t, int32_t, x[i] != 0)
CAST(cast_bool_to_int64, uint8_t, Long, x[i] != 0)

#endif
