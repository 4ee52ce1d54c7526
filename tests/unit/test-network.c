/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * daemon/network in network namespaces of this test's own; the machine's network is never touched.
 *
 *     neighbour ---- up0 [host] kennel0 ---- kv... eth0 [container a]
 *                                       \--- kv... eth0 [container b]
 *
 * "Containers" are processes that only hold a network namespace; this test is root in it and does with raw sockets what
 * the worst container could. Each test that something does not arrive first shows that its like does.
 */

#include "network/internal.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#define ID_A         "0123456789ab"
#define ID_B         "0123456789ac"
#define HOST_UP      "198.51.100.1"
#define NEIGHBOUR    "198.51.100.2"
#define GATEWAY      "10.213.0.1"
#define WAIT_MSEC    5000 /* for what has to come */
#define SILENCE_MSEC 100  /* for what must not; what may come takes less than one */
#define FRAME_MAX    512

#define skip_because(...)                                                                                              \
    do {                                                                                                               \
        print_message("skipped: " __VA_ARGS__);                                                                        \
        print_message("\n");                                                                                           \
        skip();                                                                                                        \
    } while (0)

typedef struct Space {
    pid_t pid;
    int fd; /* of the network namespace */
} Space;

typedef struct Box {
    Space space;
    const char *id;
    NetworkPort ports[4];
    NetworkSpec spec;
    NetworkEndpoint *endpoint;
} Box;

static bool usable;
static int host_fd = -EBADF, shared_fd = -EBADF;
static Space neighbour;
static NetworkHost *host;
static Box a, b;

/* ---- namespaces ---- */

static void enter(int fd) {
    assert_int_equal(setns(fd, CLONE_NEWNET), 0);
}

static void run(int fd, const char *command) {
    enter(fd);
    int r = system(command);
    enter(host_fd);
    if (r != 0)
        fail_msg("%s: %d", command, r);
}

static Space space_new(void) {
    Space s = { 0 };
    char path[32], byte;
    int ready[2];
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    s.pid = fork();
    if (s.pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* as the sandbox does: nothing of the daemon's stays open in a container */
        (void) dup2(ready[1], 0);
        (void) close_range(3, ~0U, 0);
        if (unshare(CLONE_NEWNET) == 0)
            (void) !write(0, "", 1);
        for (;;)
            (void) pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    (void) snprintf(path, sizeof(path), "/proc/%d/ns/net", s.pid);
    s.fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(s.fd >= 0);
    return s;
}

static void space_end(Space *s) {
    if (s->pid > 0) {
        (void) kill(s->pid, SIGKILL);
        (void) waitpid(s->pid, NULL, 0);
    }
    s->fd = fd_close(s->fd);
    s->pid = 0;
}

static int socket_in(int space_fd, int domain, int type, int protocol) {
    enter(space_fd);
    int fd = socket(domain, type | SOCK_CLOEXEC, protocol);
    enter(host_fd);
    assert_true(fd >= 0);
    /* a failure shall be one, not a hang */
    struct timeval wait = { .tv_sec = WAIT_MSEC / 1000 };
    (void) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    (void) setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    return fd;
}

static void set_forwarding(bool on) {
    int fd = open("/proc/sys/net/ipv4/ip_forward", O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, on ? "1" : "0", 1), 1);
    close(fd);
}

static int suite_setup(void **state) {
    if (getuid() != 0 || unshare(CLONE_NEWNET) < 0 || system("ip link set lo up && nft list tables") != 0)
        return 0;
    host_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    shared_fd = memfd_create("shared", MFD_CLOEXEC);
    neighbour = space_new();
    char command[256];
    (void) snprintf(command, sizeof(command),
                    "ip link add up0 type veth peer name up0 netns %d && ip addr add " HOST_UP "/24 dev up0 && "
                    "ip link set up0 up",
                    neighbour.pid);
    run(host_fd, command);
    run(neighbour.fd, "ip link set lo up && ip addr add " NEIGHBOUR "/24 dev up0 && ip link set up0 up && "
                      "ip route add 10.213.0.0/20 via " HOST_UP);
    set_forwarding(true);
    /* With it frames meet the ip tables before the bridge, where these tests look; one test of its own has it on. */
    run(host_fd, "! test -e /proc/sys/net/bridge || sysctl -qw net.bridge.bridge-nf-call-iptables=0");
    usable = true;
    return 0;
}

static int suite_teardown(void **state) {
    if (!usable)
        return 0;
    space_end(&neighbour);
    shared_fd = fd_close(shared_fd);
    host_fd = fd_close(host_fd);
    return 0;
}

/* ---- containers ---- */

static void require_root(void) {
    if (!usable)
        skip_because("needs root, ip and nft");
}

static NetworkHost *host_new(bool masquerade) {
    NetworkConfig c = NETWORK_CONFIG_INIT;
    NetworkHost *h = NULL;
    Error e = ERROR_INIT;
    c.masquerade = masquerade;
    if (network_host_new(&c, shared_fd, &h, &e) < 0)
        fail_msg("%s: %s", e.subject, e.message);
    return h;
}

static Box box_new(const char *id) {
    Box x = { .space = space_new(), .id = id, .spec = { .rates = NETWORK_RATES_NONE } };
    assert_int_equal(network_address_take(host, &x.spec.address), 0);
    return x;
}

static void box_publish(Box *x, uint32_t address, uint16_t from, uint16_t to, bool udp) {
    x->ports[x->spec.n_ports++] = (NetworkPort){ address, from, to, udp };
}

static void box_start(Box *x) {
    Error e = ERROR_INIT;
    x->spec.ports = x->ports;
    if (network_endpoint_create(host, x->id, x->space.pid, &x->spec, &x->endpoint, &e) < 0)
        fail_msg("%s: %s", e.subject, e.message);
}

static void box_end(Box *x) {
    Error e = ERROR_INIT;
    x->spec.ports = x->ports;
    x->endpoint = network_endpoint_free(x->endpoint);
    space_end(&x->space);
    if (host && x->id && network_endpoint_remove(host, x->id, &x->spec, &e) < 0)
        fail_msg("%s: %s", e.subject, e.message);
    if (host && x->id)
        network_address_give_back(host, x->spec.address);
    *x = (Box){ .space = { .fd = -EBADF } };
}

static bool succeeds(const char *command) {
    return system(command) == 0;
}

/* Nothing of ours in the host's namespace. */
static void assert_clean(void) {
    assert_true(succeeds("! ip -o link | grep -E 'k[vb]0123|kennel0'"));
    assert_true(succeeds("! nft list tables | grep kennel"));
    assert_true(succeeds("! ip neigh show | grep 10.213"));
}

static int start_two(void **state) {
    if (!usable)
        return 0;
    host = host_new(false);
    a = box_new(ID_A);
    b = box_new(ID_B);
    box_publish(&b, 0, 8080, 80, false);
    box_publish(&b, ntohl(inet_addr(HOST_UP)), 8081, 80, false);
    box_publish(&b, INADDR_LOOPBACK, 8082, 80, false);
    box_publish(&b, 0, 5353, 53, true);
    box_start(&a);
    box_start(&b);
    return 0;
}

static int start_masquerading(void **state) {
    if (!usable)
        return 0;
    host = host_new(true);
    a = box_new(ID_A);
    b = box_new(ID_B);
    box_publish(&b, 0, 8080, 80, false);
    box_start(&a);
    box_start(&b);
    return 0;
}

static int start_none(void **state) {
    host = usable ? host_new(false) : NULL;
    return 0;
}

static int end_all(void **state) {
    if (!usable)
        return 0;
    box_end(&a);
    box_end(&b);
    host = network_host_free(host);
    set_forwarding(true);
    assert_clean();
    return 0;
}

/* ---- connections ---- */

static struct sockaddr_in at(const char *address, uint16_t port) {
    return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { inet_addr(address) } };
}

static const char *text_of(uint32_t address) {
    static char text[2][INET_ADDRSTRLEN];
    static unsigned i;
    struct in_addr in = { htonl(address) };
    return inet_ntop(AF_INET, &in, text[i++ % 2], INET_ADDRSTRLEN);
}

static int listen_in(int space_fd, uint16_t port) {
    int fd = socket_in(space_fd, AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in any = at("0.0.0.0", port);
    (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(bind(fd, (struct sockaddr *) &any, sizeof(any)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

/* A connection, and a byte back over it; RET_PEER is where it seemed to come from. */
static bool connects(int from_fd, const char *address, uint16_t port, int listener, char *ret_peer) {
    struct sockaddr_in to = at(address, port), peer;
    socklen_t length = sizeof(peer);
    _cleanup_fd_ int fd = socket_in(from_fd, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(fd, (struct sockaddr *) &to, sizeof(to)) < 0 && errno != EINPROGRESS)
        return false;
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    int error = 0;
    socklen_t size = sizeof(error);
    if (poll(&p, 1, SILENCE_MSEC) != 1 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0)
        return false;
    p = (struct pollfd){ .fd = listener, .events = POLLIN };
    if (poll(&p, 1, SILENCE_MSEC) != 1)
        return false;
    _cleanup_fd_ int accepted = accept4(listener, (struct sockaddr *) &peer, &length, SOCK_CLOEXEC);
    assert_int_equal(write(accepted, "x", 1), 1);
    p = (struct pollfd){ .fd = fd, .events = POLLIN };
    if (ret_peer)
        (void) inet_ntop(AF_INET, &peer.sin_addr, ret_peer, INET_ADDRSTRLEN);
    return poll(&p, 1, SILENCE_MSEC) == 1;
}

static void published_ports_are_reached(void **state) {
    require_root();
    _cleanup_fd_ int web = listen_in(b.space.fd, 80);
    /* the host itself, directly and by every address of its own */
    assert_true(connects(host_fd, text_of(b.spec.address), 80, web, NULL));
    assert_true(connects(host_fd, "127.0.0.1", 8080, web, NULL));
    assert_true(connects(host_fd, HOST_UP, 8080, web, NULL));
    assert_true(connects(host_fd, GATEWAY, 8080, web, NULL));
    assert_true(connects(host_fd, HOST_UP, 8081, web, NULL));
    assert_true(connects(host_fd, "127.0.0.1", 8082, web, NULL));
    /* a neighbour */
    char peer[INET_ADDRSTRLEN];
    assert_true(connects(neighbour.fd, HOST_UP, 8080, web, peer));
    assert_string_equal(peer, NEIGHBOUR);
    assert_true(connects(neighbour.fd, HOST_UP, 8081, web, NULL));
    /* only where it was published */
    assert_false(connects(host_fd, "127.0.0.1", 8081, web, NULL));
    assert_false(connects(neighbour.fd, HOST_UP, 8082, web, NULL));
    assert_false(connects(neighbour.fd, HOST_UP, 80, web, NULL));
    /* nor past the port, though the neighbour knows the way */
    assert_false(connects(neighbour.fd, text_of(b.spec.address), 80, web, NULL));
}

static void published_datagrams_are_answered(void **state) {
    require_root();
    char buffer[16];
    struct sockaddr_in to = at(HOST_UP, 5353), from, inside = at("0.0.0.0", 53);
    socklen_t length = sizeof(from);
    _cleanup_fd_ int client = socket_in(neighbour.fd, AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *) &to, sizeof(to)), 0);
    /* nobody listens: the container says so, and it gets through */
    assert_int_equal(send(client, "a", 1, 0), 1);
    assert_int_equal(recv(client, buffer, sizeof(buffer), 0), -1);
    assert_int_equal(errno, ECONNREFUSED);
    _cleanup_fd_ int server = socket_in(b.space.fd, AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(server, (struct sockaddr *) &inside, sizeof(inside)), 0);
    assert_int_equal(send(client, "b", 1, 0), 1);
    assert_int_equal(recvfrom(server, buffer, sizeof(buffer), 0, (struct sockaddr *) &from, &length), 1);
    assert_int_equal(sendto(server, "c", 1, 0, (struct sockaddr *) &from, length), 1);
    assert_int_equal(recv(client, buffer, sizeof(buffer), 0), 1);
    assert_int_equal(buffer[0], 'c');
}

static void containers_reach_nobody(void **state) {
    require_root();
    _cleanup_fd_ int on_host = listen_in(host_fd, 7000), on_b = listen_in(b.space.fd, 80),
                     on_a = listen_in(a.space.fd, 80), outside = listen_in(neighbour.fd, 7000);
    assert_true(connects(host_fd, text_of(a.spec.address), 80, on_a, NULL));
    assert_true(connects(neighbour.fd, HOST_UP, 7000, on_host, NULL));
    assert_true(connects(host_fd, NEIGHBOUR, 7000, outside, NULL));

    assert_false(connects(a.space.fd, text_of(b.spec.address), 80, on_b, NULL));
    assert_false(connects(b.space.fd, text_of(a.spec.address), 80, on_a, NULL));
    static const char *const own[] = { GATEWAY, HOST_UP, "10.213.15.255", "10.213.0.0" };
    for (size_t i = 0; i < ELEMENTSOF(own); i++) {
        assert_false(connects(a.space.fd, own[i], 7000, on_host, NULL));
        assert_false(connects(a.space.fd, own[i], 8080, on_b, NULL));
        assert_false(connects(b.space.fd, own[i], 8080, on_b, NULL));
    }
    assert_false(connects(a.space.fd, NEIGHBOUR, 7000, outside, NULL));
}

static void masquerading_is_for_the_outside_only(void **state) {
    require_root();
    _cleanup_fd_ int on_host = listen_in(host_fd, 7000), on_b = listen_in(b.space.fd, 80),
                     on_a = listen_in(a.space.fd, 80), outside = listen_in(neighbour.fd, 7000);
    char peer[INET_ADDRSTRLEN];
    assert_true(connects(a.space.fd, NEIGHBOUR, 7000, outside, peer));
    assert_string_equal(peer, HOST_UP);
    assert_true(connects(neighbour.fd, HOST_UP, 8080, on_b, NULL));

    assert_false(connects(neighbour.fd, text_of(a.spec.address), 80, on_a, NULL));
    assert_false(connects(a.space.fd, text_of(b.spec.address), 80, on_b, NULL));
    assert_false(connects(a.space.fd, GATEWAY, 7000, on_host, NULL));
    assert_false(connects(a.space.fd, HOST_UP, 7000, on_host, NULL));
    assert_false(connects(a.space.fd, GATEWAY, 8080, on_b, NULL));
    assert_false(connects(a.space.fd, HOST_UP, 8080, on_b, NULL));
}

/* ---- raw frames ---- */

typedef struct Frame {
    size_t size;
    uint8_t bytes[FRAME_MAX];
} Frame;

typedef struct Place {
    const char *name;
    int fd;
    bool inside; /* sees frames before the filter does */
} Place;

static const uint8_t everyone[] = { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF };
static const uint8_t stranger[] = { 0x02, 0, 0, 0, 0, 1 };
static uint8_t mac_a[6], mac_b[6], mac_bridge[6];
static uint32_t marker = 0x6B657200;
static Place places[6];
static size_t n_places;
static int raw_fd = -EBADF;

static int packet_socket(int space_fd, const char *interface, int protocol) {
    int fd = socket_in(space_fd, AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);
    struct ifreq request = { 0 };
    (void) snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
    assert_int_equal(ioctl(fd, SIOCGIFINDEX, &request), 0);
    struct sockaddr_ll to = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(protocol),
        .sll_ifindex = request.ifr_ifindex,
    };
    assert_int_equal(bind(fd, (struct sockaddr *) &to, sizeof(to)), 0);
    return fd;
}

static void put(Frame *f, const void *bytes, size_t size) {
    assert_true(f->size + size <= sizeof(f->bytes));
    memcpy(f->bytes + f->size, bytes, size);
    f->size += size;
}

static void put16(Frame *f, uint16_t value) {
    value = htons(value);
    put(f, &value, sizeof(value));
}

static void ethernet(Frame *f, const uint8_t *to, const uint8_t *from, uint16_t type) {
    put(f, to, 6);
    put(f, from, 6);
    put16(f, type);
}

static void seal(Frame *f) {
    put(f, &marker, sizeof(marker));
}

static uint16_t checksum(const void *bytes, size_t size) {
    uint32_t sum = 0;
    for (size_t i = 0; i < size; i += 2)
        sum += (uint32_t) ((const uint8_t *) bytes)[i] << 8 | ((const uint8_t *) bytes)[i + 1];
    sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t) ~(sum + (sum >> 16));
}

typedef struct Ip {
    uint32_t from, to;
    uint16_t fragment;
    uint8_t version, options, protocol;
} Ip;

static void ip_header(Frame *f, const Ip *ip, size_t payload) {
    uint8_t header[24] = { (uint8_t) ((ip->version ? ip->version : 4) << 4 | (5 + ip->options)) };
    size_t size = 20 + 4U * ip->options;
    uint16_t total = htons((uint16_t) (size + payload)), fragment = htons(ip->fragment);
    uint32_t from = htonl(ip->from), to = htonl(ip->to);
    memcpy(header + 2, &total, 2);
    memcpy(header + 6, &fragment, 2);
    header[8] = 64;
    header[9] = ip->protocol ? ip->protocol : IPPROTO_UDP;
    memcpy(header + 12, &from, 4);
    memcpy(header + 16, &to, 4);
    if (ip->options)
        memcpy(header + 20, "\x94\x04\0\0", 4); /* router alert */
    uint16_t sum = htons(checksum(header, size));
    memcpy(header + 10, &sum, 2);
    put(f, header, size);
}

static void datagram(Frame *f, const Ip *ip, uint16_t port) {
    ip_header(f, ip, 12);
    put16(f, 4000);
    put16(f, port);
    put16(f, 12);
    put16(f, 0); /* no checksum */
    seal(f);
}

static Ip right(void) {
    return (Ip){ .from = a.spec.address, .to = ntohl(inet_addr(GATEWAY)) };
}

static void open_places(void) {
    network_mac(a.spec.address, false, mac_a);
    network_mac(b.spec.address, false, mac_b);
    network_mac(ntohl(inet_addr(GATEWAY)), false, mac_bridge);
    raw_fd = packet_socket(a.space.fd, "eth0", 0);
    n_places = 0;
    places[n_places++] = (Place){ "the bridge", packet_socket(host_fd, "kennel0", ETH_P_ALL), false };
    places[n_places++] = (Place){ "b", packet_socket(b.space.fd, "eth0", ETH_P_ALL), false };
    places[n_places++] = (Place){ "the host's loopback", packet_socket(host_fd, "lo", ETH_P_ALL), false };
    places[n_places++] = (Place){ "the neighbour", packet_socket(neighbour.fd, "up0", ETH_P_ALL), false };
    /* by its type: what the bridge would leave to programs of the host, as it does with LLDP */
    places[n_places++] = (Place){ "the port", packet_socket(host_fd, "kv" ID_A, ETH_P_LLDP), false };
    places[n_places++] = (Place){ "the wire", packet_socket(host_fd, "kv" ID_A, ETH_P_ALL), true };
}

static void close_places(void) {
    for (size_t i = 0; i < n_places; i++)
        places[i].fd = fd_close(places[i].fd);
    raw_fd = fd_close(raw_fd);
}

/* Reads what has arrived at a place: was there a frame with this marker? */
static bool has_seen(const Place *p, uint32_t wanted) {
    uint8_t buffer[2048];
    bool seen = false;
    for (ssize_t n; (n = recv(p->fd, buffer, sizeof(buffer), 0)) > 0;)
        seen |= memmem(buffer, (size_t) n, &wanted, sizeof(wanted)) != NULL;
    return seen;
}

static void send_frame(const Frame *f) {
    assert_int_equal(send(raw_fd, f->bytes, f->size, 0), f->size);
}

/*
 * Sends a frame that nothing is wrong with; when that has come to the bridge, all that was sent before has met its end.
 * Did the one marked SENT come there too?
 */
static bool settle(uint32_t sent) {
    Frame f = { 0 };
    Ip ip = right();
    bool seen = false;
    marker++;
    ethernet(&f, mac_bridge, mac_a, ETH_P_IP);
    datagram(&f, &ip, 9);
    send_frame(&f);
    struct pollfd p = { .fd = places[0].fd, .events = POLLIN };
    for (;;) {
        uint8_t buffer[2048];
        if (poll(&p, 1, WAIT_MSEC) != 1)
            fail_msg("a frame with the right source does not arrive");
        ssize_t n = recv(p.fd, buffer, sizeof(buffer), 0);
        if (n > 0 && memmem(buffer, (size_t) n, &marker, sizeof(marker)))
            break;
        seen |= n > 0 && memmem(buffer, (size_t) n, &sent, sizeof(sent));
    }
    marker++;
    return seen;
}

static void arrives_nowhere(const char *what, const Frame *f) {
    uint32_t sent = marker;
    send_frame(f);
    if (settle(sent))
        fail_msg("%s: arrives at %s", what, places[0].name);
    bool left = false;
    for (size_t i = 1; i < n_places; i++) {
        bool seen = has_seen(&places[i], sent);
        if (places[i].inside)
            left = seen;
        else if (seen)
            fail_msg("%s: arrives at %s", what, places[i].name);
    }
    if (!left)
        fail_msg("%s: was never sent", what);
}

typedef struct Lie {
    const char *what;
    const uint8_t *to, *from;
    uint16_t type;
    Ip ip;
    uint16_t port;
} Lie;

static void false_sources_arrive_nowhere(void **state) {
    require_root();
    open_places();
    Ip good = right(), of_b = good, of_bridge = good, of_loopback = good, of_outside = good, to_loopback = good,
       to_b = good, to_broadcast = good, to_multicast = good, nobody = good, later = good, first = good, options = good,
       six = good;
    of_b.from = b.spec.address;
    of_bridge.from = good.to;
    of_loopback.from = to_loopback.to = INADDR_LOOPBACK;
    of_outside.from = ntohl(inet_addr(NEIGHBOUR));
    to_b.to = b.spec.address;
    to_broadcast.to = UINT32_MAX;
    to_multicast.to = 0xE00000FB;
    nobody.from = 0;
    nobody.to = UINT32_MAX;
    first.fragment = 0x2000;
    later.fragment = 100;
    options.options = 1;
    six.version = 6;
    static const uint8_t multicast[] = { 0x01, 0, 0x5E, 0, 0, 0xFB }, bpdu[] = { 0x01, 0x80, 0xC2, 0, 0, 0 },
                         lldp[] = { 0x01, 0x80, 0xC2, 0, 0, 0x0E }, pause[] = { 0x01, 0x80, 0xC2, 0, 0, 1 };
    uint8_t mac_port[6];
    network_mac(a.spec.address, true, mac_port);
    const Lie lies[] = {
        { "a stranger's MAC", mac_bridge, stranger, ETH_P_IP, good, 9 },
        { "b's MAC", mac_bridge, mac_b, ETH_P_IP, good, 9 },
        { "the bridge's MAC", mac_bridge, mac_bridge, ETH_P_IP, good, 9 },
        { "b's MAC and address", mac_bridge, mac_b, ETH_P_IP, of_b, 9 },
        { "b's address", mac_bridge, mac_a, ETH_P_IP, of_b, 9 },
        { "the bridge's address", mac_bridge, mac_a, ETH_P_IP, of_bridge, 9 },
        { "a source of 127.0.0.1", mac_bridge, mac_a, ETH_P_IP, of_loopback, 9 },
        { "an address of the outside", mac_bridge, mac_a, ETH_P_IP, of_outside, 9 },
        { "no address", everyone, mac_a, ETH_P_IP, nobody, 67 },
        { "to b's MAC", mac_b, mac_a, ETH_P_IP, to_b, 53 },
        { "to the port's MAC", mac_port, mac_a, ETH_P_IP, good, 9 },
        { "to everyone", everyone, mac_a, ETH_P_IP, to_broadcast, 9 },
        { "to everyone's MAC", everyone, mac_a, ETH_P_IP, to_b, 53 },
        { "to a group", multicast, mac_a, ETH_P_IP, to_multicast, 5353 },
        { "to the group of bridges", bpdu, mac_a, ETH_P_IP, good, 9 },
        { "to the group of LLDP", lldp, mac_a, ETH_P_IP, good, 9 },
        { "to the group of pauses", pause, mac_a, ETH_P_IP, good, 9 },
        { "LLDP", lldp, mac_a, ETH_P_LLDP, good, 9 },
        { "a first fragment", mac_bridge, mac_a, ETH_P_IP, first, 9 },
        { "a later fragment", mac_bridge, mac_a, ETH_P_IP, later, 9 },
        { "IP options", mac_bridge, mac_a, ETH_P_IP, options, 9 },
        { "version 6 as IPv4", mac_bridge, mac_a, ETH_P_IP, six, 9 },
        { "IPv4 as IPv6", mac_bridge, mac_a, ETH_P_IPV6, good, 9 },
        { "MPLS", mac_bridge, mac_a, ETH_P_MPLS_UC, good, 9 },
        { "PPPoE", mac_bridge, mac_a, ETH_P_PPP_SES, good, 9 },
        { "EAPOL", mac_bridge, mac_a, ETH_P_PAE, good, 9 },
        { "a length for a type", mac_bridge, mac_a, 46, good, 9 },
    };
    for (size_t i = 0; i < ELEMENTSOF(lies); i++) {
        Frame f = { 0 };
        ethernet(&f, lies[i].to, lies[i].from, lies[i].type);
        datagram(&f, &lies[i].ip, lies[i].port);
        arrives_nowhere(lies[i].what, &f);
    }
    for (uint8_t last = 0; last < 16; last++) {
        Frame f = { 0 };
        ethernet(&f, (const uint8_t[]){ 0x01, 0x80, 0xC2, 0, 0, last }, mac_a, ETH_P_LLDP);
        datagram(&f, &good, 9);
        arrives_nowhere("to a link-local group", &f);
    }
    close_places();
}

static void tags_arrive_nowhere(void **state) {
    require_root();
    open_places();
    static const struct {
        const char *what;
        uint16_t outer, tag, inner_type, inner_tag;
    } tags[] = {
        { "VLAN 5", ETH_P_8021Q, 5, 0, 0 },
        { "VLAN 1", ETH_P_8021Q, 1, 0, 0 },
        { "a priority alone", ETH_P_8021Q, 0x6000, 0, 0 },
        { "a service tag", ETH_P_8021AD, 5, 0, 0 },
        { "two tags", ETH_P_8021AD, 5, ETH_P_8021Q, 6 },
        { "two empty tags", ETH_P_8021Q, 0, ETH_P_8021Q, 0 },
    };
    for (size_t i = 0; i < ELEMENTSOF(tags); i++) {
        Frame f = { 0 };
        Ip ip = right();
        ethernet(&f, mac_bridge, mac_a, tags[i].outer);
        put16(&f, tags[i].tag);
        if (tags[i].inner_type) {
            put16(&f, tags[i].inner_type);
            put16(&f, tags[i].inner_tag);
        }
        put16(&f, ETH_P_IP);
        datagram(&f, &ip, 9);
        arrives_nowhere(tags[i].what, &f);
    }
    close_places();
}

static void arp(Frame *f, const uint8_t *to, uint16_t operation, const uint8_t *mac, uint32_t address,
                uint32_t target) {
    address = htonl(address);
    target = htonl(target);
    ethernet(f, to, mac_a, ETH_P_ARP);
    put(f, "\0\1\x08\0\6\4", 6);
    put16(f, operation);
    put(f, mac, 6);
    put(f, &address, 4);
    put(f, "\0\0\0\0\0\0", 6);
    put(f, &target, 4);
    seal(f);
}

static void arp_arrives_nowhere(void **state) {
    require_root();
    open_places();
    uint32_t gateway = ntohl(inet_addr(GATEWAY));
    const struct {
        const char *what;
        const uint8_t *to;
        uint16_t operation;
        const uint8_t *mac;
        uint32_t address, target;
    } packets[] = {
        { "asking for the gateway", everyone, 1, mac_a, a.spec.address, gateway },
        { "asking for b", everyone, 1, mac_a, a.spec.address, b.spec.address },
        { "announcing itself", everyone, 1, mac_a, a.spec.address, a.spec.address },
        { "being b", everyone, 2, mac_a, b.spec.address, b.spec.address },
        { "being the gateway, to b", mac_b, 2, mac_a, gateway, b.spec.address },
        { "being b, to the gateway", mac_bridge, 2, mac_a, b.spec.address, gateway },
    };
    for (size_t i = 0; i < ELEMENTSOF(packets); i++) {
        Frame f = { 0 };
        arp(&f, packets[i].to, packets[i].operation, packets[i].mac, packets[i].address, packets[i].target);
        arrives_nowhere(packets[i].what, &f);
    }
    close_places();
    assert_true(succeeds("ip neigh show dev kennel0 | grep -c PERMANENT | grep -qx 2"));
}

static void ipv6_arrives_nowhere(void **state) {
    require_root();
    open_places();
    static const uint8_t all_nodes[] = { 0x33, 0x33, 0, 0, 0, 1 };
    static const uint8_t own[16] = { 0xFE, 0x80, [15] = 1 }, group[16] = { 0xFF, 0x02, [15] = 1 };
    const uint8_t *const to[] = { mac_bridge, mac_b, all_nodes, everyone };
    static const uint8_t types[] = { 134, 135, 136, 128 }; /* router advertisement, neighbours', echo */
    for (size_t i = 0; i < ELEMENTSOF(to) * ELEMENTSOF(types); i++) {
        Frame f = { 0 };
        ethernet(&f, to[i / ELEMENTSOF(types)], mac_a, ETH_P_IPV6);
        put(&f, "\x60\0\0\0", 4);
        put16(&f, 8);
        put(&f, "\x3A\xFF", 2);
        put(&f, own, 16);
        put(&f, group, 16);
        put(&f, &types[i % ELEMENTSOF(types)], 1);
        put(&f, "\0\0\0", 3);
        seal(&f);
        arrives_nowhere("IPv6", &f);
    }
    close_places();
}

/* Frames with nothing wrong but where they want to go: they come to the bridge and no further. */
static void right_frames_go_no_further(void **state) {
    require_root();
    open_places();
    _cleanup_fd_ int udp = socket_in(host_fd, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0),
                     on_b = socket_in(b.space.fd, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in any = at("0.0.0.0", 7000), dns = at("0.0.0.0", 53), target = at("127.0.0.1", 7000);
    char byte;
    assert_int_equal(bind(udp, (struct sockaddr *) &any, sizeof(any)), 0);
    assert_int_equal(bind(on_b, (struct sockaddr *) &dns, sizeof(dns)), 0);
    assert_int_equal(sendto(udp, "x", 1, 0, (struct sockaddr *) &target, sizeof(target)), 1);
    assert_int_equal(recv(udp, &byte, 1, 0), 1);

    static const char *const to[] = { "127.0.0.1",       "127.1.2.3", GATEWAY,         HOST_UP,  NEIGHBOUR,
                                      "255.255.255.255", "224.0.0.1", "10.213.15.255", "0.0.0.0" };
    uint16_t ports[] = { 7000, 5353, 53 };
    for (size_t i = 0; i < ELEMENTSOF(to) * ELEMENTSOF(ports); i++) {
        Frame f = { 0 };
        Ip ip = right();
        uint32_t sent = marker;
        ip.to = ntohl(inet_addr(to[i / ELEMENTSOF(ports)]));
        ethernet(&f, mac_bridge, mac_a, ETH_P_IP);
        datagram(&f, &ip, ports[i % ELEMENTSOF(ports)]);
        send_frame(&f);
        assert_true(settle(sent));
        for (size_t k = 1; k < n_places; k++)
            assert_int_equal(has_seen(&places[k], sent), places[k].inside);
        assert_int_equal(recv(udp, &byte, 1, 0), -1);
        assert_int_equal(recv(on_b, &byte, 1, 0), -1);
    }
    close_places();
}

/* A neighbour on the wire may write 127.0.0.1 on what it sends; what is published there is the host's alone. */
static void loopback_is_not_reached_from_outside(void **state) {
    require_root();
    uint8_t mac_up[6] = { 0 }, mac_neighbour[6] = { 0 };
    static const char *const to[] = { HOST_UP, "127.0.0.1", "127.0.0.2" };
    Interface i;
    assert_int_equal(interface_find(&host->route, "up0", &i), 0);
    memcpy(mac_up, i.mac, 6);
    open_places();
    raw_fd = fd_close(raw_fd);
    raw_fd = packet_socket(neighbour.fd, "up0", 0);
    for (size_t k = 0; k < ELEMENTSOF(to); k++) {
        Frame f = { 0 };
        Ip ip = { .from = ntohl(inet_addr(NEIGHBOUR)), .to = ntohl(inet_addr(to[k])) };
        ethernet(&f, mac_up, mac_neighbour, ETH_P_IP);
        datagram(&f, &ip, 5353);
        send_frame(&f);
        struct pollfd p = { .fd = places[1].fd, .events = POLLIN };
        assert_int_equal(poll(&p, 1, k == 0 ? WAIT_MSEC : SILENCE_MSEC) == 1 && has_seen(&places[1], marker), k == 0);
        marker++;
    }
    close_places();
}

/* An ICMP error about a connection between host and b, told by a, who knows all about it. */
static void errors_about_others_are_not_believed(void **state) {
    require_root();
    for (int liar = 0; liar < 2; liar++) {
        Box *x = liar ? &a : &b;
        struct sockaddr_in to = at(text_of(b.spec.address), 4999), own;
        socklen_t length = sizeof(own);
        _cleanup_fd_ int udp = socket_in(host_fd, AF_INET, SOCK_DGRAM, 0),
                         silent = socket_in(b.space.fd, AF_INET, SOCK_DGRAM, 0);
        struct sockaddr_in any = at("0.0.0.0", 4999);
        assert_int_equal(bind(silent, (struct sockaddr *) &any, sizeof(any)), 0);
        assert_int_equal(connect(udp, (struct sockaddr *) &to, sizeof(to)), 0);
        assert_int_equal(getsockname(udp, (struct sockaddr *) &own, &length), 0);
        assert_int_equal(send(udp, "x", 1, 0), 1);

        Frame inner = { 0 }, f = { 0 };
        ip_header(&inner, &(Ip){ .from = ntohl(own.sin_addr.s_addr), .to = b.spec.address }, 8);
        put16(&inner, ntohs(own.sin_port));
        put16(&inner, 4999);
        put16(&inner, 9);
        put16(&inner, 0);
        Frame icmp = { 0 };
        put(&icmp, "\3\3\0\0\0\0\0\0", 8); /* port unreachable */
        put(&icmp, inner.bytes, inner.size);
        uint16_t sum = htons(checksum(icmp.bytes, icmp.size));
        memcpy(icmp.bytes + 2, &sum, 2);
        uint8_t mac[6];
        network_mac(x->spec.address, false, mac);
        network_mac(ntohl(inet_addr(GATEWAY)), false, mac_bridge);
        ethernet(&f, mac_bridge, mac, ETH_P_IP);
        ip_header(&f, &(Ip){ .from = x->spec.address, .to = ntohl(own.sin_addr.s_addr), .protocol = IPPROTO_ICMP },
                  icmp.size);
        put(&f, icmp.bytes, icmp.size);
        _cleanup_fd_ int raw = packet_socket(x->space.fd, "eth0", 0);
        assert_int_equal(send(raw, f.bytes, f.size, 0), f.size);
        struct pollfd p = { .fd = udp, .events = POLLIN };
        /* b itself is believed: that is the control */
        assert_int_equal(poll(&p, 1, liar ? SILENCE_MSEC : WAIT_MSEC), liar ? 0 : 1);
    }
}

/* With all that a container's root may do to its end. */
static void what_the_container_changes_is_its_own(void **state) {
    require_root();
    _cleanup_fd_ int on_host = listen_in(host_fd, 7000), on_b = listen_in(b.space.fd, 80),
                     on_a = listen_in(a.space.fd, 80);
    run(a.space.fd, "ip addr add 10.213.0.99/20 dev eth0 && sysctl -qw net.ipv6.conf.all.disable_ipv6=0 && "
                    "ip neigh flush all && ip addr add 10.213.0.3/20 dev eth0 && ip link set eth0 arp on promisc on && "
                    "ip -6 addr add fd00::9/64 dev eth0 nodad && ip link add br9 type bridge && "
                    "ip neigh replace " GATEWAY " lladdr 02:6b:0a:d5:00:01 dev eth0");
    assert_true(connects(host_fd, text_of(a.spec.address), 80, on_a, NULL));
    assert_false(connects(a.space.fd, GATEWAY, 7000, on_host, NULL));
    run(a.space.fd, "ip neigh replace 10.213.0.3 lladdr 02:6b:0a:d5:00:03 dev eth0; true");
    assert_false(connects(a.space.fd, text_of(b.spec.address), 80, on_b, NULL));
    assert_false(connects(host_fd, "10.213.0.99", 80, on_a, NULL));
    run(a.space.fd, "ip link set eth0 down && ip link set eth0 address "
                    "02:6b:0a:d5:00:03 && ip link set eth0 up");
    assert_false(connects(host_fd, text_of(a.spec.address), 80, on_a, NULL));
    assert_true(connects(host_fd, text_of(b.spec.address), 80, on_b, NULL));
    run(a.space.fd, "ip link del eth0");
    assert_true(connects(host_fd, text_of(b.spec.address), 80, on_b, NULL));
}

/* ---- both ends ---- */

static int sysctl_in(int space_fd, const char *path) {
    int value = -1;
    enter(space_fd);
    int r = sysctl_get(path, &value);
    enter(host_fd);
    return r < 0 ? r : value;
}

static void settings_are_where_they_belong(void **state) {
    require_root();
    assert_int_equal(sysctl_in(a.space.fd, "ipv6/conf/eth0/disable_ipv6"), 1);
    assert_int_equal(sysctl_in(a.space.fd, "ipv6/conf/default/disable_ipv6"), 1);
    assert_int_equal(sysctl_in(a.space.fd, "ipv6/conf/eth0/accept_ra"), 0);
    assert_int_equal(sysctl_in(a.space.fd, "ipv6/conf/lo/disable_ipv6"), 0);
    assert_int_equal(sysctl_in(a.space.fd, "ipv4/conf/eth0/accept_redirects"), 0);
    /* the host has its own up0 and lo, which nobody has touched */
    assert_int_equal(sysctl_in(host_fd, "ipv6/conf/up0/disable_ipv6"), 0);
    assert_int_equal(sysctl_in(host_fd, "ipv6/conf/default/disable_ipv6"), 0);
    assert_int_equal(sysctl_in(host_fd, "ipv4/conf/up0/route_localnet"), 0);
    assert_int_equal(sysctl_in(host_fd, "ipv6/conf/kennel0/disable_ipv6"), 1);
    assert_int_equal(sysctl_in(host_fd, "ipv6/conf/kv" ID_A "/disable_ipv6"), 1);
    assert_true(succeeds("! ip -o link | grep eth0"));
    run(a.space.fd, "ip -o link show eth0 | grep -q 02:6b:0a:d5:00:02 && ip route | grep -q 'default via " GATEWAY "'"
                    " && ip -o link show lo | grep -q UP && ! ip -6 -o addr show dev eth0 | grep -q inet6");
}

static void bytes_are_counted_in_the_right_direction(void **state) {
    require_root();
    enum { COUNT = 10000, SIZE = 1000, FRAME = 14 + 20 + 8 + SIZE };
    static char buffer[SIZE];
    NetworkUsage before, after, single;
    struct sockaddr_in to = at(text_of(b.spec.address), 4998), any = at("0.0.0.0", 4998), own;
    socklen_t length = sizeof(own);
    _cleanup_fd_ int outer = socket_in(host_fd, AF_INET, SOCK_DGRAM, 0),
                     inner = socket_in(b.space.fd, AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(inner, (struct sockaddr *) &any, sizeof(any)), 0);
    assert_int_equal(connect(outer, (struct sockaddr *) &to, sizeof(to)), 0);
    assert_int_equal(getsockname(outer, (struct sockaddr *) &own, &length), 0);
    assert_int_equal(connect(inner, (struct sockaddr *) &own, sizeof(own)), 0);
    assert_int_equal(network_host_read(host), 0);
    assert_true(network_endpoint_usage(b.endpoint, &before));
    for (int out = 0; out < 2; out++) {
        for (unsigned i = 0; i < COUNT; i++)
            assert_int_equal(send(out ? inner : outer, buffer, SIZE, 0), SIZE);
        assert_int_equal(network_host_read(host), 0);
        assert_true(network_endpoint_usage(b.endpoint, &after));
        uint64_t in_bytes = after.in_bytes - before.in_bytes, out_bytes = after.out_bytes - before.out_bytes;
        uint64_t in_packets = after.in_packets - before.in_packets,
                 out_packets = after.out_packets - before.out_packets;
        assert_in_range(out ? out_bytes : in_bytes, COUNT * FRAME, COUNT * FRAME + 1000);
        assert_in_range(out ? out_packets : in_packets, COUNT, COUNT + 10);
        assert_in_range(out ? in_bytes : out_bytes, 0, 1000);
        assert_int_equal(network_endpoint_read(b.endpoint, &single), 0);
        assert_true(single.in_bytes >= after.in_bytes && single.out_bytes >= after.out_bytes);
        before = after;
    }
    /* b's alone */
    assert_true(network_endpoint_usage(a.endpoint, &single));
    assert_in_range(single.in_bytes + single.out_bytes, 0, 1000);
    /* and they outlive the container, as those of one whose endpoint is closed do not */
    inner = fd_close(inner);
    space_end(&b.space);
    a.endpoint = network_endpoint_free(a.endpoint);
    space_end(&a.space);
    for (int i = 0; succeeds("ip -o link show kv" ID_A " >/dev/null 2>&1"); i++) {
        assert_true(i < WAIT_MSEC / 10);
        (void) usleep(10000);
    }
    assert_int_equal(network_host_read(host), 0);
    assert_true(network_endpoint_usage(b.endpoint, &single));
    assert_true(single.in_bytes >= after.in_bytes && single.out_bytes >= after.out_bytes);
}

/* ---- rates ---- */

static double seconds(void) {
    struct timespec t;
    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* How much slower than a processor this machine is, which may be emulated: what it is asked to forward is less by that. */
static double slowness(void) {
    const char *s = getenv("KENNEL_TEST_SLOWNESS");
    double value = s ? atof(s) : 1;
    return value > 1 ? value : 1;
}

/* Megabits per second that TCP's payload gets between host and a, when it has got going. */
static double measure(bool out) {
    static char buffer[65536];
    struct sockaddr_in to = at(text_of(a.spec.address), 82);
    _cleanup_fd_ int listener = listen_in(a.space.fd, 82), client = socket_in(host_fd, AF_INET, SOCK_STREAM, 0);
    if (connect(client, (struct sockaddr *) &to, sizeof(to)) < 0)
        fail_msg("%s", strerror(errno));
    _cleanup_fd_ int server = accept(listener, NULL, NULL);
    int from = out ? server : client, into = out ? client : server;
    pid_t pid = fork();
    if (pid == 0) {
        while (write(from, buffer, sizeof(buffer)) > 0)
            ;
        _exit(0);
    }
    double start = seconds(), begin = start + 0.3, end = begin + 0.8, now = start;
    size_t got = 0;
    while ((now = seconds()) < end) {
        ssize_t n = read(into, buffer, sizeof(buffer));
        got += n > 0 && now >= begin ? (size_t) n : 0;
    }
    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);
    return (double) got * 8 / 1e6 / (now - begin);
}

/* A rate must never be exceeded; that it is used is seen at one of several tries, for the machine may be busy. */
static void assert_rate(bool out, double wanted) {
    double got = 0;
    for (int i = 0; i < 5 && got < wanted * 0.9; i++) {
        got = measure(out);
        assert_true(got < wanted * 1.1);
    }
    if (got < wanted * 0.9)
        fail_msg("%.1f of %.1f Mbit/s", got, wanted);
}

static void assert_no_rate(bool out) {
    double got = 0;
    for (int i = 0; i < 5 && got < 200 / slowness(); i++)
        got = measure(out);
    assert_true(got >= 200 / slowness());
}

static uint64_t bits(double megabits) {
    return (uint64_t) (megabits * 1e6);
}

static void rates_hold(void **state) {
    require_root();
    Error e = ERROR_INIT;
    double low = 10 / slowness(), in = 20 / slowness(), out = 50 / slowness();
    assert_no_rate(false);
    assert_no_rate(true);
    assert_int_equal(network_endpoint_set_rates(a.endpoint, &(NetworkRates){ bits(in), bits(out) }, &e), 0);
    assert_rate(false, in);
    assert_rate(true, out);
    assert_int_equal(network_endpoint_set_rates(a.endpoint, &(NetworkRates){ NETWORK_RATE_NONE, bits(low) }, &e), 0);
    assert_rate(true, low);
    assert_no_rate(false);
    assert_true(succeeds("ip -o link show kb" ID_A " >/dev/null"));
    assert_int_equal(network_endpoint_set_rates(a.endpoint, &NETWORK_RATES_NONE, &e), 0);
    assert_true(succeeds("! ip -o link show kb" ID_A " 2>/dev/null"));
    assert_no_rate(true);
    /* redirected frames meet the filter as others do */
    assert_int_equal(network_endpoint_set_rates(a.endpoint, &(NetworkRates){ 100000000, 100000000 }, &e), 0);
    containers_reach_nobody(state);
}

/* What waits was cut for the bucket of then, and must not be in the way of all that follows. */
static void a_rate_is_lowered_under_load(void **state) {
    require_root();
    static char buffer[65536];
    for (int out = 0; out < 2; out++) {
        struct sockaddr_in to = at(text_of(a.spec.address), 83);
        NetworkRates high = { 100000000, 100000000 }, low = { 2000000, 2000000 };
        assert_int_equal(network_endpoint_set_rates(a.endpoint, &high, NULL), 0);
        _cleanup_fd_ int listener = listen_in(a.space.fd, 83), client = socket_in(host_fd, AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(client, (struct sockaddr *) &to, sizeof(to)), 0);
        _cleanup_fd_ int server = accept(listener, NULL, NULL);
        int from = out ? server : client, into = out ? client : server;
        pid_t pid = fork();
        if (pid == 0) {
            (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (write(from, buffer, sizeof(buffer)) > 0)
                ;
            _exit(0);
        }
        for (double end = seconds() + 0.5; seconds() < end;)
            assert_true(read(into, buffer, sizeof(buffer)) > 0);
        assert_int_equal(network_endpoint_set_rates(a.endpoint, &low, NULL), 0);
        struct pollfd p = { .fd = into, .events = POLLIN };
        for (double end = seconds() + 1; seconds() < end;) {
            if (poll(&p, 1, WAIT_MSEC) != 1)
                fail_msg("nothing comes any more");
            assert_true(read(into, buffer, sizeof(buffer)) > 0);
        }
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
    }
}

static void rates_have_bounds(void **state) {
    static const uint64_t bad[] = { 0, 1, NETWORK_RATE_MIN - 1, NETWORK_RATE_MAX + 1, UINT64_MAX - 1 };
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        Error e = ERROR_INIT;
        assert_int_equal(network_rates_check(&(NetworkRates){ bad[i], NETWORK_RATE_NONE }, &e), -EINVAL);
        assert_string_equal(e.subject, "limits.netRateIn");
        assert_non_null(strstr(e.message, "8000"));
        assert_int_equal(network_rates_check(&(NetworkRates){ NETWORK_RATE_MIN, bad[i] }, &e), -EINVAL);
        assert_string_equal(e.subject, "limits.netRateOut");
    }
    assert_int_equal(network_rates_check(&(NetworkRates){ NETWORK_RATE_MIN, NETWORK_RATE_MAX }, NULL), 0);
}

static void the_highest_rate_is_read_back(void **state) {
    require_root();
    Error e = ERROR_INIT;
    NetworkRates r = { NETWORK_RATE_MAX, NETWORK_RATE_MAX };
    if (network_endpoint_set_rates(a.endpoint, &r, &e) < 0)
        fail_msg("%s", e.message);
    r = (NetworkRates){ NETWORK_RATE_MIN, NETWORK_RATE_MIN };
    assert_int_equal(network_endpoint_set_rates(a.endpoint, &r, &e), 0);
}

/* ---- what is refused ---- */

static void used_ports_are_refused(void **state) {
    require_root();
    Error e = ERROR_INIT;
    _cleanup_fd_ int other = listen_in(host_fd, 9000);
    a = box_new(ID_A);
    box_publish(&a, 0, 9001, 80, false);
    box_publish(&a, 0, 9000, 80, false);
    a.spec.ports = a.ports;
    assert_int_equal(network_endpoint_create(host, a.id, a.space.pid, &a.spec, &a.endpoint, &e), -EADDRINUSE);
    assert_int_equal(e.kind, ERROR_INVALID_SPEC);
    assert_string_equal(e.subject, "ports[1].host");
    assert_non_null(strstr(e.message, "9000"));
    assert_clean();
    a.spec.n_ports = 1;
    box_start(&a);
    /* reserved: neither another program nor another container can have it */
    _cleanup_fd_ int late = socket_in(host_fd, AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = at("0.0.0.0", 9001);
    int one = 1;
    (void) setsockopt(late, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(bind(late, (struct sockaddr *) &any, sizeof(any)), -1);
    b = box_new(ID_B);
    box_publish(&b, INADDR_LOOPBACK, 9001, 80, false);
    b.spec.ports = b.ports;
    assert_int_equal(network_endpoint_create(host, b.id, b.space.pid, &b.spec, &b.endpoint, &e), -EADDRINUSE);
    assert_string_equal(e.subject, "ports[0].host");
    b.ports[0] = (NetworkPort){ ntohl(inet_addr("192.0.2.99")), 9002, 80, true };
    assert_int_equal(network_endpoint_create(host, b.id, b.space.pid, &b.spec, &b.endpoint, &e), -EADDRNOTAVAIL);
    assert_non_null(strstr(e.message, "192.0.2.99"));
    /* twice the same in one container */
    b.ports[0] = b.ports[1] = (NetworkPort){ 0, 9003, 80, false };
    b.spec.n_ports = 2;
    assert_int_equal(network_endpoint_create(host, b.id, b.space.pid, &b.spec, &b.endpoint, &e), -EADDRINUSE);
    assert_string_equal(e.subject, "ports[1].host");
    /* and free again when the container has gone */
    box_end(&a);
    assert_int_equal(bind(late, (struct sockaddr *) &any, sizeof(any)), 0);
}

static void the_host_is_not_made_a_router(void **state) {
    require_root();
    Error e = ERROR_INIT;
    set_forwarding(false);
    a = box_new(ID_A);
    box_publish(&a, 0, 9001, 80, false);
    a.spec.ports = a.ports;
    assert_int_equal(network_endpoint_create(host, a.id, a.space.pid, &a.spec, &a.endpoint, &e), -EHOSTUNREACH);
    assert_int_equal(e.kind, ERROR_LIMIT_UNAVAILABLE);
    assert_string_equal(e.subject, "network");
    assert_non_null(strstr(e.message, "net.ipv4.ip_forward"));
    assert_int_equal(sysctl_in(host_fd, "ipv4/ip_forward"), 0);
    /* loopback needs none */
    a.ports[0].host_address = INADDR_LOOPBACK;
    box_start(&a);
    _cleanup_fd_ int web = listen_in(a.space.fd, 80);
    assert_true(connects(host_fd, "127.0.0.1", 9001, web, NULL));
    assert_int_equal(sysctl_in(host_fd, "ipv4/ip_forward"), 0);
    box_end(&a);
    host = network_host_free(host);
    host = host_new(true);
    a = box_new(ID_A);
    a.spec.ports = a.ports;
    assert_int_equal(network_endpoint_create(host, a.id, a.space.pid, &a.spec, &a.endpoint, &e), -EHOSTUNREACH);
    assert_non_null(strstr(e.message, "network-masquerade"));
}

static void overlapping_pools_are_refused(void **state) {
    require_root();
    static const struct {
        const char *make, *unmake, *named;
    } cases[] = {
        { "ip route add 10.213.8.0/24 via " NEIGHBOUR, "ip route del 10.213.8.0/24", "10.213.8.0/24" },
        { "ip route add 10.0.0.0/8 via " NEIGHBOUR, "ip route del 10.0.0.0/8", "10.0.0.0/8 on up0" },
        { "ip addr add 10.213.3.3/32 dev lo", "ip addr del 10.213.3.3/32 dev lo", "10.213.3.3/32 on lo" },
    };
    a = box_new(ID_A);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        Error e = ERROR_INIT;
        assert_true(succeeds(cases[i].make));
        int r = network_endpoint_create(host, a.id, a.space.pid, &a.spec, &a.endpoint, &e);
        assert_true(succeeds(cases[i].unmake));
        assert_int_equal(r, -EADDRINUSE);
        assert_int_equal(e.kind, ERROR_LIMIT_UNAVAILABLE);
        if (!strstr(e.message, cases[i].named))
            fail_msg("%s: %s", cases[i].named, e.message);
        assert_clean();
    }
    assert_true(succeeds("ip route add default via " NEIGHBOUR));
    box_start(&a);
    assert_true(succeeds("ip route del default"));
}

static void foreign_bridges_are_left_alone(void **state) {
    require_root();
    Error e = ERROR_INIT;
    a = box_new(ID_A);
    assert_true(succeeds("ip link add kennel0 type bridge"));
    assert_int_equal(network_endpoint_create(host, a.id, a.space.pid, &a.spec, &a.endpoint, &e), -EEXIST);
    assert_int_equal(e.kind, ERROR_LIMIT_UNAVAILABLE);
    assert_int_equal(network_host_recover(host, NULL, 0, &e), 0);
    assert_true(succeeds("ip -o link show kennel0 >/dev/null && ip link del kennel0"));
}

/* Bad names and pools never come as far as the kernel. */
static void configurations_are_checked(void **state) {
    static const char *const names[] = { "", "a b", "x\"y", "x;y", "a/b", "$B", ".x", "-x", "x\ny" };
    static const NetworkPool pools[] = { { 0x0A000000, 7 }, { 0x0A000000, 30 }, { 0x0A000001, 24 }, { 0, 0 } };
    for (size_t i = 0; i < ELEMENTSOF(names) + ELEMENTSOF(pools); i++) {
        NetworkConfig c = NETWORK_CONFIG_INIT;
        NetworkHost *h = NULL;
        Error e = ERROR_INIT;
        if (i < ELEMENTSOF(names))
            (void) snprintf(c.bridge, sizeof(c.bridge), "%s", names[i]);
        else
            c.pool = pools[i - ELEMENTSOF(names)];
        assert_int_equal(network_host_new(&c, -EBADF, &h, &e), -EINVAL);
        assert_string_equal(e.subject, i < ELEMENTSOF(names) ? "network-bridge" : "network-pool");
        assert_null(h);
    }
}

/* ---- addresses ---- */

static void addresses_rest_before_they_are_used_again(void **state) {
    const NetworkPool small = { 0x0A000000, 29 }, large = { 0x0A000000, 8 };
    uint32_t x;
    Pool p;
    assert_int_equal(pool_init(&p, &small), 0);
    for (uint32_t i = 2; i <= 6; i++) { /* .0 network, .1 bridge, .7 broadcast */
        assert_int_equal(pool_take(&p, &x), 0);
        assert_int_equal(x, 0x0A000000 + i);
    }
    assert_int_equal(pool_take(&p, &x), -ENOSPC);
    pool_give_back(&p, 0x0A000003);
    pool_give_back(&p, 0x0A000005);
    assert_int_equal(pool_take(&p, &x), 0);
    assert_int_equal(x, 0x0A000003);
    pool_give_back(&p, 0x0A000003);
    assert_int_equal(pool_take(&p, &x), 0);
    assert_int_equal(x, 0x0A000005);
    assert_int_equal(pool_take_again(&p, 0x0A000005), -EADDRINUSE);
    assert_int_equal(pool_take_again(&p, 0x0A000001), -EADDRNOTAVAIL);
    assert_int_equal(pool_take_again(&p, 0x0A000007), -EADDRNOTAVAIL);
    assert_int_equal(pool_take_again(&p, 0x0B000003), -EADDRNOTAVAIL);
    assert_int_equal(pool_take_again(&p, 0x0A000003), 0);
    pool_give_back(&p, 0x0A000007);
    pool_give_back(&p, 0);
    pool_done(&p);

    assert_int_equal(pool_init(&p, &large), 0);
    assert_int_equal(p.n, (1U << 24) - 3);
    for (uint32_t i = 0; i < p.n; i++)
        if (pool_take(&p, &x) < 0 || x != p.first + i)
            fail_msg("%u", i);
    assert_int_equal(pool_take(&p, &x), -ENOSPC);
    assert_int_equal(x, 0x0AFFFFFE);
    pool_give_back(&p, 0x0A123456);
    assert_int_equal(pool_take(&p, &x), 0);
    assert_int_equal(x, 0x0A123456);
    pool_done(&p);
}

/* ---- after an accident ---- */

/* As if the daemon had been killed: what is in the kernel stays, descriptors close. */
static void forget(void) {
    a.endpoint = network_endpoint_free(a.endpoint);
    b.endpoint = network_endpoint_free(b.endpoint);
    host = network_host_free(host);
    assert_true(succeeds("ip -o link show kennel0 >/dev/null"));
    host = host_new(false);
}

static void nothing_is_left_of_a_killed_daemon(void **state) {
    require_root();
    Error e = ERROR_INIT;
    NetworkRates rates = { 1000000, 1000000 };
    assert_int_equal(network_endpoint_set_rates(a.endpoint, &rates, &e), 0);
    forget();
    assert_int_equal(network_host_recover(host, NULL, 0, &e), 0);
    assert_clean();
}

static void what_lives_is_taken_over(void **state) {
    require_root();
    Error e = ERROR_INIT;
    const char *ids[] = { ID_B };
    NetworkRates rates = { 1000000, 1000000 };
    assert_int_equal(network_endpoint_set_rates(a.endpoint, &rates, &e), 0);
    forget();
    assert_int_equal(network_address_take_again(host, b.spec.address), 0);
    if (network_host_recover(host, ids, 1, &e) < 0)
        fail_msg("%s", e.message);
    assert_true(succeeds("! ip -o link | grep -E 'k[vb]" ID_A "'"));
    assert_true(succeeds("! nft list ruleset | grep " ID_A));
    assert_true(succeeds("nft list ruleset | grep -q " ID_B));
    assert_true(succeeds("nft list map ip kennel-kennel0 published | grep -q 8080"));
    if (network_endpoint_open(host, ID_B, b.space.pid, &b.spec, &b.endpoint, &e) < 0)
        fail_msg("%s", e.message);
    _cleanup_fd_ int web = listen_in(b.space.fd, 80), on_host = listen_in(host_fd, 7000);
    assert_true(connects(neighbour.fd, HOST_UP, 8080, web, NULL));
    assert_true(connects(host_fd, "127.0.0.1", 8082, web, NULL));
    assert_false(connects(b.space.fd, GATEWAY, 7000, on_host, NULL));
    _cleanup_fd_ int late = socket_in(host_fd, AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = at("0.0.0.0", 8080);
    assert_int_equal(bind(late, (struct sockaddr *) &any, sizeof(any)), -1);
    NetworkUsage usage;
    assert_int_equal(network_host_read(host), 0);
    assert_true(network_endpoint_usage(b.endpoint, &usage));
    assert_true(usage.in_bytes > 0);
}

/* The order of a recovery may also be the other one. */
static void opening_comes_before_recovering(void **state) {
    require_root();
    Error e = ERROR_INIT;
    const char *ids[] = { ID_A, ID_B };
    forget();
    assert_int_equal(network_endpoint_open(host, ID_A, a.space.pid, &a.spec, &a.endpoint, &e), 0);
    assert_int_equal(network_endpoint_open(host, ID_B, b.space.pid, &b.spec, &b.endpoint, &e), 0);
    assert_int_equal(network_host_recover(host, ids, 2, &e), 0);
    _cleanup_fd_ int web = listen_in(b.space.fd, 80);
    assert_true(connects(host_fd, "127.0.0.1", 8080, web, NULL));
}

static void a_flushed_ruleset_is_made_again(void **state) {
    require_root();
    _cleanup_fd_ int on_host = listen_in(host_fd, 7000), web = listen_in(b.space.fd, 80);
    box_end(&a);
    assert_true(succeeds("nft flush ruleset"));
    a = box_new(ID_A);
    box_start(&a);
    assert_false(connects(b.space.fd, GATEWAY, 7000, on_host, NULL));
    assert_true(connects(neighbour.fd, HOST_UP, 8080, web, NULL));
    assert_true(succeeds("nft flush ruleset"));
}

static void an_end_leaves_its_neighbour_alone(void **state) {
    require_root();
    _cleanup_fd_ int web = listen_in(b.space.fd, 80);
    assert_true(succeeds("ip neigh show | grep -q '^10.213.0.2 ' && nft list ruleset | grep -q " ID_A));
    box_end(&a);
    assert_true(succeeds("! ip neigh show | grep '^10.213.0.2 '"));
    assert_true(succeeds("! nft list ruleset | grep -E '" ID_A "|10[.]213[.]0[.]2[^0-9]'"));
    assert_true(succeeds("! ip -o link | grep " ID_A));
    assert_true(connects(neighbour.fd, HOST_UP, 8080, web, NULL));
}

static void others_rules_are_left_alone(void **state) {
    require_root();
    assert_true(succeeds("nft list table ip mine | grep -q 'tcp dport 1 drop'"));
    box_end(&a);
    box_end(&b);
    assert_true(succeeds("nft list table ip mine | grep -q 'tcp dport 1 drop' && nft delete table ip mine"));
}

static int start_beside_others(void **state) {
    if (usable && !succeeds("nft 'add table ip mine; add chain ip mine c { type filter hook input priority 5; }; "
                            "add rule ip mine c tcp dport 1 drop'"))
        return -1;
    return start_two(state);
}

static void two_daemons_do_not_share_a_bridge(void **state) {
    require_root();
    Error e = ERROR_INIT;
    NetworkConfig c = NETWORK_CONFIG_INIT;
    NetworkHost *other = NULL;
    NetworkEndpoint *endpoint = NULL;
    char path[32];
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", shared_fd);
    _cleanup_fd_ int second = open(path, O_RDWR | O_CLOEXEC); /* another open file, as another daemon has */
    assert_int_equal(network_host_new(&c, second, &other, &e), 0);
    Space s = space_new();
    NetworkSpec spec = { .address = ntohl(inet_addr("10.213.0.77")), .rates = NETWORK_RATES_NONE };
    assert_int_equal(network_endpoint_create(other, "0123456789ff", s.pid, &spec, &endpoint, &e), -EBUSY);
    assert_int_equal(e.kind, ERROR_LIMIT_UNAVAILABLE);
    assert_string_equal(e.subject, "network");
    assert_non_null(strstr(e.message, "network-bridge"));
    /* nor does it take away what is the first one's */
    assert_int_equal(network_host_recover(other, NULL, 0, &e), 0);
    assert_int_equal(network_endpoint_remove(other, ID_A, &a.spec, &e), 0);
    other = network_host_free(other);
    assert_true(succeeds("ip -o link show kv" ID_A " >/dev/null && nft list ruleset | grep -q " ID_A));
    /* another name, another pool */
    (void) snprintf(c.bridge, sizeof(c.bridge), "kennel1");
    c.pool = (NetworkPool){ 0x0AD60000, 24 };
    assert_int_equal(network_host_new(&c, second, &other, &e), 0);
    spec.address = 0x0AD60002;
    if (network_endpoint_create(other, "0123456789ff", s.pid, &spec, &endpoint, &e) < 0)
        fail_msg("%s", e.message);
    _cleanup_fd_ int web = listen_in(b.space.fd, 80), theirs = listen_in(s.fd, 80);
    assert_true(connects(host_fd, "10.214.0.2", 80, theirs, NULL));
    assert_true(connects(host_fd, text_of(b.spec.address), 80, web, NULL));
    assert_false(connects(s.fd, text_of(b.spec.address), 80, web, NULL));
    assert_false(connects(s.fd, GATEWAY, 8080, web, NULL));
    assert_false(connects(s.fd, HOST_UP, 8080, web, NULL));
    assert_false(connects(a.space.fd, "10.214.0.2", 80, theirs, NULL));
    endpoint = network_endpoint_free(endpoint);
    assert_int_equal(network_endpoint_remove(other, "0123456789ff", &spec, &e), 0);
    space_end(&s);
    other = network_host_free(other);
    assert_true(succeeds("! ip -o link show kennel1 2>/dev/null"));
}

/* The kernel's setting that shows bridged packets to ip tables. */
static void filters_hold_with_bridge_netfilter(void **state) {
    require_root();
    if (access("/proc/sys/net/bridge/bridge-nf-call-iptables", F_OK) < 0)
        skip_because("this kernel has no bridge netfilter");
    assert_true(succeeds("sysctl -qw net.bridge.bridge-nf-call-iptables=1"));
    published_ports_are_reached(state);
    published_datagrams_are_answered(state);
    containers_reach_nobody(state);
    errors_about_others_are_not_believed(state);
    assert_true(succeeds("sysctl -qw net.bridge.bridge-nf-call-iptables=0"));
}

static void nothing_is_missing_here(void **state) {
    require_root();
    const char *missing = network_host_missing(host);
    if (missing)
        fail_msg("%s", missing);
    assert_clean();
}

static size_t count_fds(void) {
    size_t n = 0;
    for (int i = 0; i < 1024; i++)
        n += fcntl(i, F_GETFD) >= 0;
    return n;
}

static void descriptors_do_not_pile_up(void **state) {
    require_root();
    size_t before = 0;
    for (int i = 0; i < 4; i++) {
        a = box_new(ID_A);
        box_publish(&a, 0, 9001, 80, false);
        box_start(&a);
        box_end(&a);
        if (i == 0)
            before = count_fds();
    }
    assert_int_equal(count_fds(), before);
    assert_clean();
}

#define WITH(test, start) cmocka_unit_test_setup_teardown(test, start, end_all)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations_are_checked),
        cmocka_unit_test(addresses_rest_before_they_are_used_again),
        cmocka_unit_test(rates_have_bounds),
        WITH(nothing_is_missing_here, start_none),
        WITH(settings_are_where_they_belong, start_two),
        WITH(published_ports_are_reached, start_two),
        WITH(published_datagrams_are_answered, start_two),
        WITH(containers_reach_nobody, start_two),
        WITH(masquerading_is_for_the_outside_only, start_masquerading),
        WITH(false_sources_arrive_nowhere, start_two),
        WITH(tags_arrive_nowhere, start_two),
        WITH(arp_arrives_nowhere, start_two),
        WITH(ipv6_arrives_nowhere, start_two),
        WITH(right_frames_go_no_further, start_two),
        WITH(loopback_is_not_reached_from_outside, start_two),
        WITH(errors_about_others_are_not_believed, start_two),
        WITH(what_the_container_changes_is_its_own, start_two),
        WITH(bytes_are_counted_in_the_right_direction, start_two),
        WITH(rates_hold, start_two),
        WITH(a_rate_is_lowered_under_load, start_two),
        WITH(the_highest_rate_is_read_back, start_two),
        WITH(used_ports_are_refused, start_none),
        WITH(the_host_is_not_made_a_router, start_none),
        WITH(overlapping_pools_are_refused, start_none),
        WITH(foreign_bridges_are_left_alone, start_none),
        WITH(nothing_is_left_of_a_killed_daemon, start_two),
        WITH(what_lives_is_taken_over, start_two),
        WITH(opening_comes_before_recovering, start_two),
        WITH(a_flushed_ruleset_is_made_again, start_two),
        WITH(an_end_leaves_its_neighbour_alone, start_two),
        WITH(others_rules_are_left_alone, start_beside_others),
        WITH(two_daemons_do_not_share_a_bridge, start_two),
        WITH(filters_hold_with_bridge_netfilter, start_two),
        WITH(descriptors_do_not_pile_up, start_none),
    };
    return cmocka_run_group_tests(tests, suite_setup, suite_teardown);
}
