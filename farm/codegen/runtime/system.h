/* What the runner needs from the system: input, output, memory, an end, counters of calls. */
#ifndef FARM_SYSTEM_H
#define FARM_SYSTEM_H

#include <stddef.h>
#include <stdint.h>

typedef void package_call(void *memory, const void *const *inputs, void *const *outputs);

/* Host: nanoseconds, 0, 0. Hexagon: packets, instructions, vector instructions. Of all calls
 * together; on the Hexagon without what the loop and the counters cost: an empty function counts 0.
 */
struct counters {
    uint64_t value[3];
};

/* Bytes read or written; 0 at the end of the input; negative when it failed. */
long system_read(void *to, size_t bytes);
long system_write(const void *from, size_t bytes);
_Noreturn void system_exit(int code);

/* A block of memory that lasts until the end; a null pointer when there is not so much. */
void *system_memory(size_t bytes);

/* Calls the package `loops` times. */
struct counters system_count(package_call *call, uint32_t loops, void *memory,
                             const void *const *inputs, void *const *outputs);

#endif
