// The independent scanner of plain chunks without quotes: it counts line ends and delimiters for itself and looks at
// every position that the parser took for the end of a field. It shares nothing with kernel.c.

#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

typedef uint8_t lane __attribute__((ext_vector_type(32), aligned(1)));

// How often each of two bytes occurs, and whether a NUL or a quote does.
static void survey(const uint8_t *data, int64_t size, uint8_t first, uint8_t second, int64_t *counts, int *odd) {
    counts[0] = counts[1] = *odd = 0;
    int64_t at = 0;
    while (size - at >= 32) {
        lane firsts = 0, seconds = 0, odds = 0; // each place counts to 255 at most
        for (int step = 0; step < 255 && size - at >= 32; step++, at += 32) {
            lane bytes = *(const lane *)(data + at);
            firsts -= (lane)(bytes == first), seconds -= (lane)(bytes == second);
            odds |= (lane)(bytes == 0) | (lane)(bytes == '"');
        }
        for (int i = 0; i < 32; i++) counts[0] += firsts[i], counts[1] += seconds[i], *odd |= odds[i];
    }
    for (; at < size; at++) {
        counts[0] += data[at] == first, counts[1] += data[at] == second;
        *odd |= data[at] == 0 || data[at] == '"';
    }
}

// Whether `ends` are the ends of the fields of `data`, of all and of nothing else: increasing positions, each of a
// delimiter or, every `fields`th, of a line end, and as many as there are of either; no line is beyond `max_record`.
EXPORT int certify(const uint8_t *data, int64_t size, uint8_t delimiter, int64_t fields, const int32_t *ends,
                   int64_t count, int64_t max_record) {
    int64_t counts[2];
    int odd;
    survey(data, size, '\n', delimiter, counts, &odd);
    if (odd || count == 0 || count % fields || counts[0] != count / fields || counts[0] + counts[1] != count) return 0;
    int64_t before = -1, line = -1;
    for (int64_t i = 0; i < count; i += fields) {
        for (int64_t field = 0; field < fields; field++) {
            int64_t end = ends[i + field];
            if (end <= before || end >= size) return 0;
            if (data[end] != (field == fields - 1 ? '\n' : delimiter)) return 0;
            before = end;
        }
        if (before - line > max_record + 1) return 0;
        line = before;
    }
    return 1;
}
