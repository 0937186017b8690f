/* a small model. */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Several models in one program: compile each with its own -DMODEL_PREFIX=name_ */
#ifdef MODEL_PREFIX
#ifndef MODEL_NAME
#define MODEL_JOIN(prefix, name) prefix##name
#define MODEL_EXPAND(prefix, name) MODEL_JOIN(prefix, name)
#define MODEL_NAME(name) MODEL_EXPAND(MODEL_PREFIX, name)
#endif
#define model_run MODEL_NAME(model_run)
#define model_call MODEL_NAME(model_call)
#endif

/* One block of memory for all that is computed, aligned to 128 bytes. It needs no
   initialisation; every instance that runs at the same time needs its own. At both
   ends 256 bytes are left free, which vector kernels may read. */
#define MODEL_MEMORY_BYTES 1664u
#define MODEL_ARENA_BYTES 288u   /* of it: tensors */
#define MODEL_SCRATCH_BYTES 768u /* of it: kernels */
#define MODEL_INPUTS 1
#define MODEL_OUTPUTS 1
#define MODEL_INPUT_BYTES { 576u }
#define MODEL_OUTPUT_BYTES { 16u }

/* input image: float32[1, 4, 6, 6], image */
/* output mean: float32[1, 4, 1, 1], mean */
void model_run(void *memory, const float *image, float *mean);

/* The same by pointers, in the order of the inputs and outputs. */
void model_call(void *memory, const void *const *inputs, void *const *outputs);

#ifdef __cplusplus
}
#endif
#endif
