// Writes and reads the row groups of rows files: Parquet without compression, one page for each column.
//
// Hashes are PLAIN, numbers and lengths of texts DELTA_BINARY_PACKED (differences.h). Headers are structs in Thrift's
// compact protocol; their fields are those of parquet.thrift.

#include "differences.h"

enum { PLAIN = 0, RLE = 3, DELTA = 5, DELTA_LENGTHS = 6 }; // encodings of parquet.thrift
enum { INT32 = 1, INT64 = 2, BYTE_ARRAY = 6 };             // its physical types

// The columns of a rows file, in the order of their pages.
enum { ID_HI, ID_LO, USER_ID, REGION, MICRO_MINUTES, OFFSET, CONTENT, TIMESTAMP, COLUMNS };
static const struct {
    const char *name;
    int type, encoding;
} COLUMN[COLUMNS] = {
    [ID_HI] = {"id_hi", INT64, PLAIN},
    [ID_LO] = {"id_lo", INT64, PLAIN},
    [USER_ID] = {"user_id", BYTE_ARRAY, DELTA_LENGTHS},
    [REGION] = {"region", INT32, DELTA},
    [MICRO_MINUTES] = {"micro_minutes", INT64, DELTA},
    [OFFSET] = {"offset", INT32, DELTA},
    [CONTENT] = {"content", INT64, PLAIN},
    [TIMESTAMP] = {"timestamp", INT64, PLAIN},
};

// Writes a field of a struct: its header, which has the difference to the field before and its type, and an integer.
static u8 *put_integer(u8 *out, u8 header, int64_t value) {
    *out++ = header;
    return put_varint(out, zigzag(value));
}

// --------------------------------------------------------------------------------------------------------- moments

// Writes optional moments: which of them are there, as a run of bits, and these.
static u8 *put_moments(u8 *out, const int64_t *moments, int64_t count) {
    int64_t groups = (count + 7) / 8;
    u8 *length = out, *runs = out + 4;
    u8 *bits = put_varint(runs, (uint64_t)groups << 1 | 1);
    out = bits + groups;
    memset(bits, 0, (size_t)groups);
    uint32_t size = (uint32_t)(out - runs);
    memcpy(length, &size, sizeof size);
    for (int64_t i = 0; i < count; i++) {
        if (moments[i] == INT64_MIN) continue;
        bits[i / 8] |= (u8)(1 << i % 8);
        memcpy(out, moments + i, sizeof *moments);
        out += sizeof *moments;
    }
    return out;
}

// Reads what put_moments wrote; a missing one becomes INT64_MIN.
static void get_moments(Input *input, int64_t count, int64_t *moments) {
    const u8 *length = take(input, 4);
    if (get_varint(input) != ((uint64_t)(count + 7) / 8 << 1 | 1)) input->at = NULL;
    const u8 *bits = take(input, (count + 7) / 8);
    for (int64_t i = 0; length && bits && i < count; i++) {
        moments[i] = INT64_MIN;
        if (!(bits[i / 8] >> i % 8 & 1)) continue;
        const u8 *moment = take(input, sizeof *moments);
        if (!moment) return;
        memcpy(moments + i, moment, sizeof *moments);
    }
}

// ------------------------------------------------------------------------------------------------------ row groups

enum { HEADER_ROOM = 48 }; // a page header has at most 4 numbers of 5 bytes each, and 14 other bytes

static u8 *put_page_header(u8 *out, int64_t rows, int64_t size, int encoding) {
    out = put_integer(out, 0x15, 0); // a data page
    out = put_integer(out, 0x15, size);
    out = put_integer(out, 0x15, size);
    *out++ = 0x2C; // the header of a data page
    out = put_integer(out, 0x15, rows);
    out = put_integer(out, 0x15, encoding);
    out = put_integer(out, 0x15, RLE); // of definition levels
    out = put_integer(out, 0x15, RLE); // of repetition levels
    *out++ = 0, *out++ = 0;
    return out;
}

// Writes what a footer says of a column: one page of `size` bytes with its header, which begins at `begin`.
static u8 *put_column(u8 *out, int column, int64_t rows, int64_t begin, int64_t size) {
    size_t length = strlen(COLUMN[column].name);
    out = put_integer(out, 0x26, begin);
    *out++ = 0x1C; // the column's metadata
    out = put_integer(out, 0x15, COLUMN[column].type);
    *out++ = 0x19, *out++ = 0x25; // a list of two integers: its encodings
    out = put_varint(out, zigzag(RLE));
    out = put_varint(out, zigzag(COLUMN[column].encoding));
    *out++ = 0x19, *out++ = 0x18; // a list of one text: its name
    out = put_varint(out, length);
    memcpy(out, COLUMN[column].name, length);
    out = put_integer(out + length, 0x15, 0); // not compressed
    out = put_integer(out, 0x16, rows);
    out = put_integer(out, 0x16, size);
    out = put_integer(out, 0x16, size);
    out = put_integer(out, 0x26, begin); // of its data page
    *out++ = 0, *out++ = 0;
    return out;
}

static u8 *put_content(u8 *out, const SortedRows *rows, int64_t first, int64_t count) {
    for (int64_t row = first; row < first + count; row++, out += sizeof(uint64_t)) {
        uint64_t mark = ((uint64_t)rows->micro_minutes[row] << REGION_BITS) + rows->region[row] + rows->id_lo[row] +
                        rows->user_hash[row];
        memcpy(out, &mark, sizeof mark);
    }
    return out;
}

static u8 *put_values(u8 *out, const SortedRows *rows, int column, int64_t first, int64_t count) {
    const uint64_t *hashes = column == ID_HI ? rows->id_hi : rows->id_lo;
    switch (column) {
    case ID_HI:
    case ID_LO: memcpy(out, hashes + first, (size_t)count * sizeof *hashes); return out + count * 8;
    case USER_ID: {
        int64_t begin = rows->bounds[first], length = rows->bounds[first + count] - begin;
        out = put_differences(out, &(Numbers){rows->bounds, LENGTHS}, first, count);
        memcpy(out, rows->texts + begin, (size_t)length);
        return out + length;
    }
    case REGION: return put_differences(out, &(Numbers){rows->region, 2}, first, count);
    case MICRO_MINUTES: return put_differences(out, &(Numbers){rows->micro_minutes, 8}, first, count);
    case OFFSET: return put_differences(out, &(Numbers){rows->offset, 4}, first, count);
    case TIMESTAMP: return put_moments(out, rows->timestamp + first, count);
    default: return put_content(out, rows, first, count);
    }
}

// Returns how much room write_group needs for `rows` rows whose users have `text_bytes` bytes.
int64_t group_room(int64_t rows, int64_t text_bytes) {
    int64_t blocks = rows / BLOCK + 2;
    return text_bytes + rows * (5 * 8 + 3 * 4) + blocks * 4 * (16 + BLOCK / MINIBLOCK) + COLUMNS * HEADER_ROOM +
           4 * MINIBLOCK * 8 + 64;
}

// Writes `count` rows from `first` on as a row group that begins at `begin` in its file. Writes its bytes to `pages`
// (group_room), what the footer says of it to `entry` (1,024 bytes), and the sizes of both to `sizes`.
void write_group(const SortedRows *rows, int64_t first, int64_t count, int64_t begin, u8 *pages, u8 *entry,
                 int64_t *sizes) {
    u8 *out = pages, *told = entry;
    int columns = rows->timestamp ? COLUMNS : COLUMNS - 1;
    *told++ = 0x19, *told++ = (u8)(columns << 4 | 0x0C); // a list of structs
    for (int column = 0; column < COLUMNS; column++) {
        if (column == TIMESTAMP && !rows->timestamp) continue;
        u8 *page = out, *values = out + HEADER_ROOM, *end = put_values(values, rows, column, first, count);
        out = put_page_header(page, count, end - values, COLUMN[column].encoding);
        memmove(out, values, (size_t)(end - values));
        out += end - values;
        told = put_column(told, column, count, begin + (page - pages), out - page);
    }
    told = put_integer(told, 0x16, out - pages);
    told = put_integer(told, 0x16, count);
    *told++ = 0;
    sizes[0] = out - pages, sizes[1] = told - entry;
}

// Passes over the header of the page of a column with `count` values; returns the page's bytes.
static Input get_page(Input *group, int64_t count, int encoding) {
    u8 expected[HEADER_ROOM];
    Input header = *group, none = {NULL, NULL};
    if (!take(&header, 1)) return *group = none;
    if (get_varint(&header) || !take(&header, 1)) return *group = none;
    int64_t size = (int64_t)(get_varint(&header) >> 1);
    u8 *end = put_page_header(expected, count, size, encoding);
    const u8 *found = take(group, end - expected);
    if (!found || memcmp(found, expected, (size_t)(end - expected))) return *group = none;
    const u8 *page = take(group, size);
    return page ? (Input){page, page + size} : none;
}

static void get_hashes(Input *page, int64_t count, uint64_t *out) {
    const u8 *bytes = take(page, count * (int64_t)sizeof *out);
    if (bytes) memcpy(out, bytes, (size_t)count * sizeof *out);
}

// Reads the columns of a row group of `count` rows, but those whose target is NULL, up to the last one that is wanted.
// The users have `text_bytes` bytes; the first of `bounds` says where in `texts` they are to begin. Returns false when
// `data` is no such row group.
bool read_group(const u8 *data, int64_t size, int64_t count, int64_t text_bytes, int64_t timestamps,
                const GroupTarget *target) {
    Input group = {data, data + size};
    bool wanted[COLUMNS] = {
        [ID_HI] = target->id_hi,
        [ID_LO] = target->id_lo,
        [USER_ID] = target->bounds,
        [REGION] = target->region,
        [MICRO_MINUTES] = target->micro_minutes,
        [OFFSET] = target->offset || target->place,
        [TIMESTAMP] = target->timestamp,
        [CONTENT] = target->content,
    };
    int last = COLUMNS;
    while (last && !wanted[last - 1]) last--;
    for (int column = 0; column < last; column++) {
        if (column == TIMESTAMP && !timestamps) continue;
        Input page = get_page(&group, count, COLUMN[column].encoding);
        if (!page.at) return false;
        if (!wanted[column]) continue;
        switch (column) {
        case ID_HI: get_hashes(&page, count, target->id_hi); break;
        case ID_LO: get_hashes(&page, count, target->id_lo); break;
        case USER_ID: {
            int64_t begin = target->bounds[0];
            get_differences(&page, count, &(Target){target->bounds, LENGTHS});
            const u8 *texts = take(&page, text_bytes);
            if (!texts || target->bounds[count] - begin != text_bytes) return false;
            for (int64_t i = 0; i < count; i++)
                if (target->bounds[i] > target->bounds[i + 1]) return false;
            memcpy(target->texts + begin, texts, (size_t)text_bytes);
            break;
        }
        case REGION: get_differences(&page, count, &(Target){target->region, 2}); break;
        case MICRO_MINUTES: get_differences(&page, count, &(Target){target->micro_minutes, 8}); break;
        case OFFSET:
            if (target->offset) {
                get_differences(&page, count, &(Target){target->offset, 4});
            } else {
                get_differences(&page, count, &(Target){target->place, 8});
                for (int64_t i = 0; i < count; i++)
                    target->place[i] = target->first_place + (int64_t)(uint32_t)target->place[i];
            }
            break;
        case TIMESTAMP: get_moments(&page, count, target->timestamp); break;
        default: get_hashes(&page, count, target->content);
        }
        if (page.at != page.end) return false;
    }
    return true;
}
