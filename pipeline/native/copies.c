// Compares the contents of rows that have the same id.

#include "common.h"

// A timestamp that is missing, and the ways in which an id is decided (DEDUPE_KEEP).
#define MISSING INT64_MIN
enum { LONGEST, FIRST, LAST };

// So many rows ahead of the current one, slots are prefetched; twice as many ahead, rows; half as many ahead, the rows in
// the slots. Each step reads what the step before has fetched.
#define AHEAD 16

// Tells whether two rows have the same content: user, region and watch time.
static bool same_content(const Part *a, int32_t i, const Part *b, int32_t j) {
    int64_t length = a->bounds[i + 1] - a->bounds[i];
    return a->micro_minutes[i] == b->micro_minutes[j] && a->region[i] == b->region[j] &&
           length == b->bounds[j + 1] - b->bounds[j] &&
           same_text(a->texts + a->bounds[i], b->texts + b->bounds[j], length);
}

enum { STANDS, COPY, LOSES, AMBIGUOUS };

static bool same_id(const Part *a, int32_t i, const Part *b, int32_t j) {
    return a->id_lo[i] == b->id_lo[j] && a->id_hi[i] == b->id_hi[j];
}

// Returns a hash of a row's id and content, so that the contents of one id do not collide with each other.
static uint64_t hash_content(const Part *part, int32_t row) {
    const u8 *user = part->texts + part->bounds[row];
    uint64_t hash = XXH3_64bits(user, (size_t)(part->bounds[row + 1] - part->bounds[row]));
    hash ^= ((uint64_t)part->micro_minutes[row] << 14 | part->region[row]) * 0x9E3779B97F4A7C15u;
    hash = (hash + part->id_lo[row]) * 0xC2B2AE3D27D4EB4Fu;
    return hash ^ hash >> 32;
}

// Tells whether timestamp `a` decides before `b`: the earlier when `keep` is FIRST, the later when `keep` is LAST, and
// any before a missing one.
static bool decides_before(int64_t a, int64_t b, int64_t keep) {
    if (a == MISSING || b == MISSING) return a != MISSING && b == MISSING;
    return keep == FIRST ? a < b : a > b;
}

// Tells whether content `i` wins against content `j` of the same id (dedupe.py has the rule). `ranks`: the order of the
// regions' names by code.
static bool wins(const Part *a, int32_t i, int64_t time_a, const Part *b, int32_t j, int64_t time_b, int64_t keep,
                 const uint16_t *ranks) {
    if (keep != LONGEST && time_a != time_b) return decides_before(time_a, time_b, keep);
    if (a->micro_minutes[i] != b->micro_minutes[j]) return a->micro_minutes[i] > b->micro_minutes[j];
    int64_t length_a = a->bounds[i + 1] - a->bounds[i], length_b = b->bounds[j + 1] - b->bounds[j];
    int order = memcmp(a->texts + a->bounds[i], b->texts + b->bounds[j],
                       (size_t)(length_a < length_b ? length_a : length_b));
    if (order != 0 || length_a != length_b) return order != 0 ? order < 0 : length_a < length_b;
    return ranks[a->region[i]] < ranks[b->region[j]];
}

static inline void fetch_row(const Part *parts, RowPosition position) {
    const Part *part = parts + position.part;
    __builtin_prefetch(part->id_lo + position.row);
    __builtin_prefetch(part->id_hi + position.row);
    __builtin_prefetch(part->bounds + position.row);
    __builtin_prefetch(part->micro_minutes + position.row);
    __builtin_prefetch(part->region + position.row);
}

static uint64_t mask_for(int64_t count) {
    uint64_t mask = 15;
    while (mask < (uint64_t)count * 2) mask = mask * 2 + 1;
    return mask;
}

// The mark of a slot, beside the number of a row plus one.
#define UNSURE (1u << 31)

// Asks for what the rows behind row `i` need: themselves, their slots, and the rows in these.
static inline void look_ahead(const Part *parts, const RowPosition *positions, int64_t i, int64_t count,
                              const uint32_t *slots, uint64_t mask) {
    if (i + 2 * AHEAD < count) fetch_row(parts, positions[i + 2 * AHEAD]);
    if (i + AHEAD < count) {
        RowPosition later = positions[i + AHEAD];
        __builtin_prefetch(slots + (parts[later.part].id_lo[later.row] & mask), 1);
    }
    if (i + AHEAD / 2 < count) {
        RowPosition later = positions[i + AHEAD / 2];
        uint32_t there = slots[parts[later.part].id_lo[later.row] & mask] & ~UNSURE;
        if (there) fetch_row(parts, positions[there - 1]);
    }
}

// Returns the slot that has a row with the id of row `i`, or the empty one where it belongs.
static inline uint32_t *find_slot(const Part *parts, const RowPosition *positions, int64_t i, uint32_t *slots,
                                  uint64_t mask) {
    const Part *part = parts + positions[i].part;
    int32_t row = positions[i].row;
    uint64_t slot = part->id_lo[row] & mask; // an id is a hash, so its bits are uniform
    for (; slots[slot]; slot = (slot + 1) & mask) {
        RowPosition there = positions[(slots[slot] & ~UNSURE) - 1];
        if (same_id(part, row, parts + there.part, there.row)) break;
    }
    return slots + slot;
}

// Finds for each row the first row of its id, by number among the rows, and writes COPY for a row with the content of
// that first one, AMBIGUOUS for each first row of whose id a row has another content, else STANDS. `slots`: empty.
static void find_ids(const Part *parts, const RowPosition *positions, int64_t count, int64_t keep, int64_t *times,
                     uint32_t *slots, uint64_t mask, uint32_t *first, u8 *verdict) {
    for (int64_t i = 0; i < count; i++) {
        look_ahead(parts, positions, i, count, slots, mask);
        uint32_t *slot = find_slot(parts, positions, i, slots, mask);
        if (!*slot) {
            first[i] = (uint32_t)i, *slot = (uint32_t)i + 1, verdict[i] = STANDS;
            continue;
        }
        RowPosition here = positions[i], there = positions[first[i] = *slot - 1];
        verdict[i] = COPY;
        if (!same_content(parts + here.part, here.row, parts + there.part, there.row))
            verdict[first[i]] = AMBIGUOUS;
        else if (times && decides_before(times[i], times[first[i]], keep))
            times[first[i]] = times[i];
    }
}

// Compares row `i`, of an id with several contents, with the earlier ones: writes COPY where it repeats a content, else
// STANDS. `slot`: where the search begins.
static void find_content(const Part *parts, const RowPosition *positions, int64_t i, int64_t keep, int64_t *times,
                         uint32_t *slots, uint64_t mask, uint64_t slot, u8 *verdict) {
    const Part *part = parts + positions[i].part;
    int32_t row = positions[i].row;
    verdict[i] = STANDS;
    for (; slots[slot]; slot = (slot + 1) & mask) {
        int64_t other = slots[slot] - 1;
        const Part *there = parts + positions[other].part;
        int32_t row_there = positions[other].row;
        if (!same_id(part, row, there, row_there) || !same_content(part, row, there, row_there)) continue;
        verdict[i] = COPY;
        if (times && decides_before(times[i], times[other], keep)) times[other] = times[i];
        return;
    }
    slots[slot] = (uint32_t)i + 1;
}

// Compares the rows of ids with several contents: writes COPY for a row that repeats the content of an earlier row, else
// STANDS. `slots`: empty. Slots lie too far apart for the cache, so each is asked for AHEAD rows before it is needed.
static void find_contents(const Part *parts, const RowPosition *positions, int64_t count, int64_t keep, int64_t *times,
                          uint32_t *slots, uint64_t mask, u8 *verdict) {
    uint64_t coming[AHEAD]; // the slots where the search for the next rows begins
    for (int64_t next = 0; next < count + AHEAD; next++) {
        if (next >= AHEAD && verdict[next - AHEAD] == AMBIGUOUS)
            find_content(parts, positions, next - AHEAD, keep, times, slots, mask, coming[next % AHEAD], verdict);
        if (next >= count || verdict[next] != AMBIGUOUS) continue;
        coming[next % AHEAD] = hash_content(parts + positions[next].part, positions[next].row) & mask;
        __builtin_prefetch(slots + coming[next % AHEAD], 1);
    }
}

// Writes LOSES for each row that stands and is not the content that counts of its id. `first`: the first row of each
// row's id; `best`: room for the best row until now, by first row.
static void find_losers(const Part *parts, const RowPosition *positions, int64_t count, int64_t keep,
                        const uint16_t *ranks, const int64_t *times, const uint32_t *first, uint32_t *best,
                        u8 *verdict) {
    for (int64_t i = 0; i < count; i++) {
        if (verdict[i] != STANDS) continue;
        if (first[i] == i) { // the first row of an id always stands at first
            best[i] = (uint32_t)i;
            continue;
        }
        uint32_t other = best[first[i]];
        bool better = wins(parts + positions[i].part, positions[i].row, times ? times[i] : 0,
                           parts + positions[other].part, positions[other].row, times ? times[other] : 0, keep, ranks);
        verdict[better ? other : i] = LOSES;
        if (better) best[first[i]] = (uint32_t)i;
    }
}

// Decides the ids of rows as decide_copies does, by comparing each content of an id with all others.
static bool decide_all(const Part *parts, const RowPosition *positions, int64_t count, int64_t keep,
                       const uint16_t *ranks, int64_t *times, u8 *verdict) {
    uint64_t mask = mask_for(count);
    uint32_t *slots = calloc(mask + 1, sizeof(uint32_t)), *first = malloc((size_t)count * sizeof(uint32_t) + 1);
    if (slots && first) {
        find_ids(parts, positions, count, keep, times, slots, mask, first, verdict);
        bool several = false;
        for (int64_t i = 0; i < count; i++) several |= verdict[i] == AMBIGUOUS;
        if (several) {
            for (int64_t i = 0; i < count; i++)
                if (verdict[first[i]] == AMBIGUOUS) verdict[i] = AMBIGUOUS;
            memset(slots, 0, (mask + 1) * sizeof(uint32_t));
            find_contents(parts, positions, count, keep, times, slots, mask, verdict);
            if (ranks) find_losers(parts, positions, count, keep, ranks, times, first, slots, verdict);
        }
    }
    bool done = slots && first;
    free(slots);
    free(first);
    return done;
}

// Decides, where the longest counts, the ids whose watch times all rise or fall from row to row, but for copies of the
// longest: a time outside of the range of those before it is no copy, so that nothing else is compared. Returns how many
// other ids there are; stops when they are more than `most_unsure`. `slots` gets the longest row of each id, with UNSURE
// where it is such an id; `shortest`: room for the shortest row of each id, by its longest.
static int64_t decide_ranges(const Part *parts, const RowPosition *positions, int64_t count, int64_t most_unsure,
                             uint32_t *slots, uint64_t mask, uint32_t *shortest, u8 *verdict) {
    int64_t unsure = 0;
    for (int64_t i = 0; i < count && unsure <= most_unsure; i++) {
        look_ahead(parts, positions, i, count, slots, mask);
        const Part *part = parts + positions[i].part;
        int32_t row = positions[i].row;
        uint32_t *slot = find_slot(parts, positions, i, slots, mask);
        verdict[i] = STANDS;
        if (!*slot) {
            *slot = (uint32_t)i + 1, shortest[i] = (uint32_t)i;
            continue;
        }
        uint32_t longest = (*slot & ~UNSURE) - 1, least = shortest[longest];
        const Part *there = parts + positions[longest].part;
        int64_t minutes = part->micro_minutes[row], most = there->micro_minutes[positions[longest].row];
        if (*slot & UNSURE) continue;
        if (minutes > most) {
            verdict[longest] = LOSES;
            *slot = (uint32_t)i + 1, shortest[i] = least;
        } else if (minutes == most && same_content(part, row, there, positions[longest].row)) {
            verdict[i] = COPY;
        } else if (minutes < parts[positions[least].part].micro_minutes[positions[least].row]) {
            verdict[i] = LOSES;
            shortest[longest] = (uint32_t)i;
        } else {
            *slot |= UNSURE, unsure++;
        }
    }
    return unsure;
}

// Decides by decide_all the ids that are UNSURE in `slots`, and writes the verdicts of all their rows.
static bool decide_unsure(const Part *parts, const RowPosition *positions, int64_t count, const uint16_t *ranks,
                          uint32_t *slots, uint64_t mask, u8 *verdict) {
    RowPosition *chosen = malloc((size_t)count * sizeof *chosen);
    int64_t *numbers = malloc((size_t)count * sizeof *numbers), size = 0;
    u8 *found = malloc((size_t)count);
    bool done = chosen && numbers && found;
    for (int64_t i = 0; done && i < count; i++) {
        look_ahead(parts, positions, i, count, slots, mask);
        if (!(*find_slot(parts, positions, i, slots, mask) & UNSURE)) continue;
        chosen[size] = positions[i], numbers[size++] = i;
    }
    done = done && decide_all(parts, chosen, size, LONGEST, ranks, NULL, found);
    for (int64_t i = 0; done && i < size; i++) verdict[numbers[i]] = found[i];
    free(chosen);
    free(numbers);
    free(found);
    return done;
}

// Decides the ids of `count` rows of `parts` and writes a verdict for each row: COPY for a row that repeats the content
// of an earlier row, STANDS for the content that counts, LOSES for each other content. `keep` is LONGEST, FIRST or LAST;
// with `ranks` NULL the contents of an id are not compared with each other, and all stand. `times` has the rows'
// timestamps, and gets those that decide over all copies of a content; NULL with LONGEST. Returns false when memory runs
// out.
bool decide_copies(const Part *parts, const RowPosition *positions, int64_t count, int64_t keep, const uint16_t *ranks,
                   int64_t *times, u8 *verdict) {
    if (keep != LONGEST) return decide_all(parts, positions, count, keep, ranks, times, verdict);
    int64_t most_unsure = count / 256; // with more, to compare all ids at once is faster
    uint64_t mask = mask_for(count);
    uint32_t *slots = calloc(mask + 1, sizeof *slots), *shortest = malloc((size_t)count * sizeof *shortest + 1);
    bool done = slots && shortest;
    int64_t unsure = done ? decide_ranges(parts, positions, count, most_unsure, slots, mask, shortest, verdict) : 0;
    free(shortest);
    if (unsure && unsure <= most_unsure) done = decide_unsure(parts, positions, count, ranks, slots, mask, verdict);
    free(slots);
    if (unsure > most_unsure) return decide_all(parts, positions, count, keep, ranks, times, verdict);
    for (int64_t i = 0; done && !ranks && i < count; i++)
        if (verdict[i] == LOSES) verdict[i] = STANDS;
    return done;
}
