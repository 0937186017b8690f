/* What every kernel starts from: integer types, inlining, and the two functions of a C library
 * that a package may need.
 */
#ifndef FARM_COMMON_H
#define FARM_COMMON_H

#include <stddef.h>
#include <stdint.h>

#define FARM_INLINE static inline __attribute__((always_inline))

/* Before a loop whose iterations touch no element of one another, except an output that has the
 * very place of an input. Clang shall not warn where a target has no vectors for such a loop. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed"
#define EACH_ALONE _Pragma("clang loop vectorize(assume_safety)")
#else
#define EACH_ALONE _Pragma("GCC ivdep")
#endif

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memset(void *to, int value, size_t bytes);

/* A word at an address that is a multiple of four, whatever the bytes there are. */
typedef uint32_t Word __attribute__((may_alias));

FARM_INLINE uint32_t word_load(const uint8_t *p) { return *(const Word *)p; }

/* A word at any address: one load where processors allow that, four bytes put together elsewhere. */
typedef uint32_t WordAnywhere __attribute__((may_alias, aligned(1)));

FARM_INLINE uint32_t word_load_anywhere(const uint8_t *p) { return *(const WordAnywhere *)p; }

/* Eight bytes at an address that is a multiple of four, as tensors are. */
typedef int64_t Long __attribute__((may_alias, aligned(4)));

FARM_INLINE void word_store(uint8_t *p, uint32_t value) { *(Word *)p = value; }

/* Between stores that overlap: LLVM 22 moves a word's store before a vector's to the same bytes when
 * it schedules for the Hexagon. Costs nothing but the freedom to do that. */
FARM_INLINE void stores_in_order(void) { __asm__ volatile("" ::: "memory"); }

/* The same pointers, from which compilers reckon neighbours anew: they would rather keep each of
 * them in a register and step it, and have too few. */
FARM_INLINE const uint8_t *one_source(const uint8_t *p) {
    __asm__("" : "+r"(p));
    return p;
}

FARM_INLINE uint8_t *one_target(uint8_t *p) {
    __asm__("" : "+r"(p));
    return p;
}

FARM_INLINE void copy_bytes(void *to, const void *from, size_t bytes) { memcpy(to, from, bytes); }

FARM_INLINE int32_t int_min(int32_t a, int32_t b) { return a < b ? a : b; }

FARM_INLINE int32_t int_max(int32_t a, int32_t b) { return a > b ? a : b; }

#endif
