/* Functions of single elements, of two elements with broadcasting, and of channels. */
#ifndef FARM_FLOAT_ELEMENTWISE_H
#define FARM_FLOAT_ELEMENTWISE_H

#include "float_math.h"

typedef enum {
    UNARY_RELU,
    UNARY_CLIP, /* alpha: lowest, beta: highest; the highest wins */
    UNARY_LEAKY_RELU,
    UNARY_SIGMOID,
    UNARY_TANH,
    UNARY_HARD_SIGMOID,
    UNARY_HARD_SWISH,
    UNARY_GELU,
    UNARY_GELU_TANH,
    UNARY_ERF,
    UNARY_EXP,
    UNARY_SQRT,
    UNARY_NEG,
    UNARY_ABS,
    UNARY_SQUARE,
    UNARY_CUBE,
} UnaryFunction;

typedef struct {
    UnaryFunction function;
    int32_t size;
    float alpha, beta;
} FloatUnaryShape;

FARM_INLINE float unary_value(float x, FloatUnaryShape s) {
    switch (s.function) {
    case UNARY_RELU:
        return without_sign_of_zero(float_at_least(0.0f, x));
    case UNARY_CLIP:
        return without_sign_of_zero(float_at_most(s.beta, float_at_least(s.alpha, x)));
    case UNARY_LEAKY_RELU:
        return x < 0.0f ? x * s.alpha : x;
    case UNARY_SIGMOID:
        return float_sigmoid(x);
    case UNARY_TANH:
        return float_tanh(x);
    case UNARY_HARD_SIGMOID:
        return float_at_most(
            1.0f, without_sign_of_zero(float_at_least(0.0f, x * s.alpha + s.beta)));
    case UNARY_HARD_SWISH:
        return x * float_at_most(1.0f, float_at_least(0.0f, x * 0.166666667f + 0.5f));
    case UNARY_GELU:
        return 0.5f * x * (1.0f + float_erf(x * 0.707106781f));
    case UNARY_GELU_TANH:
        return 0.5f * x * (1.0f + float_tanh(0.797884561f * (x + 0.044715f * x * x * x)));
    case UNARY_ERF:
        return float_erf(x);
    case UNARY_EXP:
        return float_exp(x);
    case UNARY_SQRT:
        return float_sqrt(x);
    case UNARY_NEG:
        return -x;
    case UNARY_ABS:
        return float_abs(x);
    case UNARY_SQUARE:
        return x * x;
    case UNARY_CUBE:
        return x * x * x;
    }
    return x;
}

/* y[i] = function(x[i]); x and y may be the same. */
FARM_INLINE void float_unary(const float *x, float *y, FloatUnaryShape s) {
    EACH_ALONE
    for (int32_t i = 0; i < s.size; i++) {
        y[i] = unary_value(x[i], s);
    }
}

typedef enum {
    BINARY_ADD,
    BINARY_SUB,
    BINARY_MUL,
    BINARY_DIV,
    BINARY_PRELU,
    BINARY_POW,
} BinaryFunction;

/* A nest of four loops; strides are in elements, 0 where an operand is broadcast. */
typedef struct {
    BinaryFunction function;
    int32_t length[4], a_stride[4], b_stride[4];
} FloatBinaryShape;

FARM_INLINE float binary_value(float a, float b, BinaryFunction function) {
    switch (function) {
    case BINARY_ADD:
        return a + b;
    case BINARY_SUB:
        return a - b;
    case BINARY_MUL:
        return a * b;
    case BINARY_DIV:
        return a / b;
    case BINARY_PRELU:
        return a < 0.0f ? a * b : a;
    case BINARY_POW:
        return float_pow(a, b);
    }
    return a;
}

/* y = function(a, b), row-major; y may be an operand that is not broadcast. */
FARM_INLINE void float_binary(const float *a, const float *b, float *y, FloatBinaryShape s) {
    for (int32_t i = 0; i < s.length[0]; i++) {
        for (int32_t j = 0; j < s.length[1]; j++) {
            for (int32_t k = 0; k < s.length[2]; k++) {
                const float *p = a + i * s.a_stride[0] + j * s.a_stride[1] + k * s.a_stride[2];
                const float *q = b + i * s.b_stride[0] + j * s.b_stride[1] + k * s.b_stride[2];
                EACH_ALONE
                for (int32_t l = 0; l < s.length[3]; l++) {
                    y[l] = binary_value(p[l * s.a_stride[3]], q[l * s.b_stride[3]], s.function);
                }
                y += s.length[3];
            }
        }
    }
}

/* Tensors are [outer][channels][inner]. */
typedef struct {
    int32_t outer, channels, inner;
} FloatChannelsShape;

/* y = x * factor + offset, both of the channel; x and y may be the same. */
FARM_INLINE void float_affine(const float *x, const float *factor, const float *offset, float *y,
                              FloatChannelsShape s) {
    for (int32_t i = 0; i < s.outer; i++) {
        for (int32_t channel = 0; channel < s.channels; channel++) {
            EACH_ALONE
            for (int32_t j = 0; j < s.inner; j++) {
                y[j] = x[j] * factor[channel] + offset[channel];
            }
            x += s.inner;
            y += s.inner;
        }
    }
}

#endif
