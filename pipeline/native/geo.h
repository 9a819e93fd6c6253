// Finds the region of an address: reads the address from its text and looks it up in the geo table.

#pragma once

#include "common.h"

// Returns the code of the last range that begins at or before an IPv6 address.
static uint16_t find_v6(const Geo *geo, uint64_t hi, uint64_t lo) {
    int64_t low = 0, high = geo->halves; // every address finds a half, because the first half is 0
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (geo->half[middle] <= hi) low = middle;
        else high = middle;
    }
    int64_t found = geo->last[low];
    if (geo->half[low] == hi && geo->low[found] > lo) { // the half's last range begins behind the address
        int64_t before = geo->first[low] - 1;
        while (found - before > 1) {
            int64_t middle = (before + found) / 2;
            if (geo->low[middle] <= lo) before = middle;
            else found = middle;
        }
        found = before;
    }
    return geo->v6_code[found];
}

// Reads a dotted quad without leading zeros that begins at `*at`, and moves `*at` behind it. Returns false, and leaves
// `*at` where it is, when no dotted quad begins there.
static bool read_v4(const u8 **at, const u8 *end, uint32_t *address) {
    const u8 *p = *at;
    uint32_t value = 0;
    for (int octet = 0; octet < 4; octet++) {
        if (octet && (p == end || *p++ != '.')) return false;
        const u8 *begin = p;
        uint32_t number = 0;
        while (p < end && p - begin < 3 && (u8)(*p - '0') < 10) number = number * 10 + (*p++ - '0');
        if (p == begin || number > 255 || (p - begin > 1 && *begin == '0')) return false;
        value = value << 8 | number;
    }
    *at = p;
    *address = value;
    return true;
}

// Returns the value of a hexadecimal digit, or -1 for another character.
static int hex_digit(u8 byte) {
    if ((u8)(byte - '0') < 10) return byte - '0';
    byte |= 0x20;
    return (u8)(byte - 'a') < 6 ? byte - 'a' + 10 : -1;
}

// Reads up to `limit` groups of hexadecimal digits with colons between them, and moves `*at` behind the last group. The
// last two groups may be a dotted quad; `quad` is then set to true. Returns the number of groups.
static int read_groups(const u8 **at, const u8 *end, uint16_t *groups, int limit, bool *quad) {
    *quad = false;
    for (int number = 0; number < limit; number++) {
        const u8 *p = *at;
        if (number && (p == end || *p++ != ':')) return number;
        uint32_t address;
        if (number < limit - 1 && read_v4(&p, end, &address)) {
            groups[number] = address >> 16;
            groups[number + 1] = address & 0xFFFF;
            *at = p;
            *quad = true;
            return number + 2;
        }
        const u8 *begin = p;
        uint32_t value = 0;
        while (p < end && p - begin < 4 && hex_digit(*p) >= 0) value = value << 4 | (uint32_t)hex_digit(*p++);
        if (p == begin) return number;
        groups[number] = (uint16_t)value;
        *at = p;
    }
    return limit;
}

// Reads a whole text as an IPv6 address (RFC 4291, section 2.2). Returns false when it is none.
static bool read_v6(const u8 *p, const u8 *end, uint64_t *hi, uint64_t *lo) {
    uint16_t groups[8] = {0}, tail[8] = {0};
    bool quad;
    int head = read_groups(&p, end, groups, 8, &quad);
    if (head < 8) {
        if (quad || end - p < 2 || p[0] != ':' || p[1] != ':') return false;
        p += 2;
        int more = read_groups(&p, end, tail, 8 - (head + 1), &quad);
        for (int i = 0; i < more; i++) groups[8 - more + i] = tail[i];
    }
    if (p != end) return false;
    *hi = *lo = 0;
    for (int i = 0; i < 4; i++) {
        *hi = *hi << 16 | groups[i];
        *lo = *lo << 16 | groups[4 + i];
    }
    return true;
}

typedef uint8_t short_block __attribute__((ext_vector_type(16), aligned(1)));
typedef bool short_bits __attribute__((ext_vector_type(16)));

// Packs one bool for each byte of a block into a mask.
static inline uint32_t short_mask(short_bits found) {
    uint16_t mask;
    memcpy(&mask, &found, sizeof mask);
    return mask;
}

// Reads a whole text as a dotted quad without leading zeros; returns false when it is none. It branches on no digit,
// because the processor cannot predict digits. It reads up to 20 bytes from `text` on, also where the text is shorter.
static bool is_v4(const u8 *text, int32_t length, uint32_t *address) {
    if (length < 7 || length > 15) return false;
    short_block bytes = *(const short_block *)text;
    uint32_t whole = (1u << length) - 1;
    uint32_t dots = short_mask(__builtin_convertvector(bytes == (short_block)'.', short_bits)) & whole;
    uint32_t digits = short_mask(__builtin_convertvector(bytes - (short_block)'0' < (short_block)10, short_bits));
    digits &= whole;
    if ((dots | digits) != whole || __builtin_popcount(dots) != 3) return false;
    uint32_t start = 0, value = 0, bad = 0;
    for (int octet = 0; octet < 4; octet++) {
        uint32_t end = octet < 3 ? (uint32_t)__builtin_ctz(dots) : (uint32_t)length, count = end - start, word;
        dots &= dots - 1;
        memcpy(&word, text + start, sizeof word);
        bad |= count - 1 > 2;
        bad |= count > 1 && (word & 0xFF) == '0';
        word = (word & 0x0F0F0F0F) << (8 * ((4 - count) & 3));
        uint32_t number = (word >> 8 & 0xFF) * 100 + (word >> 16 & 0xFF) * 10 + (word >> 24);
        bad |= number > 255;
        value = value << 8 | number;
        start = end + 1;
    }
    *address = value;
    return !bad;
}

// Tells whether the bytes are a colon and a port, 0 to 65535.
static bool is_port(const u8 *p, const u8 *end) {
    int32_t number = 0;
    if (end - p < 2 || end - p > 6 || *p != ':') return false;
    for (p++; p < end; p++) {
        u8 digit = *p - '0';
        if (digit > 9) return false;
        number = number * 10 + digit;
    }
    return number <= 65535;
}

// Takes a zone id off an address that has one. Returns false when what follows the percent sign is no zone id, or when
// the address before it is not IPv6.
static bool drop_zone(const u8 *p, const u8 **end) {
    const u8 *percent = memchr(p, '%', (size_t)(*end - p));
    if (!percent) return true;
    if (percent + 1 == *end || !memchr(p, ':', (size_t)(percent - p))) return false;
    for (const u8 *at = percent + 1; at < *end; at++) {
        u8 small = *at | 0x20;
        bool letter = (u8)(small - 'a') < 26 || (u8)(*at - '0') < 10;
        if (!letter && *at != '.' && *at != '_' && *at != '~' && *at != '-') return false;
    }
    *end = percent;
    return true;
}

// Narrows an endpoint to its address: takes port, brackets and zone id off (addresses.py has the same rules). A text in
// another form stays, or becomes empty, which is no address either.
static void narrow_endpoint(const u8 **text, int32_t *length) {
    const u8 *p = *text, *end = p + *length;
    if (p < end && *p == '[') {
        const u8 *close = memchr(p, ']', (size_t)(end - p));
        if (!close || (close + 1 < end && !is_port(close + 1, end))) return;
        p++, end = close;
        if (!drop_zone(p, &end)) end = p;
    } else {
        const u8 *colon = memchr(p, ':', (size_t)(end - p));
        if (!colon) return;
        if (!memchr(colon + 1, ':', (size_t)(end - colon - 1)) && is_port(colon, end)) end = colon;
        else if (!drop_zone(p, &end)) return;
    }
    *text = p, *length = (int32_t)(end - p);
}

// Narrows a list of endpoints to one of its places: the first where `proxies` is 0, else that many from the end; empty
// where the list is shorter. Spaces, tabs and empty places do not count.
static void narrow_list(const u8 **text, int32_t *length, int64_t proxies) {
    const u8 *p = *text, *end = p + *length, *stop;
    int64_t places = 0, wanted = 0;
    for (int pass = proxies ? 0 : 1; pass < 2; pass++) { // the first pass counts the places
        if (pass && proxies) {
            if (places < proxies) break;
            wanted = places - proxies;
        }
        int64_t place = 0;
        for (const u8 *at = p; at <= end; at = stop + 1) {
            stop = at < end ? memchr(at, ',', (size_t)(end - at)) : NULL;
            if (!stop) stop = end;
            const u8 *first = at, *last = stop;
            while (first < last && (*first == ' ' || *first == '\t')) first++;
            while (last > first && (last[-1] == ' ' || last[-1] == '\t')) last--;
            if (first == last) continue;
            if (pass && place == wanted) {
                *text = first, *length = (int32_t)(last - first);
                return;
            }
            place++;
        }
        places = place;
    }
    *length = 0;
}

// IPv4 addresses that wait until look_up searches for all of them together: the processor can then fetch the memory for
// many searches at once.
enum { WAITING = 256 };
typedef struct {
    uint32_t address[WAITING];
    uint16_t *region[WAITING];
    int count;
} Lookups;

// Writes the regions of all waiting addresses and empties the list.
static void look_up(const Geo *geo, Lookups *waiting) {
    uint32_t low[WAITING], count[WAITING], most = 0;
    int waits = waiting->count;
    for (int i = 0; i < waits; i++) {
        const uint32_t *index = geo->v4_index + (waiting->address[i] >> 16);
        low[i] = index[0], count[i] = index[1] - index[0] + 1;
        most = count[i] > most ? count[i] : most;
    }
    for (; most > 1; most -= most / 2) {
        // Searches that have ended take the step with the others, so that no branch depends on an address.
        for (int i = 0; i < waits; i++) {
            uint32_t half = count[i] / 2;
            low[i] += geo->v4_start[low[i] + half] <= waiting->address[i] ? half : 0;
            count[i] -= half;
        }
    }
    for (int i = 0; i < waits; i++) *waiting->region[i] = geo->v4_code[low[i]];
    waiting->count = 0;
}

// Adds an address to the list, and looks all addresses up when the list is full.
static void look_up_later(const Geo *geo, Lookups *waiting, uint32_t address, uint16_t *region) {
    waiting->address[waiting->count] = address;
    waiting->region[waiting->count++] = region;
    if (waiting->count == WAITING) look_up(geo, waiting);
}

// Writes the region of an address to `region`, for an IPv4 address only when look_up runs. A text that is no address
// has the region `geo->invalid`. Nothing behind `chunk_end` is read.
static void find_region(const Geo *geo, const u8 *text, int32_t length, const u8 *chunk_end, Lookups *waiting,
                        uint16_t *region) {
    const u8 *p = text, *end = text + length;
    uint32_t v4;
    uint64_t hi, lo;
    bool found = chunk_end - text >= 20 ? is_v4(text, length, &v4) : read_v4(&p, end, &v4) && p == end;
    if (found) look_up_later(geo, waiting, v4, region);
    else if (!read_v6(text, end, &hi, &lo)) *region = (uint16_t)geo->invalid;
    else if (hi == 0 && lo >> 32 == 0xFFFF) look_up_later(geo, waiting, (uint32_t)lo, region); // RFC 4291, 2.5.5.2
    else *region = find_v6(geo, hi, lo);
}
