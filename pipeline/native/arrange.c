// Rows brought into the order of their buckets.

#include "common.h"

// Bring a column of `size` bytes a row into the order of `bucket`: row r goes to at[bucket[r]]++. Rows of a bucket from
// `buckets` on are left out.
void arrange_column(const void *column, int64_t size, const uint16_t *bucket, int64_t count, int64_t buckets,
                    int64_t *at, void *out) {
#define ARRANGE(type)                                                                                                  \
    for (int64_t row = 0; row < count; row++)                                                                          \
        if (bucket[row] < buckets) ((type *)out)[at[bucket[row]]++] = ((const type *)column)[row];
    if (size == 8) {
        ARRANGE(uint64_t)
    } else if (size == 4) {
        ARRANGE(uint32_t)
    } else {
        ARRANGE(uint16_t)
    }
}

// How many bytes of text each bucket has.
void count_text_bytes(const int64_t *ends, const uint16_t *bucket, int64_t count, int64_t *bytes) {
    for (int64_t row = 0; row < count; row++) bytes[bucket[row]] += ends[row] - (row ? ends[row - 1] : 0);
}

// The same as arrange_column for texts: `at` are rows, `bytes_at` places in `out`; writes the new ends.
void arrange_texts(const u8 *texts, const int64_t *ends, const uint16_t *bucket, int64_t count, int64_t buckets,
                   int64_t *at, int64_t *bytes_at, u8 *out, int64_t *out_ends) {
    for (int64_t row = 0; row < count; row++) {
        uint16_t b = bucket[row];
        if (b >= buckets) continue;
        int64_t start = row ? ends[row - 1] : 0, length = ends[row] - start;
        memcpy(out + bytes_at[b], texts + start, (size_t)length);
        out_ends[at[b]++] = bytes_at[b] += length;
    }
}
