/* The system below the runner: a Hexagon binary under a user-mode emulator, without a C library.
 *
 * System calls are trap0(#1) with the number in r6. The emulator counts packets, instructions and
 * vector instructions in control registers c20, c21 and c22, which assemblers know by no name.
 */
#include "system.h"

enum { READ = 63, WRITE = 64, EXIT = 93, BREAK = 214 };

static long system_call(long number, long first, long second, long third) {
    register long r6 __asm__("r6") = number;
    register long r0 __asm__("r0") = first;
    register long r1 __asm__("r1") = second;
    register long r2 __asm__("r2") = third;
    __asm__ volatile("trap0(#1)" : "+r"(r0) : "r"(r6), "r"(r1), "r"(r2) : "memory");
    return r0;
}

long system_read(void *to, size_t bytes) { return system_call(READ, 0, (long)to, (long)bytes); }

long system_write(const void *from, size_t bytes) {
    return system_call(WRITE, 1, (long)from, (long)bytes);
}

_Noreturn void system_exit(int code) {
    system_call(EXIT, code, 0, 0);
    for (;;) {
    }
}

/* Moves the end of the data: with 0 it says where that is. */
void *system_memory(size_t bytes) {
    long start = system_call(BREAK, 0, 0, 0);
    long end = system_call(BREAK, start + (long)bytes, 0, 0);
    return end == start + (long)bytes ? (void *)start : 0;
}

int main(void);

_Noreturn void _start(void) { system_exit(main()); }

/* r0 = c20, r0 = c21 and r0 = c22. */
#define COUNTER(name, word)                                                      \
    static inline uint32_t name(void) {                                          \
        uint32_t count;                                                          \
        __asm__ volatile(word "\n\t%0 = r0" : "=r"(count) : : "r0", "memory");   \
        return count;                                                            \
    }
COUNTER(packets, ".word 0x6a14c000")
COUNTER(instructions, ".word 0x6a15c000")
COUNTER(vector_instructions, ".word 0x6a16c000")

static void nothing(void *memory, const void *const *inputs, void *const *outputs) {
    (void)memory, (void)inputs, (void)outputs;
}

/* The counters have 32 bits and wrap around, so they are read around every single call. */
static __attribute__((noinline)) void count_once(package_call *volatile *call, void *memory,
                                                 const void *const *inputs, void *const *outputs,
                                                 uint32_t counted[3]) {
    package_call *called = *call;
    uint32_t before[3] = {packets(), instructions(), vector_instructions()};
    called(memory, inputs, outputs);
    uint32_t after[3] = {packets(), instructions(), vector_instructions()};
    for (int i = 0; i < 3; i++) {
        counted[i] = after[i] - before[i];
    }
}

struct counters system_count(package_call *call, uint32_t loops, void *memory,
                             const void *const *inputs, void *const *outputs) {
    package_call *volatile target = nothing;
    uint32_t overhead[3], counted[3];
    struct counters total = {{0, 0, 0}};
    count_once(&target, memory, inputs, outputs, overhead);
    target = call;
    for (uint32_t loop = 0; loop < loops; loop++) {
        count_once(&target, memory, inputs, outputs, counted);
        for (int i = 0; i < 3; i++) {
            total.value[i] += counted[i] - overhead[i];
        }
    }
    return total;
}
