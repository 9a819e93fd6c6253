// Sorts keys by their bits: hashes, whose bits are uniform, in a quarter of the time that comparisons take.

#include "common.h"

// So many keys or fewer are sorted by insertion.
#define FEW 16
// Keys are put into at most 2^MOST_BITS bins at a time, of 2^USUAL_BITS to 2^(USUAL_BITS+1) keys each if all their bits
// are uniform. (Measured: docs/performance.md.)
#define MOST_BITS 10
#define USUAL_BITS 2

static void insert_keys(uint64_t *keys, int64_t count) {
    for (int64_t i = 1; i < count; i++) {
        uint64_t key = keys[i];
        int64_t at = i;
        for (; at > 0 && keys[at - 1] > key; at--) keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

// Sorts `keys`. The result lies in `room`, which has room for as many, when it is `wanted_there`, else in `keys`.
static void sort_bits(uint64_t *keys, uint64_t *room, int64_t count, bool wanted_there) {
    uint64_t differ = 0; // the bits in which keys differ: keys of a narrow range begin alike
    if (count > FEW)
        for (int64_t i = 1; i < count; i++) differ |= keys[i] ^ keys[0];
    else
        insert_keys(keys, count);
    if (!differ) {
        if (wanted_there) memcpy(room, keys, (size_t)count * sizeof(uint64_t));
        return;
    }
    int top = 64 - __builtin_clzll(differ), bits = 63 - __builtin_clzll((uint64_t)count) - USUAL_BITS;
    if (bits > MOST_BITS) bits = MOST_BITS;
    if (bits > top) bits = top;
    int shift = top - bits;
    uint32_t mask = (1u << bits) - 1;
    int64_t ends[1 << MOST_BITS];
    memset(ends, 0, sizeof(int64_t) << bits);
    for (int64_t i = 0; i < count; i++) ends[keys[i] >> shift & mask]++;
    for (int64_t bin = 0, at = 0; bin <= mask; bin++) {
        int64_t size = ends[bin];
        ends[bin] = at, at += size;
    }
    for (int64_t i = 0; i < count; i++) {
        uint64_t *place = room + ends[keys[i] >> shift & mask]++;
        FETCH_BEHIND(place);
        *place = keys[i];
    }
    for (int64_t bin = 0, first = 0; bin <= mask; first = ends[bin++])
        sort_bits(room + first, keys + first, ends[bin] - first, !wanted_there);
}

// Sorts `count` keys; `room` has room for as many.
void sort_keys(uint64_t *keys, int64_t count, uint64_t *room) { sort_bits(keys, room, count, false); }
