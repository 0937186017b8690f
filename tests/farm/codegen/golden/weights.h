/* a small model: constants. */
#include <stdint.h>

extern const int32_t data0_weights[36];
extern const int32_t data1_bias[4];
extern const int16_t data2_multiplier[4];
