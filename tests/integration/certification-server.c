/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * certification-server PATH: serves org.varlink.certification at a Unix socket, with proto/ and nothing else of
 * Kennel's, so that other people's Varlink clients can judge it.
 *
 * The interface is a chain: what a step returns is what the next one wants. So one table of values is both. A client
 * is known by the id that Start gave it and must go through the steps in order; a step that it is not at is answered
 * with ClientIdError, a call that is not what the step wants with CertificationError, which shows both.
 */

#include "kennel/limits.h"
#include "kennel/version.h"
#include "proto/interface.h"
#include "proto/message.h"

#include <math.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CONNECTIONS_MAX 256U
#define CLIENTS_MAX     256U
#define ID_SIZE         33U /* 128 bits in hexadecimal */
#define CERTIFICATION   "org.varlink.certification"
#define SERVICE         "org.varlink.service"
#define FIVE            "\"bool\":false,\"int\":2,\"float\":3.141592653589793,\"string\":\"a lot of string\""
#define FOO_BAR         "{\"foo\":\"Foo\",\"bar\":\"Bar\"}"
#define ONE_TWO_THREE   "{\"one\":{},\"two\":{},\"three\":{}}"

extern const Interface interface_org_varlink_certification;

/* A step's reply, which is also what the next step's parameters must be. */
static const struct {
    const char *method, *value;
} steps[] = {
    { "Start", "{}" },
    { "Test01", "{\"bool\":true}" },
    { "Test02", "{\"int\":1}" },
    { "Test03", "{\"float\":1.0}" },
    { "Test04", "{\"string\":\"ping\"}" },
    { "Test05", "{" FIVE "}" },
    { "Test06", "{\"struct\":{" FIVE "}}" },
    { "Test07", "{\"map\":" FOO_BAR "}" },
    { "Test08", "{\"set\":" ONE_TWO_THREE "}" },
    { "Test09",
      "{\"mytype\":{"
      "\"object\":{\"method\":\"org.varlink.certification.Test09\",\"parameters\":{\"map\":" FOO_BAR "}},"
      "\"enum\":\"two\",\"struct\":{\"first\":1,\"second\":\"2\"},\"array\":[\"one\",\"two\",\"three\"],"
      "\"dictionary\":" FOO_BAR ",\"stringset\":" ONE_TWO_THREE ","
      "\"nullable\":null,\"nullable_array_struct\":null,"
      "\"interface\":{\"foo\":[null,{\"Foo\":\"foo\",\"Bar\":\"bar\"},null,{\"one\":\"foo\",\"two\":\"bar\"}],"
      "\"anon\":{\"foo\":true,\"bar\":false}}}}" },
    { "Test10", "{\"last_more_replies\":[\"Reply number 1\",\"Reply number 2\",\"Reply number 3\",\"Reply number 4\","
                "\"Reply number 5\",\"Reply number 6\",\"Reply number 7\",\"Reply number 8\",\"Reply number 9\","
                "\"Reply number 10\"]}" },
    { "Test11", "{}" },
    { "End", "{\"all_ok\":true}" },
};
enum { START = 0, MORE_REPLIES = 10, ONEWAY = 11, END = 12 };

typedef struct Client {
    char id[ID_SIZE]; /* empty: a free slot */
    size_t next;      /* the step that may come now */
} Client;

typedef struct Server {
    int listener;
    Framing *connections[CONNECTIONS_MAX];
    Client clients[CLIENTS_MAX]; /* a ring: a new client takes the place of the oldest */
    size_t n_started;
} Server;

static volatile sig_atomic_t stopped;

static void stop(int signal) {
    stopped = signal;
}

/* --- JSON --- */

static json_object *json_literal(const char *text) {
    json_object *o = NULL;

    if (json_read(text, strlen(text), &JSON_BOUNDS_TRUSTED, &o, NULL) < 0)
        abort(); /* our own table */
    return o;
}

static json_object *json_text(const char *text) {
    return text ? json_object_new_string(text) : NULL;
}

static bool json_equal(json_object *a, json_object *b);

/* Every member of A that is not null is in B. */
static bool json_includes(json_object *a, json_object *b) {
    json_object_object_foreach(a, key, value) {
        json_object *other = NULL;
        if (value && (!json_object_object_get_ex(b, key, &other) || !json_equal(value, other)))
            return false;
    }
    return true;
}

static bool json_arrays_equal(json_object *a, json_object *b) {
    if (json_object_array_length(a) != json_object_array_length(b))
        return false;
    for (size_t i = 0; i < json_object_array_length(a); i++)
        if (!json_equal(json_object_array_get_idx(a, i), json_object_array_get_idx(b, i)))
            return false;
    return true;
}

static bool json_is_number(json_object *o) {
    return json_object_is_type(o, json_type_int) || json_object_is_type(o, json_type_double);
}

/* As Varlink has it: a member that is null is absent, and 1 is a float if a float is wanted. */
static bool json_equal(json_object *a, json_object *b) {
    if (json_object_is_type(a, json_type_object) && json_object_is_type(b, json_type_object))
        return json_includes(a, b) && json_includes(b, a);
    if (json_object_is_type(a, json_type_array) && json_object_is_type(b, json_type_array))
        return json_arrays_equal(a, b);
    if (json_is_number(a) && json_is_number(b))
        return !islessgreater(json_object_get_double(a), json_object_get_double(b));
    return json_object_equal(a, b);
}

/* --- clients --- */

static Client *client_new(Server *s) {
    Client *c = &s->clients[s->n_started++ % CLIENTS_MAX];
    unsigned char random[(ID_SIZE - 1) / 2];

    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        abort();
    for (size_t i = 0; i < sizeof(random); i++)
        (void) snprintf(c->id + 2 * i, 3, "%02x", random[i]);
    c->next = START + 1;
    return c;
}

static Client *client_find(Server *s, const char *id) {
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        if (s->clients[i].id[0] && strcmp(s->clients[i].id, id) == 0)
            return &s->clients[i];
    return NULL;
}

/* --- org.varlink.certification --- */

static json_object *make_call(const char *method, json_object *consume_parameters, bool more, bool oneway) {
    json_object *call = json_object_new_object();
    char name[64];

    (void) snprintf(name, sizeof(name), CERTIFICATION ".%s", method);
    json_object_object_add(call, "method", json_object_new_string(name));
    json_object_object_add(call, "parameters", consume_parameters);
    if (more)
        json_object_object_add(call, "more", json_object_new_boolean(true));
    if (oneway)
        json_object_object_add(call, "oneway", json_object_new_boolean(true));
    return call;
}

static json_object *wanted_call(const Client *client, size_t step) {
    json_object *parameters = json_literal(steps[step - 1].value);

    json_object_object_add(parameters, "client_id", json_object_new_string(client->id));
    return make_call(steps[step].method, parameters, step == MORE_REPLIES, step == ONEWAY);
}

static int reply_step(Framing *f, size_t step) {
    if (step == MORE_REPLIES) {
        for (int i = 1, r; i <= 10; i++) {
            _cleanup_json_ json_object *out = json_object_new_object();
            char text[32];
            (void) snprintf(text, sizeof(text), "Reply number %d", i);
            json_object_object_add(out, "string", json_object_new_string(text));
            r = message_queue_reply(f, out, i < 10, NULL, 0);
            if (r < 0)
                return r;
        }
        return 0;
    }
    _cleanup_json_ json_object *out = json_literal(steps[step].value);
    return message_queue_reply(f, out, false, NULL, 0);
}

static int handle_start(Server *s, Framing *f, const MessageCall *c) {
    _cleanup_json_ json_object *out = json_object_new_object();

    json_object_object_add(out, "client_id", json_object_new_string(client_new(s)->id));
    return c->oneway ? 0 : message_queue_reply(f, out, false, NULL, 0);
}

static int handle_step(Server *s, Framing *f, const MessageCall *c, size_t step) {
    json_object *id = json_object_object_get(c->parameters, "client_id");
    Client *client = client_find(s, json_object_get_string(id));

    if (!client || client->next != step)
        return c->oneway ? 0 : message_queue_error(f, CERTIFICATION ".ClientIdError", NULL);
    _cleanup_json_ json_object *wants = wanted_call(client, step);
    _cleanup_json_ json_object *got = make_call(c->method, json_object_get(c->parameters), c->more, c->oneway);
    if (!json_equal(wants, got)) {
        _cleanup_json_ json_object *out = json_object_new_object();
        json_object_object_add(out, "wants", TAKE_PTR(wants));
        json_object_object_add(out, "got", TAKE_PTR(got));
        return c->oneway ? 0 : message_queue_error(f, CERTIFICATION ".CertificationError", out);
    }
    client->next++;
    if (step == END)
        *client = (Client){ 0 };
    return c->oneway ? 0 : reply_step(f, step);
}

static int handle_certification(Server *s, Framing *f, const MessageCall *c) {
    for (size_t step = 0; step < ELEMENTSOF(steps); step++)
        if (strcmp(steps[step].method, c->method) == 0)
            return step == START ? handle_start(s, f, c) : handle_step(s, f, c, step);
    abort(); /* the interface has no other methods */
}

/* --- org.varlink.service --- */

static int reply_standard_error(Framing *f, const MessageCall *c, const char *error, const char *key,
                                const char *value) {
    _cleanup_json_ json_object *out = json_object_new_object();
    char name[64];

    (void) snprintf(name, sizeof(name), SERVICE ".%s", error);
    json_object_object_add(out, key, json_text(value));
    return c->oneway ? 0 : message_queue_error(f, name, out);
}

static const Interface *find_interface(const char *name) {
    static const Interface *const served[] = { &interface_org_varlink_certification, &interface_org_varlink_service };

    for (size_t i = 0; i < ELEMENTSOF(served); i++)
        if (strcmp(served[i]->name, name) == 0)
            return served[i];
    return NULL;
}

static int handle_service(Framing *f, const MessageCall *c) {
    _cleanup_json_ json_object *out = json_object_new_object();

    if (strcmp(c->method, "GetInfo") == 0) {
        json_object *interfaces = json_object_new_array();
        json_object_array_add(interfaces, json_text(SERVICE));
        json_object_array_add(interfaces, json_text(CERTIFICATION));
        json_object_object_add(out, "vendor", json_text(KENNEL_VENDOR));
        json_object_object_add(out, "product", json_text("certification-server"));
        json_object_object_add(out, "version", json_text(KENNEL_VERSION));
        json_object_object_add(out, "url", json_text(KENNEL_URL));
        json_object_object_add(out, "interfaces", interfaces);
    } else {
        const char *name = json_object_get_string(json_object_object_get(c->parameters, "interface"));
        const Interface *i = find_interface(name);
        if (!i)
            return reply_standard_error(f, c, "InterfaceNotFound", "interface", name);
        json_object_object_add(out, "description", json_text(i->description));
    }
    return c->oneway ? 0 : message_queue_reply(f, out, false, NULL, 0);
}

/* --- connections --- */

static int handle_message(Server *s, Framing *f, const FramingMessage *m) {
    _cleanup_(message_call_freep) MessageCall *c = NULL;
    Error err = ERROR_INIT;

    int r = message_call_parse(m->bytes, m->size, &c, &err);
    if (r < 0) {
        (void) fprintf(stderr, "certification-server: %s\n", err.message);
        return r;
    }
    const Interface *i = find_interface(c->interface);
    if (!i)
        return reply_standard_error(f, c, "InterfaceNotFound", "interface", c->interface);
    const InterfaceMethod *method = interface_method(i, c->method);
    if (!method)
        return reply_standard_error(f, c, "MethodNotFound", "method", c->method);
    if (interface_check(method->in, c->parameters, &err) < 0)
        return reply_standard_error(f, c, "InvalidParameter", "parameter", err.subject);
    return i == &interface_org_varlink_service ? handle_service(f, c) : handle_certification(s, f, c);
}

static int process(Server *s, Framing *f) {
    Error err = ERROR_INIT;

    int r = framing_read(f, &err);
    if (r < 0 && r != -ECONNRESET)
        (void) fprintf(stderr, "certification-server: %s\n", err.message);
    if (r < 0)
        return r;
    for (;;) {
        _cleanup_(framing_message_freep) FramingMessage *m = NULL;
        r = framing_take(f, &m);
        if (r <= 0)
            break;
        r = handle_message(s, f, m);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : framing_write(f);
}

static void accept_connection(Server *s) {
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (s->connections[i])
            continue;
        if (framing_new(fd, KENNEL_CALL_MAX, KENNEL_REPLY_MAX, &s->connections[i]) < 0)
            perror("certification-server: framing_new");
        return;
    }
    fd_close(fd);
}

/* Binds under another name first: whoever sees PATH can connect to it. */
static int listen_at(const char *path) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if ((size_t) snprintf(address.sun_path, sizeof(address.sun_path), "%s.new", path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, 64) < 0 ||
        rename(address.sun_path, path) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static void serve(Server *s, const sigset_t *while_waiting) {
    while (!stopped) {
        struct pollfd polled[1 + CONNECTIONS_MAX] = { { .fd = s->listener, .events = POLLIN } };
        for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
            Framing *f = s->connections[i];
            /* who does not read its replies gets no more of them */
            bool full = f && framing_queued(f) > KENNEL_SLOW_READER_BYTES;
            polled[i + 1].fd = f ? framing_fd(f) : -1;
            polled[i + 1].events = f ? (full ? 0 : POLLIN) | (framing_queued(f) > 0 ? POLLOUT : 0) : 0;
        }
        if (ppoll(polled, ELEMENTSOF(polled), NULL, while_waiting) < 0)
            continue;
        for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
            Framing *f = s->connections[i];
            short happened = polled[i + 1].revents;
            if (!f || happened == 0)
                continue;
            if ((happened & POLLOUT ? framing_write(f) : 0) < 0 || (happened & ~POLLOUT ? process(s, f) : 0) < 0)
                s->connections[i] = framing_free(f);
        }
        if (polled[0].revents)
            accept_connection(s);
    }
}

int main(int argc, char *argv[]) {
    struct sigaction action = { .sa_handler = stop };
    static Server s;
    sigset_t blocked, old;

    if (argc != 2) {
        (void) fprintf(stderr, "usage: certification-server PATH\n");
        return 2;
    }
    (void) sigemptyset(&blocked);
    (void) sigaddset(&blocked, SIGTERM);
    (void) sigaddset(&blocked, SIGINT);
    (void) sigprocmask(SIG_BLOCK, &blocked, &old);
    (void) sigaction(SIGTERM, &action, NULL);
    (void) sigaction(SIGINT, &action, NULL);
    s.listener = listen_at(argv[1]);
    if (s.listener < 0) {
        (void) fprintf(stderr, "certification-server: %s: %s\n", argv[1], strerror(-s.listener));
        return 1;
    }
    serve(&s, &old);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        framing_free(s.connections[i]);
    fd_close(s.listener);
    (void) unlink(argv[1]);
    return 0;
}
