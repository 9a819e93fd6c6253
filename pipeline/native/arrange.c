// Copies the columns of rows into the order of their buckets.
//
// `at` has the next free position of each bucket and moves on with every row. Rows of the buckets from `buckets` on are
// left out.

#include "common.h"

// Copies a column with `size` bytes (8, 4 or 2) for each row to `out`.
void arrange_column(const void *column, int64_t size, const uint16_t *bucket, int64_t count, int64_t buckets,
                    int64_t *at, void *out) {
#define ARRANGE(type)                                                                                                  \
    for (int64_t row = 0; row < count; row++) {                                                                        \
        if (bucket[row] >= buckets) continue;                                                                          \
        type *place = (type *)out + at[bucket[row]]++;                                                                 \
        FETCH_BEHIND(place);                                                                                           \
        *place = ((const type *)column)[row];                                                                          \
    }
    if (size == 8) {
        ARRANGE(uint64_t)
    } else if (size == 4) {
        ARRANGE(uint32_t)
    } else {
        ARRANGE(uint16_t)
    }
}

// Adds the length of each row's text to the entry of its bucket in `bytes`, which has entries for all buckets.
void count_text_bytes(const int64_t *ends, const uint16_t *bucket, int64_t count, int64_t *bytes) {
    for (int64_t row = 0; row < count; row++) bytes[bucket[row]] += ends[row] - (row ? ends[row - 1] : 0);
}

// Copies texts to `out` and writes their new ends to `out_ends`. `bytes_at` has the next free offset of each bucket in
// `out`.
void arrange_texts(const u8 *texts, const int64_t *ends, const uint16_t *bucket, int64_t count, int64_t buckets,
                   int64_t *at, int64_t *bytes_at, u8 *out, int64_t *out_ends) {
    for (int64_t row = 0; row < count; row++) {
        uint16_t b = bucket[row];
        if (b >= buckets) continue;
        int64_t start = row ? ends[row - 1] : 0, length = ends[row] - start;
        FETCH_BEHIND(out + bytes_at[b]);
        memcpy(out + bytes_at[b], texts + start, (size_t)length);
        out_ends[at[b]++] = bytes_at[b] += length;
    }
}
