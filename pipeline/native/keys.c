// Searches the keys of many rows for wanted keys.
//
// All keys have the same first `leading` bits; the bits behind these are uniform. A bitmap has one bit for each value
// of the first `bits` bits behind the leading ones, and rules out most keys that are not wanted. Wanted keys with the
// same first `bin_bits` bits behind the leading ones form a bin; a bin holds few keys.

#include "common.h"

// Prepares a search for `count` sorted keys: sets a bit of `bitmap` for each key, and writes to `starts` the position
// in `wanted` where each bin begins, and where the last bin ends. The caller fills `bitmap` and `starts` with zeros.
void mark_keys(const uint64_t *wanted, int64_t count, int64_t leading, int64_t bits, u8 *bitmap, int64_t bin_bits,
               uint32_t *starts) {
    for (int64_t i = 0; i < count; i++) {
        uint64_t key = wanted[i] << leading, bit = key >> (64 - bits);
        bitmap[bit >> 3] |= (u8)(1 << (bit & 7));
        starts[(key >> (64 - bin_bits)) + 1] = (uint32_t)i + 1;
    }
    for (int64_t bin = 0; bin < (int64_t)1 << bin_bits; bin++)
        if (!starts[bin + 1]) starts[bin + 1] = starts[bin];
}

// Writes to `positions`, which has room for all rows, the positions of the rows whose key, masked with `mask`, is
// wanted. Returns their number. The arguments from mark_keys are passed unchanged.
int64_t find_keys(const unaligned *keys, int64_t count, const uint64_t *wanted, uint64_t mask, int64_t leading,
                  int64_t bits, const u8 *bitmap, int64_t bin_bits, const uint32_t *starts, int64_t *positions) {
    int64_t maybe = 0, found = 0;
    for (int64_t row = 0; row < count; row++) { // a row without its bit is overwritten, which needs no branch
        uint64_t bit = (keys[row] & mask) << leading >> (64 - bits);
        positions[maybe] = row;
        maybe += bitmap[bit >> 3] >> (bit & 7) & 1;
    }
    for (int64_t i = 0; i < maybe; i++) {
        uint64_t key = keys[positions[i]] & mask, bin = key << leading >> (64 - bin_bits);
        uint32_t at = starts[bin], stop = starts[bin + 1];
        while (at < stop && wanted[at] < key) at++;
        if (at < stop && wanted[at] == key) positions[found++] = positions[i];
    }
    return found;
}
