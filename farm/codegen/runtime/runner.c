/* Runs a package for a program that talks to it over standard input and output.
 *
 * Requests and replies are a letter and what follows it; numbers are little-endian.
 *
 *   i  asks for sizes    i  u32 inputs, u32 bytes of each, u32 outputs, u32 bytes of each
 *   r  the inputs        r  the outputs
 *   t  u32 loops         t  u64 counters[3], of all loops together, on the last inputs
 *   q                    the runner ends, as it does at the end of the input
 *
 * Instead of a reply comes e, and the runner ends, when the package wrote outside its memory.
 *
 * The package gets what it may rely on and no more: memory aligned to 128 bytes that is full of
 * poison before the first run; inputs and outputs aligned to 8 bytes and never to 16. Its names,
 * which are another's in every package, are in package.h.
 */
#include "package.h"
#include "system.h"

enum { FENCE = 384, FENCE_BYTE = 0x5a, POISON = 0xa5 };
enum { DONE = 0, SYSTEM_FAILED = 2, WROTE_OUTSIDE = 3, NOT_UNDERSTOOD = 4 };

struct block {
    unsigned char *start;
    uint32_t bytes;
};

static const uint32_t input_bytes[PACKAGE_INPUTS] = PACKAGE_INPUT_BYTES;
static const uint32_t output_bytes[PACKAGE_OUTPUTS] = PACKAGE_OUTPUT_BYTES;
static struct block memory = {0, PACKAGE_MEMORY_BYTES};
static struct block inputs[PACKAGE_INPUTS], outputs[PACKAGE_OUTPUTS];
static const void *input_pointers[PACKAGE_INPUTS];
static void *output_pointers[PACKAGE_OUTPUTS];

static void fill(unsigned char *start, unsigned char value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        start[i] = value;
    }
}

/* Takes room for a block, with a fence on each side, and returns what is behind it. */
static unsigned char *place(struct block *block, unsigned char *at, uintptr_t offset) {
    uintptr_t aligned = ((uintptr_t)at + FENCE + 127) / 128 * 128 + offset;
    block->start = (unsigned char *)aligned;
    fill(block->start - FENCE, FENCE_BYTE, FENCE);
    fill(block->start, 0, block->bytes);
    fill(block->start + block->bytes, FENCE_BYTE, FENCE);
    return block->start + block->bytes + FENCE;
}

static void place_all(void) {
    size_t room = 4 * FENCE + memory.bytes;
    for (uint32_t i = 0; i < PACKAGE_INPUTS; i++) {
        inputs[i].bytes = input_bytes[i];
        room += 4 * FENCE + input_bytes[i];
    }
    for (uint32_t i = 0; i < PACKAGE_OUTPUTS; i++) {
        outputs[i].bytes = output_bytes[i];
        room += 4 * FENCE + output_bytes[i];
    }
    unsigned char *at = system_memory(room);
    if (at == 0) {
        system_exit(SYSTEM_FAILED);
    }
    at = place(&memory, at, 0);
    fill(memory.start, POISON, memory.bytes);
    for (uint32_t i = 0; i < PACKAGE_INPUTS; i++) {
        at = place(&inputs[i], at, 8);
        input_pointers[i] = inputs[i].start;
    }
    for (uint32_t i = 0; i < PACKAGE_OUTPUTS; i++) {
        at = place(&outputs[i], at, 8);
        output_pointers[i] = outputs[i].start;
    }
}

static int is_fenced(const struct block *block) {
    for (int i = 0; i < FENCE; i++) {
        if (block->start[i - FENCE] != FENCE_BYTE ||
            block->start[block->bytes + (uint32_t)i] != FENCE_BYTE) {
            return 0;
        }
    }
    return 1;
}

static int all_are_fenced(void) {
    int whole = is_fenced(&memory);
    for (uint32_t i = 0; i < PACKAGE_INPUTS; i++) {
        whole &= is_fenced(&inputs[i]);
    }
    for (uint32_t i = 0; i < PACKAGE_OUTPUTS; i++) {
        whole &= is_fenced(&outputs[i]);
    }
    return whole;
}

/* Reads everything or ends: at the end of the input nobody waits for an answer any more. */
static void receive(void *to, size_t bytes) {
    unsigned char *at = to;
    while (bytes > 0) {
        long got = system_read(at, bytes);
        if (got <= 0) {
            system_exit(got == 0 ? DONE : SYSTEM_FAILED);
        }
        at += got;
        bytes -= (size_t)got;
    }
}

static void send(const void *from, size_t bytes) {
    const unsigned char *at = from;
    while (bytes > 0) {
        long put = system_write(at, bytes);
        if (put <= 0) {
            system_exit(SYSTEM_FAILED);
        }
        at += put;
        bytes -= (size_t)put;
    }
}

static void send_sizes(void) {
    const uint32_t counts[2] = {PACKAGE_INPUTS, PACKAGE_OUTPUTS};
    send("i", 1);
    send(&counts[0], sizeof counts[0]);
    send(input_bytes, sizeof input_bytes);
    send(&counts[1], sizeof counts[1]);
    send(output_bytes, sizeof output_bytes);
}

static void check_fences(void) {
    if (!all_are_fenced()) {
        send("e", 1);
        system_exit(WROTE_OUTSIDE);
    }
}

static void run(void) {
    for (uint32_t i = 0; i < PACKAGE_INPUTS; i++) {
        receive(inputs[i].start, inputs[i].bytes);
    }
    PACKAGE_CALL(memory.start, input_pointers, output_pointers);
    check_fences();
    send("r", 1);
    for (uint32_t i = 0; i < PACKAGE_OUTPUTS; i++) {
        send(outputs[i].start, outputs[i].bytes);
    }
}

static void count(void) {
    uint32_t loops;
    receive(&loops, sizeof loops);
    struct counters total =
        system_count(PACKAGE_CALL, loops, memory.start, input_pointers, output_pointers);
    check_fences();
    send("t", 1);
    send(total.value, sizeof total.value);
}

int main(void) {
    place_all();
    for (;;) {
        char request;
        receive(&request, 1);
        switch (request) {
        case 'i': send_sizes(); break;
        case 'r': run(); break;
        case 't': count(); break;
        case 'q': return DONE;
        default: return NOT_UNDERSTOOD;
        }
    }
}
