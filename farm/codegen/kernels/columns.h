/* Columns of a convolution: what its taps read, ordered by position of the output.
 *
 * Tensors are blocked: [batch][blocks of four channels][positions][4]. A plane of columns holds
 * one 32-bit word per position of a band of output rows: what one tap of the kernel reads from the
 * four channels of one block. It is x shifted along the row, or thinned out by the stride, with
 * zero points where the kernel looks outside. Taps that lie whole output rows apart share a plane,
 * which then has more rows than the band.
 */
#ifndef FARM_COLUMNS_H
#define FARM_COLUMNS_H

#include "common.h"
#include "vector.h"

/* How accumulators become u8, and what is added to them afterwards. */
typedef struct {
    int32_t shift, post_shift, lowest, highest;
    int32_t has_skip; /* whether y = weighted sum of the result and skip, by the fields below */
    int32_t skip_first, skip_second, skip_offset, skip_shift, skip_lowest, skip_highest;
} ConvOutput;

/* Blocks are of four channels, and of one group. */
typedef struct {
    int32_t batch, groups, in_blocks, out_blocks;
    int32_t height, width, out_height, out_width;
    int32_t kernel_width; /* words of the columns along a row of the kernel */
    int32_t kernel_taps;  /* taps along it: as many, or up to four per word */
    int32_t stride_y, stride_x, dilation_y, dilation_x, top, left;
    int32_t row_planes; /* planes for the rows of the kernel; it has row_planes * taps rows */
    int32_t taps;       /* rows of the kernel that share a plane */
    int32_t tap_rows;   /* rows of the plane from one of them to the next */
    int32_t band;       /* output rows whose columns fit into the scratch memory */
    int32_t zero_point; /* of x: what lies outside */
    ConvOutput output;
} ConvShape;

/* Rows of a plane for a band of `band` output rows. */
FARM_INLINE int32_t plane_rows(int32_t band, ConvShape shape) {
    return band + (shape.taps - 1) * shape.tap_rows;
}

/* Output rows of the band that begins at row `top`: a constant where all bands are alike. */
FARM_INLINE int32_t band_rows(int32_t top, ConvShape shape) {
    const int32_t alike = shape.out_height % shape.band == 0;
    return alike ? shape.band : int_min(shape.band, shape.out_height - top);
}

FARM_INLINE int32_t plane_bytes(ConvShape shape) {
    return plane_rows(shape.band, shape) * shape.out_width * 4;
}

/* Writes up to a vector more than `words` words. */
FARM_INLINE void fill_vectors(uint8_t *to, int32_t words, int32_t value) {
    for (int32_t i = 0; i < words; i += LANES) {
        bytes_store(to + i * 4, bytes_fill((uint8_t)value));
    }
}

/* The first i with i * stride >= from, within 0..limit. */
FARM_INLINE int32_t stride_begin(int32_t from, int32_t stride, int32_t limit) {
    return int_min(int_max(from + stride - 1, 0) / stride, limit);
}

FARM_INLINE void fill_words(uint8_t *to, int32_t words, uint32_t value) {
    for (int32_t i = 0; i < words; i++) {
        word_store(to + i * 4, value);
    }
}

/* Copies every stride-th word; stride is 1 or 2. Writes up to a vector more than `words` words,
 * and reads as far. */
FARM_INLINE void copy_words(uint8_t *to, const uint8_t *from, int32_t words, int32_t stride) {
    for (int32_t i = 0; i < words; i += LANES) {
        Bytes v = bytes_load_apart(from + i * stride * 4);
        if (stride == 2) {
            int32_t is_half = words - i <= LANES / 2;
            v = bytes_even(v, is_half ? v : bytes_load_apart(from + (i * 2 + LANES) * 4));
        }
        bytes_store(to + i * 4, v);
    }
}

enum { NEAR_WORDS = 64, NEAR_TAPS_END = 32, NEAR_STRIDE = 2 }; /* as in packing.py */

/* Whether rows may be copied as they are, neighbours and all: the vectors then end less than
 * NEAR_WORDS words outside of x, which may be read. */
FARM_INLINE int32_t rows_are_near(ConvShape shape) {
    const int32_t last_column = (shape.kernel_taps + 3) / 4 * 4 * shape.dilation_x - shape.left;
    const int32_t words = (shape.out_width + 31) / 32 * 32;
    return shape.stride_x <= NEAR_STRIDE && shape.left < NEAR_WORDS &&
           last_column < NEAR_TAPS_END &&
           last_column + words * shape.stride_x - shape.width < NEAR_WORDS;
}

/* Column of x that a tap along the row of the kernel reads for output column 0. */
FARM_INLINE int32_t tap_column(int32_t tap, ConvShape shape) {
    return tap * shape.dilation_x - shape.left;
}

/* Some rows of a plane, from rows of x that are near: column 0 is column `column` of x. */
FARM_INLINE void copy_rows(const uint8_t *row, uint8_t *to, int32_t rows, int32_t column,
                           ConvShape shape) {
    if (shape.stride_x == 1 && shape.stride_y == 1 && shape.out_width == shape.width) {
        copy_words(to, row + column * 4, rows * shape.width, 1);
        return;
    }
    for (int32_t r = 0; r < rows; r++) {
        copy_words(to, row + column * 4, shape.out_width, shape.stride_x);
        stores_in_order(); /* the next row begins where this one's last vector ends or before */
        to += shape.out_width * 4;
        row += shape.stride_y * shape.width * 4;
    }
}

/* The same word by word. */
FARM_INLINE void pick_rows(const uint8_t *row, uint8_t *to, int32_t rows, int32_t column,
                           int32_t first, int32_t last, ConvShape shape) {
    for (int32_t r = 0; r < rows; r++) {
        for (int32_t i = first; i < last; i++) {
            word_store(to + i * 4, word_load(row + (i * shape.stride_x + column) * 4));
        }
        to += shape.out_width * 4;
        row += shape.stride_y * shape.width * 4;
    }
}

/* The columns first..last - 1 of some rows of a plane become zero points. */
FARM_INLINE void fill_columns(uint8_t *to, int32_t rows, int32_t first, int32_t last,
                              ConvShape shape) {
    const uint32_t zeros = (uint32_t)shape.zero_point * 0x01010101u;
    for (int32_t i = first; i < last; i++) {
        for (int32_t r = 0; r < rows; r++) {
            word_store(to + (r * shape.out_width + i) * 4, zeros);
        }
    }
}

/* One plane of one block of x. Row r of the plane is input row first_row + r * stride_y, column i
 * of it input column i * stride_x + column. Writes up to a vector more than the plane. */
FARM_INLINE void build_plane(const uint8_t *x, uint8_t *plane, int32_t rows, int32_t first_row,
                             int32_t column, ConvShape shape) {
    const int32_t to_bytes = shape.out_width * 4;
    int32_t top = stride_begin(-first_row, shape.stride_y, rows);
    int32_t bottom = int_max(stride_begin(shape.height - first_row, shape.stride_y, rows), top);
    int32_t left = stride_begin(-column, shape.stride_x, shape.out_width);
    int32_t right = stride_begin(shape.width - column, shape.stride_x, shape.out_width);
    const uint8_t *row = x + (first_row + top * shape.stride_y) * shape.width * 4;
    uint8_t *to = plane + top * to_bytes;
    fill_vectors(plane, top * shape.out_width, shape.zero_point);
    stores_in_order();
    if (rows_are_near(shape)) {
        copy_rows(row, to, bottom - top, column, shape);
    } else {
        pick_rows(row, to, bottom - top, column, left, right, shape);
    }
    stores_in_order();
    fill_columns(to, bottom - top, 0, left, shape);
    fill_columns(to, bottom - top, int_max(left, right), shape.out_width, shape);
    stores_in_order();
    fill_vectors(plane + bottom * to_bytes, (rows - bottom) * shape.out_width, shape.zero_point);
    stores_in_order();
}

#endif
