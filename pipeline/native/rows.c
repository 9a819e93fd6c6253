// Parses plain chunks in two passes: find_separators finds the end of every field, read_rows reads the rows' values.
//
// A chunk is plain when every line has the right number of fields and every quote opens or closes a whole field. The
// scanner confirms this between the passes; all other chunks go to the Polars parser and the careful path. A line is
// doubtful when one of its values is not in a plain form; the rules in values.py then judge the line. Whatever the
// bytes are, no function reads beyond the chunk or writes beyond the room that the caller has made.

#include "common.h"
#include "geo.h"
#include "values.h"

typedef uint8_t block __attribute__((ext_vector_type(64), aligned(1)));
typedef bool bits __attribute__((ext_vector_type(64)));

// Returns a mask whose bit i tells whether byte i of a block is `byte`.
static inline uint64_t mask_of(block bytes, u8 byte) {
    bits equal = __builtin_convertvector(bytes == (block)(byte), bits);
    uint64_t mask;
    memcpy(&mask, &equal, sizeof mask);
    return mask;
}

// Returns a mask whose bit i tells whether an odd number of the bits 0 to i of `mask` are set.
static inline uint64_t parity_of(uint64_t mask) {
    for (int shift = 1; shift < 64; shift *= 2) mask ^= mask << shift;
    return mask;
}

// Writes the offsets of all delimiters and line ends of `data` outside quotes to `separators`, in ascending order.
// Returns how many there are, or -1 when `room` may be too small for those of the next 64 bytes.
int64_t find_separators(const u8 *data, int64_t size, u8 delimiter, int32_t *separators, int64_t room) {
    int64_t count = 0;
    uint64_t inside = 0; // all bits are set while the next byte lies in quotes
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

// Reads `count` lines whose fields end at `separators`, and writes their values to `rows` from position `at` on. The
// users of the earlier rows take the first `text_bytes` bytes of `rows->users`. The offset of a row is `base` plus the
// offset of its line in `data`. A doubtful line becomes no row; its number is written to `doubtful`. Returns the number
// of rows written.
int64_t read_rows(const u8 *data, const int32_t *separators, int64_t count, const Columns *columns, const Geo *geo,
                  const Rows *rows, int64_t at, int64_t text_bytes, int64_t base, int32_t *doubtful) {
    int64_t begin = at, doubts = 0, fields = columns->fields;
    Lookups waiting = {.count = 0};
    u8 point = (u8)columns->point;
    const Watch watches = {point, point * 0x0101010101010101ULL, columns->per_minute};
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
        bool good = read_watch_time(&watches, data, watch, watch_length, &micro) && !may_be_blank(id, id_length) &&
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
        if (columns->addresses == FORWARDED) narrow_list(&ip, &ip_length, columns->proxies);
        if (columns->addresses != PLAIN_ADDRESS) narrow_endpoint(&ip, &ip_length);
        find_region(geo, ip, ip_length, chunk_end, &waiting, rows->region + at);
        rows->micro_minutes[at] = micro;
        rows->offset[at] = (uint32_t)(base + start);
        if (rows->timestamp) rows->timestamp[at] = timestamp;
        at++;
    }
    look_up(geo, &waiting);
    return at - begin;
}
