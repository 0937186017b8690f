/* The vector interface of vector.h for AVX-512 with VNNI. */
#ifndef FARM_VECTOR_AVX512_H
#define FARM_VECTOR_AVX512_H

#include <immintrin.h>

#include "common.h"

#define LANES 16
#define TILE 4

typedef __m512i Bytes; /* LANES positions x 4 channels of u8 */
typedef __m512i Words; /* LANES positions of s32 */
typedef struct {
    Bytes v[4];
} Quad; /* LANES positions of 4 taps, one vector per channel */

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

/* Two channels from accumulators to 16 bits. The rounding before the last shift saturates, which
 * changes nothing: results beyond 255 are cut off anyway. */
FARM_INLINE __m512i requantize2(Words a, Words b, const int16_t *multiplier2, int32_t shift,
                                int32_t post_shift) {
    const __m512i first = _mm512_set1_epi64((uint16_t)multiplier2[0] * 0x0001000100010001ll);
    const __m512i both = _mm512_mask_set1_epi16(first, 0xf0f0f0f0u, multiplier2[1]);
    const __m512i half = _mm512_set1_epi16((int16_t)(1 << post_shift >> 1));
    __m512i narrow = _mm512_packs_epi32(_mm512_srai_epi32(a, (uint32_t)shift),
                                        _mm512_srai_epi32(b, (uint32_t)shift));
    __m512i high = _mm512_mulhrs_epi16(narrow, both);
    return _mm512_srai_epi16(_mm512_adds_epi16(high, half), (uint8_t)post_shift);
}

/* Lane i of the result holds channels 0..3 of position i, from their accumulators. */
FARM_INLINE Bytes requantize4(Words a0, Words a1, Words a2, Words a3, const int16_t *multiplier4,
                              int32_t shift, int32_t post_shift, int32_t lowest, int32_t highest) {
    __m512i low = requantize2(a0, a1, multiplier4, shift, post_shift);
    __m512i high = requantize2(a2, a3, multiplier4 + 2, shift, post_shift);
    return bytes_clamp(turn(_mm512_packus_epi16(low, high)), lowest, highest);
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

#endif
