/* The vector interface of vector.h for AVX2, which has no dot product of four bytes, and whose
 * product of u8 and s8 pairs saturates: even and odd bytes are widened and multiplied separately.
 */
#ifndef FARM_VECTOR_AVX2_H
#define FARM_VECTOR_AVX2_H

#include <immintrin.h>

#include "common.h"

#define LANES 8
#define TILE 2
#define LANE_TILE 2 /* positions at once where lanes are outputs */
#define DOT_WORD_LIFT 0

typedef __m256i Bytes; /* LANES positions x 4 channels of u8 */
typedef __m256i Words; /* LANES positions of s32 */
typedef struct {
    Bytes v[4];
} Quad; /* LANES positions of 4 taps, one vector per channel */
typedef struct {
    Bytes v[2];
} Pair; /* even and odd ones of 2 * LANES positions */

FARM_INLINE Bytes bytes_load(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }

FARM_INLINE Bytes bytes_load_apart(const uint8_t *p) { return bytes_load(p); }

FARM_INLINE void bytes_store(uint8_t *p, Bytes v) { _mm256_storeu_si256((__m256i *)p, v); }

/* The same at a multiple of 4 * LANES. */
FARM_INLINE void bytes_store_aligned(uint8_t *p, Bytes v) { bytes_store(p, v); }

/* Writes the first 4 * positions bytes only; 0 < positions <= LANES. */
FARM_INLINE void bytes_store_part(uint8_t *p, Bytes v, int32_t positions) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_epi32((int *)p, _mm256_cmpgt_epi32(_mm256_set1_epi32(positions), lanes), v);
}

/* The weights of four channels for one word: four words, at a multiple of 16 bytes. */
FARM_INLINE void weights_load(int32_t four_weights[4], const int32_t *p) {
    for (int32_t o = 0; o < 4; o++) {
        four_weights[o] = p[o];
    }
}

FARM_INLINE Words words_fill(int32_t value) { return _mm256_set1_epi32(value); }

FARM_INLINE void words_store(int32_t *p, Words v) { _mm256_storeu_si256((__m256i *)p, v); }

FARM_INLINE Bytes bytes_fill(uint8_t value) { return _mm256_set1_epi8((char)value); }

FARM_INLINE Bytes bytes_fill_word(uint32_t four) { return _mm256_set1_epi32((int32_t)four); }

/* Bytes of `yes` where the mask is 255, of `no` where it is 0. */
FARM_INLINE Bytes bytes_select(Bytes mask, Bytes yes, Bytes no) {
    return _mm256_blendv_epi8(no, yes, mask);
}

/* The lanes 0, 2, 4, ... of a, then those of b. */
FARM_INLINE Bytes bytes_even(Bytes a, Bytes b) {
    __m256i mixed = _mm256_castps_si256(
        _mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88));
    return _mm256_permute4x64_epi64(mixed, 0xd8);
}

/* The even lanes of a and then b, and their odd lanes. */
FARM_INLINE Pair bytes_deal(Bytes a, Bytes b) {
    __m256i odd = _mm256_castps_si256(
        _mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0xdd));
    return (Pair){{bytes_even(a, b), _mm256_permute4x64_epi64(odd, 0xd8)}};
}

/* Lane i gets what lane i + first has, 0 <= first < LANES; the last ones may get anything. */
FARM_INLINE Bytes lanes_from(Bytes v, int32_t first) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_permutevar8x32_epi32(v, _mm256_add_epi32(lanes, _mm256_set1_epi32(first)));
}

/* The lanes 1, 3, 5, ... of a, then those of b. */
FARM_INLINE Bytes bytes_odd(Bytes a, Bytes b) {
    __m256i mixed = _mm256_castps_si256(
        _mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0xdd));
    return _mm256_permute4x64_epi64(mixed, 0xd8);
}

/* The vector that begins `lanes` lanes behind p, less than LANES. here, next: those at p and LANES
 * lanes behind it, for targets that would rather not load once more. */
FARM_INLINE Bytes bytes_behind(const uint8_t *p, Bytes here, Bytes next, int32_t lanes) {
    (void)here;
    (void)next;
    return bytes_load_apart(p + lanes * 4);
}

/* Lane i of the result: the four bytes from i * step on. step: 1 or 2. */
FARM_INLINE Bytes bytes_windows(Bytes v, const int32_t step) {
    const __m256i fours = _mm256_setr_epi32(0, 1, 0, 0, 1, 2, 0, 0);
    const __m256i eights = _mm256_setr_epi32(0, 1, 2, 0, 2, 3, 4, 0);
    const __m128i by_one = _mm_setr_epi32(0x03020100, 0x04030201, 0x05040302, 0x06050403);
    const __m128i by_two = _mm_setr_epi32(0x03020100, 0x05040302, 0x07060504, 0x09080706);
    return _mm256_shuffle_epi8(
        _mm256_permutevar8x32_epi32(v, step == 1 ? fours : eights),
        _mm256_broadcastsi128_si256(step == 1 ? by_one : by_two));
}

/* The first half of a, then the second half of b. */
FARM_INLINE Bytes bytes_halves(Bytes a, Bytes b) { return _mm256_blend_epi32(a, b, 0xf0); }

/* acc[i] += sum over j of x[i][j] * w[i][j]: u8 times s8. */
FARM_INLINE Words dot_vectors(Words acc, Bytes x, Bytes weights) {
    __m256i even_weights = _mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8);
    __m256i odd_weights = _mm256_srai_epi16(weights, 8);
    __m256i even = _mm256_and_si256(x, _mm256_set1_epi16(255)), odd = _mm256_srli_epi16(x, 8);
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(even, even_weights));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(odd, odd_weights));
}

/* acc[i] += sum over j of x[i][j] * w[j], w being the bytes of four_weights. */
FARM_INLINE Words dot(Words acc, Bytes x, int32_t four_weights) {
    return dot_vectors(acc, x, _mm256_set1_epi32(four_weights));
}

FARM_INLINE Bytes bytes_clamp(Bytes v, int32_t lowest, int32_t highest) {
    v = lowest > 0 ? _mm256_max_epu8(v, bytes_fill((uint8_t)lowest)) : v;
    return highest < 255 ? _mm256_min_epu8(v, bytes_fill((uint8_t)highest)) : v;
}

/* Transposes the 4 x 4 bytes of every 128 bits: four positions of four channels, or back. */
FARM_INLINE Bytes turn(Bytes v) {
    const __m256i order = _mm256_setr_epi32(0x0c080400, 0x0d090501, 0x0e0a0602, 0x0f0b0703,
                                            0x0c080400, 0x0d090501, 0x0e0a0602, 0x0f0b0703);
    return _mm256_shuffle_epi8(v, order);
}

/* Of the channels 0 and 1, and 2 and 3: four lanes of one, then of the other. */
typedef struct {
    __m256i low, high;
} Multipliers;

/* Two channels from accumulators to 16 bits. The rounding before the last shift saturates, which
 * changes nothing: results beyond 255 are cut off anyway. */
FARM_INLINE __m256i requantize2(Words a, Words b, __m256i both, int32_t shift,
                                int32_t post_shift) {
    const __m256i half = _mm256_set1_epi16((int16_t)(1 << post_shift >> 1));
    __m256i narrow = _mm256_packs_epi32(_mm256_srai_epi32(a, shift), _mm256_srai_epi32(b, shift));
    __m256i high = _mm256_mulhrs_epi16(narrow, both);
    return _mm256_srai_epi16(_mm256_adds_epi16(high, half), post_shift);
}

/* Lane i of the result holds channels 0..3 of position i, from their accumulators. */
FARM_INLINE Bytes requantize(Words a0, Words a1, Words a2, Words a3, Multipliers multipliers,
                             int32_t shift, int32_t post_shift, int32_t lowest, int32_t highest) {
    __m256i low = requantize2(a0, a1, multipliers.low, shift, post_shift);
    __m256i high = requantize2(a2, a3, multipliers.high, shift, post_shift);
    return bytes_clamp(turn(_mm256_packus_epi16(low, high)), lowest, highest);
}

FARM_INLINE __m256i two_multipliers(const int16_t *multiplier2) {
    return _mm256_blend_epi16(_mm256_set1_epi16(multiplier2[0]),
                              _mm256_set1_epi16(multiplier2[1]), 0xf0);
}

/* The same with one multiplier for all lanes of a channel. */
FARM_INLINE Bytes requantize4(Words a0, Words a1, Words a2, Words a3, const int16_t *multiplier4,
                              int32_t shift, int32_t post_shift, int32_t lowest, int32_t highest) {
    Multipliers multipliers = {two_multipliers(multiplier4), two_multipliers(multiplier4 + 2)};
    return requantize(a0, a1, a2, a3, multipliers, shift, post_shift, lowest, highest);
}

/* clamp((a * first + b * second + offset) >> shift) of every byte: pairs (a, b) of 16 bits are
 * multiplied with the pair (first, second). */
FARM_INLINE Bytes add_weighted_bytes(Bytes a, Bytes b, int32_t first, int32_t second,
                                     int32_t offset, int32_t shift, int32_t lowest,
                                     int32_t highest) {
    const __m256i factors = _mm256_set1_epi32((first & 0xffff) | (int32_t)((uint32_t)second << 16));
    const __m256i zero = _mm256_setzero_si256();
    __m256i pairs[2] = {_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)}, halves[2];
    for (int32_t i = 0; i < 2; i++) {
        __m256i low = _mm256_madd_epi16(_mm256_unpacklo_epi8(pairs[i], zero), factors);
        __m256i high = _mm256_madd_epi16(_mm256_unpackhi_epi8(pairs[i], zero), factors);
        low = _mm256_srai_epi32(_mm256_add_epi32(low, words_fill(offset)), shift);
        high = _mm256_srai_epi32(_mm256_add_epi32(high, words_fill(offset)), shift);
        halves[i] = _mm256_packs_epi32(low, high);
    }
    return bytes_clamp(_mm256_packus_epi16(halves[0], halves[1]), lowest, highest);
}

/* Four taps of the same positions, turned so that a lane of v[c] holds the taps a, b, c, d of
 * channel c: a 4 x 4 transposition of bytes in every lane. */
FARM_INLINE Quad interleave(Bytes a, Bytes b, Bytes c, Bytes d) {
    a = turn(a), b = turn(b), c = turn(c), d = turn(d);
    __m256i ab = _mm256_unpacklo_epi8(a, b), cd = _mm256_unpacklo_epi8(c, d);
    __m256i ab_high = _mm256_unpackhi_epi8(a, b), cd_high = _mm256_unpackhi_epi8(c, d);
    return (Quad){{_mm256_unpacklo_epi16(ab, cd), _mm256_unpackhi_epi16(ab, cd),
                   _mm256_unpacklo_epi16(ab_high, cd_high),
                   _mm256_unpackhi_epi16(ab_high, cd_high)}};
}

/* Three taps of the same positions, joined so that a lane of v[c] holds taps of channel c, two
 * bytes of a and b, and then two of c: a0 b0 c0 c1, a1 b1 c0 c1, a2 b2 c2 c3 and a3 b3 c2 c3. */
FARM_INLINE Quad join_three(Bytes a, Bytes b, Bytes c) {
    const __m256i odd_bytes = _mm256_set1_epi16((int16_t)0xff00);
    __m256i even = _mm256_blendv_epi8(a, _mm256_slli_epi16(b, 8), odd_bytes);
    __m256i odd = _mm256_blendv_epi8(_mm256_srli_epi16(a, 8), b, odd_bytes);
    __m256i high = _mm256_slli_epi32(c, 16);
    return (Quad){{_mm256_blend_epi16(even, high, 0xaa), _mm256_blend_epi16(odd, high, 0xaa),
                   _mm256_blend_epi16(_mm256_srli_epi32(even, 16), c, 0xaa),
                   _mm256_blend_epi16(_mm256_srli_epi32(odd, 16), c, 0xaa)}};
}

/* The lanes of a and b by turns: those of the first halves, then of the second ones. */
FARM_INLINE Pair lanes_zip(Bytes a, Bytes b) {
    __m256i low = _mm256_unpacklo_epi32(a, b), high = _mm256_unpackhi_epi32(a, b);
    return (Pair){{_mm256_permute2x128_si256(low, high, 0x20),
                   _mm256_permute2x128_si256(low, high, 0x31)}};
}

/* Lanes that are outputs: lane i of the four sums of `requantize` is a channel of block i. */

/* Weights of LANES outputs for one word, as dot_word wants them. p: lifted by 128, at a multiple of
 * a vector. */
FARM_INLINE Bytes lane_weights(const uint8_t *p) {
    return _mm256_xor_si256(bytes_load(p), bytes_fill(128));
}

/* Words at a multiple of a vector. */
FARM_INLINE Words lane_words(const int32_t *p) { return (Words)bytes_load((const uint8_t *)p); }

/* acc[i] += sum over j of x[j] * w[i][j], x being the bytes of four. */
FARM_INLINE Words dot_word(Words acc, uint32_t four, Bytes weights) {
    return dot_vectors(acc, bytes_fill_word(four), weights);
}

FARM_INLINE Words words_subtract(Words a, Words b) { return _mm256_sub_epi32(a, b); }

FARM_INLINE Words words_shift_left(Words v, int32_t bits) { return _mm256_slli_epi32(v, bits); }

FARM_INLINE __m256i two_lane_multipliers(const int16_t *multiplier) {
    __m128i first = _mm_loadu_si128((const __m128i *)multiplier);
    __m128i second = _mm_loadu_si128((const __m128i *)(multiplier + 32));
    return _mm256_permute4x64_epi64(_mm256_set_m128i(second, first), 0xd8);
}

/* The multipliers of lanes: 32 of the first channels of blocks, of the second ones, and so on. */
FARM_INLINE Multipliers multipliers_of_lanes(const int16_t *multiplier) {
    return (Multipliers){two_lane_multipliers(multiplier), two_lane_multipliers(multiplier + 64)};
}

#endif
