// Reads the values of fields: watch times and timestamps, and whether a text may be blank.
//
// A function returns false for every text that is not in a plain form; the rules in values.py then judge the text.

#pragma once

#include "common.h"

static const int64_t MICRO = 1000000, MAX_MICRO = 1000000000LL * 1000000;
static const int64_t POWER[19] = {
    1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000, 100000000000, 1000000000000,
    10000000000000, 100000000000000, 1000000000000000, 10000000000000000, 100000000000000000, 1000000000000000000};

// How a watch time is written: its decimal point, eight times in a word too, and how many of its units are a minute.
typedef struct {
    u8 point;
    uint64_t points;
    int64_t per_minute;
} Watch;

// Divides and rounds half-even; neither number is negative. Returns more than MAX_MICRO where the exact quotient is beyond
// it, because the limit holds before rounding.
static int64_t divide_half_even(int64_t number, int64_t divisor) {
    int64_t quotient = number / divisor, rest = number % divisor;
    if (rest && quotient >= MAX_MICRO) return MAX_MICRO + 1;
    return quotient + (rest > divisor - rest || (rest == divisor - rest && quotient & 1));
}

// Reads a watch time of one to eight characters: digits and at most one point. It branches on no digit, because the
// processor cannot predict digits. It reads the eight bytes that end with the text, so the chunk must have as many.
// Returns false for any other text, and for seven fractional digits, which have to be rounded.
static bool read_short_time(const Watch *watch, const u8 *text, int32_t length, int64_t *micro) {
    uint64_t word;
    memcpy(&word, text + length - 8, sizeof word); // the last character is the highest byte (little-endian)
    int unused = 8 * (8 - length);
    word = (word >> unused << unused) | (unused ? 0x3030303030303030ULL >> (64 - unused) : 0);
    uint64_t points = word ^ watch->points; // a point becomes 0; the lowest mark is that of the first
    points = (points - 0x0101010101010101ULL) & ~points & 0x8080808080808080ULL;
    int fraction = 0;
    if (points) {
        int bit = __builtin_ctzll(points) - 7;
        uint64_t below = ((uint64_t)1 << bit) - 1;
        word = (word & ~below & ~((uint64_t)0xFF << bit)) | (word & below) << 8 | '0';
        fraction = 7 - bit / 8;
    }
    uint64_t digits = word ^ 0x3030303030303030ULL;
    if (((digits + 0x7676767676767676ULL) | digits) & 0x8080808080808080ULL || (points && length == 1)) return false;
    digits = digits * 10 + (digits >> 8);
    digits = ((digits & 0x000000FF000000FFULL) * 0x000F424000000064ULL +
              (digits >> 16 & 0x000000FF000000FFULL) * 0x0000271000000001ULL) >> 32;
    if (fraction > 6) return false;
    *micro = (int64_t)digits * POWER[6 - fraction];
    if (watch->per_minute > 1) *micro = divide_half_even(*micro, watch->per_minute);
    return true;
}

// Reads a watch time of digits and at most one point exactly and rounds it half-even to micro-minutes. Returns false
// for any other text, and for a time that is beyond MAX_MICRO or has too many digits to be exact. Nothing before
// `chunk` is read.
static bool read_watch_time(const Watch *watch, const u8 *chunk, const u8 *text, int32_t length, int64_t *micro) {
    if (length > 0 && length <= 8 && text + length - chunk >= 8 && read_short_time(watch, text, length, micro))
        return true;
    int64_t number = 0, divisor = watch->per_minute;
    int digits = 0, fraction = -1;
    if (length > 19) return false;
    for (int32_t i = 0; i < length; i++) {
        u8 digit = text[i] - '0';
        if (digit < 10) {
            if (++digits > 18) return false; // 19 digits may pass int64
            number = number * 10 + digit;
            fraction += fraction >= 0;
        } else if (text[i] == watch->point && fraction < 0) {
            fraction = 0;
        } else {
            return false;
        }
    }
    if (fraction < 0) fraction = 0;
    if (digits == 0) return false;
    if (fraction <= 6) {
        if (digits - fraction > 12) return false;
        number *= POWER[6 - fraction];
    } else if (__builtin_mul_overflow(divisor, POWER[fraction - 6], &divisor)) {
        return false;
    }
    *micro = divisor == 1 ? number : divide_half_even(number, divisor);
    return *micro <= MAX_MICRO;
}

// Reads exactly `count` digits. Returns false when one of the characters is no digit.
static bool read_digits(const u8 *text, int count, int *value) {
    *value = 0;
    for (int i = 0; i < count; i++) {
        u8 digit = text[i] - '0';
        if (digit > 9) return false;
        *value = *value * 10 + digit;
    }
    return true;
}

// Joins microseconds since 1970 UTC and the nanoseconds behind them to a moment (timestamps.py): nanoseconds from 1700 to
// 2249; steps of a microsecond before and behind these years, because nanoseconds of all years do not fit 64 bits.
static int64_t join_moment(int64_t micros, int64_t nanos) {
    static const int64_t FIRST = -8520336000000000, LAST = 8835955200000000;
    if (micros < FIRST) return FIRST * 1000 + (micros - FIRST);
    if (micros >= LAST) return LAST * 1000 + (micros - LAST);
    return micros * 1000 + nanos;
}

// Reads an unsigned number of seconds (up to 11 digits), milliseconds (up to 13), microseconds (up to 16) or nanoseconds
// (up to 19) since 1970 as a moment. Returns false for other texts, also for a number with a fraction, and for 8, 14 and
// 17 digits, which are dates.
static bool read_epoch(const u8 *text, int32_t length, int64_t *moment) {
    if (length < 1 || length > 19 || length == 8 || length == 14 || length == 17) return false;
    uint64_t number = 0;
    for (int32_t i = 0; i < length; i++) {
        u8 digit = text[i] - '0';
        if (digit > 9) return false;
        number = number * 10 + digit;
    }
    if (length <= 11) *moment = join_moment((int64_t)number * MICRO, 0);
    else if (length <= 14) *moment = join_moment((int64_t)number * 1000, 0);
    else if (length <= 17) *moment = join_moment((int64_t)number, 0);
    else *moment = join_moment((int64_t)(number / 1000), (int64_t)(number % 1000));
    return true;
}

// Reads a timestamp as a moment (timestamps.py): a number, as read_epoch; or YYYY-MM-DD, a T or a space, HH:MM:SS, perhaps
// a point with one to nine digits, and perhaps a zone, Z, +HH:MM, -HH:MM or " UTC"; without a zone the time is UTC. Returns
// false for other texts.
static bool read_timestamp(const u8 *text, int32_t length, int64_t *moment) {
    static const u8 DAYS[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day, hour, minute, second;
    if (length < 19 || text[4] != '-') return read_epoch(text, length, moment);
    if (text[7] != '-' || (text[10] != 'T' && text[10] != ' ') || text[13] != ':' || text[16] != ':') return false;
    if (!read_digits(text, 4, &year) || !read_digits(text + 5, 2, &month) || !read_digits(text + 8, 2, &day) ||
        !read_digits(text + 11, 2, &hour) || !read_digits(text + 14, 2, &minute) || !read_digits(text + 17, 2, &second))
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > DAYS[month - 1] + (leap && month == 2) || hour > 23 ||
        minute > 59 || second > 59)
        return false;
    const u8 *p = text + 19, *end = text + length;
    int64_t fraction = 0; // nanoseconds
    if (p < end && *p == '.') {
        int digits = 0;
        for (p++; p < end && (u8)(*p - '0') < 10 && digits < 10; p++, digits++) fraction = fraction * 10 + (*p - '0');
        if (digits < 1 || digits > 9) return false;
        fraction *= POWER[9 - digits];
    }
    int64_t zone = 0;
    if (p < end && (*p == 'Z' || *p == 'z')) {
        p++;
    } else if (end - p == 6 && (*p == '+' || *p == '-') && p[3] == ':') {
        int hours, minutes;
        if (!read_digits(p + 1, 2, &hours) || !read_digits(p + 4, 2, &minutes) || hours > 23 || minutes > 59)
            return false;
        zone = (hours * 60 + minutes) * (*p == '-' ? -60 : 60);
        p = end;
    } else if (end - p == 4 && memcmp(p, " UTC", 4) == 0) {
        p = end;
    }
    if (p != end) return false;
    int shifted = month > 2 ? month - 3 : month + 9; // the year begins in March, so that the leap day is its last day
    int64_t y = year - (month <= 2), era = y / 400, of_era = y % 400;
    int64_t days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * shifted + 2) / 5 + day - 1 - 719468;
    int64_t seconds = days * 86400 + hour * 3600 + minute * 60 + second - zone;
    *moment = join_moment(seconds * MICRO + fraction / 1000, fraction % 1000);
    return true;
}

// Tells whether a text may be blank: whether it is empty or begins with white space (as Unicode defines it), a control
// character or a byte-order mark.
static bool may_be_blank(const u8 *text, int32_t length) {
    if (length == 0 || text[0] <= ' ') return true;
    if (text[0] < 0x80 || length < 2) return text[0] == 0x7F;
    if (text[0] == 0xC2) return text[1] == 0x85 || text[1] == 0xA0;
    if (text[0] == 0xE1) return text[1] == 0x9A;
    if (text[0] == 0xE2) return text[1] == 0x80 || text[1] == 0x81;
    if (text[0] == 0xE3) return text[1] == 0x80;
    return text[0] == 0xEF && text[1] == 0xBB;
}
