/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages and descriptors over a stream socket; see framing.h for which descriptors belong to which message.
 *
 * What comes in is the peer's: bytes stay bytes here, and only NULs are looked at. They lie in one buffer:
 *
 *     buffer ... start [complete messages] partial [an incomplete one] end ... capacity
 *
 * A message longer than in_max is noticed as soon as it is, and so is everything else that is wrong, before more is
 * read. How many complete messages may wait is for the owner to say, who asks framing_pending() before it reads on.
 * A descriptor is owned by exactly one of: the set that waits for its message, the message, the queue for output.
 */

#include "proto/framing.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#define BUFFER_MIN    8192U         /* most calls fit */
#define BUFFER_KEPT   (64U * 1024U) /* an empty buffer above this is given back */
#define ROOM_MIN      2048U
#define READ_SHARE    (256U * 1024U) /* bytes of one framing_read() */
#define WRITE_VECTORS 32U

/* Descriptors that came with the message whose first byte is the connection's byte number AT. */
typedef struct FdSet {
    struct FdSet *next;
    uint64_t at;
    size_t n_fds;
    int fds[];
} FdSet;

/* One message on its way out, its NUL included: first the descriptors, then the bytes. */
typedef struct Chunk {
    struct Chunk *next;
    size_t size, sent, n_fds;
    int fds[];
} Chunk;

struct Framing {
    int fd;
    int broken; /* the error after which nothing more is read */

    size_t in_max;
    char *buffer;
    size_t capacity, start, partial, end;
    size_t n_complete;
    uint64_t taken; /* the connection's number of the byte at `start` */
    FdSet *fd_sets, **fd_sets_tail;

    size_t out_max, out_size;
    Chunk *chunks, **chunks_tail;
};

static void close_all(int *fds, size_t n) {
    for (size_t i = 0; i < n; i++)
        fds[i] = fd_close(fds[i]);
}

FramingMessage *framing_message_free(FramingMessage *m) {
    if (!m)
        return NULL;
    close_all(m->fds, m->n_fds);
    free(m->bytes);
    free(m);
    return NULL;
}

static FdSet *fd_set_free(FdSet *s) {
    if (!s)
        return NULL;
    close_all(s->fds, s->n_fds);
    free(s);
    return NULL;
}
DEFINE_CLEANUP(FdSet, fd_set_free)

static Chunk *chunk_free(Chunk *c) {
    if (!c)
        return NULL;
    close_all(c->fds, c->n_fds);
    free(c);
    return NULL;
}
DEFINE_CLEANUP(Chunk, chunk_free)

static char *chunk_bytes(Chunk *c) {
    return (char *) (c->fds + c->n_fds);
}

int framing_new(int consume_fd, size_t in_max, size_t out_max, Framing **ret) {
    _cleanup_fd_ int fd = consume_fd;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    Framing *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->fd = TAKE_FD(fd);
    f->in_max = in_max;
    f->out_max = out_max;
    f->fd_sets_tail = &f->fd_sets;
    f->chunks_tail = &f->chunks;
    *ret = f;
    return 0;
}

Framing *framing_free(Framing *f) {
    if (!f)
        return NULL;
    for (FdSet *s = f->fd_sets, *next; s; s = next) {
        next = s->next;
        fd_set_free(s);
    }
    for (Chunk *c = f->chunks, *next; c; c = next) {
        next = c->next;
        chunk_free(c);
    }
    fd_close(f->fd);
    free(f->buffer);
    free(f);
    return NULL;
}

int framing_fd(const Framing *f) {
    return f->fd;
}

size_t framing_pending(const Framing *f) {
    return f->n_complete;
}

bool framing_is_partial(const Framing *f) {
    return f->partial < f->end;
}

/* --- reading --- */

static int fail(Framing *f, int code, Error *reterr, const char *what) {
    f->broken = code;
    return error_set(reterr, ERROR_MALFORMED, code, NULL, "%s", what);
}

static int fail_size(Framing *f, Error *reterr) {
    f->broken = EMSGSIZE;
    return error_set(reterr, ERROR_MALFORMED, EMSGSIZE, NULL, "a message is larger than %zu bytes", f->in_max);
}

/* Room at the end of the buffer: there already, or by moving a little that is left to its beginning, or by growing. */
static int make_room(Framing *f) {
    if (f->capacity - f->end >= ROOM_MIN)
        return 0;
    if (f->start > 0 && f->end - f->start <= f->capacity / 2) {
        memmove(f->buffer, f->buffer + f->start, f->end - f->start);
        f->end -= f->start;
        f->partial -= f->start;
        f->start = 0;
        return 0;
    }
    size_t capacity = f->capacity > 0 ? f->capacity * 2 : BUFFER_MIN;
    char *buffer = realloc(f->buffer, capacity);
    if (!buffer)
        return -ENOMEM;
    f->buffer = buffer;
    f->capacity = capacity;
    return 0;
}

/* Takes the descriptors out of a received header; more than one set cannot come with one read. */
static size_t collect_fds(struct msghdr *header, int fds[static KENNEL_FDS_MAX]) {
    size_t n = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), n * sizeof(int));
    }
    return n;
}

/* Counts the messages that the last N bytes complete. *ret_begin: where the last one that begins in them does, or NONE.
 */
#define NONE SIZE_MAX
static int scan(Framing *f, size_t n, size_t *ret_begin) {
    size_t from = f->end - n, begin = f->partial == from ? from : NONE;

    for (char *nul; from < f->end && (nul = memchr(f->buffer + from, 0, f->end - from)); from = f->partial) {
        size_t next = (size_t) (nul - f->buffer) + 1;
        if (next - 1 - f->partial > f->in_max)
            return -EMSGSIZE;
        f->partial = next;
        f->n_complete++;
        if (next < f->end)
            begin = next;
    }
    *ret_begin = begin;
    return f->end - f->partial > f->in_max ? -EMSGSIZE : 0;
}

/* Keeps the descriptors, which it takes out of FDS, for the message that begins at BEGIN. */
static int keep_fds(Framing *f, int *fds, size_t n_fds, size_t begin) {
    FdSet *s = malloc(sizeof(*s) + n_fds * sizeof(int));

    if (!s)
        return -ENOMEM;
    *s = (FdSet){ .at = f->taken + (begin - f->start), .n_fds = n_fds };
    for (size_t i = 0; i < n_fds; i++)
        s->fds[i] = TAKE_FD(fds[i]);
    *f->fd_sets_tail = s;
    f->fd_sets_tail = &s->next;
    return 0;
}

/* One recvmsg: its result, or a negative errno. Descriptors are close-on-exec from the start. */
static ssize_t receive(Framing *f, int fds[static KENNEL_FDS_MAX], size_t *ret_n_fds, bool *ret_truncated) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(KENNEL_FDS_MAX * sizeof(int))];
    } control;
    size_t room = f->capacity - f->end;
    struct iovec vector = { f->buffer + f->end, room < READ_SHARE ? room : READ_SHARE };
    struct msghdr header = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    ssize_t n;

    do
        n = recvmsg(f->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    *ret_n_fds = collect_fds(&header, fds);
    *ret_truncated = header.msg_flags & MSG_CTRUNC;
    return n;
}

/* Takes N new bytes and the descriptors that came with them into account; those that stay in FDS the caller closes. */
static int accept_read(Framing *f, size_t n, int *fds, size_t n_fds, bool truncated, Error *reterr) {
    size_t begin;

    f->end += n;
    int r = scan(f, n, &begin);
    if (r < 0)
        return fail_size(f, reterr);
    /* the kernel closed those that did not fit, so that it is not known any more which is which */
    if (truncated)
        return fail(f, EMFILE, reterr,
                    n_fds == KENNEL_FDS_MAX ? "more file descriptors than one message may bring"
                                            : "no room for more file descriptors");
    if (n_fds == 0)
        return 0;
    if (begin == NONE)
        return fail(f, EBADMSG, reterr, "file descriptors in the middle of a message; they come with its first byte");
    r = keep_fds(f, fds, n_fds, begin);
    return r < 0 ? error_failed(reterr, -r, "recvmsg", "out of memory") : 0;
}

/* As if the last read had not been: a message of it may have lost its descriptors, and must not be obeyed without. */
static void forget_read(Framing *f, size_t end, size_t partial, size_t n_complete) {
    f->end = end;
    f->partial = partial;
    f->n_complete = n_complete;
}

int framing_read(Framing *f, Error *reterr) {
    int fds[KENNEL_FDS_MAX];
    size_t n_fds = 0;
    bool truncated = false;

    if (f->broken)
        return fail(f, f->broken, reterr, "nothing can be read after an earlier error");
    int r = make_room(f);
    if (r < 0)
        return error_failed(reterr, -r, "recvmsg", "out of memory");
    ssize_t n = receive(f, fds, &n_fds, &truncated);
    if (n == -EAGAIN)
        return 0;
    if (n == 0 || n == -ECONNRESET)
        return error_failed(reterr, ECONNRESET, "recvmsg", "the peer has closed the connection");
    if (n < 0)
        return error_failed(reterr, (int) -n, "recvmsg", "%s", strerror((int) -n));
    size_t end = f->end, partial = f->partial, n_complete = f->n_complete;
    r = accept_read(f, (size_t) n, fds, n_fds, truncated, reterr);
    if (r < 0) {
        if (r != -EMSGSIZE) /* what is complete before a message that is too large has its own */
            forget_read(f, end, partial, n_complete);
        close_all(fds, n_fds);
        if (!f->broken) /* bytes went by that cannot be had again */
            f->broken = -r;
        return r;
    }
    return 1;
}

/* A message of SIZE bytes at `start`: the whole buffer if there is nothing else in it, else a copy. */
static char *take_bytes(Framing *f, size_t size) {
    bool alone = f->start + size + 1 == f->end;

    if (alone && f->capacity <= 4 * size + BUFFER_MIN) {
        if (f->start > 0)
            memmove(f->buffer, f->buffer + f->start, size + 1);
        char *bytes = TAKE_PTR(f->buffer);
        f->capacity = f->start = f->partial = f->end = 0;
        return bytes;
    }
    char *bytes = malloc(size + 1);
    if (!bytes)
        return NULL;
    memcpy(bytes, f->buffer + f->start, size + 1);
    f->start += size + 1;
    if (f->start == f->end) {
        f->start = f->partial = f->end = 0;
        if (f->capacity > BUFFER_KEPT) {
            free(TAKE_PTR(f->buffer));
            f->capacity = 0;
        }
    }
    return bytes;
}

static void take_fds(Framing *f, FramingMessage *m) {
    FdSet *s = f->fd_sets;

    if (!s || s->at != f->taken)
        return;
    f->fd_sets = s->next;
    if (!f->fd_sets)
        f->fd_sets_tail = &f->fd_sets;
    m->n_fds = s->n_fds;
    memcpy(m->fds, s->fds, s->n_fds * sizeof(int));
    free(s);
}

int framing_take(Framing *f, FramingMessage **ret) {
    _cleanup_(framing_message_freep) FramingMessage *m = NULL;

    if (f->n_complete == 0)
        return 0;
    m = malloc(sizeof(*m));
    if (!m)
        return -ENOMEM;
    *m = (FramingMessage){ .size = strlen(f->buffer + f->start) };
    m->bytes = take_bytes(f, m->size);
    if (!m->bytes)
        return -ENOMEM;
    take_fds(f, m);
    f->taken += m->size + 1;
    f->n_complete--;
    *ret = TAKE_PTR(m);
    return 1;
}

/* --- writing --- */

/* Room for a message of SIZE bytes, its NUL in place. */
static int new_chunk(const Framing *f, size_t size, const int *with_fds, size_t n_fds, Chunk **ret) {
    _cleanup_(chunk_freep) Chunk *c = NULL;

    if (n_fds > KENNEL_FDS_MAX)
        return -EINVAL;
    if (size >= f->out_max || f->out_size > f->out_max - size - 1)
        return -ENOBUFS;
    c = malloc(sizeof(*c) + n_fds * sizeof(int) + size + 1);
    if (!c)
        return -ENOMEM;
    *c = (Chunk){ .size = size + 1 };
    for (; c->n_fds < n_fds; c->n_fds++) {
        int fd = fcntl(with_fds[c->n_fds], F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
            return -errno;
        c->fds[c->n_fds] = fd;
    }
    chunk_bytes(c)[size] = 0;
    *ret = TAKE_PTR(c);
    return 0;
}

static void append_chunk(Framing *f, Chunk *c) {
    f->out_size += c->size;
    *f->chunks_tail = c;
    f->chunks_tail = &c->next;
}

int framing_queue(Framing *f, const char *bytes, size_t size, const int *with_fds, size_t n_fds) {
    Chunk *c;

    int r = new_chunk(f, size, with_fds, n_fds, &c);
    if (r < 0)
        return r;
    memcpy(chunk_bytes(c), bytes, size);
    append_chunk(f, c);
    return 0;
}

int framing_queue_pieces(Framing *f, const struct iovec *pieces, size_t n) {
    size_t size = 0;
    Chunk *c;

    for (size_t i = 0; i < n; i++)
        if (__builtin_add_overflow(size, pieces[i].iov_len, &size))
            return -ENOBUFS;
    int r = new_chunk(f, size, NULL, 0, &c);
    if (r < 0)
        return r;
    char *to = chunk_bytes(c);
    for (size_t i = 0; i < n; i++)
        to = mempcpy(to, pieces[i].iov_base, pieces[i].iov_len);
    append_chunk(f, c);
    return 0;
}

size_t framing_queued(const Framing *f) {
    return f->out_size;
}

/* Gathers what one sendmsg may carry: one message with descriptors, or messages without. */
static size_t gather(Framing *f, struct iovec vectors[static WRITE_VECTORS]) {
    size_t n = 0;

    for (Chunk *c = f->chunks; c && n < WRITE_VECTORS && (n == 0 || c->n_fds == 0); c = c->next) {
        vectors[n++] = (struct iovec){ chunk_bytes(c) + c->sent, c->size - c->sent };
        if (c->n_fds > 0)
            break;
    }
    return n;
}

static ssize_t send_some(Framing *f) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(KENNEL_FDS_MAX * sizeof(int))];
    } control = { 0 };
    struct iovec vectors[WRITE_VECTORS];
    struct msghdr header = { .msg_iov = vectors, .msg_iovlen = gather(f, vectors) };
    Chunk *first = f->chunks;
    ssize_t n;

    if (first->n_fds > 0 && first->sent == 0) {
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(first->n_fds * sizeof(int));
        memcpy(CMSG_DATA(&control.header), first->fds, first->n_fds * sizeof(int));
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(first->n_fds * sizeof(int));
    }
    do
        n = sendmsg(f->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Forgets what has been sent. Descriptors go with a message's first byte, so that they are gone when any byte is. */
static void drop_sent(Framing *f, size_t n) {
    f->out_size -= n;
    while (n > 0) {
        Chunk *c = f->chunks;
        size_t left = c->size - c->sent;
        if (n < left) {
            c->sent += n;
            close_all(c->fds, c->n_fds);
            return;
        }
        n -= left;
        f->chunks = c->next;
        if (!f->chunks)
            f->chunks_tail = &f->chunks;
        chunk_free(c);
    }
}

int framing_write(Framing *f) {
    while (f->chunks) {
        ssize_t n = send_some(f);
        if (n == -EAGAIN)
            return 0;
        if (n < 0)
            return (int) n;
        drop_sent(f, (size_t) n);
    }
    return 1;
}
