/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Can this kernel do all that a bridge needs? Versions and configurations do not tell; so a thread makes one of
 * everything in a network namespace of its own, which goes with the thread, and the host sees nothing of it.
 */

#include "network/internal.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>

typedef struct Probe {
    const NetworkConfig *config;
    char *text;
    size_t size;
} Probe;

static int try_all(NetworkHost *h, Error *reterr) {
    NetworkPort port = { 0, 1, 1, false }, port_at = { INADDR_LOOPBACK, 2, 2, true };
    NetworkPort ports[] = { port, port_at };
    Member m = { .id = "000000000000", .address = h->pool.first, .ports = ports, .n_ports = ELEMENTSOF(ports) };
    int index;
    _cleanup_fd_ int namespace_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (namespace_fd < 0)
        return network_unavailable(NULL, errno, "the network namespace cannot be opened", reterr);
    int r = bridge_ensure(h, reterr);
    if (r >= 0)
        r = bridge_set(h, "route_localnet", 1, reterr);
    if (r >= 0)
        r = filter_ensure(h, reterr);
    if (r >= 0)
        r = filter_add(h, &m, reterr);
    if (r >= 0)
        r = veth_create(h, &m, namespace_fd, &index, reterr);
    if (r >= 0)
        r = veth_attach(h, &m, index, reterr);
    return r;
}

static void *run(void *userdata) {
    Probe *p = userdata;
    NetworkConfig config = *p->config;
    NetworkHost *h = NULL;
    Error error = ERROR_INIT;
    int r = 0;
    config.masquerade = true;
    if (unshare(CLONE_NEWNET) < 0)
        r = network_unavailable(NULL, errno, "no network namespace can be made", &error);
    if (r >= 0)
        r = network_host_new(&config, -EBADF, &h, &error);
    if (r >= 0)
        r = try_all(h, &error);
    (void) network_host_free(h);
    (void) snprintf(p->text, p->size, "%s", r < 0 ? error.message : "");
    return NULL;
}

void probe_run(const NetworkConfig *config, char *ret_text, size_t size) {
    Probe p = { config, ret_text, size };
    pthread_t thread;
    int r = pthread_create(&thread, NULL, run, &p);
    if (r == 0)
        (void) pthread_join(thread, NULL);
    else
        (void) snprintf(ret_text, size, "no thread can be made: %s", strerror(r));
}
