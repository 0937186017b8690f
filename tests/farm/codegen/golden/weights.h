/* a small model: constants. */
#include <stdint.h>

extern const int32_t model_data0_weights[36];
extern const int32_t model_data1_bias[4];
extern const int16_t model_data2_multiplier[4];
