/* The vector interface of vector.h for AVX-512 with VNNI. */
#ifndef FARM_VECTOR_AVX512_H
#define FARM_VECTOR_AVX512_H

#include <immintrin.h>

#include "common.h"

#define LANES 16
#define TILE 4
#define LANE_TILE 6 /* positions at once where lanes are outputs */
#define DOT_WORD_LIFT 0

typedef __m512i Bytes; /* LANES positions x 4 channels of u8 */
typedef __m512i Words; /* LANES positions of s32 */
typedef struct {
    Bytes v[4];
} Quad; /* LANES positions of 4 taps, one vector per channel */
typedef struct {
    Bytes v[2];
} Pair; /* even and odd ones of 2 * LANES positions */

FARM_INLINE Bytes bytes_load(const uint8_t *p) { return _mm512_loadu_si512(p); }

FARM_INLINE Bytes bytes_load_apart(const uint8_t *p) { return bytes_load(p); }

FARM_INLINE void bytes_store(uint8_t *p, Bytes v) { _mm512_storeu_si512(p, v); }

/* The same at a multiple of 4 * LANES. */
FARM_INLINE void bytes_store_aligned(uint8_t *p, Bytes v) { bytes_store(p, v); }

/* Writes the first 4 * positions bytes only; 0 < positions <= LANES. */
FARM_INLINE void bytes_store_part(uint8_t *p, Bytes v, int32_t positions) {
    _mm512_mask_storeu_epi32(p, (__mmask16)((1u << positions) - 1), v);
}

/* The weights of four channels for one word: four words, at a multiple of 16 bytes. */
FARM_INLINE void weights_load(int32_t four_weights[4], const int32_t *p) {
    for (int32_t o = 0; o < 4; o++) {
        four_weights[o] = p[o];
    }
}

FARM_INLINE Words words_fill(int32_t value) { return _mm512_set1_epi32(value); }

FARM_INLINE void words_store(int32_t *p, Words v) { _mm512_storeu_si512(p, v); }

FARM_INLINE Bytes bytes_fill(uint8_t value) { return _mm512_set1_epi8((char)value); }

FARM_INLINE Bytes bytes_fill_word(uint32_t four) { return _mm512_set1_epi32((int32_t)four); }

/* Bytes of `yes` where the mask is 255, of `no` where it is 0. */
FARM_INLINE Bytes bytes_select(Bytes mask, Bytes yes, Bytes no) {
    return _mm512_ternarylogic_epi32(mask, yes, no, 0xca);
}

/* The lanes 0, 2, 4, ... of a, then those of b. */
FARM_INLINE Bytes bytes_even(Bytes a, Bytes b) {
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_epi32(a, even, b);
}

/* The even lanes of a and then b, and their odd lanes. */
FARM_INLINE Pair bytes_deal(Bytes a, Bytes b) {
    const __m512i odd =
        _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return (Pair){{bytes_even(a, b), _mm512_permutex2var_epi32(a, odd, b)}};
}

/* Lane i gets what lane i + first has, 0 <= first < LANES; the last ones may get anything. */
FARM_INLINE Bytes lanes_from(Bytes v, int32_t first) {
    const __m512i lanes =
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_permutexvar_epi32(_mm512_add_epi32(lanes, _mm512_set1_epi32(first)), v);
}

/* The lanes 1, 3, 5, ... of a, then those of b. */
FARM_INLINE Bytes bytes_odd(Bytes a, Bytes b) {
    const __m512i odd =
        _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_epi32(a, odd, b);
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
    const __m512i fours = _mm512_setr_epi32(0, 1, 0, 0, 1, 2, 0, 0, 2, 3, 0, 0, 3, 4, 0, 0);
    const __m512i eights = _mm512_setr_epi32(0, 1, 2, 0, 2, 3, 4, 0, 4, 5, 6, 0, 6, 7, 8, 0);
    const __m512i by_one = _mm512_set4_epi32(0x06050403, 0x05040302, 0x04030201, 0x03020100);
    const __m512i by_two = _mm512_set4_epi32(0x09080706, 0x07060504, 0x05040302, 0x03020100);
    return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(step == 1 ? fours : eights, v),
                               step == 1 ? by_one : by_two);
}

/* The first half of a, then the second half of b. */
FARM_INLINE Bytes bytes_halves(Bytes a, Bytes b) { return _mm512_mask_mov_epi32(a, 0xff00, b); }

/* acc[i] += sum over j of x[i][j] * w[i][j]: u8 times s8. */
FARM_INLINE Words dot_vectors(Words acc, Bytes x, Bytes weights) {
    return _mm512_dpbusd_epi32(acc, x, weights);
}

/* acc[i] += sum over j of x[i][j] * w[j], w being the bytes of four_weights. */
FARM_INLINE Words dot(Words acc, Bytes x, int32_t four_weights) {
    return _mm512_dpbusd_epi32(acc, x, _mm512_set1_epi32(four_weights));
}

FARM_INLINE Bytes bytes_clamp(Bytes v, int32_t lowest, int32_t highest) {
    v = lowest > 0 ? _mm512_max_epu8(v, bytes_fill((uint8_t)lowest)) : v;
    return highest < 255 ? _mm512_min_epu8(v, bytes_fill((uint8_t)highest)) : v;
}

/* Transposes the 4 x 4 bytes of every 128 bits: four positions of four channels, or back. */
FARM_INLINE Bytes turn(Bytes v) {
    const __m512i order = _mm512_set4_epi32(0x0f0b0703, 0x0e0a0602, 0x0d090501, 0x0c080400);
    return _mm512_shuffle_epi8(v, order);
}

/* Of the channels 0 and 1, and 2 and 3: four lanes of one, then of the other. */
typedef struct {
    __m512i low, high;
} Multipliers;

/* Two channels from accumulators to 16 bits. The rounding before the last shift saturates, which
 * changes nothing: results beyond 255 are cut off anyway. */
FARM_INLINE __m512i requantize2(Words a, Words b, __m512i both, int32_t shift,
                                int32_t post_shift) {
    const __m512i half = _mm512_set1_epi16((int16_t)(1 << post_shift >> 1));
    __m512i narrow = _mm512_packs_epi32(_mm512_srai_epi32(a, (uint32_t)shift),
                                        _mm512_srai_epi32(b, (uint32_t)shift));
    __m512i high = _mm512_mulhrs_epi16(narrow, both);
    return _mm512_srai_epi16(_mm512_adds_epi16(high, half), (uint8_t)post_shift);
}

/* Lane i of the result holds channels 0..3 of position i, from their accumulators. */
FARM_INLINE Bytes requantize(Words a0, Words a1, Words a2, Words a3, Multipliers multipliers,
                             int32_t shift, int32_t post_shift, int32_t lowest, int32_t highest) {
    __m512i low = requantize2(a0, a1, multipliers.low, shift, post_shift);
    __m512i high = requantize2(a2, a3, multipliers.high, shift, post_shift);
    return bytes_clamp(turn(_mm512_packus_epi16(low, high)), lowest, highest);
}

FARM_INLINE __m512i two_multipliers(const int16_t *multiplier2) {
    const __m512i first = _mm512_set1_epi64((uint16_t)multiplier2[0] * 0x0001000100010001ll);
    return _mm512_mask_set1_epi16(first, 0xf0f0f0f0u, multiplier2[1]);
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
    const __m512i factors = _mm512_set1_epi32((first & 0xffff) | (int32_t)((uint32_t)second << 16));
    const __m512i zero = _mm512_setzero_si512();
    __m512i pairs[2] = {_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b)}, halves[2];
    for (int32_t i = 0; i < 2; i++) {
        __m512i low = _mm512_madd_epi16(_mm512_unpacklo_epi8(pairs[i], zero), factors);
        __m512i high = _mm512_madd_epi16(_mm512_unpackhi_epi8(pairs[i], zero), factors);
        low = _mm512_srai_epi32(_mm512_add_epi32(low, words_fill(offset)), (uint32_t)shift);
        high = _mm512_srai_epi32(_mm512_add_epi32(high, words_fill(offset)), (uint32_t)shift);
        halves[i] = _mm512_packs_epi32(low, high);
    }
    return bytes_clamp(_mm512_packus_epi16(halves[0], halves[1]), lowest, highest);
}

/* Four taps of the same positions, turned so that a lane of v[c] holds the taps a, b, c, d of
 * channel c: a 4 x 4 transposition of bytes in every lane. */
FARM_INLINE Quad interleave(Bytes a, Bytes b, Bytes c, Bytes d) {
    a = turn(a), b = turn(b), c = turn(c), d = turn(d);
    __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
    __m512i ab_high = _mm512_unpackhi_epi8(a, b), cd_high = _mm512_unpackhi_epi8(c, d);
    return (Quad){{_mm512_unpacklo_epi16(ab, cd), _mm512_unpackhi_epi16(ab, cd),
                   _mm512_unpacklo_epi16(ab_high, cd_high),
                   _mm512_unpackhi_epi16(ab_high, cd_high)}};
}

/* Three taps of the same positions, joined so that a lane of v[c] holds taps of channel c, two
 * bytes of a and b, and then two of c: a0 b0 c0 c1, a1 b1 c0 c1, a2 b2 c2 c3 and a3 b3 c2 c3. */
FARM_INLINE Quad join_three(Bytes a, Bytes b, Bytes c) {
    const __mmask64 odd_bytes = 0xaaaaaaaaaaaaaaaaull;
    const __mmask32 odd_halves = 0xaaaaaaaau;
    __m512i even = _mm512_mask_mov_epi8(a, odd_bytes, _mm512_slli_epi16(b, 8));
    __m512i odd = _mm512_mask_mov_epi8(_mm512_srli_epi16(a, 8), odd_bytes, b);
    __m512i high = _mm512_slli_epi32(c, 16);
    return (Quad){{_mm512_mask_mov_epi16(even, odd_halves, high),
                   _mm512_mask_mov_epi16(odd, odd_halves, high),
                   _mm512_mask_mov_epi16(_mm512_srli_epi32(even, 16), odd_halves, c),
                   _mm512_mask_mov_epi16(_mm512_srli_epi32(odd, 16), odd_halves, c)}};
}

/* The lanes of a and b by turns: those of the first halves, then of the second ones. */
FARM_INLINE Pair lanes_zip(Bytes a, Bytes b) {
    const __m512i first =
        _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
    return (Pair){{_mm512_permutex2var_epi32(a, first, b),
                   _mm512_permutex2var_epi32(a, second, b)}};
}

/* Lanes that are outputs: lane i of the four sums of `requantize` is a channel of block i. */

/* Weights of LANES outputs for one word, as dot_word wants them. p: lifted by 128, at a multiple of
 * a vector. */
FARM_INLINE Bytes lane_weights(const uint8_t *p) {
    return _mm512_xor_si512(bytes_load(p), bytes_fill(128));
}

/* Words at a multiple of a vector. */
FARM_INLINE Words lane_words(const int32_t *p) { return (Words)bytes_load((const uint8_t *)p); }

/* acc[i] += sum over j of x[j] * w[i][j], x being the bytes of four. */
FARM_INLINE Words dot_word(Words acc, uint32_t four, Bytes weights) {
    return dot_vectors(acc, bytes_fill_word(four), weights);
}

FARM_INLINE Words words_subtract(Words a, Words b) { return _mm512_sub_epi32(a, b); }

FARM_INLINE Words words_shift_left(Words v, int32_t bits) { return _mm512_slli_epi32(v, (uint32_t)bits); }

FARM_INLINE __m512i two_lane_multipliers(const int16_t *multiplier) {
    const __m512i order = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    __m256i first = _mm256_loadu_si256((const __m256i *)multiplier);
    __m256i second = _mm256_loadu_si256((const __m256i *)(multiplier + 32));
    return _mm512_permutex2var_epi64(_mm512_castsi256_si512(first), order,
                                     _mm512_castsi256_si512(second));
}

/* The multipliers of lanes: 32 of the first channels of blocks, of the second ones, and so on. */
FARM_INLINE Multipliers multipliers_of_lanes(const int16_t *multiplier) {
    return (Multipliers){two_lane_multipliers(multiplier), two_lane_multipliers(multiplier + 64)};
}

#endif
