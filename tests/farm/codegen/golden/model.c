/* a small model. */
#include "model.h"
#include "weights.h"
#include "kernels/convert.h"
#include "kernels/conv.h"
#include "kernels/pool.h"

static __attribute__((noinline)) void quantize_0(const float *p0, uint8_t *p1)
{
    quantize(p0, p1, (QuantizeShape){.order = (ConvertOrder){.outer = 1, .channels = 4, .positions = 36, .from = CHANNELS_FIRST, .to = CHANNELS_BLOCKED}, .inverse = 0x1.fe00000000000p+6f, .zero_point = 128});
}

static __attribute__((noinline)) void conv_columns_0(const uint8_t *p0, const int32_t *p1, const int32_t *p2, const int16_t *p3, const uint8_t *p4, uint8_t *p5, uint8_t *p6)
{
    conv_columns(p0, p1, p2, p3, p4, p5, p6, (ConvShape){.batch = 1, .groups = 1, .in_blocks = 1, .out_blocks = 1, .height = 6, .width = 6, .out_height = 6, .out_width = 6, .kernel_width = 3, .kernel_taps = 3, .stride_y = 1, .stride_x = 1, .dilation_y = 1, .dilation_x = 1, .top = 1, .left = 1, .row_planes = 1, .taps = 3, .tap_rows = 1, .band = 6, .zero_point = 128, .output = (ConvOutput){.shift = 2, .post_shift = 6, .lowest = 0, .highest = 255, .has_skip = 0}});
}

static __attribute__((noinline)) void global_mean_0(const uint8_t *p0, uint8_t *p1, uint8_t *p2)
{
    global_mean(p0, p1, p2, (GlobalMeanShape){.batch = 1, .channels = 4, .positions = 36, .offset = 0, .rule = (IntegerRule){.shift = 0, .multiplier = 29127, .post_shift = 4, .lowest = 0, .highest = 255}});
}

static __attribute__((noinline)) void dequantize_0(const uint8_t *p0, float *p1)
{
    dequantize(p0, p1, (DequantizeShape){.order = (ConvertOrder){.outer = 1, .channels = 1, .positions = 4, .from = CHANNELS_FIRST, .to = CHANNELS_FIRST}, .scale = 0x1.0101020000000p-8f, .zero_point = 0});
}

void model_run(void *memory, const float *input_image, float *output_mean)
{
    uint8_t *const arena = (uint8_t *)memory + 384;
    uint8_t *const scratch = (uint8_t *)memory + 768;
    (void)arena;
    (void)scratch;
    quantize_0((const float *)(input_image), (uint8_t *)(arena + 0)); /* conv */
    conv_columns_0((const uint8_t *)(arena + 0), (const int32_t *)(model_data0_weights), (const int32_t *)(model_data1_bias), (const int16_t *)(model_data2_multiplier), (const uint8_t *)(arena + 144), (uint8_t *)(arena + 144), (uint8_t *)(scratch)); /* conv */
    global_mean_0((const uint8_t *)(arena + 144), (uint8_t *)(arena + 0), (uint8_t *)(scratch)); /* pool */
    dequantize_0((const uint8_t *)(arena + 0), (float *)(output_mean)); /* mean */
}

void model_call(void *memory, const void *const *inputs, void *const *outputs)
{
    model_run(memory, inputs[0], outputs[0]);
}
