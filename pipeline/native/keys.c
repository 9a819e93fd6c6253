// Keys that are looked for among those of many rows.

#include "common.h"

// Which of the first `bits` of a key, behind `leading` ones that all have, are those of a wanted one: marks in `bitmap`.
// Where those begin in `wanted` (sorted) that share their first `bin_bits`: `starts`, with one more for the end.
void mark_keys(const uint64_t *wanted, int64_t count, int64_t leading, int64_t bits, u8 *bitmap,
               int64_t bin_bits, uint32_t *starts) {
    for (int64_t i = 0; i < count; i++) {
        uint64_t key = wanted[i] << leading, bit = key >> (64 - bits);
        bitmap[bit >> 3] |= (u8)(1 << (bit & 7));
        starts[(key >> (64 - bin_bits)) + 1] = (uint32_t)i + 1;
    }
    for (int64_t bin = 0; bin < (int64_t)1 << bin_bits; bin++)
        if (!starts[bin + 1]) starts[bin + 1] = starts[bin];
}

// Places of the rows whose key, as far as `mask` goes, is one of `wanted`, which was marked so.
int64_t find_keys(const unaligned *keys, int64_t count, const uint64_t *wanted, uint64_t mask, int64_t leading,
                  int64_t bits, const u8 *bitmap, int64_t bin_bits, const uint32_t *starts, int64_t *places) {
    int64_t maybe = 0, found = 0;
    for (int64_t row = 0; row < count; row++) { // without a branch: most rows are neither wanted nor marked
        uint64_t bit = (keys[row] & mask) << leading >> (64 - bits);
        places[maybe] = row;
        maybe += bitmap[bit >> 3] >> (bit & 7) & 1;
    }
    for (int64_t i = 0; i < maybe; i++) {
        uint64_t key = keys[places[i]] & mask, bin = key << leading >> (64 - bin_bits);
        uint32_t at = starts[bin], stop = starts[bin + 1];
        while (at < stop && wanted[at] < key) at++;
        if (at < stop && wanted[at] == key) places[found++] = places[i];
    }
    return found;
}
