/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * See config.h. Keys are a table: name, place, parser, range. Trust: the file is root's, read once, before anything
 * else. What a ceiling may be at all is decided here; whether this host can keep it, when the daemon has looked at the
 * host.
 */

#include "config.h"

#include "proto/quote.h"
#include "rpc/ipv4.h"
#include "sandbox/sandbox.h"
#include "util/parse.h"
#include "util/paths.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define CONFIG_FILE_MAX (64U * 1024U)
#define CONFIG_LINE_MAX 1024U
#define ID_BASE_MIN     65536U
/* 2^32 - 1 means "no id" to the kernel, and systemd gives out nothing above either. */
#define ID_END_MAX 0xFFFF0000ULL

#define PIDS_MAX   4194304ULL    /* PID_MAX_LIMIT of the kernel */
#define CPUS_MAX   8192ULL       /* the kernel's largest NR_CPUS */
#define IOPS_MAX   4294967294ULL /* the kernel's; the next number means "none" to it */
#define BYTES_MAX  (1ULL << 60)
#define INODES_MAX (1ULL << 53)

typedef struct Key Key;
struct Key {
    const char *name;
    int (*parse)(const Key *k, const char *value, Config *c);
    size_t offset;
    uint64_t min, max;
    const char *expected; /* completes "... is expected" */
    const char *field;    /* of Limits or DeviceLimits, for which it is the ceiling */
    bool keeps_none;      /* `none` is what the default says already */
};

/* Cuts blanks at both ends, in place. */
static char *strip(char *s) {
    s += strspn(s, " \t\r");
    size_t length = strlen(s);
    while (length > 0 && strchr(" \t\r", s[length - 1]))
        s[--length] = 0;
    return s;
}

static int parse_number(const Key *k, const char *value, Config *c) {
    uint32_t n;
    int r = parse_u32(value, &n);
    if (r < 0)
        return r;
    if (n < k->min || n > k->max)
        return -ERANGE;
    memcpy((char *) c + k->offset, &n, sizeof(n));
    return 0;
}

/* A number with nothing or one of SUFFIXES after it, for powers of UNIT. */
static int parse_scaled(const char *text, const char *suffixes, uint64_t unit, uint64_t *ret) {
    char digits[32];
    size_t size = strlen(text);
    if (size == 0 || size >= sizeof(digits))
        return size == 0 ? -EINVAL : -ERANGE;
    memcpy(digits, text, size + 1);
    const char *suffix = strchr(suffixes, digits[size - 1]);
    if (suffix)
        digits[size - 1] = 0;
    uint64_t n = 0;
    int r = parse_u64(digits, &n);
    for (const char *s = suffixes; r >= 0 && suffix && s <= suffix; s++)
        r = __builtin_mul_overflow(n, unit, &n) ? -ERANGE : 0;
    *ret = n;
    return r;
}

static int put_u64(const Key *k, uint64_t n, Config *c) {
    if (n < k->min || n > k->max)
        return -ERANGE;
    memcpy((char *) c + k->offset, &n, sizeof(n));
    return 0;
}

/* Bytes, or with K, M, G, T: powers of 1,024. */
static int parse_bytes(const Key *k, const char *value, Config *c) {
    uint64_t n;
    int r = parse_scaled(value, "KMGT", 1024, &n);
    return r < 0 ? r : put_u64(k, n, c);
}

/* A key is read once: where `none` is what its default says in another way, that stays. */
static bool parse_none(const Key *k, const char *value, Config *c) {
    if (strcmp(value, "none") != 0)
        return false;
    if (!k->keeps_none)
        memcpy((char *) c + k->offset, &(uint64_t){ CONTAINER_LIMIT_NONE }, sizeof(uint64_t));
    return true;
}

static int parse_limit_bytes(const Key *k, const char *value, Config *c) {
    return parse_none(k, value, c) ? 0 : parse_bytes(k, value, c);
}

static int parse_limit_number(const Key *k, const char *value, Config *c) {
    uint64_t n;
    if (parse_none(k, value, c))
        return 0;
    int r = parse_u64(value, &n);
    return r < 0 ? r : put_u64(k, n, c);
}

/* Bits per second, or with K, M, G: powers of 1,000, as those who sell bandwidth have them. */
static int parse_limit_bits(const Key *k, const char *value, Config *c) {
    uint64_t n;
    if (parse_none(k, value, c))
        return 0;
    int r = parse_scaled(value, "KMG", 1000, &n);
    return r < 0 ? r : put_u64(k, n, c);
}

/* "1.5" CPUs are 1,500,000 µs per second: six digits after the point are all that there can be. */
static int parse_limit_cpus(const Key *k, const char *value, Config *c) {
    static const char digits[] = "0123456789";
    if (parse_none(k, value, c))
        return 0;
    char text[32];
    size_t whole = strspn(value, digits), fraction = 0;
    const char *point = value + whole;
    if (*point == '.')
        fraction = strspn(point + 1, digits);
    if (whole == 0 || whole > 8 || fraction > 6 || (*point == '.' ? fraction == 0 || point[1 + fraction] : *point != 0))
        return -EINVAL;
    (void) snprintf(text, sizeof(text), "%.*s%.*s%.*s", (int) whole, value, (int) fraction, point + 1,
                    (int) (6 - fraction), "000000");
    uint64_t n;
    int r = parse_u64(text, &n);
    return r < 0 ? r : put_u64(k, n, c);
}

static int parse_limit_cpuset(const Key *k, const char *value, Config *c) {
    return strcmp(value, "none") == 0 ? 0 : cgroup_cpuset_normalize(value, c->tenant_limits.cgroup.cpuset);
}

/* The disk that NAME means now: a path, looked up here and not again, or "8:16". */
static int parse_device(const char *name, uint32_t *ret_major, uint32_t *ret_minor) {
    struct stat st;
    if (name[0] != '/')
        return container_device_parse(name, ret_major, ret_minor);
    if (stat(name, &st) < 0)
        return -errno;
    if (!S_ISBLK(st.st_mode))
        return -ENOTBLK;
    *ret_major = major(st.st_rdev);
    *ret_minor = minor(st.st_rdev);
    return 0;
}

/* One "DEVICE:N"; N is what follows the last colon. K's offset is that of the rate in an entry. */
static int parse_device_rate(const Key *k, char *text, Config *c) {
    char *colon = strrchr(text, ':');
    uint32_t major, minor;
    uint64_t n;
    if (!colon)
        return -EINVAL;
    *colon = 0;
    int r = parse_scaled(colon + 1, k->min == CGROUP_BPS_MIN ? "KMGT" : "", 1024, &n);
    if (r >= 0)
        r = parse_device(text, &major, &minor);
    if (r < 0)
        return r;
    CgroupDeviceLimits *d = container_limits_device(&c->tenant_limits, major, minor);
    if (!d)
        return -E2BIG;
    uint64_t *rate = (uint64_t *) ((char *) d + k->offset);
    if (*rate != CGROUP_LIMIT_NONE || n < k->min || n > k->max)
        return -ERANGE;
    *rate = n;
    return 0;
}

static int parse_limit_devices(const Key *k, const char *value, Config *c) {
    if (strcmp(value, "none") == 0)
        return 0;
    char list[CONFIG_LINE_MAX];
    (void) snprintf(list, sizeof(list), "%s", value); /* part of a line: it fits */
    char *rest = list;
    for (char *part = strsep(&rest, ","); part; part = strsep(&rest, ",")) {
        int r = parse_device_rate(k, strip(part), c);
        if (r < 0)
            return r;
    }
    return 0;
}

static int parse_yes_no(const Key *k, const char *value, Config *c) {
    bool yes = strcmp(value, "yes") == 0;
    if (!yes && strcmp(value, "no") != 0)
        return -EINVAL;
    memcpy((char *) c + k->offset, &yes, sizeof(yes));
    return 0;
}

static int parse_control(const Key *k, const char *value, Config *c) {
    ControlMode mode = strcmp(value, "required") == 0      ? CONTROL_REQUIRED
                       : strcmp(value, "best-effort") == 0 ? CONTROL_BEST_EFFORT
                                                           : CONTROL_MODE_UNSET;
    if (mode == CONTROL_MODE_UNSET)
        return -EINVAL;
    memcpy((char *) c + k->offset, &mode, sizeof(mode));
    return 0;
}

/* Stricter than the kernel, which takes every byte but '/', ':' and blanks. */
static int parse_interface(const Key *k, const char *value, Config *c) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789-";
    size_t length = strlen(value);
    if (length < k->min || length > k->max || strspn(value, allowed) != length || value[0] == '-')
        return -EINVAL;
    memcpy((char *) c + k->offset, value, length + 1);
    return 0;
}

static int parse_pool(const Key *k, const char *value, Config *c) {
    NetworkPool pool = { 0 };
    char address[IPV4_TEXT_SIZE];
    size_t length = strcspn(value, "/");
    if (value[length] != '/' || length >= sizeof(address))
        return -EINVAL;
    memcpy(address, value, length);
    address[length] = 0;
    if (ipv4_parse(address, &pool.address) < 0 || parse_u32(value + length + 1, &pool.prefix) < 0)
        return -EINVAL;
    if (pool.prefix < k->min || pool.prefix > k->max || pool.address << pool.prefix != 0)
        return -ERANGE;
    /* to the kernel, 127.0.0.0/8 is the host itself, whatever interface has it */
    if (!ipv4_is_unicast(pool.address) || pool.address >> 24 == 127)
        return -ERANGE;
    memcpy((char *) c + k->offset, &pool, sizeof(pool));
    return 0;
}

static int parse_group(const Key *k, const char *value, Config *c) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789.-";
    size_t length = strlen(value);
    if (length < k->min || length > k->max || strspn(value, allowed) != length || value[0] == '-')
        return -EINVAL;
    memcpy((char *) c + k->offset, value, length + 1);
    return 0;
}

/* Words of the configuration, in its case. */
static int parse_action(const Key *k, const char *value, Config *c) {
    static const struct {
        const char *word;
        FindingAction action;
    } words[] = {
        { "off", FINDING_OFF },
        { "report", FINDING_REPORT },
        { "kill-process", FINDING_KILL_PROCESS },
        { "freeze", FINDING_FREEZE_CONTAINER },
        { "kill", FINDING_KILL_CONTAINER },
    };
    for (size_t i = 0; i < ELEMENTSOF(words); i++)
        if (strcmp(words[i].word, value) == 0) {
            memcpy((char *) c + k->offset, &words[i].action, sizeof(words[i].action));
            return 0;
        }
    return -EINVAL;
}

/* Whether it is there, and whose it is, is seen when it is opened. */
static int parse_path(const Key *k, const char *value, Config *c) {
    size_t length = strlen(value);
    if (strcmp(value, "none") == 0)
        return 0;
    if (length < k->min || length > k->max || value[0] != '/')
        return -EINVAL;
    memcpy((char *) c + k->offset, value, length + 1);
    return 0;
}

#define PLACE(field)   offsetof(Config, field)
#define CEILING(field) offsetof(Config, tenant_limits.field)
#define RATE(field)    offsetof(CgroupDeviceLimits, field)

#define MODES   "required or best-effort"
#define ACTIONS "off, report, kill-process, freeze or kill"
#define BYTES   "with K, M, G or T for powers of 1024,"
#define DEVICES "a list of DEVICE:N such as /dev/vda:10M, 8:16:1M, at most 16 disks, each once, with "

static const Key keys[] = {
    { "id-base", parse_number, PLACE(id_base), ID_BASE_MIN, ID_END_MAX - SANDBOX_ID_COUNT,
      "a user id from 65536 on, the first of the pool,", NULL, false },
    { "id-ranges", parse_number, PLACE(id_ranges), 1, 65534, "the number of ranges of 65536 ids, 1 to 65534,", NULL,
      false },
    { "tenant-group", parse_group, PLACE(tenant_group), 1, CONFIG_GROUP_MAX, "the name of a group", NULL, false },
    { "tenant-containers-max", parse_number, PLACE(tenant_containers_max), 0, 65534, "a number from 0 to 65534", NULL,
      false },
    { "starts-max", parse_number, PLACE(starts_max), 1, 1024, "a number from 1 to 1024", NULL, false },
    { "log-max-bytes", parse_bytes, PLACE(log_max_bytes), 64ULL * 1024, 1ULL << 40,
      "a number of bytes from 64K to 1024G, " BYTES, NULL, false },
    { "network-bridge", parse_interface, PLACE(network.bridge), 1, IFNAMSIZ - 1,
      "the name of an interface, 1 to 15 letters, digits, '_' and '-',", NULL, false },
    { "network-pool", parse_pool, PLACE(network.pool), 8, 29,
      "an IPv4 network such as 10.213.0.0/20, its prefix 8 to 29 and all bits after it 0,", NULL, false },
    { "network-masquerade", parse_yes_no, PLACE(network.masquerade), 0, 1, "yes or no", NULL, false },
    { "disk-default", parse_limit_bytes, PLACE(disk_default), STORAGE_BYTES_MIN, BYTES_MAX,
      "none or a number of bytes from 1M on, " BYTES, NULL, false },
    { "control-apparmor", parse_control, PLACE(control_modes[CONTROL_APPARMOR]), 0, 0, MODES, NULL, false },
    { "control-selinux", parse_control, PLACE(control_modes[CONTROL_SELINUX]), 0, 0, MODES, NULL, false },
    { "control-label", parse_control, PLACE(control_modes[CONTROL_LABEL]), 0, 0, MODES, NULL, false },
    { "control-seccomp", parse_control, PLACE(control_modes[CONTROL_SECCOMP]), 0, 0, MODES, NULL, false },
    { "control-devices", parse_control, PLACE(control_modes[CONTROL_DEVICES]), 0, 0, MODES, NULL, false },
    { "control-storage", parse_control, PLACE(control_modes[CONTROL_STORAGE]), 0, 0, MODES, NULL, false },
    { "control-pids", parse_control, PLACE(control_modes[CONTROL_PIDS]), 0, 0, MODES, NULL, false },
    { "watch-foreign-program", parse_action, PLACE(watch_actions[FINDING_FOREIGN_PROGRAM]), 0, 0, ACTIONS, NULL,
      false },
    { "watch-foreign-script", parse_action, PLACE(watch_actions[FINDING_FOREIGN_SCRIPT]), 0, 0, ACTIONS, NULL, false },
    { "watch-deleted-program", parse_action, PLACE(watch_actions[FINDING_DELETED_PROGRAM]), 0, 0, ACTIONS, NULL,
      false },
    { "watch-preload", parse_action, PLACE(watch_actions[FINDING_PRELOAD]), 0, 0, ACTIONS, NULL, false },
    { "watch-refused-call", parse_action, PLACE(watch_actions[FINDING_REFUSED_CALL]), 0, 0, ACTIONS, NULL, false },
    { "watch-hidden-process", parse_action, PLACE(watch_actions[FINDING_HIDDEN_PROCESS]), 0, 0, ACTIONS, NULL, false },
    { "watch-foreign-process", parse_action, PLACE(watch_actions[FINDING_FOREIGN_PROCESS]), 0, 0, ACTIONS, NULL,
      false },
    { "watch-fork-storm", parse_action, PLACE(watch_actions[FINDING_FORK_STORM]), 0, 0, ACTIONS, NULL, false },
    { "watch-cpu", parse_action, PLACE(watch_actions[FINDING_CPU]), 0, 0, ACTIONS, NULL, false },
    { "watch-listener", parse_action, PLACE(watch_actions[FINDING_LISTENER]), 0, 0, ACTIONS, NULL, false },
    { "watch-connection", parse_action, PLACE(watch_actions[FINDING_CONNECTION]), 0, 0, ACTIONS, NULL, false },
    { "watch-disguise", parse_action, PLACE(watch_actions[FINDING_DISGUISE]), 0, 0, ACTIONS, NULL, false },
    { "watch-forks-per-second", parse_number, PLACE(watch_forks_per_second), 1, 1000000, "a number from 1 to 1000000",
      NULL, false },
    { "watch-cpu-seconds", parse_number, PLACE(watch_cpu_seconds), 1, 86400, "a number of seconds from 1 to 86400",
      NULL, false },
    { "watch-calls-per-second", parse_number, PLACE(watch_calls_per_second), 1, 1000000, "a number from 1 to 1000000",
      NULL, false },
    { "quarantine", parse_path, PLACE(quarantine), 2, CONFIG_PATH_MAX, "none or the absolute path of a directory", NULL,
      false },
    { "quarantine-max", parse_bytes, PLACE(quarantine_max), 1ULL << 20, BYTES_MAX,
      "a number of bytes from 1M on, " BYTES, NULL, false },
    { "tenant-memory-max", parse_limit_bytes, CEILING(cgroup.memory), CGROUP_MEMORY_MIN, BYTES_MAX,
      "none or a number of bytes from 4M on, " BYTES, "memory", false },
    { "tenant-memory-swap-max", parse_limit_bytes, CEILING(cgroup.memory_swap), CGROUP_MEMORY_MIN, BYTES_MAX,
      "none or a number of bytes from 4M on, " BYTES, "memorySwap", true },
    { "tenant-memory-high-max", parse_limit_bytes, CEILING(cgroup.memory_high), CGROUP_MEMORY_MIN, BYTES_MAX,
      "none or a number of bytes from 4M on, " BYTES, "memoryHigh", false },
    { "tenant-cpus-max", parse_limit_cpus, CEILING(cgroup.cpu_quota_per_sec_usec), CGROUP_CPU_QUOTA_MIN,
      CPUS_MAX * 1000000, "none or a number of CPUs from 0.01 to 8192, as in 1.5,", "cpuQuotaPerSecUsec", false },
    { "tenant-cpu-weight-max", parse_limit_number, CEILING(cgroup.cpu_weight), CGROUP_WEIGHT_MIN, CGROUP_WEIGHT_MAX,
      "none or a number from 1 to 10000", "cpuWeight", false },
    { "tenant-cpuset", parse_limit_cpuset, CEILING(cgroup.cpuset), 0, 0, "none or a list of CPUs such as 0-2,5",
      "cpusetCpus", true },
    { "tenant-pids-max", parse_limit_number, CEILING(cgroup.pids), CGROUP_PIDS_MIN, PIDS_MAX,
      "none or a number from 1 to 4194304", "pids", false },
    { "tenant-io-weight-max", parse_limit_number, CEILING(cgroup.io_weight), CGROUP_WEIGHT_MIN, CGROUP_WEIGHT_MAX,
      "none or a number from 1 to 10000", "ioWeight", false },
    { "tenant-device-read-bps", parse_limit_devices, RATE(read_bps), CGROUP_BPS_MIN, BYTES_MAX,
      "none or " DEVICES "4K bytes per second at least", "readBps", true },
    { "tenant-device-write-bps", parse_limit_devices, RATE(write_bps), CGROUP_BPS_MIN, BYTES_MAX,
      "none or " DEVICES "4K bytes per second at least", "writeBps", true },
    { "tenant-device-read-iops", parse_limit_devices, RATE(read_iops), CGROUP_IOPS_MIN, IOPS_MAX,
      "none or " DEVICES "2 operations per second at least", "readIops", true },
    { "tenant-device-write-iops", parse_limit_devices, RATE(write_iops), CGROUP_IOPS_MIN, IOPS_MAX,
      "none or " DEVICES "2 operations per second at least", "writeIops", true },
    { "tenant-disk-max", parse_limit_bytes, CEILING(storage.bytes), STORAGE_BYTES_MIN, BYTES_MAX,
      "none or a number of bytes from 1M on, " BYTES, "disk", false },
    { "tenant-inodes-max", parse_limit_number, CEILING(storage.inodes), STORAGE_INODES_MIN, INODES_MAX,
      "none or a number from 16 on", "inodes", false },
    { "tenant-net-rate-in-max", parse_limit_bits, CEILING(network.in), NETWORK_RATE_MIN, NETWORK_RATE_MAX,
      "none or a number of bits per second from 8K to 1000G, with K, M or G for powers of 1000,", "netRateIn", false },
    { "tenant-net-rate-out-max", parse_limit_bits, CEILING(network.out), NETWORK_RATE_MIN, NETWORK_RATE_MAX,
      "none or a number of bits per second from 8K to 1000G, with K, M or G for powers of 1000,", "netRateOut", false },
};

_Static_assert(ELEMENTSOF(keys) <= 64, "the set of keys seen is 64 bits");

const char *config_ceiling_key(const char *field) {
    for (size_t i = 0; i < ELEMENTSOF(keys); i++)
        if (keys[i].field && strcmp(keys[i].field, field) == 0)
            return keys[i].name;
    return field;
}

typedef struct Position {
    const char *file;
    unsigned line;
} Position;

static _printf_(3, 4) int fail_at(Error *reterr, const Position *p, const char *format, ...) {
    char text[ERROR_MESSAGE_MAX];
    va_list ap;
    va_start(ap, format);
    (void) vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    return error_failed(reterr, EINVAL, "config", "%s:%u: %s", p->file, p->line, text);
}

static int set_key(const Position *p, const char *name, const char *value, uint64_t *seen, Config *c, Error *reterr) {
    char quoted[QUOTE_SIZE];
    for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
        if (strcmp(keys[i].name, name) != 0)
            continue;
        if (*seen & (UINT64_C(1) << i))
            return fail_at(reterr, p, "\"%s\" is set a second time", name);
        *seen |= UINT64_C(1) << i;
        int r = keys[i].parse(&keys[i], value, c);
        if (r >= 0)
            return 0;
        /* what is wrong with the value says `expected`; what is wrong with a file that it names says the kernel */
        bool value_alone = r == -EINVAL || r == -ERANGE || r == -E2BIG;
        return fail_at(reterr, p, "\"%s\" is %s; %s is expected%s%s", name, quote(quoted, value, strlen(value)),
                       keys[i].expected, value_alone ? "" : ": ", value_alone ? "" : strerror(-r));
    }
    return fail_at(reterr, p, "there is no key %s", quote(quoted, name, strlen(name)));
}

static int parse_line(const Position *p, const char *text, size_t size, uint64_t *seen, Config *c, Error *reterr) {
    char line[CONFIG_LINE_MAX];
    if (size >= sizeof(line))
        return fail_at(reterr, p, "the line is longer than %u bytes", CONFIG_LINE_MAX - 1);
    memcpy(line, text, size);
    line[size] = 0;
    line[strcspn(line, "#")] = 0;
    char *key = strip(line);
    if (!*key)
        return 0;
    char *equals = strchr(key, '=');
    if (!equals)
        return fail_at(reterr, p, "\"key = value\" is expected");
    *equals = 0;
    return set_key(p, strip(key), strip(equals + 1), seen, c, reterr);
}

static int check_ids(const Config *c, const char *file, Error *reterr) {
    if (c->id_base % SANDBOX_ID_COUNT != 0)
        return error_failed(reterr, EINVAL, "config",
                            "%s: id-base %u is no multiple of %u, so that two daemons could share part of a range",
                            file, c->id_base, SANDBOX_ID_COUNT);
    if (c->id_base + (uint64_t) c->id_ranges * SANDBOX_ID_COUNT > ID_END_MAX)
        return error_failed(reterr, EINVAL, "config",
                            "%s: id-base %u and id-ranges %u lead beyond the last user id that can be given, %llu",
                            file, c->id_base, c->id_ranges, ID_END_MAX - 1);
    return 0;
}

/* Ceilings that contradict each other would make every Run of a tenant fail. */
static int check_memory(const CgroupLimits *l, const char *file, Error *reterr) {
    if (l->memory_swap != 0 && l->memory == CGROUP_LIMIT_NONE)
        return error_failed(reterr, EINVAL, "config",
                            "%s: tenant-memory-swap-max is for memory and swap together, and needs tenant-memory-max "
                            "beside it",
                            file);
    if (l->memory_swap != 0 && l->memory_swap < l->memory)
        return error_failed(reterr, EINVAL, "config",
                            "%s: tenant-memory-swap-max %llu is for memory and swap together, and less than "
                            "tenant-memory-max %llu",
                            file, (unsigned long long) l->memory_swap, (unsigned long long) l->memory);
    if (l->memory_high != CGROUP_LIMIT_NONE && l->memory_high > l->memory)
        return error_failed(reterr, EINVAL, "config",
                            "%s: tenant-memory-high-max %llu is more than tenant-memory-max %llu", file,
                            (unsigned long long) l->memory_high, (unsigned long long) l->memory);
    return 0;
}

int config_parse(const char *text, size_t size, const char *file, Config *ret, Error *reterr) {
    Config c = *ret;
    uint64_t seen = 0;
    Position p = { .file = file };
    if (memchr(text, 0, size))
        return error_failed(reterr, EINVAL, "config", "%s: a NUL is in it; text is expected", file);
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        p.line++;
        int r = parse_line(&p, line, length, &seen, &c, reterr);
        if (r < 0)
            return r;
        line += length + (line[length] == '\n');
    }
    int r = check_ids(&c, file, reterr);
    if (r >= 0)
        r = check_memory(&c.tenant_limits.cgroup, file, reterr);
    if (r < 0)
        return r;
    *ret = c;
    return 0;
}

int config_load(const char *path, bool required, Config *ret, Error *reterr) {
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    int r = path_read_file_at(AT_FDCWD, path, 0, CONFIG_FILE_MAX, &text, &size);
    if (r == -ENOENT && !required)
        return 0;
    if (r < 0)
        return error_failed(reterr, -r, "config", "%s cannot be read: %s", path, strerror(-r));
    return config_parse(text, size, path, ret, reterr);
}
