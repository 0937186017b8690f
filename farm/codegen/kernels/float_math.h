/* Elementary functions of single precision, as fixed sequences of IEEE operations.
 *
 * Nothing here calls a library, and nothing may be contracted or reordered: every target computes
 * the same bits, but for those of what is not a number. All functions are free of branches, which
 * lets loops over them become vector code. Polynomials are minimax fits; errors are in units of
 * the last place (ulp).
 */
#ifndef FARM_FLOAT_MATH_H
#define FARM_FLOAT_MATH_H

#include "common.h"

#define FLOAT_INFINITY (__builtin_inff())
#define FLOAT_NAN (__builtin_nanf(""))

FARM_INLINE uint32_t bits_of(float x) {
    union {
        float real;
        uint32_t bits;
    } both = {.real = x};
    return both.bits;
}

FARM_INLINE float from_bits(uint32_t bits) {
    union {
        uint32_t bits;
        float real;
    } both = {.bits = bits};
    return both.real;
}

FARM_INLINE float float_abs(float x) { return from_bits(bits_of(x) & 0x7fffffffu); }

/* The magnitude of one number with the sign of another. */
FARM_INLINE float float_with_sign(float magnitude, float sign) {
    return from_bits((bits_of(magnitude) & 0x7fffffffu) | (bits_of(sign) & 0x80000000u));
}

/* Which zero the larger or smaller one of 0 and -0 is differs from target to target: where that
 * may become a result, without_sign_of_zero follows. */
FARM_INLINE float float_max(float a, float b) { return a > b ? a : b; }

FARM_INLINE float float_min(float a, float b) { return a < b ? a : b; }

/* What is not a number stays so, on the Hexagon, too, whose instructions drop it. */
FARM_INLINE float float_at_least(float lowest, float x) {
    return x != x ? x : float_max(lowest, x);
}

FARM_INLINE float float_at_most(float highest, float x) {
    return x != x ? x : float_min(highest, x);
}

/* -0 becomes 0, all others stay: no compiler may drop this addition. Where x is the larger or
 * smaller one of a variable and the constant 0, the variable must come second: then the language
 * allows it to be -0, and else the compiler for Hexagon drops the addition and takes an
 * instruction that gives -0. */
FARM_INLINE float without_sign_of_zero(float x) { return x + 0.0f; }

/* 2 to the power of an integer from -126 to 127. */
FARM_INLINE float float_power_of_2(int32_t n) { return from_bits((uint32_t)(n + 127) << 23); }

/* e to the power of r, for |r| <= log(2) / 2. */
FARM_INLINE float float_exp_near_0(float r) {
    float p = 1.3951717e-3f;
    p = p * r + 8.369599e-3f;
    p = p * r + 4.1666187e-2f;
    p = p * r + 1.6666512e-1f;
    p = p * r + 0.5f;
    return p * (r * r) + r + 1.0f;
}

/* e to the power of x, within 2 ulp.
 *
 * x = n * log(2) + r with |r| <= log(2) / 2. Adding 1.5 * 2^23 rounds to an integer and leaves it
 * in the low bits, which needs no conversion. 2^n is two factors, so that results below 2^-126
 * and above 2^127 come out as they should.
 */
FARM_INLINE float float_exp(float argument) {
    const float shifter = 12582912.0f;
    float x = float_min(float_max(argument, -104.0f), 89.0f);
    float shifted = x * 1.44269504f + shifter;
    float n = shifted - shifter;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = float_exp_near_0(r);
    int32_t power = (int32_t)(bits_of(shifted) - bits_of(shifter));
    int32_t half = power >> 1;
    float power_of_e = p * float_power_of_2(half) * float_power_of_2(power - half);
    return argument == argument ? power_of_e : argument;
}

/* 1 / (1 + exp(-x)), within 3 ulp; 0 below -88.7. */
FARM_INLINE float float_sigmoid(float x) { return 1.0f / (1.0f + float_exp(-x)); }

/* Hyperbolic tangent, within 3 ulp: an odd polynomial near 0, elsewhere by the exponential. */
FARM_INLINE float float_tanh(float x) {
    float t = float_abs(x), z = x * x;
    float p = -5.717037e-3f;
    p = p * z + 2.0650579e-2f;
    p = p * z - 5.3743497e-2f;
    p = p * z + 1.3331491e-1f;
    p = p * z - 3.3333284e-1f;
    float near = t + t * (z * p);
    float far = 1.0f - 2.0f / (float_exp(2.0f * t) + 1.0f);
    return float_with_sign(t > 0.625f ? far : near, x);
}

/* Error function, within 3 ulp: an odd polynomial up to 1, beyond that 1 - exp(polynomial), the
 * polynomial being a fit of log(1 - erf(t)). */
FARM_INLINE float float_erf(float x) {
    float t = float_abs(x), z = x * x;
    float p = 7.853858e-5f;
    p = p * z - 8.0101925e-4f;
    p = p * z + 5.1883277e-3f;
    p = p * z - 2.6853811e-2f;
    p = p * z + 1.12835854e-1f;
    p = p * z - 3.7612626e-1f;
    p = p * z + 1.1283791f;
    float s = t > 4.0f ? 4.0f : t;
    float q = 1.855749e-4f;
    q = q * s - 2.9396156e-3f;
    q = q * s + 2.1805352e-2f;
    q = q * s - 1.0303743e-1f;
    q = q * s - 6.382256e-1f;
    q = q * s - 1.12704f;
    q = q * s - 3.5370892e-4f;
    float far = 1.0f - float_exp(q);
    return float_with_sign(t > 1.0f ? far : t * p, x);
}

/* Square root, within 1 ulp: Newton's method for 1 / sqrt(x) from a first guess by the exponent,
 * and one step for the root itself. Small numbers are scaled up, so that none is subnormal. */
FARM_INLINE float float_sqrt(float x) {
    int is_small = x < 1.0e-30f;
    float a = is_small ? x * 16777216.0f : x;
    float r = from_bits(0x5f3759dfu - (bits_of(a) >> 1));
    float half = 0.5f * a;
    r = r * (1.5f - half * r * r);
    r = r * (1.5f - half * r * r);
    r = r * (1.5f - half * r * r);
    float root = a * r;
    root = root + 0.5f * r * (a - root * root);
    root = is_small ? root * 0.000244140625f : root;
    root = x > 0.0f ? root : x; /* keeps zeros, their sign, and what is no number */
    root = x < 0.0f ? FLOAT_NAN : root;
    return x == FLOAT_INFINITY ? x : root;
}

/* The first 12 bits of a number's fraction: products of two such numbers are exact. */
FARM_INLINE float float_first_bits(float x) { return from_bits(bits_of(x) & 0xfffff000u); }

/* Two numbers whose sum is more exact than one: the second one is small beside the first. */
typedef struct {
    float first, rest;
} FloatPair;

/* Logarithm to the base 2 of a positive number, with 30 bits. first: with 12 bits.
 *
 * x = 2^n * m with 1/2 <= m^2 <= 2; log(m) = 2 * artanh(s) for s = (m - 1) / (m + 1), of which the
 * first 12 bits are taken apart, so that what is left of m - 1 is exact.
 */
FARM_INLINE FloatPair float_log2(float x) {
    int is_small = x < 1.17549435e-38f;
    uint32_t bits = bits_of(is_small ? x * 16777216.0f : x);
    int32_t n = (int32_t)((bits - 0x3f3504f3u) >> 23);
    n -= bits < 0x3f3504f3u ? 512 : 0; /* the difference above has wrapped around */
    float m = from_bits(bits - ((uint32_t)n << 23));
    float f = m - 1.0f, g = m + 1.0f, part = m - (g - 1.0f);
    float s = f / g, s_first = float_first_bits(s), g_first = float_first_bits(g);
    float left = f - s_first * g_first - s_first * (g - g_first) - s_first * part;
    float z = s * s;
    float p = 0.11111111f;
    p = p * z + 0.14285714f;
    p = p * z + 0.2f;
    p = p * z + 0.33333333f;
    float s_rest = left / g + s * (z * p);
    float high = s_first * 2.884765625f; /* the first bits of 2 / log(2) */
    float low = s_first * 6.2445678e-4f + s_rest * 2.8853901f;
    float whole = (float)(n - (is_small ? 24 : 0));
    float first = float_first_bits(whole + (high + low));
    return (FloatPair){first, ((whole - first) + high) + low};
}

/* The magnitude of x to the power of y, for finite x other than 0: 2 to the power of y * log2(x),
 * within 4 ulp. Exponents beyond 2^32 are as good as that: the results are 0, 1 or infinite. */
FARM_INLINE float float_power_of_magnitude(float x, float exponent) {
    const float shifter = 12582912.0f;
    float y = float_min(float_max(exponent, -4294967296.0f), 4294967296.0f);
    float y_first = float_first_bits(y);
    FloatPair log = float_log2(float_abs(x));
    float product = y_first * log.first;
    float rest = (y - y_first) * log.first + y * log.rest;
    float sum = product + rest;
    float n = (float_min(float_max(sum, -160.0f), 160.0f) + shifter) - shifter;
    float r = float_min(float_max((product - n) + rest, -1.0f), 1.0f);
    float p = float_exp_near_0(r * 0.693147181f);
    int32_t power = (int32_t)n, half = power >> 1;
    return p * float_power_of_2(half) * float_power_of_2(power - half);
}

/* x to the power of y, with all that IEEE 754 says of pow. */
FARM_INLINE float float_pow(float x, float y) {
    float distance = float_min(float_abs(y), 16777216.0f); /* from there on all are even */
    int32_t whole = (int32_t)(y == y ? distance : 0.0f);
    int is_whole = (float)whole == distance, is_odd = is_whole && (whole & 1);
    float result = float_power_of_magnitude(x, y);
    result = x == 0.0f ? (y > 0.0f ? 0.0f : FLOAT_INFINITY) : result;
    result = float_abs(x) == FLOAT_INFINITY ? (y > 0.0f ? FLOAT_INFINITY : 0.0f) : result;
    result = bits_of(x) >> 31 && is_odd ? -result : result;
    result = x < 0.0f && x != -FLOAT_INFINITY && !is_whole ? FLOAT_NAN : result;
    result = x != x || y != y ? FLOAT_NAN : result;
    return x == 1.0f || y == 0.0f ? 1.0f : result;
}

#endif
