/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * kennel, the command line client: global flags, the table of verbs, help.
 *
 * The client has no rights of its own: all it can do is what the user could do, and to ask the daemon, which decides
 * by the user's uid. Nothing here is trusted by the daemon. It starts with no locale and no name service.
 */

#include "client/report.h"
#include "client/text.h"
#include "client/verb.h"
#include "kennel/version.h"

#include <fcntl.h>
#include <string.h>

static const Verb *const verbs[] = {
    &verb_run,    &verb_exec, &verb_ps,     &verb_logs,   &verb_inspect, &verb_top,    &verb_stats,
    &verb_kill,   &verb_stop, &verb_wait,   &verb_pause,  &verb_unpause, &verb_update, &verb_rm,
    &verb_events, &verb_info, &verb_verify, &verb_rogues, &verb_version,
};

typedef struct GlobalFlags {
    const char *socket;
    bool version;
} GlobalFlags;

static const Option global_options[] = {
    { 0, "socket", OPTION_STRING, offsetof(GlobalFlags, socket), "PATH", "the daemon's socket (or KENNEL_SOCKET)" },
    { 0, "version", OPTION_SWITCH, offsetof(GlobalFlags, version), NULL, "print the client's version" },
    OPTIONS_END,
};

static void print_help(FILE *out) {
    (void) fprintf(out, "Usage: kennel [--socket PATH] VERB [FLAGS] [OPERANDS]\n\n"
                        "Runs untrusted programs in hardened containers.\n\nVerbs:\n");
    for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
        (void) fprintf(out, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    (void) fprintf(out, "\nFlags before the verb:\n");
    options_print(global_options, out);
    (void) fprintf(out, "\n`kennel VERB --help` explains a verb.\n");
}

static void print_verb_help(const Verb *verb, FILE *out) {
    bool has_flags = verb->options->name != NULL, has_operands = verb->operands[0] != 0;

    (void) fprintf(out, "Usage: kennel %s%s%s%s\n\n%s.\n", verb->name, has_flags ? " [FLAGS]" : "",
                   has_operands ? " " : "", verb->operands, verb->summary);
    if (has_flags)
        (void) fprintf(out, "\nFlags:\n");
    options_print(verb->options, out);
}

static const Verb *find_verb(const char *name) {
    for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static int refuse_verb(const char *name) {
    report("there is no verb \"%s\"; see `kennel help`", name);
    return EXIT_KENNEL;
}

static int check_operands(const Verb *verb, const Strings *operands, Error *reterr) {
    if (operands->n < verb->operands_min)
        return error_invalid(reterr, verb->operands, "missing");
    if (operands->n > verb->operands_max)
        return error_invalid(reterr, operands->items[verb->operands_max], "is one operand too many");
    for (size_t i = 0; i < operands->n; i++)
        if (!text_is_utf8(operands->items[i], strlen(operands->items[i])))
            return error_invalid(reterr, operands->items[i], "is not UTF-8");
    return 0;
}

static int run_parsed(const Verb *verb, const Client *client, const void *options, const Strings *operands) {
    Error error = ERROR_INIT;

    if (check_operands(verb, operands, &error) < 0) {
        report_error(&error);
        report("see `kennel %s --help`", verb->name);
        return EXIT_KENNEL;
    }
    return verb->run(client, options, operands);
}

static int run_verb(const Verb *verb, const Client *client, int argc, char **argv) {
    _cleanup_free_ void *options = calloc(1, verb->options_size > 0 ? verb->options_size : 1);
    _cleanup_(strings_done) Strings operands = { 0 };
    Error error = ERROR_INIT;
    int code;

    if (!options) {
        report("out of memory");
        return EXIT_KENNEL;
    }
    int r = options_parse(verb->options, options, argc, argv, verb->command_follows, &operands, &error);
    if (r > 0) {
        print_verb_help(verb, stdout);
        code = 0;
    } else if (r < 0) {
        report_error(&error);
        report("see `kennel %s --help`", verb->name);
        code = EXIT_KENNEL;
    } else
        code = run_parsed(verb, client, options, &operands);
    options_done(verb->options, options);
    return code;
}

static int help(const Strings *words) {
    if (words->n < 2) {
        print_help(stdout);
        return 0;
    }
    const Verb *verb = find_verb(words->items[1]);
    if (!verb)
        return refuse_verb(words->items[1]);
    print_verb_help(verb, stdout);
    return 0;
}

static int dispatch(int argc, char **argv) {
    _cleanup_(strings_done) Strings words = { 0 };
    GlobalFlags flags = { 0 };
    Error error = ERROR_INIT;

    int r = options_parse(global_options, &flags, argc - 1, argv + 1, true, &words, &error);
    if (r < 0) {
        report_error(&error);
        report("see `kennel help`");
        return EXIT_KENNEL;
    }
    if (flags.version) {
        (void) printf("kennel %s\n", KENNEL_VERSION);
        return 0;
    }
    if (r > 0 || (words.n > 0 && strcmp(words.items[0], "help") == 0))
        return help(&words);
    if (words.n == 0) {
        print_help(stderr);
        return EXIT_KENNEL;
    }
    const Verb *verb = find_verb(words.items[0]);
    if (!verb)
        return refuse_verb(words.items[0]);

    const char *from_environment = getenv("KENNEL_SOCKET");
    Client client = { .socket = flags.socket
                                    ?: from_environment && from_environment[0] ? from_environment
                                                                               : KENNEL_SOCKET_DEFAULT };
    /* the words are the end of argv */
    int after = argc - (int) words.n + 1;
    return run_verb(verb, &client, argc - after, argv + after);
}

/* A descriptor that the client opens must never become 0, 1 or 2 and be taken for the user's. */
static int fill_stdio(void) {
    int fd;

    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0)
        return -errno;
    (void) fd_close(fd);
    return 0;
}

int main(int argc, char **argv) {
    if (fill_stdio() < 0)
        return EXIT_KENNEL;
    return report_finish_output(dispatch(argc, argv));
}
