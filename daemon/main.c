/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * kenneld: arguments, signals, umask; the rest is the daemon's.
 */

#include "daemon.h"
#include "kennel/version.h"
#include "util/log.h"

#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define EXIT_USAGE 2

typedef struct Arguments {
    DaemonOptions options;
    const char *config; /* NULL: the default file, which may be missing */
    int log_level;
} Arguments;

static void print_help(void) {
    (void) printf("Usage: kenneld [OPTION]...\n"
                  "Runs untrusted programs in hardened containers, for clients on a Unix socket.\n\n"
                  "  --socket PATH      where to listen (%s), unless\n"
                  "                     a service manager passes a socket\n"
                  "  --state-dir DIR    records of containers (%s)\n"
                  "  --data-dir DIR     writable layers, logs, images (%s)\n"
                  "  --config FILE      configuration (%s)\n"
                  "  --log-level LEVEL  debug, info, notice, warning or err (info)\n"
                  "  --version          print the version and exit\n"
                  "  --help             print this and exit\n\n"
                  "See kenneld(8).\n",
                  KENNEL_SOCKET_DEFAULT, KENNEL_STATE_DIR_DEFAULT, KENNEL_DATA_DIR_DEFAULT, KENNEL_CONFIG_DEFAULT);
}

static _printf_(1, 2) int fail_usage(const char *format, ...) {
    va_list ap;
    (void) fputs("kenneld: ", stderr);
    va_start(ap, format);
    (void) vfprintf(stderr, format, ap);
    va_end(ap);
    (void) fputs("; see kenneld --help\n", stderr);
    return -EXIT_USAGE;
}

static int set_path(const char *option, const char *value, const char **ret) {
    if (value[0] != '/')
        return fail_usage("%s is \"%s\"; an absolute path is expected", option, value);
    *ret = value;
    return 1;
}

/* 1: go on; 0: done, exit well; negative: the exit code. */
static int handle_option(int option, Arguments *a) {
    switch (option) {
    case 's':
        return set_path("--socket", optarg, &a->options.socket);
    case 'S':
        return set_path("--state-dir", optarg, &a->options.state_dir);
    case 'D':
        return set_path("--data-dir", optarg, &a->options.data_dir);
    case 'c':
        a->config = optarg;
        return 1;
    case 'l':
        a->log_level = log_level_from_string(optarg);
        return a->log_level >= 0
                   ? 1
                   : fail_usage("--log-level is \"%s\"; debug, info, notice, warning or err is expected", optarg);
    case 'v':
        (void) printf("kenneld %s\n", KENNEL_VERSION);
        return 0;
    case 'h':
        print_help();
        return 0;
    default: /* getopt has said what is wrong, and that the name is ours */
        return -EXIT_USAGE;
    }
}

static int parse_arguments(int argc, char **argv, Arguments *a) {
    static const struct option options[] = {
        { "socket", required_argument, NULL, 's' },
        { "state-dir", required_argument, NULL, 'S' },
        { "data-dir", required_argument, NULL, 'D' },
        { "config", required_argument, NULL, 'c' },
        { "log-level", required_argument, NULL, 'l' },
        { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int option;
    while ((option = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
        int r = handle_option(option, a);
        if (r <= 0)
            return r;
    }
    if (optind < argc)
        return fail_usage("\"%s\" is one argument too many", argv[optind]);
    return 1;
}

/* Before there is any thread, so that none ever gets a signal that is the loop's. */
static void prepare_process(void) {
    sigset_t mask;
    (void) sigemptyset(&mask);
    const int blocked[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
    for (size_t i = 0; i < ELEMENTSOF(blocked); i++)
        (void) sigaddset(&mask, blocked[i]);
    (void) sigprocmask(SIG_BLOCK, &mask, NULL);
    (void) signal(SIGPIPE, SIG_IGN);
    (void) umask(077);
}

static int run(const Arguments *a, Error *reterr) {
    Config config = CONFIG_INIT;
    _cleanup_(daemon_freep) Daemon *d = NULL;
    int r = config_load(a->config ? a->config : KENNEL_CONFIG_DEFAULT, a->config != NULL, &config, reterr);
    if (r >= 0)
        r = daemon_new(&a->options, &config, &d, reterr);
    if (r >= 0)
        r = daemon_run(d, reterr);
    return r;
}

int main(int argc, char **argv) {
    Arguments a = {
        .options = { KENNEL_SOCKET_DEFAULT, KENNEL_STATE_DIR_DEFAULT, KENNEL_DATA_DIR_DEFAULT },
        .log_level = LOG_INFO,
    };
    prepare_process();
    int r = parse_arguments(argc, argv, &a);
    if (r <= 0)
        return -r;
    log_open(a.log_level);
    Error error = ERROR_INIT;
    if (run(&a, &error) >= 0)
        return EXIT_SUCCESS;
    log_error("%s", error.message[0] ? error.message : "failed");
    return EXIT_FAILURE;
}
