/* Vectors of positions: the one interface that the fast kernels are written against.
 *
 * A vector holds LANES positions; the lane of a position is 32 bits: four channels of u8 (Bytes),
 * or one s32 (Words). The header of a target defines
 *
 *   LANES         positions in a vector, at most 32
 *   TILE          vectors of positions that a product works on at once, four channels each
 *   bytes_...     load, store (anywhere), aligned store, store of the first positions only, filling
 *   bytes_load_apart   a load that the compiler shall not merge with others, for inner loops
 *   bytes_select  bytes of one vector where a mask is 255, of another where it is 0
 *   bytes_even, bytes_odd   the lanes 0, 2, 4, ... or 1, 3, 5, ... of two vectors in a row
 *   bytes_behind  a vector that begins within another, of memory or of this one and the next
 *   bytes_windows lanes of four bytes out of one vector, one or two bytes apart
 *   bytes_halves  the first half of one vector and the second half of another
 *   interleave    four vectors of taps to four vectors of channels, whose lanes hold four taps
 *   weights_load  four words of weights
 *   dot           lanes of four u8 times the same four s8 weights, added to the accumulators
 *   dot_vectors   the same with weights of its own for every lane
 *   requantize4   accumulators of four channels to the lanes of u8 of a blocked tensor
 *   add_weighted_bytes   the weighted sum of two vectors of u8
 *
 * and computes exactly the same everywhere. The portable header is the one to read.
 */
#ifndef FARM_VECTOR_H
#define FARM_VECTOR_H

#if defined(__HVX__)
#include "vector_hvx.h"
#elif defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include "vector_avx512.h"
#elif defined(__AVX2__)
#include "vector_avx2.h"
#elif defined(__hexagon__)
#include "vector_hexagon.h"
#else
#include "vector_portable.h"
#endif

#endif
