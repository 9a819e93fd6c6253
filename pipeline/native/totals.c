// Totals of users and regions, in a hash table that compares the users' bytes themselves.

#include "common.h"

typedef struct {
    uint64_t hash;
    int64_t text, micro_minutes, events;
    int32_t length;
    uint16_t region;
} Total;

struct Totals {
    Total *totals;
    int64_t count, room;
    uint32_t *slots; // index of a total, plus one
    uint64_t slot_mask;
    u8 *texts;
    int64_t text_bytes, text_room;
    int64_t overflow; // index of a total that passed int64, plus one
};

void free_totals(Totals *table) {
    if (!table) return;
    free(table->totals);
    free(table->slots);
    free(table->texts);
    free(table);
}

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

// So many rows are looked ahead, that the processor fetches from memory for all of them at a time; not where the table
// is small enough for its cache.
enum { AHEAD = 32, CACHED_TOTALS = 1 << 15 };

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

// What is added to a user's hash, so that the totals of one user do not follow each other.
static inline uint64_t of_region(uint16_t region) { return region * UINT64_C(0x9E3779B97F4A7C15); }

// The hashes by which the totals of the next rows are found, AHEAD at most.
static void look_ahead(const Totals *table, const u8 *texts, const int64_t *bounds, const uint16_t *region,
                       int64_t count, uint64_t *hashes) {
    count = count < AHEAD ? count : AHEAD;
    for (int64_t i = 0; i < count; i++)
        hashes[i] = XXH3_64bits(texts + bounds[i], (size_t)(bounds[i + 1] - bounds[i])) + of_region(region[i]);
    fetch(table, table->slots, hashes, count);
}

// The total of a user and region, a new one where there is none; NULL where memory is short.
static inline Total *find_total(Totals *table, const u8 *text, int64_t length, uint16_t region, uint64_t hash) {
    uint64_t slot = hash & table->slot_mask;
    for (; table->slots[slot]; slot = (slot + 1) & table->slot_mask) {
        Total *there = table->totals + table->slots[slot] - 1;
        if (there->hash == hash && there->region == region && there->length == length &&
            memcmp(table->texts + there->text, text, (size_t)length) == 0)
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

static inline void add_to(Totals *table, Total *total, int64_t micro_minutes, int64_t events) {
    if (__builtin_add_overflow(total->micro_minutes, micro_minutes, &total->micro_minutes))
        table->overflow = total - table->totals + 1;
    total->events += events;
}

// Add rows, `sign` (1 or -1) times: `bounds` are the count + 1 bounds of their users in `texts`; rows with a mark in
// `skipped` are left out. Returns the number of totals, or -1 where memory is short.
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

// The same for totals of earlier rows.
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

int64_t totals_text_bytes(const Totals *table) { return table->text_bytes; }

static int64_t count_users(const Totals *table) {
    uint32_t *slots = calloc(table->slot_mask + 1, sizeof(uint32_t));
    int64_t users = 0;
    uint64_t hashes[AHEAD];
    for (int64_t i = 0; slots && i < table->count; i++) {
        const Total *total = table->totals + i;
        if (i % AHEAD == 0) {
            int64_t some = table->count - i < AHEAD ? table->count - i : AHEAD;
            for (int64_t j = 0; j < some; j++) hashes[j] = total[j].hash - of_region(total[j].region);
            fetch(table, slots, hashes, some);
        }
        if (!total->events) continue;
        const u8 *text = table->texts + total->text;
        uint64_t slot = hashes[i % AHEAD] & table->slot_mask;
        for (; slots[slot]; slot = (slot + 1) & table->slot_mask) {
            const Total *there = table->totals + slots[slot] - 1;
            if (there->hash - of_region(there->region) == hashes[i % AHEAD] && there->length == total->length &&
                memcmp(table->texts + there->text, text, (size_t)total->length) == 0)
                break;
        }
        if (!slots[slot]) slots[slot] = (uint32_t)i + 1, users++;
    }
    bool done = slots;
    free(slots);
    return done ? users : -1;
}

// Write out all totals that have events, in order of region and of their first rows within it, with the bounds of their
// users. `found`: how many these are, of how many users (-1 where memory is short), and the place of one that passed
// int64, or -1.
void read_totals(const Totals *table, u8 *texts, int64_t *bounds, uint16_t *region, int64_t *micro_minutes,
                 int64_t *events, int64_t *found) {
    int64_t *next = calloc(UINT16_MAX + 2, sizeof(int64_t)), *order = malloc((size_t)table->count * sizeof(int64_t) + 1);
    found[0] = 0, found[1] = next && order ? count_users(table) : -1, found[2] = -1;
    if (next && order) {
        for (int64_t i = 0; i < table->count; i++)
            if (table->totals[i].events) next[table->totals[i].region + 1]++, found[0]++;
        for (int64_t code = 0; code <= UINT16_MAX; code++) next[code + 1] += next[code];
        for (int64_t i = 0; i < table->count; i++)
            if (table->totals[i].events) order[next[table->totals[i].region]++] = i;
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
