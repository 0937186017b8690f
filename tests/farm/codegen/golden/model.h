/* a small model. */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One block of memory for all that is computed, aligned to 128 bytes. It needs no
   initialisation; every instance that runs at the same time needs its own. At both
   ends 384 bytes are left free, which vector kernels may read. */
#define MODEL_MEMORY_BYTES 2432u
#define MODEL_ARENA_BYTES 288u   /* of it: tensors */
#define MODEL_SCRATCH_BYTES 1280u /* of it: kernels */
#define MODEL_INPUTS 1
#define MODEL_OUTPUTS 1
#define MODEL_INPUT_BYTES { 576u }
#define MODEL_OUTPUT_BYTES { 16u }

/* input_image: float32[1, 4, 6, 6], image */
/* output_mean: float32[1, 4, 1, 1], mean */
void model_run(void *memory, const float *input_image, float *output_mean);

/* The same by pointers, in the order of the inputs and outputs. */
void model_call(void *memory, const void *const *inputs, void *const *outputs);

#ifdef __cplusplus
}
#endif
#endif
