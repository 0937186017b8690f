/* The two functions of the C library that a package may need, where there is no C library. */
#ifndef FARM_STRING_H
#define FARM_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memset(void *to, int value, size_t bytes);

#endif
