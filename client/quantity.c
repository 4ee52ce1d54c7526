/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers as people write them; see quantity.h. */

#include "client/quantity.h"

#include <string.h>
#include <time.h>

#define USEC_PER_SEC 1000000LL

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Reads digits at *TEXT; at least one. -ERANGE if they do not fit; *TEXT moves behind them. */
static int take_digits(const char **text, int64_t *ret) {
    int64_t value = 0;

    if (!is_digit(**text))
        return -EINVAL;
    for (; is_digit(**text); (*text)++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, **text - '0', &value))
            return -ERANGE;
    *ret = value;
    return 0;
}

/* Reads "12", "12.5", ".5" at *TEXT as millionths. Digits behind the sixth may only be zeros. */
static int take_millionths(const char **text, int64_t *ret) {
    int64_t whole = 0, fraction = 0, unit = USEC_PER_SEC / 10;
    bool leading = is_digit(**text);
    int r = leading ? take_digits(text, &whole) : 0;

    if (r < 0)
        return r;
    if (**text == '.') {
        (*text)++;
        if (!is_digit(**text))
            return -EINVAL;
        for (; is_digit(**text); (*text)++, unit /= 10) {
            if (unit == 0 && **text != '0')
                return -EINVAL;
            fraction += unit * (**text - '0');
        }
    } else if (!leading)
        return -EINVAL;

    if (__builtin_mul_overflow(whole, USEC_PER_SEC, &whole) || __builtin_add_overflow(whole, fraction, &whole))
        return -ERANGE;
    *ret = whole;
    return 0;
}

static int refuse(Error *reterr, int r, const char *flag, const char *text, const char *expected) {
    if (r == -ERANGE)
        return error_invalid(reterr, flag, "\"%s\" is too large; %s", text, expected);
    return error_invalid(reterr, flag, "\"%s\" is not %s", text, expected);
}

static int refuse_integer(const char *flag, const char *text, const char *what, int64_t min, int64_t max,
                          Error *reterr) {
    if (max == INT64_MAX)
        return error_invalid(reterr, flag, "\"%s\" is %s; %lld or more is expected", text, what, (long long) min);
    return error_invalid(reterr, flag, "\"%s\" is %s; %lld to %lld is expected", text, what, (long long) min,
                         (long long) max);
}

int quantity_integer(const char *flag, const char *text, int64_t min, int64_t max, int64_t *ret, Error *reterr) {
    const char *at = text;
    bool negative = *at == '-';
    int64_t value = 0;

    at += negative;
    int r = take_digits(&at, &value);
    if (r == -EINVAL || (r == 0 && *at))
        return refuse_integer(flag, text, "not a whole number", min, max, reterr);
    if (negative)
        value = -value;
    if (r < 0 || value < min || value > max)
        return refuse_integer(flag, text, "out of range", min, max, reterr);
    *ret = value;
    return 0;
}

/* The power of 1024 that SUFFIX stands for, or -EINVAL. */
static int suffix_power(const char *suffix) {
    static const char letters[] = "bkmgtp";

    if (!*suffix)
        return 0;
    const char *found = strchr(letters, suffix[0] | 0x20);
    if (!found)
        return -EINVAL;
    int power = (int) (found - letters);
    const char *rest = suffix + 1;
    if (power > 0 && (*rest | 0x20) == 'i' && (rest[1] | 0x20) == 'b')
        rest += 2;
    else if (power > 0 && (*rest | 0x20) == 'b')
        rest += 1;
    return *rest ? -EINVAL : power;
}

static const char expected_bytes[] = "a number of bytes, such as 67108864, 65536k, 64M or 1g, is expected";

static int parse_bytes(const char *flag, const char *text, int64_t *ret, Error *reterr) {
    const char *at = text;
    int64_t value;
    int r = take_digits(&at, &value);

    if (r == -ERANGE)
        return refuse(reterr, r, flag, text, expected_bytes);
    int power = r < 0 ? r : suffix_power(at);
    if (power < 0)
        return error_invalid(reterr, flag, "\"%s\" is not a size; %s", text, expected_bytes);
    for (; power > 0; power--)
        if (__builtin_mul_overflow(value, 1024, &value))
            return refuse(reterr, -ERANGE, flag, text, expected_bytes);
    *ret = value;
    return 0;
}

int quantity_bytes(const char *flag, const char *text, int64_t min, int64_t *ret, Error *reterr) {
    int64_t value;
    int r = parse_bytes(flag, text, &value, reterr);

    if (r < 0)
        return r;
    if (value < min)
        return error_invalid(reterr, flag, "\"%s\" is too little; %lld bytes or more are expected, such as 64M", text,
                             (long long) min);
    *ret = value;
    return 0;
}

/* The factor that the suffix of a bit rate stands for ("", "k", "Mbit"), or -EINVAL. */
static int64_t bit_factor(const char *suffix) {
    static const struct {
        char letter;
        int64_t factor;
    } units[] = { { 'k', 1000 }, { 'm', 1000000 }, { 'g', 1000000000 } };
    int64_t factor = 1;

    for (size_t i = 0; i < ELEMENTSOF(units) && factor == 1; i++)
        if ((*suffix | 0x20) == units[i].letter)
            factor = units[i].factor;
    if (factor > 1)
        suffix++;
    return *suffix == 0 || strcasecmp(suffix, "bit") == 0 ? factor : -EINVAL;
}

int quantity_bits(const char *flag, const char *text, int64_t min, int64_t *ret, Error *reterr) {
    static const char expected[] = "bits per second, such as 8000, 500k, 10M or 1Gbit (powers of 1000), are expected";
    const char *at = text;
    int64_t value, factor = 0;
    int r = take_digits(&at, &value);

    if (r == 0)
        factor = bit_factor(at);
    if (r == -EINVAL || factor < 0)
        return error_invalid(reterr, flag, "\"%s\" is not a rate; %s", text, expected);
    if (r < 0 || __builtin_mul_overflow(value, factor, &value))
        return refuse(reterr, -ERANGE, flag, text, expected);
    if (value < min)
        return error_invalid(reterr, flag, "\"%s\" is too little; %lld bits per second or more are expected", text,
                             (long long) min);
    *ret = value;
    return 0;
}

static int whole_millionths(const char *text, int64_t *ret) {
    int r = take_millionths(&text, ret);
    return r < 0 ? r : *text ? -EINVAL : 0;
}

int quantity_cpus(const char *flag, const char *text, int64_t min_usec, int64_t *ret_usec, Error *reterr) {
    int64_t value;
    int r = whole_millionths(text, &value);

    if (r < 0)
        return error_invalid(reterr, flag, "\"%s\" is %s; %g or more is expected, such as 2 or 0.5", text,
                             r == -ERANGE ? "too large" : "not a number of CPUs", (double) min_usec / USEC_PER_SEC);
    if (value < min_usec)
        return error_invalid(reterr, flag, "\"%s\" is too little; %g or more is expected", text,
                             (double) min_usec / USEC_PER_SEC);
    *ret_usec = value;
    return 0;
}

int quantity_seconds(const char *flag, const char *text, int64_t *ret_usec, Error *reterr) {
    int64_t value;
    int r = whole_millionths(text, &value);

    if (r < 0)
        return refuse(reterr, r, flag, text,
                      r == -ERANGE ? "a number of seconds is expected" : "a number of seconds, such as 5 or 0.5");
    *ret_usec = value;
    return 0;
}

/* "1h30m": one or more numbers, each with its unit. */
static int parse_ago(const char *text, int64_t *ret_usec) {
    static const struct {
        char letter;
        int64_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
    int64_t total = 0;

    do {
        int64_t number, factor = 0;
        int r = take_millionths(&text, &number);
        if (r < 0)
            return r;
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
            if (units[i].letter == *text)
                factor = units[i].seconds;
        if (factor == 0)
            return -EINVAL;
        if (__builtin_mul_overflow(number, factor, &number) || __builtin_add_overflow(total, number, &total))
            return -ERANGE;
        text++;
    } while (*text);

    *ret_usec = total;
    return 0;
}

/* Exactly N digits at *TEXT, then the character END (unless 0). */
static int take_field(const char **text, int n, char end, int *ret) {
    int value = 0;

    for (int i = 0; i < n; i++, (*text)++) {
        if (!is_digit(**text))
            return -EINVAL;
        value = value * 10 + (**text - '0');
    }
    if (end && *(*text)++ != end)
        return -EINVAL;
    *ret = value;
    return 0;
}

/* The zone's offset in seconds: "Z", "+02:00", "-07:30". */
static int parse_zone(const char *text, int *ret) {
    int hours, minutes, sign = *text == '-' ? -1 : 1;

    if ((*text | 0x20) == 'z' && !text[1]) {
        *ret = 0;
        return 0;
    }
    if (*text != '+' && *text != '-')
        return -EINVAL;
    text++;
    if (take_field(&text, 2, ':', &hours) < 0 || take_field(&text, 2, 0, &minutes) < 0 || *text || hours > 23 ||
        minutes > 59)
        return -EINVAL;
    *ret = sign * (hours * 3600 + minutes * 60);
    return 0;
}

static bool is_date(const struct tm *asked) {
    struct tm normal = *asked;

    /* timegm() turns 30 February into 2 March instead of refusing it */
    (void) timegm(&normal);
    return normal.tm_mday == asked->tm_mday && normal.tm_mon == asked->tm_mon && normal.tm_hour == asked->tm_hour &&
           normal.tm_min == asked->tm_min && normal.tm_sec == asked->tm_sec;
}

static int parse_rfc3339(const char *text, int64_t *ret_usec) {
    struct tm tm = { 0 };
    int64_t fraction = 0;
    int zone;

    if (take_field(&text, 4, '-', &tm.tm_year) < 0 || take_field(&text, 2, '-', &tm.tm_mon) < 0 ||
        take_field(&text, 2, 0, &tm.tm_mday) < 0)
        return -EINVAL;
    if (*text != 'T' && *text != 't' && *text != ' ')
        return -EINVAL;
    text++;
    if (take_field(&text, 2, ':', &tm.tm_hour) < 0 || take_field(&text, 2, ':', &tm.tm_min) < 0 ||
        take_field(&text, 2, 0, &tm.tm_sec) < 0)
        return -EINVAL;
    if (*text == '.' && take_millionths(&text, &fraction) < 0)
        return -EINVAL;
    if (parse_zone(text, &zone) < 0)
        return -EINVAL;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    if (!is_date(&tm))
        return -EINVAL;
    *ret_usec = ((int64_t) timegm(&tm) - zone) * USEC_PER_SEC + fraction;
    return 0;
}

int quantity_instant(const char *flag, const char *text, int64_t now_usec, int64_t *ret_usec, Error *reterr) {
    int64_t value;

    if (whole_millionths(text, &value) == 0) {
        *ret_usec = value;
        return 0;
    }
    if (parse_ago(text, &value) == 0) {
        *ret_usec = value < now_usec ? now_usec - value : 0;
        return 0;
    }
    if (parse_rfc3339(text, &value) == 0) {
        *ret_usec = value;
        return 0;
    }
    return error_invalid(reterr, flag,
                         "\"%s\" is no time; 1700000000 (seconds since 1970), 2026-01-31T12:00:00Z or 10m "
                         "(ten minutes ago) is expected",
                         text);
}
