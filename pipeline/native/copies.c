// Compares the contents of rows that have the same id.

#include "common.h"

// Tells whether two rows have the same content: user, region and watch time.
static bool same_content(const Part *a, int32_t i, const Part *b, int32_t j) {
    int64_t length = a->bounds[i + 1] - a->bounds[i];
    return a->micro_minutes[i] == b->micro_minutes[j] && a->region[i] == b->region[j] &&
           length == b->bounds[j + 1] - b->bounds[j] &&
           memcmp(a->texts + a->bounds[i], b->texts + b->bounds[j], (size_t)length) == 0;
}

enum { STANDS, COPY, AMBIGUOUS };

// Compares `count` rows of `parts` and writes a verdict for each row: STANDS for the first row of an id, COPY for a
// later row with the same content, AMBIGUOUS for every row of an id with several contents. Returns false when memory
// runs out.
bool judge_copies(const Part *parts, const RowPosition *positions, int64_t count, u8 *verdict) {
    uint64_t mask = 15;
    while (mask < (uint64_t)count * 2) mask = mask * 2 + 1;
    uint32_t *slots = calloc(mask + 1, sizeof(uint32_t)), *first = malloc((size_t)count * sizeof(uint32_t) + 1);
    for (int64_t i = 0; slots && first && i < count; i++) {
        const Part *part = parts + positions[i].part;
        int32_t row = positions[i].row;
        uint64_t slot = part->id_lo[row] & mask; // an id is a hash, so its bits are uniform
        for (; slots[slot]; slot = (slot + 1) & mask) {
            RowPosition there = positions[slots[slot] - 1];
            if (parts[there.part].id_lo[there.row] == part->id_lo[row] &&
                parts[there.part].id_hi[there.row] == part->id_hi[row])
                break;
        }
        if (!slots[slot]) {
            first[i] = (uint32_t)i, slots[slot] = (uint32_t)i + 1, verdict[i] = STANDS;
            continue;
        }
        RowPosition there = positions[first[i] = slots[slot] - 1];
        verdict[i] = COPY;
        if (!same_content(part, row, parts + there.part, there.row)) verdict[first[i]] = AMBIGUOUS;
    }
    for (int64_t i = 0; slots && first && i < count; i++)
        if (verdict[first[i]] == AMBIGUOUS) verdict[i] = AMBIGUOUS;
    bool done = slots && first;
    free(slots);
    free(first);
    return done;
}
