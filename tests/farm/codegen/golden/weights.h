/* a small model: constants. */
#include <stdint.h>

/* Several models in one program: compile each with its own -DMODEL_PREFIX=name_ */
#ifdef MODEL_PREFIX
#ifndef MODEL_NAME
#define MODEL_JOIN(prefix, name) prefix##name
#define MODEL_EXPAND(prefix, name) MODEL_JOIN(prefix, name)
#define MODEL_NAME(name) MODEL_EXPAND(MODEL_PREFIX, name)
#endif
#define data0_weights MODEL_NAME(data0_weights)
#define data1_bias MODEL_NAME(data1_bias)
#define data2_multiplier MODEL_NAME(data2_multiplier)
#endif

extern const int32_t data0_weights[36];
extern const int32_t data1_bias[4];
extern const int16_t data2_multiplier[4];
