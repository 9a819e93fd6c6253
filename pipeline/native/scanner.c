// Checks the field ends that the parser found in a chunk without quotes.
//
// The scanner counts line ends and delimiters itself and looks at the byte of every field end. It shares declarations
// with the parser but no code, so that the same fault cannot be in both.

#include "api.h"

typedef uint8_t lane __attribute__((ext_vector_type(32), aligned(1)));

typedef struct {
    int64_t firsts, seconds; // how often each of two bytes occurs
    int nul, quote, high;    // not 0 when a NUL, a quote or a byte beyond ASCII occurs
} Survey;

// Counts the bytes that decide whether field ends can be right.
static Survey survey(const uint8_t *data, int64_t size, uint8_t first, uint8_t second) {
    Survey found = {0};
    int64_t at = 0;
    while (size - at >= 32) {
        lane firsts = 0, seconds = 0, nuls = 0, quotes = 0, all = 0; // each byte counts to 255 at most
        for (int step = 0; step < 255 && size - at >= 32; step++, at += 32) {
            lane bytes = *(const lane *)(data + at);
            firsts -= (lane)(bytes == first), seconds -= (lane)(bytes == second);
            nuls |= (lane)(bytes == 0), quotes |= (lane)(bytes == '"'), all |= bytes;
        }
        for (int i = 0; i < 32; i++) {
            found.firsts += firsts[i], found.seconds += seconds[i];
            found.nul |= nuls[i], found.quote |= quotes[i], found.high |= all[i] & 0x80;
        }
    }
    for (; at < size; at++) {
        found.firsts += data[at] == first, found.seconds += data[at] == second;
        found.nul |= data[at] == 0, found.quote |= data[at] == '"', found.high |= data[at] & 0x80;
    }
    return found;
}

enum { REFUSED, CERTIFIED, IF_UTF8, QUOTED };

// Decides whether `ends` are the ends of all fields of `data` and of nothing else: their offsets ascend, each is that
// of a delimiter or, for the last of `fields` fields, of a line end, and `data` has no other delimiters and line ends.
// No line may have more than `max_record` bytes. Returns CERTIFIED or REFUSED. Returns IF_UTF8 when the ends are right
// provided that the bytes are UTF-8, which the scanner does not check, and QUOTED, without a decision, when `data` has
// quotes.
int certify(const uint8_t *data, int64_t size, uint8_t delimiter, int64_t fields, const int32_t *ends, int64_t count,
            int64_t max_record) {
    Survey found = survey(data, size, '\n', delimiter);
    if (found.quote) return QUOTED;
    if (found.nul || count == 0 || count % fields) return REFUSED;
    if (found.firsts != count / fields || found.firsts + found.seconds != count) return REFUSED;
    int64_t before = -1, line = -1;
    for (int64_t i = 0; i < count; i += fields) {
        for (int64_t field = 0; field < fields; field++) {
            int64_t end = ends[i + field];
            if (end <= before || end >= size) return REFUSED;
            if (data[end] != (field == fields - 1 ? '\n' : delimiter)) return REFUSED;
            before = end;
        }
        if (before - line > max_record + 1) return REFUSED;
        line = before;
    }
    return found.high ? IF_UTF8 : CERTIFIED;
}
