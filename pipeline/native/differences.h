// This header has numbers as differences: DELTA_BINARY_PACKED in widths of whole bytes, so that both sides copy integers
// instead of shifting bits (https://github.com/apache/parquet-format/blob/master/Encodings.md).

#pragma once

#include "common.h"

enum { BLOCK = 128, MINIBLOCK = 32 }; // differences that share a minimum, and a width

static inline u8 *put_varint(u8 *out, uint64_t value) {
    for (; value > 0x7F; value >>= 7) *out++ = (u8)(value | 0x80);
    *out++ = (u8)value;
    return out;
}

static inline uint64_t zigzag(int64_t value) { return (uint64_t)value << 1 ^ (uint64_t)(value >> 63); }

// Bytes in which numbers up to `most` are packed.
static inline int width_of(uint64_t most) {
    if (!most) return 0;
    return most <= UINT8_MAX ? 1 : most <= UINT16_MAX ? 2 : most <= UINT32_MAX ? 4 : 8;
}

// Writes `count` numbers in `width` bytes each, and zeros up to MINIBLOCK numbers.
static inline u8 *put_packed(u8 *out, const uint64_t *values, int64_t count, int width) {
#define PACK(type)                                                                                                     \
    {                                                                                                                  \
        type packed[MINIBLOCK] = {0};                                                                                  \
        for (int64_t i = 0; i < count; i++) packed[i] = (type)values[i];                                               \
        memcpy(out, packed, sizeof packed);                                                                            \
    }
    if (width == 1) PACK(uint8_t)
    else if (width == 2) PACK(uint16_t)
    else if (width == 4) PACK(uint32_t)
    else PACK(uint64_t)
#undef PACK
    return out + MINIBLOCK * width;
}

// A column of numbers: `values` has `size` bytes for each. Lengths of texts are differences of bounds, which have
// `size` LENGTHS.
typedef struct {
    const void *values;
    int size;
} Numbers;
enum { LENGTHS = 0 };

// Reads `count` numbers from `first` on. They have 32 bits unless they are read from 64.
static inline void get_numbers(const Numbers *numbers, int64_t first, int64_t count, int64_t *out) {
#define GET(type, expression)                                                                                          \
    {                                                                                                                  \
        const type *values = (const type *)numbers->values + first;                                                    \
        for (int64_t i = 0; i < count; i++) out[i] = expression;                                                       \
    }
    if (numbers->size == 8) GET(int64_t, values[i])
    else if (numbers->size == 4) GET(uint32_t, (int32_t)values[i])
    else if (numbers->size == 2) GET(uint16_t, values[i])
    else GET(int64_t, (int32_t)(values[i + 1] - values[i]))
#undef GET
}

// Writes `count` numbers from `first` on as differences. Differences of numbers of 32 bits wrap at 32 bits.
static inline u8 *put_differences(u8 *out, const Numbers *numbers, int64_t first, int64_t count) {
    int64_t values[BLOCK + 1] = {0};
    if (count) get_numbers(numbers, first, 1, values);
    out = put_varint(put_varint(out, BLOCK), BLOCK / MINIBLOCK);
    out = put_varint(put_varint(out, (uint64_t)count), zigzag(values[0]));
    for (int64_t at = 1; at < count; at += BLOCK) {
        int64_t size = count - at < BLOCK ? count - at : BLOCK, least = INT64_MAX;
        uint64_t differences[BLOCK];
        get_numbers(numbers, first + at, size, values + 1);
        for (int64_t i = 0; i < size; i++) {
            uint64_t difference = (uint64_t)values[i + 1] - (uint64_t)values[i];
            int64_t wrapped = numbers->size == 8 ? (int64_t)difference : (int32_t)(uint32_t)difference;
            differences[i] = (uint64_t)wrapped;
            least = wrapped < least ? wrapped : least;
        }
        out = put_varint(out, zigzag(least));
        u8 *widths = out;
        out += BLOCK / MINIBLOCK;
        for (int64_t mini = 0; mini < BLOCK / MINIBLOCK; mini++) {
            uint64_t *part = differences + mini * MINIBLOCK, most = 0;
            int64_t filled = size - mini * MINIBLOCK < MINIBLOCK ? size - mini * MINIBLOCK : MINIBLOCK;
            for (int64_t i = 0; i < filled; i++) {
                part[i] -= (uint64_t)least;
                most |= part[i];
            }
            int width = width_of(most);
            widths[mini] = (u8)(8 * width);
            if (width) out = put_packed(out, part, filled, width);
        }
        values[0] = values[BLOCK];
    }
    return out;
}

typedef struct {
    const u8 *at, *end; // `at` is NULL once the bytes are not what they should be
} Input;

static inline uint64_t get_varint(Input *input) {
    uint64_t value = 0;
    for (int shift = 0; input->at && shift < 64; shift += 7) {
        if (input->at == input->end) break;
        u8 byte = *input->at++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) return value;
    }
    input->at = NULL;
    return 0;
}

static inline uint64_t get_zigzag(Input *input) {
    uint64_t value = get_varint(input);
    return value >> 1 ^ -(value & 1);
}

// Returns the next `size` bytes and moves behind them. Returns NULL when fewer are left.
static inline const u8 *take(Input *input, int64_t size) {
    const u8 *taken = input->at;
    if (!taken || size < 0 || size > input->end - taken) return input->at = NULL;
    input->at += size;
    return taken;
}

// Where differences are written: as numbers with `size` bytes, or as LENGTHS behind the first one of `count` + 1 bounds.
typedef struct {
    void *values;
    int size;
} Target;

// Reads a page of `count` numbers that put_differences wrote.
static inline void get_differences(Input *input, int64_t count, const Target *target) {
    bool usual = get_varint(input) == BLOCK;
    usual &= get_varint(input) == BLOCK / MINIBLOCK;
    usual &= get_varint(input) == (uint64_t)count;
    uint64_t value = get_zigzag(input);
    if (!usual) input->at = NULL;
    uint64_t bound = target->size == LENGTHS ? (uint64_t) * (int64_t *)target->values : 0;
#define STORE(place)                                                                                                   \
    if (target->size == 8) ((uint64_t *)target->values)[place] = value;                                                \
    else if (target->size == 4) ((uint32_t *)target->values)[place] = (uint32_t)value;                                 \
    else if (target->size == 2) ((uint16_t *)target->values)[place] = (uint16_t)value;                                 \
    else ((uint64_t *)target->values)[(place) + 1] = bound += (uint32_t)value;
    if (input->at && count) {
        STORE(0)
    }
    for (int64_t first = 1; input->at && first < count; first += BLOCK) {
        uint64_t least = get_zigzag(input);
        const u8 *widths = take(input, BLOCK / MINIBLOCK);
        for (int64_t mini = 0; widths && mini < BLOCK / MINIBLOCK; mini++) {
            int64_t at = first + mini * MINIBLOCK, stop = at + MINIBLOCK < count ? at + MINIBLOCK : count;
            if (at >= count) break;
            int width = widths[mini] / 8;
            const u8 *bytes = take(input, MINIBLOCK * width);
            if (!bytes || widths[mini] % 8 || (width && width != 1 && width != 2 && width != 4 && width != 8)) {
                input->at = NULL;
                return;
            }
            uint64_t packed[MINIBLOCK];
            switch (width) {
#define UNPACK(type)                                                                                                   \
    for (int64_t i = 0; i < MINIBLOCK; i++) {                                                                          \
        type number;                                                                                                   \
        memcpy(&number, bytes + i * (int64_t)sizeof number, sizeof number);                                            \
        packed[i] = number + least;                                                                                    \
    }
            case 0:
                for (int64_t i = 0; i < MINIBLOCK; i++) packed[i] = least;
                break;
            case 1: UNPACK(uint8_t) break;
            case 2: UNPACK(uint16_t) break;
            case 4: UNPACK(uint32_t) break;
            default: UNPACK(uint64_t)
#undef UNPACK
            }
#define EACH(store)                                                                                                    \
    for (int64_t place = at; place < stop; place++) {                                                                  \
        value += packed[place - at];                                                                                   \
        store;                                                                                                         \
    }
            if (target->size == 8) EACH(((uint64_t *)target->values)[place] = value)
            else if (target->size == 4) EACH(((uint32_t *)target->values)[place] = (uint32_t)value)
            else if (target->size == 2) EACH(((uint16_t *)target->values)[place] = (uint16_t)value)
            else EACH(((uint64_t *)target->values)[place + 1] = bound += (uint32_t)value)
#undef EACH
        }
    }
#undef STORE
}
