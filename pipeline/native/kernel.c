// The compiled parser of plain chunks: the end of every field, then the values of every row, each in one pass.
//
// A chunk is plain where every line has the right number of fields and every quote opens or closes a whole field, which
// the scanner confirms in between. All else is left to the Polars parser and the careful path, and a row that is not
// plainly good ("doubtful") to the rules in values.py. Nothing here reads beyond the chunk or writes beyond the room
// that the caller has made, whatever the bytes.

#define XXH_INLINE_ALL
#include "arrow/vendored/xxhash/xxhash.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

typedef uint8_t u8;
typedef uint8_t block __attribute__((ext_vector_type(64), aligned(1)));
typedef bool bits __attribute__((ext_vector_type(64)));

static const int64_t MICRO = 1000000, MAX_MICRO = 1000000000LL * 1000000;
static const int64_t POWER[19] = {1,
                                  10,
                                  100,
                                  1000,
                                  10000,
                                  100000,
                                  1000000,
                                  10000000,
                                  100000000,
                                  1000000000,
                                  10000000000,
                                  100000000000,
                                  1000000000000,
                                  10000000000000,
                                  100000000000000,
                                  1000000000000000,
                                  10000000000000000,
                                  100000000000000000,
                                  1000000000000000000};

static inline uint64_t mask_of(block bytes, u8 byte) {
    bits equal = __builtin_convertvector(bytes == (block)(byte), bits);
    uint64_t mask;
    memcpy(&mask, &equal, sizeof mask);
    return mask;
}

// Bit i tells whether an odd number of bits up to i are set.
static inline uint64_t parity_of(uint64_t mask) {
    for (int shift = 1; shift < 64; shift *= 2) mask ^= mask << shift;
    return mask;
}

// Positions of all delimiters and line ends of `data` outside quotes, in order; returns how many, or -1 where `room`
// does not hold them.
EXPORT int64_t find_separators(const u8 *data, int64_t size, u8 delimiter, int32_t *separators, int64_t room) {
    int64_t count = 0;
    uint64_t inside = 0; // all bits set where the next byte lies in quotes
    u8 tail[64];
    for (int64_t at = 0; at < size; at += 64) {
        const u8 *from = data + at;
        if (size - at < 64) {
            memset(tail, 0, sizeof tail);
            from = memcpy(tail, data + at, (size_t)(size - at));
        }
        if (count + 64 > room) return -1;
        block bytes = *(const block *)from;
        uint64_t mask = mask_of(bytes, delimiter) | mask_of(bytes, '\n'), quotes = mask_of(bytes, '"');
        if (quotes | inside) {
            uint64_t quoted = parity_of(quotes) ^ inside;
            mask &= ~quoted;
            inside = quoted >> 63 ? ~0ULL : 0;
        }
        for (; mask; mask &= mask - 1) separators[count++] = (int32_t)(at + __builtin_ctzll(mask));
    }
    return count;
}

typedef struct {
    // IPv4: ascending first addresses of ranges, the first one 0, and their codes; for each leading half of an address
    // the last range that begins at or before its first address (65537 entries).
    const uint32_t *v4_start;
    const uint16_t *v4_code;
    const uint32_t *v4_index;
    // IPv6: distinct high halves, for each its first and last range; the ranges' low halves and codes.
    const uint64_t *half;
    const int64_t *first, *last;
    int64_t halves;
    const uint64_t *low;
    const uint16_t *v6_code;
    int64_t invalid;
} Geo;

static uint16_t find_v6(const Geo *geo, uint64_t hi, uint64_t lo) {
    int64_t low = 0, high = geo->halves; // the first half is 0
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (geo->half[middle] <= hi) low = middle;
        else high = middle;
    }
    int64_t found = geo->last[low];
    if (geo->half[low] == hi && geo->low[found] > lo) { // the last range of this half at or before `lo`
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

// A dotted quad without leading zeros at `*at`; moves on only where there is one.
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

static int hex_digit(u8 byte) {
    if ((u8)(byte - '0') < 10) return byte - '0';
    byte |= 0x20;
    return (u8)(byte - 'a') < 6 ? byte - 'a' + 10 : -1;
}

// Up to `limit` groups of hex digits with colons between them, the last two perhaps as a quad; returns how many.
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

// RFC 4291 text.
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

static inline uint32_t short_mask(short_bits found) {
    uint16_t mask;
    memcpy(&mask, &found, sizeof mask);
    return mask;
}

// The same as read_v4 for the whole of a text, without branches on its digits: they cannot be predicted. Reads 20 bytes.
static bool is_v4(const u8 *text, int32_t length, uint32_t *address) {
    if (length < 7 || length > 15) return false;
    short_block bytes = *(const short_block *)text;
    uint32_t whole = (1u << length) - 1;
    uint32_t dots = short_mask(__builtin_convertvector(bytes == (short_block)'.', short_bits)) & whole;
    uint32_t digits = short_mask(__builtin_convertvector(bytes - (short_block)'0' < (short_block)10, short_bits)) & whole;
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

// Addresses of IPv4 whose regions are looked up together, step by step: the processor then waits for many at a time.
enum { WAITING = 256 };
typedef struct {
    uint32_t address[WAITING];
    uint16_t *region[WAITING];
    int count;
} Lookups;

static void look_up(const Geo *geo, Lookups *waiting) {
    uint32_t low[WAITING], count[WAITING], most = 0;
    int waits = waiting->count;
    for (int i = 0; i < waits; i++) {
        const uint32_t *index = geo->v4_index + (waiting->address[i] >> 16);
        low[i] = index[0], count[i] = index[1] - index[0] + 1;
        most = count[i] > most ? count[i] : most;
    }
    for (; most > 1; most -= most / 2) {
        for (int i = 0; i < waits; i++) { // a step of every search, also of those that have ended: no branch depends on an address
            uint32_t half = count[i] / 2;
            low[i] += geo->v4_start[low[i] + half] <= waiting->address[i] ? half : 0;
            count[i] -= half;
        }
    }
    for (int i = 0; i < waits; i++) *waiting->region[i] = geo->v4_code[low[i]];
    waiting->count = 0;
}

static void look_up_later(const Geo *geo, Lookups *waiting, uint32_t address, uint16_t *region) {
    waiting->address[waiting->count] = address;
    waiting->region[waiting->count++] = region;
    if (waiting->count == WAITING) look_up(geo, waiting);
}

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

// One to eight characters, digits and at most one point, without branches on them. Reads the eight bytes that end with
// the text. False where that is not all there is to it.
static bool read_short_time(const u8 *text, int32_t length, int64_t *micro) {
    uint64_t word;
    memcpy(&word, text + length - 8, sizeof word); // the last character is the highest byte (little-endian)
    int unused = 8 * (8 - length);
    word = (word >> unused << unused) | (unused ? 0x3030303030303030ULL >> (64 - unused) : 0);
    uint64_t points = word ^ 0x2E2E2E2E2E2E2E2EULL; // a point becomes 0; the lowest mark is that of the first
    points = (points - 0x0101010101010101ULL) & ~points & 0x8080808080808080ULL;
    int fraction = 0;
    if (points) {
        int bit = __builtin_ctzll(points) - 7;
        uint64_t below = ((uint64_t)1 << bit) - 1;
        word = (word & ~below & ~((uint64_t)0xFF << bit)) | (word & below) << 8 | '0';
        fraction = 7 - bit / 8;
    }
    uint64_t digits = word ^ 0x3030303030303030ULL;
    if (((digits + 0x7676767676767676ULL) | digits) & 0x8080808080808080ULL || (points && length == 1)) return false;
    digits = digits * 10 + (digits >> 8);
    digits = ((digits & 0x000000FF000000FFULL) * 0x000F424000000064ULL +
              (digits >> 16 & 0x000000FF000000FFULL) * 0x0000271000000001ULL) >> 32;
    if (fraction > 6) return false; // to be rounded
    *micro = (int64_t)digits * POWER[6 - fraction];
    return true;
}

// Digits with at most one point, exact, rounded half-even; false where another must judge the text.
static bool read_watch_time(const u8 *chunk, const u8 *text, int32_t length, int64_t *micro) {
    if (length > 0 && length <= 8 && text + length - chunk >= 8 && read_short_time(text, length, micro)) return true;
    int64_t number = 0;
    int digits = 0, fraction = -1;
    if (length > 19) return false;
    for (int32_t i = 0; i < length; i++) {
        u8 digit = text[i] - '0';
        if (digit < 10) {
            number = number * 10 + digit;
            digits++;
            fraction += fraction >= 0;
        } else if (text[i] == '.' && fraction < 0) {
            fraction = 0;
        } else {
            return false;
        }
    }
    if (fraction < 0) fraction = 0;
    if (digits == 0 || digits > 18) return false;
    if (fraction <= 6) {
        if (digits - fraction > 10) return false;
        *micro = number * POWER[6 - fraction];
    } else {
        int64_t unit = POWER[fraction - 6], rest = number % unit;
        *micro = number / unit;
        if (rest && *micro >= MAX_MICRO) return false; // the limit holds before rounding
        if (rest * 2 > unit || (rest * 2 == unit && *micro & 1)) *micro += 1;
    }
    return *micro <= MAX_MICRO;
}

static bool read_digits(const u8 *text, int count, int *value) {
    *value = 0;
    for (int i = 0; i < count; i++) {
        u8 digit = text[i] - '0';
        if (digit > 9) return false;
        *value = *value * 10 + digit;
    }
    return true;
}

// YYYY-MM-DD, T or a space, HH:MM:SS, up to six digits after a point, Z or a zone or none; microseconds since 1970 UTC.
static bool read_timestamp(const u8 *text, int32_t length, int64_t *micros) {
    static const u8 DAYS[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day, hour, minute, second;
    if (length < 19 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != ' ') || text[13] != ':' ||
        text[16] != ':')
        return false;
    if (!read_digits(text, 4, &year) || !read_digits(text + 5, 2, &month) || !read_digits(text + 8, 2, &day) ||
        !read_digits(text + 11, 2, &hour) || !read_digits(text + 14, 2, &minute) || !read_digits(text + 17, 2, &second))
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > DAYS[month - 1] + (leap && month == 2) || hour > 23 ||
        minute > 59 || second > 59)
        return false;
    const u8 *p = text + 19, *end = text + length;
    int64_t fraction = 0;
    if (p < end && *p == '.') {
        int digits = 0;
        for (p++; p < end && (u8)(*p - '0') < 10; p++, digits++) fraction = fraction * 10 + (*p - '0');
        if (digits < 1 || digits > 6) return false;
        fraction *= POWER[6 - digits];
    }
    int64_t zone = 0;
    if (p < end && (*p == 'Z' || *p == 'z')) {
        p++;
    } else if (end - p == 6 && (*p == '+' || *p == '-') && p[3] == ':') {
        int hours, minutes;
        if (!read_digits(p + 1, 2, &hours) || !read_digits(p + 4, 2, &minutes) || hours > 23 || minutes > 59)
            return false;
        zone = (hours * 60 + minutes) * (*p == '-' ? -60 : 60);
        p = end;
    }
    if (p != end) return false;
    int shifted = month > 2 ? month - 3 : month + 9; // years from March, so that the leap day is the last
    int64_t y = year - (month <= 2), era = y / 400, of_era = y % 400;
    int64_t days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * shifted + 2) / 5 + day - 1 - 719468;
    *micros = (days * 86400 + hour * 3600 + minute * 60 + second - zone) * MICRO + fraction;
    return true;
}

// Whether a text may be blank: it is empty, or begins with white space (any of Unicode's), a control character or a
// byte-order mark.
static bool may_be_blank(const u8 *text, int32_t length) {
    if (length == 0 || text[0] <= ' ') return true;
    if (text[0] < 0x80 || length < 2) return text[0] == 0x7F;
    if (text[0] == 0xC2) return text[1] == 0x85 || text[1] == 0xA0;
    if (text[0] == 0xE1) return text[1] == 0x9A;
    if (text[0] == 0xE2) return text[1] == 0x80 || text[1] == 0x81;
    if (text[0] == 0xE3) return text[1] == 0x80;
    return text[0] == 0xEF && text[1] == 0xBB;
}

typedef struct {
    int64_t fields, log_id, user_id, ip_address, watch_time, timestamp; // positions of columns; timestamp -1: not read
    const u8 *header;                                                   // the name of the column log_id
    int64_t header_length;
} Columns;

typedef struct {
    // One entry for each row; `user_end` counts from the first byte of `users`.
    uint64_t *id_hi, *id_lo, *user_hash;
    int64_t *user_end;
    u8 *users;
    uint16_t *region;
    int64_t *micro_minutes;
    uint32_t *offset;
    int64_t *timestamp; // or NULL
} Rows;

// The values of `count` lines whose fields end at `separators`, to `rows` from position `at` (where `text_bytes` bytes of
// users lie before). `base` is added to every offset. Doubtful lines are left out and listed. Returns the rows written.
EXPORT int64_t read_rows(const u8 *data, const int32_t *separators, int64_t count, const Columns *columns,
                         const Geo *geo, const Rows *rows, int64_t at, int64_t text_bytes, int64_t base,
                         int32_t *doubtful) {
    int64_t begin = at, doubts = 0, fields = columns->fields;
    Lookups waiting = {.count = 0};
    const u8 *chunk_end = count ? data + separators[count * fields - 1] + 1 : data;
    for (int64_t line = 0; line < count; line++) {
        const int32_t *ends = separators + line * fields;
        int32_t start = line ? ends[-1] + 1 : 0, last = ends[fields - 1];
        last -= last > start && data[last - 1] == '\r';
#define FIELD(column, text, length)                                                                                    \
    int32_t text##_at = (column) ? ends[(column) - 1] + 1 : start;                                                     \
    int32_t length = ((column) == fields - 1 ? last : ends[column]) - text##_at;                                       \
    const u8 *text = data + text##_at;                                                                                 \
    if (length > 1 && *text == '"') text++, length -= 2;
        FIELD(columns->log_id, id, id_length)
        FIELD(columns->user_id, user, user_length)
        FIELD(columns->ip_address, ip, ip_length)
        FIELD(columns->watch_time, watch, watch_length)
        int64_t micro, timestamp = 0;
        bool good = read_watch_time(data, watch, watch_length, &micro) && !may_be_blank(id, id_length) &&
                    !may_be_blank(user, user_length) &&
                    !(id_length == columns->header_length && memcmp(id, columns->header, (size_t)id_length) == 0);
        if (good && columns->timestamp >= 0) {
            FIELD(columns->timestamp, moment, moment_length)
            good = read_timestamp(moment, moment_length, &timestamp);
        }
        if (!good) {
            doubtful[doubts++] = (int32_t)line;
            continue;
        }
        XXH128_hash_t hash = XXH3_128bits(id, (size_t)id_length);
        rows->id_hi[at] = hash.high64;
        rows->id_lo[at] = hash.low64;
        rows->user_hash[at] = XXH3_64bits(user, (size_t)user_length);
        memcpy(rows->users + text_bytes, user, (size_t)user_length);
        rows->user_end[at] = text_bytes += user_length;
        find_region(geo, ip, ip_length, chunk_end, &waiting, rows->region + at);
        rows->micro_minutes[at] = micro;
        rows->offset[at] = (uint32_t)(base + start);
        if (rows->timestamp) rows->timestamp[at] = timestamp;
        at++;
    }
    look_up(geo, &waiting);
    return at - begin;
}

typedef uint64_t loose __attribute__((aligned(1))); // in a file that is mapped, at any place

// Which of the first `bits` of a key, behind `leading` ones that all have, are those of a wanted one: marks in `bitmap`.
// Where those begin in `wanted` (sorted) that share their first `bin_bits`: `starts`, with one more for the end.
EXPORT void mark_keys(const uint64_t *wanted, int64_t count, int64_t leading, int64_t bits, u8 *bitmap,
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
EXPORT int64_t find_keys(const loose *keys, int64_t count, const uint64_t *wanted, uint64_t mask, int64_t leading,
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

// Rows of one part: `bounds` are the count + 1 bounds of their users in `texts`.
typedef struct {
    const uint64_t *id_hi, *id_lo;
    const int64_t *bounds;
    const u8 *texts;
    const uint16_t *region;
    const int64_t *micro_minutes;
} Part;

typedef struct {
    int32_t part, row;
} Place;

static bool same_content(const Part *a, int32_t i, const Part *b, int32_t j) {
    int64_t length = a->bounds[i + 1] - a->bounds[i];
    return a->micro_minutes[i] == b->micro_minutes[j] && a->region[i] == b->region[j] &&
           length == b->bounds[j + 1] - b->bounds[j] &&
           memcmp(a->texts + a->bounds[i], b->texts + b->bounds[j], (size_t)length) == 0;
}

enum { STANDS, COPY, DISPUTED };

// What each of `count` rows is among all of them: the first of its id, a copy of that one, or one of an id that has
// several contents. Returns false where memory is short.
EXPORT bool judge_copies(const Part *parts, const Place *places, int64_t count, u8 *verdict) {
    uint64_t mask = 15;
    while (mask < (uint64_t)count * 2) mask = mask * 2 + 1;
    uint32_t *slots = calloc(mask + 1, sizeof(uint32_t)), *first = malloc((size_t)count * sizeof(uint32_t) + 1);
    for (int64_t i = 0; slots && first && i < count; i++) {
        const Part *part = parts + places[i].part;
        int32_t row = places[i].row;
        uint64_t slot = part->id_lo[row] & mask;
        for (; slots[slot]; slot = (slot + 1) & mask) {
            Place there = places[slots[slot] - 1];
            if (parts[there.part].id_lo[there.row] == part->id_lo[row] &&
                parts[there.part].id_hi[there.row] == part->id_hi[row])
                break;
        }
        if (!slots[slot]) {
            first[i] = (uint32_t)i, slots[slot] = (uint32_t)i + 1, verdict[i] = STANDS;
            continue;
        }
        Place there = places[first[i] = slots[slot] - 1];
        verdict[i] = COPY;
        if (!same_content(part, row, parts + there.part, there.row)) verdict[first[i]] = DISPUTED;
    }
    for (int64_t i = 0; slots && first && i < count; i++)
        if (verdict[first[i]] == DISPUTED) verdict[i] = DISPUTED;
    bool done = slots && first;
    free(slots);
    free(first);
    return done;
}

// Bring a column of `size` bytes a row into the order of `bucket`: row r goes to at[bucket[r]]++. Rows of a bucket from
// `buckets` on are left out.
EXPORT void arrange_column(const void *column, int64_t size, const uint16_t *bucket, int64_t count, int64_t buckets,
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
EXPORT void count_text_bytes(const int64_t *ends, const uint16_t *bucket, int64_t count, int64_t *bytes) {
    for (int64_t row = 0; row < count; row++) bytes[bucket[row]] += ends[row] - (row ? ends[row - 1] : 0);
}

// The same as arrange_column for texts: `at` are rows, `bytes_at` places in `out`; writes the new ends.
EXPORT void arrange_texts(const u8 *texts, const int64_t *ends, const uint16_t *bucket, int64_t count, int64_t buckets,
                          int64_t *at, int64_t *bytes_at, u8 *out, int64_t *out_ends) {
    for (int64_t row = 0; row < count; row++) {
        uint16_t b = bucket[row];
        if (b >= buckets) continue;
        int64_t start = row ? ends[row - 1] : 0, length = ends[row] - start;
        memcpy(out + bytes_at[b], texts + start, (size_t)length);
        out_ends[at[b]++] = bytes_at[b] += length;
    }
}

// Totals of users and regions, in a hash table that compares the users' bytes themselves.
typedef struct {
    uint64_t hash;
    int64_t text, micro_minutes, events;
    int32_t length;
    uint16_t region;
} Total;

typedef struct {
    Total *totals;
    int64_t count, room;
    uint32_t *slots; // index of a total, plus one
    uint64_t slot_mask;
    u8 *texts;
    int64_t text_bytes, text_room;
    int64_t overflow; // index of a total that passed int64, plus one
} Totals;

EXPORT void free_totals(Totals *table) {
    if (!table) return;
    free(table->totals);
    free(table->slots);
    free(table->texts);
    free(table);
}

EXPORT Totals *new_totals(int64_t expected) {
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
EXPORT int64_t add_rows(Totals *table, const u8 *texts, const int64_t *bounds, const uint16_t *region,
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
EXPORT int64_t add_totals(Totals *table, const u8 *texts, const int64_t *bounds, const uint16_t *region,
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

EXPORT int64_t totals_text_bytes(const Totals *table) { return table->text_bytes; }

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
EXPORT void read_totals(const Totals *table, u8 *texts, int64_t *bounds, uint16_t *region, int64_t *micro_minutes,
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
