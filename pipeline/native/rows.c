// Parses the records of a chunk in two passes: find_records finds the end of every field, read_rows reads the rows'
// values.
//
// find_records takes everything that the record contract allows: quoted fields with delimiters, doubled quotes and line
// ends, and quotes inside unquoted fields. Lines that are no good record are listed as odd lines. The scanner confirms
// both between the passes. A record is doubtful when one of its values is not in a plain form; the rules in values.py
// then judge the record. Whatever the bytes are, no function reads beyond the chunk or writes beyond the room that the
// caller has made.

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

// A search for the records of a chunk.
typedef struct {
    const Chunk *chunk;
    Found *found;
    int64_t count;  // separators written so far; those of the unfinished record come last
    int64_t start;  // where the unfinished record begins
    int64_t budget; // bytes that may be looked at a second time
} Search;

// Bytes that are looked at before records are taken: behind a record that read_record has judged, and at most.
enum { STEP = 512, LONGEST_STEP = 16384 };

// Adds the line that begins at `start` and whose line end is at `stop` to the odd lines. Returns false without room.
static bool add_odd(Search *search, int64_t stop, u8 kind) {
    Found *found = search->found;
    if (found->odd == found->odd_room) return false;
    found->odd_start[found->odd] = (int32_t)search->start;
    found->odd_stop[found->odd] = (int32_t)stop;
    found->odd_kind[found->odd++] = kind;
    search->start = stop + 1;
    return true;
}

// Finds a byte from `at` on; returns `size` when there is none.
static int64_t find_byte(const Chunk *chunk, int64_t at, u8 byte) {
    const u8 *found = at < chunk->size ? memchr(chunk->data + at, byte, (size_t)(chunk->size - at)) : NULL;
    return found ? found - chunk->data : chunk->size;
}

enum { DONE, UNFINISHED, GIVE_UP };

// Reads the record that begins at `search->start` one field at a time: writes its separators, or adds its first line to
// the odd lines. Returns UNFINISHED when the chunk ends before the record does and more bytes may follow.
static int read_record(Search *search) {
    const Chunk *chunk = search->chunk;
    const u8 *data = chunk->data;
    int64_t start = search->start, at = start, fields = 0, stop = chunk->size, kind = -1;
    int32_t *ends = search->found->separators + search->count;
    // Beyond this byte nothing of the record matters, since the record is too long.
    int64_t reach = chunk->size - start > chunk->max_record + 2 ? start + chunk->max_record + 2 : chunk->size;
    for (;;) {
        if (search->count + fields + 1 > search->found->room) return GIVE_UP;
        if (data[at] == '"') {
            for (at++;; at += 2) {
                const u8 *quote = at < reach ? memchr(data + at, '"', (size_t)(reach - at)) : NULL;
                at = quote ? quote - data : reach;
                if (at == reach || data[at + 1] != '"') break;
            }
            if (at >= reach) {
                kind = UNCLOSED_QUOTE;
                break;
            }
            at++;
            bool crlf = data[at] == '\r' && data[at + 1] == '\n';
            if (data[at] == '\n' || crlf) {
                stop = at;
                at += crlf;
            } else if (data[at] != (u8)chunk->delimiter) {
                stop = at;
                kind = BAD_QUOTE;
                break;
            }
        } else {
            while (at < reach && data[at] != (u8)chunk->delimiter && data[at] != '\n') at++;
            if (at >= reach) { // the chunk ends with a line end, so the line is longer than the limit
                kind = UNCLOSED_QUOTE;
                break;
            }
            if (data[at] == '\n') stop = at - (at > start && data[at - 1] == '\r');
        }
        if (fields < chunk->fields) ends[fields] = (int32_t)at;
        fields++;
        if (data[at] == '\n') break;
        at++;
    }
    search->budget -= at - start;
    if (search->budget < 0) return GIVE_UP;
    if (kind == UNCLOSED_QUOTE && reach == chunk->size && !chunk->whole) return UNFINISHED;
    if (kind < 0 && stop - start <= chunk->max_record && fields == chunk->fields) {
        search->count += fields;
        search->found->records++;
        search->start = at + 1;
        return DONE;
    }
    int64_t line = find_byte(chunk, start, '\n');
    int64_t line_stop = line - (line > start && data[line - 1] == '\r');
    if (line_stop == start) kind = BLANK;
    else if (line_stop - start > chunk->max_record) kind = RECORD_TOO_LONG;
    else if (kind == UNCLOSED_QUOTE || stop - start > chunk->max_record) kind = UNCLOSED_QUOTE;
    else if (kind < 0) kind = WRONG_FIELD_COUNT;
    return add_odd(search, line, (u8)kind) ? DONE : GIVE_UP;
}

// Takes the records that are complete among the separators found so far, of which `lines` are line ends. Returns false
// when read_record must judge the next record; the separators behind the last good record are then forgotten.
static bool take_records(Search *search, int64_t count, int64_t lines, bool beyond) {
    const Chunk *chunk = search->chunk;
    const int32_t *ends = search->found->separators;
    int64_t at = search->count, start = search->start, taken = 0;
    if (!beyond && at + lines * chunk->fields <= count) {
        // As many line ends as records, and one at the end of every record: all other separators are delimiters.
        for (; taken < lines; taken++) {
            int64_t end = ends[at + chunk->fields - 1];
            if (chunk->data[end] != '\n' || end - start > chunk->max_record) break;
            at += chunk->fields;
            start = end + 1;
        }
    }
    if (taken < lines) {
        for (at = search->count, start = search->start, taken = 0; start < chunk->limit; taken++) {
            int64_t last = at;
            while (last < count && chunk->data[ends[last]] != '\n') last++;
            if (last == count) break;
            if (last - at + 1 != chunk->fields || ends[last] - start > chunk->max_record) {
                search->count = at, search->start = start, search->found->records += taken;
                return false;
            }
            at = last + 1;
            start = ends[last] + 1;
        }
    }
    search->count = at, search->start = start, search->found->records += taken;
    return true;
}

// What the bytes so far say about the next one. `inside`: all bits are set while the next byte lies in quotes;
// `may_open`: 1 if a quote would open a field or double a quote; `closed`: 1 if the last byte is a quote that closes.
typedef struct {
    uint64_t inside, may_open, closed;
} Quoting;

// Removes from `mask`, which has the delimiters and line ends of the block at `at`, those that lie in quotes. Where a
// quote stands in an unquoted field, or text behind a closing quote, read_record must judge the record: then all
// delimiters and line ends from there on are removed, too, and `good` becomes false.
static inline uint64_t hide_quoted(const Chunk *chunk, int64_t at, uint64_t mask, uint64_t quotes, Quoting *before,
                                   bool *good) {
    const u8 *data = chunk->data;
    uint64_t quoted = parity_of(quotes) ^ before->inside, opening = quotes & quoted, closing = quotes & ~quoted;
    mask &= ~quoted;
    uint64_t wrong = opening & ~((mask | closing) << 1 | before->may_open);
    uint64_t behind = (closing << 1 | before->closed) & ~(mask | opening);
    for (uint64_t left = behind; left; left &= left - 1) { // a CR before a line end may follow a closing quote
        int64_t place = at + __builtin_ctzll(left);
        if (place + 1 < chunk->size && data[place] == '\r' && data[place + 1] == '\n') behind &= ~(left & -left);
    }
    wrong |= behind;
    if (wrong) {
        *good = false;
        mask &= (wrong & -wrong) - 1;
    }
    *before = (Quoting){quoted >> 63 ? ~0ULL : 0, (mask | closing) >> 63, closing >> 63};
    return mask;
}

// Takes records from `search->start` on, as long as their quotes and their numbers of fields are right, with looks at
// `*step` bytes. Returns where it stopped to look: behind a record that read_record must judge, or at the chunk's end.
static int64_t take_good_records(Search *search, int64_t *step, bool *room) {
    const Chunk *chunk = search->chunk;
    const u8 *data = chunk->data, delimiter = (u8)chunk->delimiter;
    int32_t *separators = search->found->separators;
    int64_t at = search->start, count = search->count, size = chunk->size;
    uint64_t seen = 0;
    Quoting quoting = {0, 1, 0};
    bool good = true;
    while (good && at < size && search->start < chunk->limit) {
        int64_t stop = size - at > *step ? at + *step : size, lines = 0;
        if (count + (stop - at) + 64 > search->found->room) {
            *room = false;
            return at;
        }
        for (; good && at < stop; at += 64) {
            u8 tail[64];
            const u8 *from = data + at;
            if (__builtin_expect(size - at < 64, 0)) {
                memset(tail, 0, sizeof tail);
                from = memcpy(tail, from, (size_t)(size - at));
            }
            block bytes = *(const block *)from;
            uint64_t line_ends = mask_of(bytes, '\n'), mask = mask_of(bytes, delimiter) | line_ends;
            uint64_t quotes = mask_of(bytes, '"');
            if (__builtin_expect((quotes | quoting.inside | quoting.closed) != 0, 0)) {
                mask = hide_quoted(chunk, at, mask, quotes, &quoting, &good);
                seen |= quotes;
            } else {
                quoting.may_open = mask >> 63;
            }
            lines += __builtin_popcountll(mask & line_ends);
            for (; mask; mask &= mask - 1) separators[count++] = (int32_t)(at + __builtin_ctzll(mask));
        }
        good &= take_records(search, count, lines, stop > chunk->limit);
        good &= at - search->start <= chunk->max_record + 64;
        *step = 2 * *step < LONGEST_STEP ? 2 * *step : LONGEST_STEP;
    }
    search->found->quotes |= seen != 0;
    return at;
}

// Finds the records of a chunk that begin before `chunk->limit`: writes the offsets of the delimiters and line ends that
// end their fields to `found->separators`, `chunk->fields` for each, and lists the odd lines. The records and odd lines
// tile the first `found->consumed` bytes; only an unfinished record, whose end may lie behind the chunk, is left out.
// Returns false when there is too little room, or when the chunk is such a mess that too many bytes would be looked at
// again and again.
bool find_records(const Chunk *chunk, Found *found) {
    Search search = {chunk, found, 0, 0, 8 * chunk->size + (4 << 20)};
    int64_t step = LONGEST_STEP;
    bool room = true;
    found->records = found->odd = found->consumed = found->quotes = 0;
    if (chunk->fields < 2) return false;
    while (search.start < chunk->limit) {
        int64_t at = take_good_records(&search, &step, &room);
        if (!room) return false;
        if (search.start >= chunk->limit) break;
        search.budget -= at - search.start;
        int result = search.budget < 0 ? GIVE_UP : read_record(&search);
        if (result == GIVE_UP) return false;
        if (result == UNFINISHED) break;
        step = STEP;
    }
    found->consumed = search.start;
    return true;
}

// The field of a record: its bytes without the quotes around them, in which quotes may be doubled.
typedef struct {
    const u8 *text;
    int32_t length;
    bool quoted;
} Field;

// Copies a text to `out`, of doubled quotes only one. Returns the number of bytes.
static int32_t copy_text(const u8 *text, int32_t length, u8 *out) {
    u8 *to = out;
    while (length > 0) {
        const u8 *quote = memchr(text, '"', (size_t)length);
        int32_t whole = quote ? (int32_t)(quote - text) + 1 : length;
        memcpy(to, text, (size_t)whole);
        to += whole;
        whole += quote != NULL;
        text += whole, length -= whole;
    }
    return (int32_t)(to - out);
}

// Returns the field of a column, in a record that begins at `start` and ends, without a CR, at `last`. `quotes`: whether
// the chunk has quotes.
static inline __attribute__((always_inline)) Field field_of(const u8 *data, const int32_t *ends, int64_t fields,
                                                            int64_t column, int32_t start, int32_t last, bool quotes) {
    int32_t from = column ? ends[column - 1] + 1 : start;
    Field field = {data + from, (column == fields - 1 ? last : ends[column]) - from, false};
    if (quotes && field.length > 1 && *field.text == '"') field.text++, field.length -= 2, field.quoted = true;
    return field;
}

// Room for an id and a user without doubled quotes.
typedef struct {
    u8 *texts[2];
    int64_t room[2];
} Scratch;

// Replaces the text of a quoted field that has doubled quotes by a copy in room `number` of `scratch`. Returns false when
// there is no memory for the copy.
static bool undouble(Scratch *scratch, int number, Field *field) {
    if (!field->quoted || !memchr(field->text, '"', (size_t)field->length)) return true;
    if (field->length > scratch->room[number]) {
        u8 *larger = realloc(scratch->texts[number], 2 * (size_t)field->length);
        if (!larger) return false;
        scratch->texts[number] = larger, scratch->room[number] = 2 * (int64_t)field->length;
    }
    field->length = copy_text(field->text, field->length, scratch->texts[number]);
    field->text = scratch->texts[number];
    return true;
}

// An id and a user; `good` is false when there was no memory for them.
typedef struct {
    Field id, user;
    bool good;
} Ids;

// Undoubles an id and a user. They are values, so that the caller can keep its own in registers.
static __attribute__((noinline)) Ids undouble_both(Scratch *scratch, Field id, Field user) {
    bool good = undouble(scratch, 0, &id) && undouble(scratch, 1, &user);
    return (Ids){id, user, good};
}

// Reads the records of a chunk, and writes their values to `rows` from position `at` on. The users of the earlier rows
// take the first `text_bytes` bytes of `rows->users`. The offset of a row is `base` plus the offset of its record in the
// chunk. A doubtful record becomes no row; its number is written to `doubtful`. Only columns that are needed are looked
// at, and only ids and users are freed of doubled quotes: no other value may have a quote. Returns the number of rows
// written.
int64_t read_rows(const Chunk *chunk, const Found *found, const Columns *columns, const Geo *geo, const Rows *rows,
                  int64_t at, int64_t text_bytes, int64_t base, int32_t *doubtful) {
    const bool quotes = found->quotes || found->odd; // otherwise the compiler's branches are always predicted rightly
    const u8 *data = chunk->data;
    int64_t begin = at, doubts = 0, fields = chunk->fields, odd = 0;
    Scratch scratch = {{NULL, NULL}, {0, 0}};
    Lookups waiting = {.count = 0};
    u8 point = (u8)columns->point;
    const Watch watches = {point, point * 0x0101010101010101ULL, columns->per_minute};
    const u8 *chunk_end = data + found->consumed;
    const int32_t *ends = found->separators;
    int32_t start = 0;
    for (int64_t record = 0, records = found->records; record < records; record++, ends += fields) {
        for (; quotes && odd < found->odd && found->odd_start[odd] == start; odd++) start = found->odd_stop[odd] + 1;
        int32_t last = ends[fields - 1];
        last -= last > start && data[last - 1] == '\r';
        Field id = field_of(data, ends, fields, columns->log_id, start, last, quotes);
        Field user = field_of(data, ends, fields, columns->user_id, start, last, quotes);
        Field ip = field_of(data, ends, fields, columns->ip_address, start, last, quotes);
        Field watch = field_of(data, ends, fields, columns->watch_time, start, last, quotes);
        int64_t micro, timestamp = 0;
        bool good = read_watch_time(&watches, data, watch.text, watch.length, &micro);
        if (id.quoted | user.quoted) {
            Ids ids = undouble_both(&scratch, id, user);
            id = ids.id, user = ids.user, good &= ids.good;
        }
        good = good && !may_be_blank(id.text, id.length) && !may_be_blank(user.text, user.length) &&
               !(id.length == columns->header_length && memcmp(id.text, columns->header, (size_t)id.length) == 0);
        if (good && columns->timestamp >= 0) {
            Field moment = field_of(data, ends, fields, columns->timestamp, start, last, quotes);
            good = read_timestamp(moment.text, moment.length, &timestamp);
        }
        int32_t offset = start;
        start = ends[fields - 1] + 1;
        if (!good) {
            doubtful[doubts++] = (int32_t)record;
            continue;
        }
        XXH128_hash_t hash = XXH3_128bits(id.text, (size_t)id.length);
        rows->id_hi[at] = hash.high64;
        rows->id_lo[at] = hash.low64;
        rows->user_hash[at] = XXH3_64bits(user.text, (size_t)user.length);
        memcpy(rows->users + text_bytes, user.text, (size_t)user.length);
        rows->user_end[at] = text_bytes += user.length;
        if (columns->addresses == FORWARDED) narrow_list(&ip.text, &ip.length, columns->proxies);
        if (columns->addresses != PLAIN_ADDRESS) narrow_endpoint(&ip.text, &ip.length);
        find_region(geo, ip.text, ip.length, chunk_end, &waiting, rows->region + at);
        rows->micro_minutes[at] = micro;
        rows->offset[at] = (uint32_t)(base + offset);
        if (rows->timestamp) rows->timestamp[at] = timestamp;
        at++;
    }
    look_up(geo, &waiting);
    free(scratch.texts[0]);
    free(scratch.texts[1]);
    return at - begin;
}

// Copies the texts of one column of some `records`, which begin at `starts`, to `out`, one behind the other and without
// quotes, and writes to `text_ends` where each ends in `out`. `out` has room for all bytes of the fields.
void copy_texts(const Chunk *chunk, const Found *found, int64_t column, const int32_t *records, const int32_t *starts,
                int64_t count, u8 *out, int64_t *text_ends) {
    int64_t length = 0, fields = chunk->fields;
    for (int64_t i = 0; i < count; i++) {
        const int32_t *ends = found->separators + records[i] * fields;
        int32_t last = ends[fields - 1];
        last -= last > starts[i] && chunk->data[last - 1] == '\r';
        Field field = field_of(chunk->data, ends, fields, column, starts[i], last, true);
        if (field.quoted) {
            length += copy_text(field.text, field.length, out + length);
        } else {
            memcpy(out + length, field.text, (size_t)field.length);
            length += field.length;
        }
        text_ends[i] = length;
    }
}
