// Adds up the watch times and events of each user and region, in a hash table that compares the users' bytes.

#include "common.h"

typedef struct {
    uint64_t hash;
    int64_t text; // where the user's text begins in the table's texts
    int64_t micro_minutes, events;
    int32_t length; // of the user's text
    uint16_t region;
} Total;

struct Totals {
    Total *totals;
    int64_t count, room;
    uint32_t *slots; // position of a total, plus one; 0 when the slot is free
    uint64_t slot_mask;
    u8 *texts;
    int64_t text_bytes, text_room;
    int64_t overflow; // position of a total whose minutes passed int64, plus one; 0 when there is none
};

// Frees a table and all that it holds; NULL is allowed.
void free_totals(Totals *table) {
    if (!table) return;
    free(table->totals);
    free(table->slots);
    free(table->texts);
    free(table);
}

// Returns an empty table with room for `expected` totals, or NULL when memory runs out.
Totals *new_totals(int64_t expected) {
    Totals *table = calloc(1, sizeof *table);
    if (!table) return NULL;
    table->room = 1 << 12, table->text_room = 1 << 16;
    while (table->room < expected) table->room *= 2;
    table->slot_mask = (uint64_t)table->room * 2 - 1;
    table->totals = malloc((size_t)table->room * sizeof(Total));
    table->slots = calloc(table->slot_mask + 1, sizeof(uint32_t));
    table->texts = malloc((size_t)table->text_room);
    if (table->totals && table->slots && table->texts) return table;
    free_totals(table);
    return NULL;
}

// The memory for AHEAD rows is fetched at once, because fetching it row by row would make the processor wait for each
// row. A table with fewer than CACHED_TOTALS totals lies in the processor's cache, so nothing is fetched for it.
enum { AHEAD = 32, CACHED_TOTALS = 1 << 15 };

// Doubles the room for totals. Returns false when memory runs out.
static bool grow_totals(Totals *table) {
    Total *totals = realloc(table->totals, (size_t)table->room * 2 * sizeof(Total));
    if (!totals) return false;
    table->totals = totals;
    uint64_t mask = table->slot_mask * 2 + 1;
    uint32_t *slots = calloc(mask + 1, sizeof(uint32_t));
    if (!slots) return false;
    for (int64_t i = 0; i < table->count; i++) {
        if (i + AHEAD < table->count) __builtin_prefetch(slots + (table->totals[i + AHEAD].hash & mask), 1);
        uint64_t slot = table->totals[i].hash & mask;
        while (slots[slot]) slot = (slot + 1) & mask;
        slots[slot] = (uint32_t)i + 1;
    }
    free(table->slots);
    table->slots = slots, table->slot_mask = mask, table->room *= 2;
    return true;
}

// Appends a user's text to the texts. Returns false when memory runs out.
static bool add_text(Totals *table, const u8 *text, int64_t length) {
    if (table->text_bytes + length > table->text_room) {
        int64_t room = 2 * table->text_room + length;
        u8 *texts = realloc(table->texts, (size_t)room);
        if (!texts) return false;
        table->texts = texts, table->text_room = room;
    }
    memcpy(table->texts + table->text_bytes, text, (size_t)length);
    table->text_bytes += length;
    return true;
}

// Prefetches the slots of `count` hashes, then their totals, then the totals' texts: each step reads what the step
// before has fetched.
static void fetch(const Totals *table, const uint32_t *slots, const uint64_t *hashes, int64_t count) {
    if (table->count < CACHED_TOTALS) return;
    for (int64_t i = 0; i < count; i++) __builtin_prefetch(slots + (hashes[i] & table->slot_mask));
    for (int64_t i = 0; i < count; i++) {
        uint32_t index = slots[hashes[i] & table->slot_mask];
        if (index) __builtin_prefetch(table->totals + index - 1);
    }
    for (int64_t i = 0; i < count; i++) {
        uint32_t index = slots[hashes[i] & table->slot_mask];
        if (index) __builtin_prefetch(table->texts + table->totals[index - 1].text);
    }
}

// Returns what is added to a user's hash for a region, so that the totals of a user do not collide with each other.
static inline uint64_t of_region(uint16_t region) { return region * UINT64_C(0x9E3779B97F4A7C15); }

// Computes the hashes of the next rows, at most AHEAD, and prefetches the memory that find_total reads for them.
static void look_ahead(const Totals *table, const u8 *texts, const int64_t *bounds, const uint16_t *region,
                       int64_t count, uint64_t *hashes) {
    count = count < AHEAD ? count : AHEAD;
    for (int64_t i = 0; i < count; i++)
        hashes[i] = XXH3_64bits(texts + bounds[i], (size_t)(bounds[i + 1] - bounds[i])) + of_region(region[i]);
    fetch(table, table->slots, hashes, count);
}

// Returns the total of a user and region, and adds an empty one when there is none. Returns NULL when memory runs out
// or the table has as many totals as its slots can number.
static inline Total *find_total(Totals *table, const u8 *text, int64_t length, uint16_t region, uint64_t hash) {
    uint64_t slot = hash & table->slot_mask;
    for (; table->slots[slot]; slot = (slot + 1) & table->slot_mask) {
        Total *there = table->totals + table->slots[slot] - 1;
        if (there->hash == hash && there->region == region && there->length == length &&
            same_text(table->texts + there->text, text, length))
            return there;
    }
    if (table->count == table->room) {
        if (table->count >= UINT32_MAX / 4 || !grow_totals(table)) return NULL;
        for (slot = hash & table->slot_mask; table->slots[slot];) slot = (slot + 1) & table->slot_mask;
    }
    Total *total = table->totals + table->count;
    *total = (Total){hash, table->text_bytes, 0, 0, (int32_t)length, region};
    if (!add_text(table, text, length)) return NULL;
    table->slots[slot] = (uint32_t)++table->count;
    return total;
}

// Adds minutes and events to a total, and notes the total when its minutes pass int64.
static inline void add_to(Totals *table, Total *total, int64_t micro_minutes, int64_t events) {
    if (__builtin_add_overflow(total->micro_minutes, micro_minutes, &total->micro_minutes))
        table->overflow = total - table->totals + 1;
    total->events += events;
}

// Adds `count` rows (`sign` 1) or subtracts them (`sign` -1). A row counts as one event with its minutes; a row with a
// mark in `skipped` is left out. The user of a row has the bytes from bounds[row] to bounds[row + 1] of `texts`.
// Returns the number of totals in the table, or -1 when a new total finds no room.
int64_t add_rows(Totals *table, const u8 *texts, const int64_t *bounds, const uint16_t *region,
                 const int64_t *micro_minutes, const u8 *skipped, int64_t sign, int64_t count) {
    uint64_t hashes[AHEAD];
    for (int64_t row = 0; row < count; row++) {
        if (row % AHEAD == 0) look_ahead(table, texts, bounds + row, region + row, count - row, hashes);
        if (skipped[row]) continue;
        const u8 *text = texts + bounds[row];
        Total *total = find_total(table, text, bounds[row + 1] - bounds[row], region[row], hashes[row % AHEAD]);
        if (!total) return -1;
        add_to(table, total, sign * micro_minutes[row], sign);
    }
    return table->count;
}

// Adds `count` totals of earlier rows to the table. The user of total i has the bytes from bounds[i] to bounds[i + 1]
// of `texts`. Returns the number of totals in the table, or -1 when a new total finds no room.
int64_t add_totals(Totals *table, const u8 *texts, const int64_t *bounds, const uint16_t *region,
                   const int64_t *micro_minutes, const int64_t *events, int64_t count) {
    uint64_t hashes[AHEAD];
    for (int64_t row = 0; row < count; row++) {
        if (row % AHEAD == 0) look_ahead(table, texts, bounds + row, region + row, count - row, hashes);
        const u8 *text = texts + bounds[row];
        Total *total = find_total(table, text, bounds[row + 1] - bounds[row], region[row], hashes[row % AHEAD]);
        if (!total) return -1;
        add_to(table, total, micro_minutes[row], events[row]);
    }
    return table->count;
}

// Returns the number of bytes for which `texts` of read_totals must have room.
int64_t totals_text_bytes(const Totals *table) { return table->text_bytes; }

// Returns the number of users who have totals with events, or -1 when memory runs out.
static int64_t count_users(const Totals *table) {
    uint32_t *slots = calloc(table->slot_mask + 1, sizeof(uint32_t));
    int64_t users = 0;
    uint64_t hashes[AHEAD];
    for (int64_t i = 0; slots && i < table->count; i++) {
        const Total *total = table->totals + i;
        if (i % AHEAD == 0) {
            int64_t ahead = table->count - i < AHEAD ? table->count - i : AHEAD;
            for (int64_t j = 0; j < ahead; j++) hashes[j] = total[j].hash - of_region(total[j].region);
            fetch(table, slots, hashes, ahead);
        }
        if (!total->events) continue;
        const u8 *text = table->texts + total->text;
        uint64_t slot = hashes[i % AHEAD] & table->slot_mask;
        for (; slots[slot]; slot = (slot + 1) & table->slot_mask) {
            const Total *there = table->totals + slots[slot] - 1;
            if (there->hash - of_region(there->region) == hashes[i % AHEAD] && there->length == total->length &&
                same_text(table->texts + there->text, text, total->length))
                break;
        }
        if (!slots[slot]) slots[slot] = (uint32_t)i + 1, users++;
    }
    bool done = slots;
    free(slots);
    return done ? users : -1;
}

// Writes all totals that have events, or all where `whole` is 1, in order of region and, within a region, in the order
// in which they were added. The user of total i has the bytes from bounds[i] to bounds[i + 1] of `texts`. Three numbers are written to `found`:
// the number of totals, the number of their users (-1 when memory ran out), and the position of a total whose minutes
// passed int64 (-1 when there is none).
void read_totals(const Totals *table, u8 *texts, int64_t *bounds, uint16_t *region, int64_t *micro_minutes,
                 int64_t *events, int64_t whole, int64_t *found) {
    int64_t *next = calloc(UINT16_MAX + 2, sizeof(int64_t));
    int64_t *order = malloc((size_t)table->count * sizeof(int64_t) + 1);
    found[0] = 0, found[1] = next && order ? count_users(table) : -1, found[2] = -1;
    if (next && order) {
        for (int64_t i = 0; i < table->count; i++)
            if (whole || table->totals[i].events) next[table->totals[i].region + 1]++, found[0]++;
        for (int64_t code = 0; code <= UINT16_MAX; code++) next[code + 1] += next[code];
        for (int64_t i = 0; i < table->count; i++)
            if (whole || table->totals[i].events) order[next[table->totals[i].region]++] = i;
        bounds[0] = 0;
        for (int64_t at = 0; at < found[0]; at++) {
            if (at + AHEAD < found[0]) __builtin_prefetch(table->totals + order[at + AHEAD]);
            if (at + AHEAD / 2 < found[0])
                __builtin_prefetch(table->texts + table->totals[order[at + AHEAD / 2]].text);
            const Total *total = table->totals + order[at];
            memcpy(texts + bounds[at], table->texts + total->text, (size_t)total->length);
            bounds[at + 1] = bounds[at] + total->length;
            region[at] = total->region;
            micro_minutes[at] = total->micro_minutes;
            events[at] = total->events;
            if (order[at] == table->overflow - 1) found[2] = at;
        }
    }
    free(next);
    free(order);
}
