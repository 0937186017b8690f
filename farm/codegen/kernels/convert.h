/* Conversions between float and u8, and between the orders in which elements lie in memory. */
#ifndef FARM_CONVERT_H
#define FARM_CONVERT_H

#include "float_math.h"
#ifdef __HVX__
#include "vector_hvx_convert.h"
#endif

/* Orders of a tensor's elements: channels first and last are row-major, blocked is
 * [channels / 4][positions][4]. */
typedef enum { CHANNELS_FIRST, CHANNELS_LAST, CHANNELS_BLOCKED } ChannelOrder;

/* One tensor in two orders. With equal orders it is a row of elements. */
typedef struct {
    int32_t outer, channels, positions;
    ChannelOrder from, to;
} ConvertOrder;

/* Elements of one `outer` in memory. */
FARM_INLINE int32_t order_size(ChannelOrder order, ConvertOrder s) {
    int32_t channels = order == CHANNELS_BLOCKED ? (s.channels + 3) & ~3 : s.channels;
    return channels * s.positions;
}

FARM_INLINE int32_t order_index(ChannelOrder order, int32_t channel, int32_t position,
                                ConvertOrder s) {
    switch (order) {
    case CHANNELS_FIRST:
        return channel * s.positions + position;
    case CHANNELS_LAST:
        return position * s.channels + channel;
    case CHANNELS_BLOCKED:
        return (channel / 4 * s.positions + position) * 4 + channel % 4;
    }
    return 0;
}

/* Runs a statement for every element, with its indices in both orders. The four channels of a
 * block come one after the other. */
#define FOR_EACH_ELEMENT(s, i, j, statement)                                                   \
    for (int32_t first = 0; first < (s).channels; first += 4) {                                \
        EACH_ALONE                                                                             \
        for (int32_t position = 0; position < (s).positions; position++) {                     \
            for (int32_t c = 0; c < 4; c++) {                                                  \
                if (first + c < (s).channels) {                                                \
                    const int32_t i = order_index((s).from, first + c, position, s);           \
                    const int32_t j = order_index((s).to, first + c, position, s);             \
                    statement;                                                                 \
                }                                                                              \
            }                                                                                  \
        }                                                                                      \
    }

#ifdef __HVX__
enum { FEW = 8 }; /* positions that are converted one by one rather than in vectors */
#endif

/* inverse: of the scale. */
typedef struct {
    ConvertOrder order;
    float inverse;
    int32_t zero_point;
} QuantizeShape;

/* x between two limits; the lower one where x is not a number. */
FARM_INLINE float convert_between(float x, float lowest, float highest) {
#ifdef __hexagon__
    return __builtin_HEXAGON_F2_sfmin(__builtin_HEXAGON_F2_sfmax(x, lowest), highest);
#else
    return float_min(float_max(x, lowest), highest);
#endif
}

/* Rounds half to even: among floats from 2^23 to 2^24 there are no fractions, and the lowest bits
 * of 1.5 * 2^23 + n are those of n. The limits are whole numbers, so it may be limited first. */
FARM_INLINE uint8_t quantize_value(float x, QuantizeShape s) {
    const float lowest = (float)-s.zero_point, highest = (float)(255 - s.zero_point);
    const float limited = convert_between(x * s.inverse, lowest, highest);
    return (uint8_t)(bits_of(limited + 12582912.0f) + (uint32_t)s.zero_point);
}

FARM_INLINE void quantize_row(const float *restrict x, uint8_t *restrict y, int32_t size,
                              QuantizeShape s) {
#ifdef __HVX__
    if (size >= 2 * FEW && quantize_fits_vectors(bits_of(s.inverse))) {
        quantize_vectors(x, y, size, bits_of(s.inverse), s.zero_point);
        return;
    }
#endif
    EACH_ALONE
    for (int32_t i = 0; i < size; i++) {
        y[i] = quantize_value(x[i], s);
    }
}

/* One `outer` from one order to another. */
FARM_INLINE void quantize_channels(const float *restrict x, uint8_t *restrict y, QuantizeShape s) {
#ifdef __HVX__
    const int32_t to_blocks = s.order.from == CHANNELS_FIRST && s.order.to == CHANNELS_BLOCKED;
    if (to_blocks && s.order.positions >= FEW && quantize_fits_vectors(bits_of(s.inverse))) {
        quantize_planes(x, y, s.order.channels, s.order.positions, bits_of(s.inverse),
                        s.zero_point);
        return;
    }
#endif
    FOR_EACH_ELEMENT(s.order, i, j, y[j] = quantize_value(x[i], s))
}

/* y = x / scale + zero_point, rounded and limited to u8. */
FARM_INLINE void quantize(const float *restrict x, uint8_t *restrict y, QuantizeShape s) {
    if (s.order.from == s.order.to) {
        quantize_row(x, y, s.order.outer * order_size(s.order.from, s.order), s);
        return;
    }
    for (int32_t outer = 0; outer < s.order.outer; outer++) {
        quantize_channels(x, y, s);
        x += order_size(s.order.from, s.order);
        y += order_size(s.order.to, s.order);
    }
}

/* One `outer` from channels last to blocks, by way of a row in scratch. Channels that only fill a
 * block become copies of whatever follows. */
FARM_INLINE void quantize_words(const float *x, uint8_t *y, uint8_t *scratch, QuantizeShape s) {
    const int32_t channels = s.order.channels, positions = s.order.positions;
    quantize_row(x, scratch, channels * positions, s);
    for (int32_t first = 0; first < channels; first += 4) {
        for (int32_t position = 0; position < positions; position++) {
            const uint8_t *from = scratch + position * channels + first;
            word_store(y + 4 * position,
                       channels % 4 == 0 ? word_load(from) : word_load_anywhere(from));
        }
        y += 4 * positions;
    }
}

/* From channels last to blocks, in whole words where that takes less. */
FARM_INLINE void quantize_to_blocks(const float *x, uint8_t *y, uint8_t *scratch,
                                    QuantizeShape s) {
    for (int32_t outer = 0; outer < s.order.outer; outer++) {
#if defined(__HVX__)
        const uint32_t inverse = bits_of(s.inverse);
        if (s.order.channels < 4 && quantize_fits_vectors(inverse)) {
            quantize_few_channels(x, y, s.order.channels, s.order.positions, inverse,
                                  s.zero_point);
        } else {
            quantize_words(x, y, scratch, s);
        }
#elif defined(__hexagon__)
        (void)scratch;
        quantize_channels(x, y, s);
#else
        quantize_words(x, y, scratch, s);
#endif
        x += order_size(s.order.from, s.order);
        y += order_size(s.order.to, s.order);
    }
}

typedef struct {
    ConvertOrder order;
    float scale;
    int32_t zero_point;
} DequantizeShape;

FARM_INLINE float dequantize_value(uint8_t x, DequantizeShape s) {
    return (float)(x - s.zero_point) * s.scale;
}

FARM_INLINE void dequantize_row(const uint8_t *restrict x, float *restrict y, int32_t size,
                                DequantizeShape s) {
#ifdef __HVX__
    if (size >= 2 * FEW && dequantize_fits_vectors(bits_of(s.scale))) {
        dequantize_vectors(x, y, size, bits_of(s.scale), s.zero_point);
        return;
    }
#endif
    EACH_ALONE
    for (int32_t i = 0; i < size; i++) {
        y[i] = dequantize_value(x[i], s);
    }
}

/* One `outer` from one order to another. */
FARM_INLINE void dequantize_channels(const uint8_t *restrict x, float *restrict y,
                                     DequantizeShape s) {
#ifdef __HVX__
    const int32_t from_blocks = s.order.from == CHANNELS_BLOCKED && s.order.to == CHANNELS_FIRST;
    if (from_blocks && s.order.positions >= 2 * FEW && dequantize_fits_vectors(bits_of(s.scale))) {
        dequantize_planes(x, y, s.order.channels, s.order.positions, bits_of(s.scale),
                          s.zero_point);
        return;
    }
#endif
    FOR_EACH_ELEMENT(s.order, i, j, y[j] = dequantize_value(x[i], s))
}

/* y = (x - zero_point) * scale. */
FARM_INLINE void dequantize(const uint8_t *restrict x, float *restrict y, DequantizeShape s) {
    if (s.order.from == s.order.to) {
        dequantize_row(x, y, s.order.outer * order_size(s.order.from, s.order), s);
        return;
    }
    for (int32_t outer = 0; outer < s.order.outer; outer++) {
        dequantize_channels(x, y, s);
        x += order_size(s.order.from, s.order);
        y += order_size(s.order.to, s.order);
    }
}

/* Whole blocks of channels last: their words are the words of blocked order. */
FARM_INLINE void relayout_words(const uint8_t *x, uint8_t *y, ConvertOrder s) {
    const int32_t blocks = s.channels / 4;
    for (int32_t block = 0; block < blocks; block++) {
        EACH_ALONE
        for (int32_t position = 0; position < s.positions; position++) {
            const int32_t last = position * blocks + block;
            const int32_t blocked = block * s.positions + position;
            const int32_t i = s.from == CHANNELS_LAST ? last : blocked;
            const int32_t j = s.to == CHANNELS_LAST ? last : blocked;
            word_store(y + 4 * j, word_load(x + 4 * i));
        }
    }
}

/* One `outer`. */
FARM_INLINE void relayout_channels(const uint8_t *restrict x, uint8_t *restrict y,
                                   ConvertOrder s) {
    if (s.channels % 4 == 0 && s.from != CHANNELS_FIRST && s.to != CHANNELS_FIRST) {
        relayout_words(x, y, s);
        return;
    }
#ifdef __HVX__
    const int32_t is_long = s.positions >= FEW;
    if (is_long && s.from == CHANNELS_FIRST && s.to == CHANNELS_BLOCKED) {
        relayout_to_blocks(x, y, s.channels, s.positions);
        return;
    }
    if (is_long && s.from == CHANNELS_BLOCKED && s.to == CHANNELS_FIRST) {
        relayout_from_blocks(x, y, s.channels, s.positions);
        return;
    }
    if (is_long && s.from == CHANNELS_LAST && s.to == CHANNELS_BLOCKED && s.channels < 4) {
        relayout_few_channels(x, y, s.channels, s.positions);
        return;
    }
#endif
    FOR_EACH_ELEMENT(s, i, j, y[j] = x[i])
}

/* The same elements in another order. */
FARM_INLINE void relayout(const uint8_t *restrict x, uint8_t *restrict y, ConvertOrder s) {
    for (int32_t outer = 0; outer < s.outer; outer++) {
        relayout_channels(x, y, s);
        x += order_size(s.from, s);
        y += order_size(s.to, s);
    }
}

#endif
