/* Data movement: copies whose places of reading are known when the code is generated. */
#ifndef FARM_MOVEMENT_H
#define FARM_MOVEMENT_H

#include "vector.h"

enum { MOVE_BY_STRIDE = -1, MOVE_OUTSIDE = -1, MOVE_STRIP = 16 };

/* One loop over the output. Iteration i adds an offset, in elements, to the place that is read. */
typedef struct {
    int32_t length;
    int32_t first, last; /* first <= i < last reads the input, the rest lies outside of it */
    int32_t stride;      /* the offset is (i - first) * stride */
    int32_t table;       /* or entry table + i of the table, unless this is MOVE_BY_STRIDE */
} MoveLoop;

/* The output is a row-major nest of six loops, a the outermost. */
typedef struct {
    int32_t bytes; /* of an element: 1, 4, or 8 which are an integer */
    int32_t whole; /* 1 of integers that have more than one byte */
    float fill;    /* what elements from outside of the input become */
    int32_t start; /* place of the first element */
    MoveLoop a, b, c, d, e, f;
} MoveShape;

/* The place after one more loop. Places outside of the input stay outside. */
FARM_INLINE int32_t move_place(int32_t place, int32_t i, const int32_t *table, MoveLoop loop) {
    if (place < 0 || i < loop.first || i >= loop.last) {
        return MOVE_OUTSIDE;
    }
    if (loop.table == MOVE_BY_STRIDE) {
        return place + (i - loop.first) * loop.stride;
    }
    int32_t offset = table[loop.table + i];
    return offset < 0 ? MOVE_OUTSIDE : place + offset;
}

#ifdef __HVX__

enum { MOVE_MANY = 32 }; /* fewer elements are moved faster one by one than in vectors */

/* Elements that follow one another, if there are many; whether there were. */
FARM_INLINE int move_vectors(void *to, const void *from, int32_t elements, int32_t size) {
    if (elements < MOVE_MANY) {
        return 0;
    }
    const int32_t bytes = elements * size;
    for (int32_t i = 0; i < bytes; i += 4 * LANES) {
        Bytes some = bytes_load_first((const uint8_t *)from + i, bytes - i);
        bytes_store_most((uint8_t *)to + i, some, bytes - i);
    }
    return 1;
}

#else

FARM_INLINE int move_vectors(void *to, const void *from, int32_t elements, int32_t size) {
    (void)to, (void)from, (void)elements, (void)size;
    return 0; /* compilers turn the loop over single elements into vector code */
}

#endif

/* The innermost loop, for one type of element. */
#define MOVE_ROW(NAME, TYPE)                                                                    \
    FARM_INLINE void NAME(const TYPE *x, const int32_t *table, TYPE *restrict y, int32_t place, \
                          TYPE fill, MoveLoop loop) {                                           \
        int32_t first = place < 0 ? loop.length : loop.first;                                   \
        int32_t last = place < 0 ? loop.length : loop.last;                                     \
        for (int32_t i = 0; i < first; i++) {                                                   \
            y[i] = fill;                                                                        \
        }                                                                                       \
        int32_t i = first;                                                                      \
        if (loop.table == MOVE_BY_STRIDE && loop.stride == 1 &&                                 \
            move_vectors(y + first, x + place, last - first, (int32_t)sizeof(TYPE))) {          \
            i = last;                                                                           \
        }                                                                                       \
        for (; i < last; i++) {                                                                 \
            if (loop.table == MOVE_BY_STRIDE) {                                                 \
                y[i] = x[place + (i - first) * loop.stride];                                    \
            } else {                                                                            \
                int32_t offset = table[loop.table + i];                                         \
                y[i] = offset < 0 ? fill : x[place + offset];                                   \
            }                                                                                   \
        }                                                                                       \
        for (int32_t i = last; i < loop.length; i++) {                                          \
            y[i] = fill;                                                                        \
        }                                                                                       \
    }

MOVE_ROW(move_row_bytes, uint8_t)
MOVE_ROW(move_row_floats, float)
MOVE_ROW(move_row_words, Word)
MOVE_ROW(move_row_longs, Long)

/* Before a loop that jumps through memory: single elements are faster than gathering vectors. */
#ifdef __clang__
#define ONE_BY_ONE _Pragma("clang loop vectorize(disable)")
#else
#define ONE_BY_ONE
#endif

/* The two innermost loops where the inner one jumps and the outer one does not: a transposition,
 * in strips of columns that caches hold. */
#define MOVE_TRANSPOSED(NAME, TYPE)                                                          \
    FARM_INLINE void NAME(const TYPE *restrict x, TYPE *restrict y, int32_t rows,            \
                          int32_t columns, int32_t stride) {                                 \
        for (int32_t start = 0; start < columns; start += MOVE_STRIP) {                      \
            int32_t end = int_min(start + MOVE_STRIP, columns);                              \
            ONE_BY_ONE                                                                       \
            for (int32_t row = 0; row < rows; row++) {                                       \
                ONE_BY_ONE                                                                   \
                for (int32_t i = start; i < end; i++) {                                      \
                    y[row * columns + i] = x[row + i * stride];                              \
                }                                                                            \
            }                                                                                \
        }                                                                                    \
    }

MOVE_TRANSPOSED(move_transposed_bytes, uint8_t)
MOVE_TRANSPOSED(move_transposed_floats, float)
MOVE_TRANSPOSED(move_transposed_words, Word)
MOVE_TRANSPOSED(move_transposed_longs, Long)

FARM_INLINE int move_is_transposition(MoveLoop outer, MoveLoop inner) {
    int by_strides = outer.table == MOVE_BY_STRIDE && inner.table == MOVE_BY_STRIDE;
    int is_inside = outer.first == 0 && outer.last == outer.length && inner.first == 0 &&
                    inner.last == inner.length;
    return by_strides && is_inside && outer.stride == 1 && inner.stride > 1;
}

/* The two innermost loops. */
FARM_INLINE void move_rows(const void *x, const int32_t *table, void *y, int32_t place,
                           MoveShape s) {
    uint8_t *bytes = y;
    float *floats = y;
    if (place >= 0 && move_is_transposition(s.e, s.f)) {
        int32_t rows = s.e.length, columns = s.f.length, stride = s.f.stride;
        if (s.bytes == 1) {
            move_transposed_bytes((const uint8_t *)x + place, bytes, rows, columns, stride);
        } else if (s.bytes == 8) {
            move_transposed_longs((const Long *)x + place, y, rows, columns, stride);
        } else if (s.whole) {
            move_transposed_words((const Word *)x + place, y, rows, columns, stride);
        } else {
            move_transposed_floats((const float *)x + place, floats, rows, columns, stride);
        }
        return;
    }
    for (int32_t i = 0; i < s.e.length; i++) {
        int32_t row = move_place(place, i, table, s.e);
        if (s.bytes == 1) {
            move_row_bytes(x, table, bytes + i * s.f.length, row, (uint8_t)s.fill, s.f);
        } else if (s.bytes == 8) {
            move_row_longs(x, table, (Long *)y + i * s.f.length, row, (Long)s.fill, s.f);
        } else if (s.whole) {
            Word fill = (Word)(int32_t)s.fill;
            move_row_words(x, table, (Word *)y + i * s.f.length, row, fill, s.f);
        } else {
            move_row_floats(x, table, floats + i * s.f.length, row, s.fill, s.f);
        }
    }
}

/* y, element by element, from x; table: offsets of all loops that have no stride. */
FARM_INLINE void move(const void *x, const int32_t *table, void *y, MoveShape s) {
    uint8_t *to = y;
    for (int32_t i = 0; i < s.a.length; i++) {
        int32_t a = move_place(s.start, i, table, s.a);
        for (int32_t j = 0; j < s.b.length; j++) {
            int32_t b = move_place(a, j, table, s.b);
            for (int32_t k = 0; k < s.c.length; k++) {
                int32_t c = move_place(b, k, table, s.c);
                for (int32_t l = 0; l < s.d.length; l++) {
                    move_rows(x, table, to, move_place(c, l, table, s.d), s);
                    to += s.e.length * s.f.length * s.bytes;
                }
            }
        }
    }
}

typedef struct {
    int32_t outer; /* times that every part contributes a piece */
    int32_t parts;
} ConcatShape;

/* y is made of pieces: the first of part 0, the first of part 1, ..., the second of part 0, ...;
 * bytes: size of a piece of each part. */
FARM_INLINE void concat(const void *const *parts, const int32_t *bytes, void *y, ConcatShape s) {
    uint8_t *to = y;
    for (int32_t piece = 0; piece < s.outer; piece++) {
        for (int32_t part = 0; part < s.parts; part++) {
            const uint8_t *from = parts[part];
            memcpy(to, from + piece * bytes[part], (size_t)bytes[part]);
            to += bytes[part];
        }
    }
}

#endif
