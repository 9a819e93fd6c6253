// Encodes the values of pages, which Python puts into Parquet files (pipeline/exchange/parquet_pages.py).

#include "differences.h"

// Writes `count` numbers as differences. Returns how many bytes they take: at most 9 a number, and 2,048 more.
int64_t encode_numbers(const int64_t *values, int64_t count, u8 *out) {
    return put_differences(out, &(Numbers){values, 8}, 0, count) - out;
}

// Returns how many first bytes two texts have in common.
static int64_t common_bytes(const u8 *one, const u8 *other, int64_t most) {
    int64_t at = 0;
    for (uint64_t a, b; at + 8 <= most; at += 8) {
        memcpy(&a, one + at, sizeof a);
        memcpy(&b, other + at, sizeof b);
        if (a != b) break;
    }
    while (at < most && one[at] == other[at]) at++;
    return at;
}

// Writes texts as Parquet's DELTA_BYTE_ARRAY: how many bytes each shares with the one before, the lengths of the rests,
// and the rests. Text i has the bytes from `begins[i]` to `stops[i]` of `texts`. `room`: for two numbers a text. Returns
// how many bytes they take: at most 10 a text more than its own, and 4,096 more.
int64_t encode_fronts(const u8 *texts, const int64_t *begins, const int64_t *stops, int64_t count, uint32_t *room,
                      u8 *out) {
    uint32_t *shared = room, *rests = room + count;
    int64_t before = 0; // length of the text before
    for (int64_t i = 0; i < count; i++) {
        int64_t length = stops[i] - begins[i], most = before < length ? before : length;
        shared[i] = most ? (uint32_t)common_bytes(texts + begins[i - 1], texts + begins[i], most) : 0;
        rests[i] = (uint32_t)length - shared[i];
        before = length;
    }
    u8 *end = put_differences(out, &(Numbers){shared, 4}, 0, count);
    end = put_differences(end, &(Numbers){rests, 4}, 0, count);
    for (int64_t i = 0; i < count; i++) {
        memcpy(end, texts + stops[i] - rests[i], rests[i]);
        end += rests[i];
    }
    return end - out;
}
