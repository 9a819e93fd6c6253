// Cuts single records out of a text, of which only some are wanted.

#include "common.h"

static const u8 *find_byte(const u8 *from, const u8 *end, u8 byte) {
    return from < end ? memchr(from, byte, (size_t)(end - from)) : NULL;
}

// Returns the line end behind the record at `at`, a record with quotes; NULL when `end` comes first, or when a quote
// neither encloses a field nor is doubled in one. Counts into `*lines` the line ends in the record.
static const u8 *end_of_quoted(const u8 *at, const u8 *end, u8 delimiter, int64_t *lines) {
    for (;;) {
        if (at < end && *at == '"') {
            for (at++;; at++) { // behind the opening quote
                const u8 *quote = find_byte(at, end, '"');
                if (!quote) return NULL;
                for (const u8 *line = at; (line = find_byte(line, quote, '\n')); line++) ++*lines;
                at = quote + 1;
                if (at == end || *at != '"') break;
            }
            if (at + 1 < end && at[0] == '\r' && at[1] == '\n') at++;
        } else {
            while (at < end && *at != delimiter && *at != '\n' && *at != '"') at++;
        }
        if (at == end) return NULL;
        if (*at == '\n') return at;
        if (*at != delimiter) return NULL;
        at++;
    }
}

// Cuts out the well-formed records that begin at `begins`, which ascend, of a text of `size` bytes. For each record it
// writes how many line ends lie before it to `lines`, and the byte behind it, without its line end, to `stops`. The stop
// is -1 when the record may go on behind the text, or a quote stands where it should not.
void cut_records(const u8 *text, int64_t size, const int64_t *begins, int64_t count, int64_t delimiter, int64_t *lines,
                 int64_t *stops) {
    const u8 *end = text + size, *counted = text; // line ends are counted up to there
    int64_t before = 0;
    for (int64_t i = 0; i < count; i++) {
        const u8 *begin = text + begins[i];
        for (const u8 *line; (line = find_byte(counted, begin, '\n')); counted = line + 1) before++;
        if (counted < begin) counted = begin;
        lines[i] = before, stops[i] = -1;
        const u8 *stop = find_byte(begin, end, '\n');
        int64_t inside = 0;
        if (stop && find_byte(begin, stop, '"')) stop = end_of_quoted(begin, end, (u8)delimiter, &inside);
        if (!stop) continue;
        before += inside + 1, counted = stop + 1;
        if (stop > begin && stop[-1] == '\r') stop--;
        stops[i] = stop - text;
    }
}
