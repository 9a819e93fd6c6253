// Finds the row groups in the footer of a Parquet file.
//
// A footer is a struct FileMetaData (parquet.thrift), whose fourth field is the list of row groups, in Thrift's compact
// protocol (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md). What comes before the
// list is passed over, not kept.

#include "api.h"
#include <stddef.h>

enum { STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT };
enum { ROW_GROUPS = 4, DEEPEST = 16 };

typedef struct {
    const uint8_t *at, *end; // `at` is NULL once the bytes break the protocol
} Bytes;

// Reads a number with 7 bits in each byte. Returns 0 and sets `at` to NULL when the bytes end within the number.
static uint64_t read_varint(Bytes *bytes) {
    uint64_t value = 0;
    for (int shift = 0; bytes->at && shift < 64; shift += 7) {
        if (bytes->at == bytes->end) break;
        uint8_t byte = *bytes->at++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) return value;
    }
    bytes->at = NULL;
    return 0;
}

// Moves `size` bytes on, and sets `at` to NULL when fewer are left.
static void pass(Bytes *bytes, uint64_t size) {
    if (!bytes->at || size > (uint64_t)(bytes->end - bytes->at)) bytes->at = NULL;
    else bytes->at += size;
}

// Reads the header of a list: writes the elements' type to `type` and returns their number.
static uint64_t read_list(Bytes *bytes, int *type) {
    if (!bytes->at || bytes->at == bytes->end) {
        bytes->at = NULL;
        return 0;
    }
    uint8_t byte = *bytes->at++;
    *type = byte & 0x0F;
    return byte >> 4 == 15 ? read_varint(bytes) : byte >> 4;
}

// Reads the header of a field. Returns its type, or STOP behind the last field, and writes its id to `id`. The caller
// leaves the id of the field before in `id`, because a header may have only the difference.
static int read_field(Bytes *bytes, int64_t *id) {
    if (!bytes->at || bytes->at == bytes->end) {
        bytes->at = NULL;
        return STOP;
    }
    uint8_t byte = *bytes->at++;
    if (byte >> 4) {
        *id += byte >> 4;
    } else if (byte & 0x0F) {
        uint64_t zigzag = read_varint(bytes);
        *id = (int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1);
    }
    return byte & 0x0F;
}

static void pass_struct(Bytes *bytes, int depth);

// Passes over a value. Values that are nested deeper than DEEPEST break off the search.
static void pass_value(Bytes *bytes, int type, int depth) {
    if (depth > DEEPEST) bytes->at = NULL;
    if (!bytes->at) return;
    switch (type) {
    case TRUE:
    case FALSE: return; // the type is the value
    case BYTE: pass(bytes, 1); return;
    case I16:
    case I32:
    case I64: read_varint(bytes); return;
    case DOUBLE: pass(bytes, 8); return;
    case BINARY: pass(bytes, read_varint(bytes)); return;
    case STRUCT: pass_struct(bytes, depth + 1); return;
    case LIST:
    case SET: {
        int of = 0;
        uint64_t count = read_list(bytes, &of);
        for (uint64_t i = 0; bytes->at && i < count; i++) {
            if (of == TRUE || of == FALSE) pass(bytes, 1); // in a list a bool takes a byte
            else pass_value(bytes, of, depth + 1);
        }
        return;
    }
    default: bytes->at = NULL; // Parquet has no maps
    }
}

// Passes over the fields of a struct up to its STOP.
static void pass_struct(Bytes *bytes, int depth) {
    int64_t id = 0;
    while (bytes->at) {
        int type = read_field(bytes, &id);
        if (type == STOP) return;
        pass_value(bytes, type, depth);
    }
}

// Writes to `offsets` where in `footer` the header of the list of row groups begins, where each group begins, and where
// the last group ends. Returns the number of groups, or -1 when `room` is too small for the offsets or the bytes are
// not those of a footer.
int64_t find_row_groups(const uint8_t *footer, int64_t size, int64_t *offsets, int64_t room) {
    Bytes bytes = {footer, footer + size};
    int64_t id = 0;
    while (bytes.at) {
        int type = read_field(&bytes, &id);
        if (type == STOP) return -1;
        if (id != ROW_GROUPS || type != LIST) {
            pass_value(&bytes, type, 0);
            continue;
        }
        if (!bytes.at) return -1;
        offsets[0] = bytes.at - footer;
        int of = 0;
        uint64_t count = read_list(&bytes, &of);
        if (of != STRUCT || count > (uint64_t)room - 2) return -1;
        for (uint64_t i = 0; bytes.at && i < count; i++) {
            offsets[i + 1] = bytes.at - footer;
            pass_struct(&bytes, 0);
        }
        if (!bytes.at) return -1;
        offsets[count + 1] = bytes.at - footer;
        return (int64_t)count;
    }
    return -1;
}
