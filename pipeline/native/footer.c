// Where the row groups lie in the footer of a Parquet file: Thrift's compact protocol, as far as it must be passed over.
//
// https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md, and parquet.thrift: FileMetaData,
// whose fourth field is the list of row groups.

#include "api.h"
#include <stddef.h>

enum { STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT };
enum { ROW_GROUPS = 4, DEEPEST = 16 };

typedef struct {
    const uint8_t *at, *end; // `at` is NULL once the bytes are not what they should be
} Bytes;

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

static void pass(Bytes *bytes, uint64_t size) {
    if (!bytes->at || size > (uint64_t)(bytes->end - bytes->at)) bytes->at = NULL;
    else bytes->at += size;
}

// The header of a list: how many elements, of which type.
static uint64_t read_list(Bytes *bytes, int *type) {
    if (!bytes->at || bytes->at == bytes->end) {
        bytes->at = NULL;
        return 0;
    }
    uint8_t byte = *bytes->at++;
    *type = byte & 0x0F;
    return byte >> 4 == 15 ? read_varint(bytes) : byte >> 4;
}

// The header of a field: its type, STOP behind the last one; its id, which may be told as a difference.
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

static void pass_value(Bytes *bytes, int type, int depth) {
    if (depth > DEEPEST) bytes->at = NULL;
    if (!bytes->at) return;
    switch (type) {
    case TRUE:
    case FALSE: return; // the type says it all
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
            if (of == TRUE || of == FALSE) pass(bytes, 1); // in a list each takes a byte
            else pass_value(bytes, of, depth + 1);
        }
        return;
    }
    default: bytes->at = NULL; // Parquet has no maps
    }
}

static void pass_struct(Bytes *bytes, int depth) {
    int64_t id = 0;
    while (bytes->at) {
        int type = read_field(bytes, &id);
        if (type == STOP) return;
        pass_value(bytes, type, depth);
    }
}

// Positions in `footer`: of the header of the list of row groups, of the first byte of each, and of the end of the last.
// Returns how many groups there are, or -1 where `room` does not hold the positions or the bytes are none of a footer.
int64_t find_row_groups(const uint8_t *footer, int64_t size, int64_t *positions, int64_t room) {
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
        positions[0] = bytes.at - footer;
        int of = 0;
        uint64_t count = read_list(&bytes, &of);
        if (of != STRUCT || count > (uint64_t)room - 2) return -1;
        for (uint64_t i = 0; bytes.at && i < count; i++) {
            positions[i + 1] = bytes.at - footer;
            pass_struct(&bytes, 0);
        }
        if (!bytes.at) return -1;
        positions[count + 1] = bytes.at - footer;
        return (int64_t)count;
    }
    return -1;
}
