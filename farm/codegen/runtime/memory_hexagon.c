/* memcpy and memset where there is no C library: whole vectors or words, then the rest.
 *
 * Compiled without built-in functions, else the compiler would turn these loops into calls of
 * themselves.
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __HVX__
typedef uint8_t chunk __attribute__((vector_size(128), aligned(1), may_alias));
#define CAN_MOVE(address) 1
#else
typedef uint64_t chunk __attribute__((may_alias));
#define CAN_MOVE(address) (((uintptr_t)(address) & (sizeof(chunk) - 1)) == 0)
#endif

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
    uint8_t *target = to;
    const uint8_t *source = from;
    if (CAN_MOVE(target) && CAN_MOVE(source)) {
        for (; bytes >= sizeof(chunk); bytes -= sizeof(chunk)) {
            *(chunk *)target = *(const chunk *)source;
            target += sizeof(chunk);
            source += sizeof(chunk);
        }
    }
    while (bytes-- > 0) {
        *target++ = *source++;
    }
    return to;
}

void *memset(void *to, int value, size_t bytes) {
    uint8_t *target = to;
    if (CAN_MOVE(target)) {
#ifdef __HVX__
        chunk filled = (chunk){0} + (uint8_t)value;
#else
        chunk filled = 0x0101010101010101u * (uint8_t)value;
#endif
        for (; bytes >= sizeof(chunk); bytes -= sizeof(chunk)) {
            *(chunk *)target = filled;
            target += sizeof(chunk);
        }
    }
    while (bytes-- > 0) {
        *target++ = (uint8_t)value;
    }
    return to;
}
