/* The system below the runner: POSIX. */
#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "system.h"

long system_read(void *to, size_t bytes) { return (long)read(0, to, bytes); }

long system_write(const void *from, size_t bytes) { return (long)write(1, from, bytes); }

_Noreturn void system_exit(int code) { _exit(code); }

void *system_memory(size_t bytes) { return malloc(bytes); }

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct counters system_count(package_call *call, uint32_t loops, void *memory,
                             const void *const *inputs, void *const *outputs) {
    uint64_t start = nanoseconds();
    for (uint32_t loop = 0; loop < loops; loop++) {
        call(memory, inputs, outputs);
    }
    return (struct counters){{nanoseconds() - start, 0, 0}};
}
