// Reads rows of MySQL's text protocol into columns of texts.

#include "common.h"

// A packet is a header (its length in three bytes, and a number) and the row. END begins the packet behind the last row,
// and rows whose first text has its length in 8 bytes.
enum { HEADER = 4, LARGEST = 0xFFFFFF, END = 0xFE, SHORTEST_LONG = 9, FAULT = 0xFF, NOTHING = 0xFB };

// Reads a length and moves `*at` behind it; -1 where it is none or reaches beyond `end`.
static int64_t read_length(const u8 **at, const u8 *end) {
    if (*at == end) return -1;
    u8 first = *(*at)++;
    if (first < NOTHING) return first;
    int64_t bytes = first == 0xFC ? 2 : first == 0xFD ? 3 : first == 0xFE ? 8 : 0;
    if (!bytes || end - *at < bytes) return -1;
    uint64_t length = 0;
    for (int64_t i = 0; i < bytes; i++) length |= (uint64_t)(*at)[i] << (8 * i);
    *at += bytes;
    return length > LARGEST ? -1 : (int64_t)length;
}

// Adds a row, which is the packet from `at` to `end`, to the columns. Returns whether it is one.
static bool add_row(const u8 *at, const u8 *end, int64_t row, int64_t columns, const Texts *out) {
    for (int64_t i = 0; i < columns; i++) {
        int64_t *ends = out[i].ends;
        ends[row + 1] = ends[row];
        if (at < end && *at == NOTHING) {
            at++;
            continue;
        }
        int64_t length = read_length(&at, end);
        if (length < 0 || end - at < length) return false;
        memcpy(out[i].texts + ends[row], at, (size_t)length);
        ends[row + 1] += length;
        out[i].valid[row >> 3] |= (u8)(1 << (row & 7));
        at += length;
    }
    return at == end;
}

// Goes over the whole packets of rows that follow byte `*at`, and moves it behind them. Returns why it ends there.
int64_t walk_packets(const u8 *data, int64_t size, int64_t *at) {
    while (size - *at >= HEADER) {
        const u8 *packet = data + *at;
        int64_t length = packet[0] | (int64_t)packet[1] << 8 | (int64_t)packet[2] << 16;
        if (length == LARGEST) return PACKET_TOO_LARGE;
        if (size - *at - HEADER < length) break;
        if (length && packet[HEADER] == FAULT) return PACKET_FAULT;
        if (length && packet[HEADER] == END && length < SHORTEST_LONG) return PACKET_END;
        *at += HEADER + length;
    }
    return PACKET_CUT;
}

// Reads packets of rows that have `size` bytes together. Returns the number of rows; -1 where a packet is no row. Each
// column has room for `size` bytes of texts, and for a row in every `columns` + 4 bytes; its bits of `valid` are 0.
int64_t read_packets(const u8 *data, int64_t size, int64_t columns, const Texts *out) {
    int64_t rows = 0;
    for (int64_t i = 0; i < columns; i++) out[i].ends[0] = 0;
    for (const u8 *at = data, *end = data + size; at < end; rows++) {
        int64_t length = at[0] | (int64_t)at[1] << 8 | (int64_t)at[2] << 16;
        if (length < columns || !add_row(at + HEADER, at + HEADER + length, rows, columns, out)) return -1;
        at += HEADER + length;
    }
    return rows;
}
