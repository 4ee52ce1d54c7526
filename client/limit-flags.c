/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the flags of limits to the object Limits; see limit-flags.h. */

#include "client/limit-flags.h"

#include "client/argument.h"
#include "client/parameters.h"
#include "client/quantity.h"
#include "client/render-json.h"
#include "client/text.h"
#include "proto/json.h"

#include <string.h>

#define MIB              (INT64_C(1024) * 1024)
#define MEMORY_MIN       (4 * MIB)
#define CPU_QUOTA_MIN    10000
#define WEIGHT_MAX       10000
#define DISK_MIN         MIB
#define INODES_MIN       16
#define DEVICE_BYTES_MIN 4096

static int parse_count(const char *flag, const char *text, int64_t min, int64_t *ret, Error *reterr) {
    return quantity_integer(flag, text, min, INT64_MAX, ret, reterr);
}

static int parse_weight(const char *flag, const char *text, int64_t min, int64_t *ret, Error *reterr) {
    return quantity_integer(flag, text, min, WEIGHT_MAX, ret, reterr);
}

/* Limits that are one number. */
static const struct {
    size_t offset;
    const char *flag, *field;
    int (*parse)(const char *flag, const char *text, int64_t min, int64_t *ret, Error *reterr);
    int64_t min;
    bool minus_one; /* -1 means none, as users of docker know it */
} numbers[] = {
    { offsetof(LimitFlags, memory), "-m/--memory", "memory", quantity_bytes, MEMORY_MIN, false },
    { offsetof(LimitFlags, memory_swap), "--memory-swap", "memorySwap", quantity_bytes, MEMORY_MIN, true },
    { offsetof(LimitFlags, memory_high), "--memory-high", "memoryHigh", quantity_bytes, MEMORY_MIN, false },
    { offsetof(LimitFlags, cpus), "--cpus", "cpuQuotaPerSecUsec", quantity_cpus, CPU_QUOTA_MIN, false },
    { offsetof(LimitFlags, cpu_weight), "--cpu-weight", "cpuWeight", parse_weight, 1, false },
    { offsetof(LimitFlags, pids), "--pids-limit", "pids", parse_count, 1, true },
    { offsetof(LimitFlags, io_weight), "--io-weight", "ioWeight", parse_weight, 1, false },
    { offsetof(LimitFlags, disk), "--disk", "disk", quantity_bytes, DISK_MIN, false },
    { offsetof(LimitFlags, inodes), "--disk-inodes", "inodes", parse_count, INODES_MIN, false },
};

static const struct {
    const char *flag, *field;
    bool bytes;
    int64_t min;
} device_rates[_LIMIT_DEVICE_MAX] = {
    [LIMIT_DEVICE_READ_BPS] = { "--device-read-bps", "readBps", true, DEVICE_BYTES_MIN },
    [LIMIT_DEVICE_WRITE_BPS] = { "--device-write-bps", "writeBps", true, DEVICE_BYTES_MIN },
    [LIMIT_DEVICE_READ_IOPS] = { "--device-read-iops", "readIops", false, 2 },
    [LIMIT_DEVICE_WRITE_IOPS] = { "--device-write-iops", "writeIops", false, 2 },
};

static bool is_none(const char *text) {
    return strcmp(text, "none") == 0;
}

static int put_unlimited(json_object *limits, const char *field, Error *reterr) {
    json_object *array = json_field_array(limits, "unlimited") ?: parameters_put_array(limits, "unlimited", reterr);

    return array ? parameters_append(array, json_object_new_string(field), reterr) : -ENOMEM;
}

static int add_numbers(json_object *limits, const LimitFlags *flags, Error *reterr) {
    for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
        const char *text = *(const char *const *) ((const char *) flags + numbers[i].offset);
        int64_t value;
        int r;

        if (!text)
            continue;
        if (is_none(text) || (numbers[i].minus_one && strcmp(text, "-1") == 0))
            r = put_unlimited(limits, numbers[i].field, reterr);
        else {
            r = numbers[i].parse(numbers[i].flag, text, numbers[i].min, &value, reterr);
            if (r == 0)
                r = parameters_put_int(limits, numbers[i].field, value, reterr);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

/* "0-2,5". Which CPUs there are is the daemon's to know. */
static bool is_cpu_list(const char *text) {
    do {
        size_t first = strspn(text, "0123456789");
        if (first == 0 || first > 5)
            return false;
        text += first;
        if (*text == '-') {
            size_t last = strspn(text + 1, "0123456789");
            if (last == 0 || last > 5 || strtol(text + 1, NULL, 10) < strtol(text - first, NULL, 10))
                return false;
            text += 1 + last;
        }
    } while (*text++ == ',');
    return text[-1] == 0;
}

static int add_cpuset(json_object *limits, const char *text, Error *reterr) {
    static const char flag[] = "--cpuset-cpus";

    if (!text)
        return 0;
    if (is_none(text))
        return put_unlimited(limits, "cpusetCpus", reterr);
    if (!is_cpu_list(text))
        return error_invalid(reterr, flag, "\"%s\" is no list of CPUs; one such as 0-2,5 is expected", text);
    return parameters_put_string(limits, "cpusetCpus", flag, text, reterr);
}

static int put_rate(json_object *limits, const char *field, int64_t rate, Error *reterr) {
    if (rate == 0)
        return 0;
    return rate == ARGUMENT_NO_LIMIT ? put_unlimited(limits, field, reterr)
                                     : parameters_put_int(limits, field, rate, reterr);
}

static int add_net_rate(json_object *limits, const char *text, Error *reterr) {
    ArgumentNetRate rate;

    if (!text)
        return 0;
    int r = argument_net_rate("--net-rate", text, &rate, reterr);
    if (r == 0)
        r = put_rate(limits, "netRateIn", rate.in, reterr);
    return r < 0 ? r : put_rate(limits, "netRateOut", rate.out, reterr);
}

/* The object of DEVICE in the array, made if need be; borrowed. */
static json_object *find_device(json_object *array, const char *device, Error *reterr) {
    for (size_t i = 0; i < json_object_array_length(array); i++) {
        json_object *o = json_object_array_get_idx(array, i);
        if (strcmp(json_field_string(o, "device"), device) == 0)
            return o;
    }
    json_object *o = parameters_append_object(array, reterr);
    return o && parameters_put_string(o, "device", "device", device, reterr) == 0 ? o : NULL;
}

static int add_device_rate(json_object *limits, LimitDeviceRate which, const char *text, Error *reterr) {
    ArgumentDevice d;
    int r =
        argument_device(device_rates[which].flag, text, device_rates[which].bytes, device_rates[which].min, &d, reterr);

    if (r < 0)
        return r;
    json_object *array = json_field_array(limits, "ioDevices") ?: parameters_put_array(limits, "ioDevices", reterr);
    json_object *o = array ? find_device(array, d.device, reterr) : NULL;
    return o ? parameters_put_int(o, device_rates[which].field, d.rate, reterr) : -ENOMEM;
}

/* Rates of devices hang together: there are some, or none at all. */
static int add_devices(json_object *limits, const LimitFlags *flags, Error *reterr) {
    const char *none = NULL, *some = NULL;

    for (LimitDeviceRate which = 0; which < _LIMIT_DEVICE_MAX; which++)
        for (size_t i = 0; i < flags->devices[which].n; i++) {
            const char *text = flags->devices[which].items[i];
            *(is_none(text) ? &none : &some) = device_rates[which].flag;
            int r = is_none(text) ? 0 : add_device_rate(limits, which, text, reterr);
            if (r < 0)
                return r;
        }
    if (none && some)
        return error_invalid(reterr, none, "none takes away the rates of all devices, and %s sets one", some);
    return none ? put_unlimited(limits, "ioDevices", reterr) : 0;
}

int limit_flags_build(const LimitFlags *flags, json_object **ret, Error *reterr) {
    _cleanup_json_ json_object *limits = json_object_new_object();
    int r = limits ? 0 : parameters_out_of_memory(reterr);

    if (r == 0)
        r = add_numbers(limits, flags, reterr);
    if (r == 0)
        r = add_cpuset(limits, flags->cpuset_cpus, reterr);
    if (r == 0)
        r = add_devices(limits, flags, reterr);
    if (r == 0)
        r = add_net_rate(limits, flags->net_rate, reterr);
    if (r < 0)
        return r;
    *ret = json_object_object_length(limits) > 0 ? TAKE_PTR(limits) : NULL;
    return 0;
}

static const struct {
    const char *field;
    enum { UNIT_BYTES, UNIT_CPUS, UNIT_BITS } unit;
} units[] = {
    { "memory", UNIT_BYTES },    { "memorySwap", UNIT_BYTES },        { "memoryHigh", UNIT_BYTES },
    { "disk", UNIT_BYTES },      { "cpuQuotaPerSecUsec", UNIT_CPUS }, { "netRateIn", UNIT_BITS },
    { "netRateOut", UNIT_BITS },
};

void limit_flags_describe(const char *name, json_object *value, char *ret, size_t size) {
    int64_t n = json_object_get_int64(value);

    for (size_t i = 0; json_object_is_type(value, json_type_int) && i < ELEMENTSOF(units); i++) {
        if (strcmp(units[i].field, name) != 0)
            continue;
        if (units[i].unit == UNIT_BYTES)
            text_bytes(n, ret, size);
        else if (units[i].unit == UNIT_CPUS)
            (void) snprintf(ret, size, "%g CPUs", (double) n / 1000000);
        else
            (void) snprintf(ret, size, "%lld bit/s", (long long) n);
        return;
    }
    (void) snprintf(ret, size, "%s", json_object_get_string(value) ?: "-");
}
