// This header declares what Python and the library share: structures that Python fills and functions that Python calls.
//
// Every C file includes this header, so the compiler holds each definition to its prototype. A function without a
// prototype here is not visible to Python. tests/pipeline/native/test_library.py holds the declarations in Python
// to this file.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

// Bytes in which records are searched. `data` has `size` bytes, of which the first begins a record and the last is LF.
typedef struct {
    const uint8_t *data;
    int64_t size;
    int64_t limit;      // only records that begin before this byte are wanted
    int64_t delimiter;
    int64_t fields;     // the number of fields of a good record
    int64_t max_record; // the most bytes of a good record, without its line end
    int64_t whole;      // not 0 when no byte behind the chunk can change the records that are wanted
} Chunk;

// What a line is that is no good record. All but a blank line are rejected records.
enum { BLANK, WRONG_FIELD_COUNT, BAD_QUOTE, UNCLOSED_QUOTE, RECORD_TOO_LONG };

// The records of a chunk and its odd lines, which tile the first `consumed` bytes.
typedef struct {
    int32_t *separators; // the offsets of the delimiters and line ends behind all fields of the good records
    int64_t room;        // how many separators the caller has room for
    int64_t records;     // the number of good records
    int32_t *odd_start;  // the first byte of each odd line
    int32_t *odd_stop;   // the offset of its line end
    uint8_t *odd_kind;   // what it is
    int64_t odd_room, odd;
    int64_t consumed;
    int64_t quotes; // not 0 when quotes were seen
} Found;

// The number of each column's field, counted from 0.
typedef struct {
    int64_t log_id, user_id, ip_address, watch_time;
    int64_t timestamp;     // -1 when it is not read
    const uint8_t *header; // the name of the column log_id: a line with this id repeats the header
    int64_t header_length;
    int64_t point;         // the decimal point of a watch time
    int64_t per_minute;    // how many units of watch time are a minute
    int64_t addresses;     // how an address is written: PLAIN_ADDRESS, ENDPOINT or FORWARDED
    int64_t proxies;       // which place of a list counts, from the end; 0: the first
} Columns;

enum { PLAIN_ADDRESS, ENDPOINT, FORWARDED };

// The geo table: ranges of addresses and the code of each range's region.
typedef struct {
    // IPv4: the first address of each range, ascending from 0, and its code. `v4_index` has 65537 entries: entry h is
    // the range of the first address whose upper half is h, and the last entry is that of the last address.
    const uint32_t *v4_start;
    const uint16_t *v4_code;
    const uint32_t *v4_index;
    // IPv6: the distinct upper halves of the ranges' first addresses, ascending from 0, and for each half its first and
    // last range; for each range the lower half of its first address, and its code.
    const uint64_t *half;
    const int64_t *first, *last;
    int64_t halves; // the number of upper halves
    const uint64_t *low;
    const uint16_t *v6_code;
    int64_t invalid; // the code of a text that is no address
} Geo;

// The columns of the rows that read_rows writes, one entry for each row.
typedef struct {
    uint64_t *id_hi, *id_lo, *user_hash;
    int64_t *user_end; // the offset in `users` where the row's user ends
    uint8_t *users;
    uint16_t *region;
    int64_t *micro_minutes;
    uint32_t *offset;
    int64_t *timestamp; // NULL when timestamps are not kept
} Rows;

// Rows that decide_copies compares. The user of row r has the bytes from bounds[r] to bounds[r + 1] of `texts`.
typedef struct {
    const uint64_t *id_hi, *id_lo;
    const int64_t *bounds;
    const uint8_t *texts;
    const uint16_t *region;
    const int64_t *micro_minutes;
} Part;

// The rows of a split in order of bucket, as `Rows`; the user of row r has the bytes from bounds[r] to bounds[r + 1] of
// `texts`. `timestamp` is NULL when timestamps are not kept.
typedef struct {
    const uint64_t *id_hi, *id_lo, *user_hash;
    const int64_t *bounds;
    const uint8_t *texts;
    const uint16_t *region;
    const int64_t *micro_minutes;
    const uint32_t *offset;
    const int64_t *timestamp;
} SortedRows;

// Where the columns of a row group are read to; NULL when a column is not wanted. The place of a row is its offset plus
// `first_place`.
typedef struct {
    uint64_t *id_hi, *id_lo;
    int64_t *bounds;
    uint8_t *texts;
    uint16_t *region;
    int64_t *micro_minutes;
    uint32_t *offset;
    int64_t *place;
    int64_t first_place;
    int64_t *timestamp;
    uint64_t *content;
} GroupTarget;

enum { REGION_BITS = 14 }; // of a region's code

// The position of a row among the rows of several parts.
typedef struct {
    int32_t part, row;
} RowPosition;

// A key in a mapped file, where it may begin at any byte.
typedef uint64_t unaligned __attribute__((aligned(1)));

// A column of texts: text i has the bytes from ends[i] to ends[i + 1] of `texts`; it is null where its bit of `valid` is 0.
typedef struct {
    int64_t *ends;
    uint8_t *texts;
    uint8_t *valid;
} Texts;

// Why packets of rows end: the bytes end; the next packet is the end, is an error of the server, or is one of several of
// a row.
enum { PACKET_CUT, PACKET_END, PACKET_FAULT, PACKET_TOO_LARGE };

// A table of totals, which Python knows by its address alone.
typedef struct Totals Totals;

// rows.c
EXPORT bool find_records(const Chunk *chunk, Found *found);
EXPORT int64_t read_rows(const Chunk *chunk, const Found *found, const Columns *columns, const Geo *geo,
                         const Rows *rows, int64_t at, int64_t text_bytes, int64_t base, int32_t *doubtful);
EXPORT void copy_texts(const Chunk *chunk, const Found *found, int64_t column, const int32_t *records,
                       const int32_t *starts, int64_t count, uint8_t *out, int64_t *text_ends);

// scanner.c
EXPORT int certify(const Chunk *chunk, const Found *found, int64_t *lines);

// keys.c
EXPORT void mark_keys(const uint64_t *wanted, int64_t count, int64_t leading, int64_t bits, uint8_t *bitmap,
                      int64_t bin_bits, uint32_t *starts);
EXPORT int64_t find_keys(const unaligned *keys, int64_t count, const uint64_t *wanted, uint64_t mask, int64_t leading,
                         int64_t bits, const uint8_t *bitmap, int64_t bin_bits, const uint32_t *starts,
                         int64_t *positions);

// sort.c
EXPORT void sort_keys(uint64_t *keys, int64_t count, uint64_t *room);

// copies.c
EXPORT bool decide_copies(const Part *parts, const RowPosition *positions, int64_t count, int64_t keep,
                          const uint16_t *ranks, int64_t *times, uint8_t *verdict);

// cut.c
EXPORT void cut_records(const uint8_t *text, int64_t size, const int64_t *begins, int64_t count, int64_t delimiter,
                        int64_t *lines, int64_t *stops);

// arrange.c
EXPORT void arrange_column(const void *column, int64_t size, const uint16_t *bucket, int64_t count, int64_t buckets,
                           int64_t *at, void *out);
EXPORT void count_text_bytes(const int64_t *ends, const uint16_t *bucket, int64_t count, int64_t *bytes);
EXPORT void arrange_texts(const uint8_t *texts, const int64_t *ends, const uint16_t *bucket, int64_t count,
                          int64_t buckets, int64_t *at, int64_t *bytes_at, uint8_t *out, int64_t *out_ends);

// pages.c
EXPORT int64_t group_room(int64_t rows, int64_t text_bytes);
EXPORT void write_group(const SortedRows *rows, int64_t first, int64_t count, int64_t begin, uint8_t *pages,
                        uint8_t *entry, int64_t *sizes);
EXPORT bool read_group(const uint8_t *data, int64_t size, int64_t count, int64_t text_bytes, int64_t timestamps,
                       const GroupTarget *target);

// encode.c
EXPORT int64_t encode_numbers(const int64_t *values, int64_t count, uint8_t *out);
EXPORT int64_t encode_fronts(const uint8_t *texts, const int64_t *begins, const int64_t *stops, int64_t count,
                             uint32_t *room, uint8_t *out);

// packets.c
EXPORT int64_t walk_packets(const uint8_t *data, int64_t size, int64_t *at);
EXPORT int64_t read_packets(const uint8_t *data, int64_t size, int64_t columns, const Texts *out);

// totals.c
EXPORT Totals *new_totals(int64_t expected);
EXPORT void free_totals(Totals *table);
EXPORT int64_t add_rows(Totals *table, const uint8_t *texts, const int64_t *bounds, const uint16_t *region,
                        const int64_t *micro_minutes, const uint8_t *skipped, int64_t sign, int64_t count);
EXPORT int64_t add_totals(Totals *table, const uint8_t *texts, const int64_t *bounds, const uint16_t *region,
                          const int64_t *micro_minutes, const int64_t *events, int64_t count);
EXPORT int64_t totals_text_bytes(const Totals *table);
EXPORT void read_totals(const Totals *table, uint8_t *texts, int64_t *bounds, uint16_t *region, int64_t *micro_minutes,
                        int64_t *events, int64_t whole, int64_t *found);
