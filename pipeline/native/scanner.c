// Checks the records and odd lines that the parser found in a chunk, by the record contract.
//
// The scanner counts line ends and delimiters itself, looks at the byte of every field end and at every quoted field, and
// reads every odd line in its own way. It shares declarations with the parser but no code, so that the same fault cannot
// be in both.

#include "api.h"
#include <string.h>

typedef uint8_t lane __attribute__((ext_vector_type(32), aligned(1)));
typedef uint8_t lanes __attribute__((ext_vector_type(64), aligned(1)));
typedef bool flags __attribute__((ext_vector_type(64)));

typedef struct {
    int64_t lines, delimiters; // how often a line end and a delimiter occur
    int nul, quote, high;      // not 0 when a NUL, a quote or a byte beyond ASCII occurs
} Survey;

// Counts the bytes that decide whether field ends can be right.
static Survey survey(const uint8_t *data, int64_t size, uint8_t delimiter) {
    Survey found = {0};
    int64_t at = 0;
    while (size - at >= 32) {
        lane lines = 0, delimiters = 0, nuls = 0, quotes = 0, all = 0; // each byte counts to 255 at most
        for (int step = 0; step < 255 && size - at >= 32; step++, at += 32) {
            lane bytes = *(const lane *)(data + at);
            lines -= (lane)(bytes == '\n'), delimiters -= (lane)(bytes == delimiter);
            nuls |= (lane)(bytes == 0), quotes |= (lane)(bytes == '"'), all |= bytes;
        }
        for (int i = 0; i < 32; i++) {
            found.lines += lines[i], found.delimiters += delimiters[i];
            found.nul |= nuls[i], found.quote |= quotes[i], found.high |= all[i] & 0x80;
        }
    }
    for (; at < size; at++) {
        found.lines += data[at] == '\n', found.delimiters += data[at] == delimiter;
        found.nul |= data[at] == 0, found.quote |= data[at] == '"', found.high |= data[at] & 0x80;
    }
    return found;
}

// What the scanner has yet to account for: line ends, delimiters, and bytes of odd lines that it may still look at.
typedef struct {
    int64_t lines, delimiters, bytes;
} Rest;

// Returns a mask whose bit i tells whether byte i of some bytes is `byte`.
static uint64_t places_of(lanes bytes, uint8_t byte) {
    flags equal = __builtin_convertvector(bytes == (lanes)(byte), flags);
    uint64_t mask;
    memcpy(&mask, &equal, sizeof mask);
    return mask;
}

// Returns a mask of the bits behind all runs of `bits` that have an odd length; the highest bit is not in a run. A number
// is added at the begin of runs, so that a carry comes out at their end.
static uint64_t behind_odd_runs(uint64_t bits) {
    const uint64_t even = 0x5555555555555555;
    uint64_t begins = bits & ~(bits << 1);
    return ~bits & (((bits + (begins & even)) & ~even) | ((bits + (begins & ~even)) & even));
}

// Tells whether the bytes from `at` to `stop` are a quoted field, and takes what its quotes hide from `rest`.
static bool is_quoted_field(const Chunk *chunk, int64_t at, int64_t stop, Rest *rest) {
    const uint8_t *data = chunk->data;
    if (stop - at < 2 || data[stop - 1] != '"') return false;
    at++, stop--;
    while (at < stop) {
        lanes bytes = 0;
        int width = stop - at < 63 ? (int)(stop - at) : 63;
        if (chunk->size - at >= 64) bytes = *(const lanes *)(data + at);
        else memcpy(&bytes, data + at, (size_t)width);
        uint64_t inside = (1ULL << width) - 1, odd = behind_odd_runs(places_of(bytes, '"') & inside);
        if (odd) { // the last quote may be the first one of a pair that goes on behind these bytes
            if (odd != inside + 1 || at + width == stop) return false;
            width--, inside >>= 1;
        }
        rest->lines -= __builtin_popcountll(places_of(bytes, '\n') & inside);
        rest->delimiters -= __builtin_popcountll(places_of(bytes, (uint8_t)chunk->delimiter) & inside);
        at += width;
    }
    return true;
}

// Reads the record that would begin at `start`. Returns what the line at `start` is if no good record begins there, -1 if
// one does, and -2 if only bytes behind the chunk could tell, or too many were read.
static int judge_line(const Chunk *chunk, int64_t start, Rest *rest) {
    enum { BEGIN, TEXT, QUOTED, BEHIND, RETURNED } state = BEGIN;
    const uint8_t *data = chunk->data, *line_end = memchr(data + start, '\n', (size_t)(chunk->size - start));
    int64_t fields = 1, line = line_end - data, stop = -1, at = start;
    bool long_line = line - start > chunk->max_record + 1, bad_quote = false;
    // No byte behind this one matters, since the record is too long.
    int64_t reach = chunk->size - start > chunk->max_record + 2 ? start + chunk->max_record + 2 : chunk->size;
    for (; stop < 0 && at < reach && !long_line; at++) {
        uint8_t byte = data[at];
        if (state == QUOTED) {
            const uint8_t *quote = memchr(data + at, '"', (size_t)(reach - at));
            at = quote ? quote - data : reach;
            state = BEHIND;
        } else if (state == BEHIND && byte == '"') {
            state = QUOTED;
        } else if (state == RETURNED && byte != '\n') {
            bad_quote = true, stop = at - 1;
        } else if (byte == '\n') {
            stop = state == RETURNED || (state == TEXT && data[at - 1] == '\r') ? at - 1 : at;
        } else if (byte == (uint8_t)chunk->delimiter) {
            state = BEGIN, fields++;
        } else if (state == BEHIND) {
            if (byte == '\r') state = RETURNED;
            else bad_quote = true, stop = at;
        } else {
            state = state == BEGIN && byte == '"' ? QUOTED : TEXT;
        }
    }
    rest->bytes -= at - start;
    if (rest->bytes < 0 || (stop < 0 && at >= chunk->size && !chunk->whole)) return -2;
    int64_t length = line - start - (line > start && data[line - 1] == '\r');
    if (length == 0) return BLANK;
    if (length > chunk->max_record) return RECORD_TOO_LONG;
    if (stop < 0 || stop - start > chunk->max_record) return UNCLOSED_QUOTE;
    if (bad_quote) return BAD_QUOTE;
    return fields == chunk->fields ? -1 : WRONG_FIELD_COUNT;
}

// Tells whether the odd line is what the parser says, and takes its line end and its delimiters from `rest`.
static bool is_odd_line(const Chunk *chunk, const Found *found, int64_t odd, Rest *rest) {
    int64_t stop = found->odd_stop[odd];
    if (stop < found->odd_start[odd] || stop >= found->consumed) return false;
    for (int64_t at = found->odd_start[odd]; at < stop; at++) {
        if (chunk->data[at] == '\n') return false;
        rest->delimiters -= chunk->data[at] == (uint8_t)chunk->delimiter;
    }
    rest->lines--;
    return chunk->data[stop] == '\n' && judge_line(chunk, found->odd_start[odd], rest) == found->odd_kind[odd];
}

// Does what certify says for a chunk without quotes and odd lines.
static bool is_plain(const Chunk *chunk, const Found *found, const Survey *seen) {
    const uint8_t *data = chunk->data;
    const int32_t *ends = found->separators;
    uint8_t delimiter = (uint8_t)chunk->delimiter;
    int64_t fields = chunk->fields, before = -1, line = -1;
    if (seen->lines != found->records || seen->delimiters != found->records * (fields - 1)) return false;
    for (int64_t record = 0; record < found->records; record++, ends += fields) {
        if (line + 1 >= chunk->limit) return false;
        for (int64_t field = 0; field < fields; field++) {
            int64_t end = ends[field];
            if (end <= before || end >= found->consumed) return false;
            if (data[end] != (field == fields - 1 ? '\n' : delimiter)) return false;
            before = end;
        }
        if (before - line > chunk->max_record + 1 && before - line - 1 - (data[before - 1] == '\r') > chunk->max_record)
            return false;
        line = before;
    }
    return line + 1 == found->consumed;
}

enum { REFUSED = 0, CERTIFIED = 1, HIGH = 2, NUL = 4 };

// Decides whether the records and odd lines are exactly those that the chunk's first `consumed` bytes begin with, as the
// record contract has it. Records and odd lines must follow each other without a gap. In a record each field but the
// last must end at a delimiter, the last one at a line end; a field that begins with a quote must be a quoted field as a
// whole; all delimiters and line ends outside quoted fields must be ends. Writes the number of line ends to `lines`.
// Returns REFUSED, or CERTIFIED, with HIGH when bytes beyond ASCII are there, which the scanner does not check, and NUL
// when NULs are.
int certify(const Chunk *chunk, const Found *found, int64_t *lines) {
    const uint8_t *data = chunk->data;
    uint8_t delimiter = (uint8_t)chunk->delimiter;
    int64_t fields = chunk->fields, consumed = found->consumed, start = 0, odd = 0;
    if (consumed < 0 || consumed > chunk->size || fields < 2) return REFUSED;
    Survey seen = survey(data, consumed, delimiter);
    *lines = seen.lines;
    int verdict = CERTIFIED | (seen.high ? HIGH : 0) | (seen.nul ? NUL : 0);
    if (!seen.quote && !found->odd) return is_plain(chunk, found, &seen) ? verdict : REFUSED;
    Rest rest = {seen.lines - found->records, seen.delimiters - found->records * (fields - 1),
                 8 * chunk->size + (4 << 20)};
    for (int64_t record = 0; record <= found->records; record++) {
        for (; odd < found->odd && found->odd_start[odd] == start; odd++) {
            if (start >= chunk->limit || !is_odd_line(chunk, found, odd, &rest)) return REFUSED;
            start = found->odd_stop[odd] + 1;
        }
        if (record == found->records) break;
        const int32_t *ends = found->separators + record * fields;
        int64_t begin = start, stop = -1;
        for (int64_t field = 0; field < fields; field++) {
            int64_t end = ends[field];
            if (end < begin || end >= consumed) return REFUSED;
            if (data[end] != (field == fields - 1 ? '\n' : delimiter)) return REFUSED;
            stop = end - (field == fields - 1 && end > begin && data[end - 1] == '\r');
            if (data[begin] == '"' && !is_quoted_field(chunk, begin, stop, &rest)) return REFUSED;
            begin = end + 1;
        }
        if (stop - start > chunk->max_record || start >= chunk->limit) return REFUSED;
        start = begin;
    }
    if (start != consumed || odd != found->odd || rest.lines || rest.delimiters) return REFUSED;
    return verdict;
}
