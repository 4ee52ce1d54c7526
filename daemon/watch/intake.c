/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The intake: one thread that takes in what the kernel tells, as fast as it comes, and passes on what concerns a container.
 *
 * fanotify tells each file that is opened to be executed on a mount that is marked; marks are on mounts of containers alone,
 * so that the host's own programs cost nothing. Its event brings the file open, which is why only mounts of file systems
 * that never wait for anybody are marked (watch.c): the kernel opens it in our read(), and without waiting for a lease that
 * somebody has on it. A file of the image, which is what nearly all are, costs the event, statx, readlink, openat2 and close,
 * and is forgotten.
 *
 * The process connector tells each exec and each change of name of the whole host: there is no narrower way to ask. A
 * filter on the socket drops everything else, and on kernels that can be told which events are wanted (6.6) nothing else is
 * made for us. For each that is left one file of /proc says whose it is, and its program, where fanotify has not told of it
 * (a memfd), is held until it is looked at: it may be over by then. It is only listened to while a subject asks for it.
 * Messages come from the kernel alone: those of other senders have a port number and are passed over.
 *
 * Nothing here waits for the look: what does not fit into its queue is counted.
 */

#include "watch/internal.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/stat.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>

#define QUEUE_BYTES         (4 * 1024 * 1024)
#define MESSAGES_BATCH      512U
#define MARKS_BATCH         64U
#define WHAT_EXEC           0x00000002U
#define WHAT_COMM           0x00000200U
#define REFILL_USEC         10000U
#define LISTENERS_MAX       257U /* of one subject: as many programs of Exec as may run, and the first */
#define LISTENERS_TOTAL_MAX 16384U

/* As glibc and the kernel's headers have them from 6.1 and 2.37 on. */
#ifndef FAN_REPORT_PIDFD
#define FAN_REPORT_PIDFD 0x00000080
#endif
#ifndef FAN_NOPIDFD
#define FAN_NOPIDFD (-1)
#endif

struct Intake {
    Watch *watch;
    int epoll_fd, wake_fd, timer_fd, marks_fd, events_fd;
    bool listening, ending; /* under the watch's lock */
    bool timed;             /* the timer runs */
    pthread_t thread;
    bool runs;
    struct seccomp_notif_sizes sizes;
    CallsListener *fresh;     /* under the watch's lock: not in the set yet */
    CallsListener *listeners; /* the thread's */
    size_t n_listeners;
    char no_marks[96], no_events[96];
};

/* ---- files that are opened to be executed ---- */

int intake_mark(Intake *i, int fd) {
    char path[40];
    if (i->marks_fd < 0)
        return -EOPNOTSUPP;
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fanotify_mark(i->marks_fd, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN_EXEC, AT_FDCWD, path) < 0)
        return -errno;
    return 0;
}

static int event_pidfd(const struct fanotify_event_metadata *m) {
    const struct fanotify_event_info_pidfd *p = (const void *) ((const char *) m + m->metadata_len);
    if (m->event_len < m->metadata_len + sizeof(*p) || p->hdr.info_type != FAN_EVENT_INFO_TYPE_PIDFD)
        return -EBADF;
    return p->pidfd >= 0 ? p->pidfd : p->pidfd == FAN_NOPIDFD ? -ESRCH : -EBADF;
}

static void on_opened(Intake *i, const struct fanotify_event_metadata *m) {
    Sighting g = { .kind = SIGHTING_OPENED, .host_pid = m->pid, .pidfd = event_pidfd(m), .file_fd = m->fd, .count = 1 };
    struct statx x;
    if (statx(m->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &x) >= 0)
        g.subject = watch_subject_of_mount(i->watch, x.stx_mnt_id);
    if (g.subject && !foreign_is_image(g.subject, m->fd, x.stx_mnt_id))
        watch_sighted(i->watch, &g);
    else
        sighting_done(&g);
}

/* Whose they were that did not fit into the kernel's queue nobody can say: they are missing from all. */
static void count_lost(Intake *i) {
    Watch *w = i->watch;
    (void) pthread_mutex_lock(&w->lock);
    for (WatchSubject *s = w->subjects; s; s = s->next)
        (void) atomic_fetch_add(&s->dropped, 1);
    (void) pthread_mutex_unlock(&w->lock);
}

static void on_mark(Intake *i, const struct fanotify_event_metadata *m) {
    if (!(m->mask & FAN_Q_OVERFLOW) && m->fd >= 0) {
        on_opened(i, m);
        return;
    }
    count_lost(i);
    (void) fd_close(event_pidfd(m));
}

/*
 * One at a time, and only where there is one: then any error is that of the kernel's own open of its file for us. That is
 * EMFILE, or EAGAIN where somebody holds a lease on it, for whose end it does not wait. With several to a read the kernel
 * would keep the error of all but the first for itself.
 */
static void on_marks(Intake *i) {
    struct {
        struct fanotify_event_metadata m;
        struct fanotify_event_info_pidfd pidfd;
    } event;
    struct pollfd p = { .fd = i->marks_fd, .events = POLLIN };
    for (unsigned k = 0; k < MARKS_BATCH && (k == 0 || poll(&p, 1, 0) > 0); k++) {
        ssize_t n = read(i->marks_fd, &event, sizeof(event));
        if (n < 0 && errno != EINTR)
            count_lost(i);
        else if (n > 0 && FAN_EVENT_OK(&event.m, n))
            on_mark(i, &event.m);
    }
}

/* ---- programs that were executed, names that were changed ---- */

typedef struct Message {
    struct nlmsghdr header;
    struct cn_msg connector;
    struct proc_event event;
} __attribute__((packed)) Message;

#define OFFSET(member) (offsetof(Message, event) + offsetof(struct proc_event, member))

/* The loads of a socket filter take the packet for big-endian. Both events begin with pid and tgid: the first thread's. */
static int attach_filter(int fd) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, OFFSET(what)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(WHAT_EXEC), 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(WHAT_COMM), 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, OFFSET(event_data.exec.process_pid)),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, OFFSET(event_data.exec.process_tgid)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = { ELEMENTSOF(code), code };
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

static bool kernel_takes_masks(void) {
    struct utsname u;
    unsigned major = 0, minor = 0;
    return uname(&u) >= 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 6));
}

/* struct proc_input of 6.6; earlier kernels take no message of that length. */
static int subscribe(int fd, bool on) {
    struct {
        struct nlmsghdr header;
        struct cn_msg connector;
        uint32_t operation, events;
    } __attribute__((packed)) m = {
        .header = { .nlmsg_type = NLMSG_DONE },
        .connector = { .id = { CN_IDX_PROC, CN_VAL_PROC } },
        .operation = on ? PROC_CN_MCAST_LISTEN : PROC_CN_MCAST_IGNORE,
        .events = WHAT_EXEC | WHAT_COMM,
    };
    int group = CN_IDX_PROC;
    size_t size = sizeof(m) - (kernel_takes_masks() ? 0 : sizeof(m.events));
    m.header.nlmsg_len = (uint32_t) size;
    m.connector.len = (uint16_t) (size - offsetof(typeof(m), operation));
    if (setsockopt(fd, SOL_NETLINK, on ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP, &group, sizeof(group)) < 0)
        return -errno;
    return send(fd, &m, size, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Before the first container's program runs, not when the thread gets to it: nothing of it is to be missed. */
void intake_listen(Intake *i) {
    bool wanted = i->watch->n_asking > 0;
    if (i->events_fd >= 0 && wanted != i->listening && subscribe(i->events_fd, wanted) >= 0)
        i->listening = wanted;
}

static int open_events(void) {
    struct sockaddr_nl address = { .nl_family = AF_NETLINK };
    int bytes = QUEUE_BYTES;
    _cleanup_fd_ int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);
    if (fd < 0)
        return -errno;
    (void) setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)); /* what it is anyway will do */
    int r = attach_filter(fd);
    if (r < 0)
        return r;
    if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
        return -errno;
    r = subscribe(fd, true); /* is it allowed? */
    if (r < 0)
        return r;
    (void) subscribe(fd, false);
    return TAKE_FD(fd);
}

/* Its program, if it is on no mount that is marked; -EBADF: it is, or is not to be had. */
static int program_of(const WatchSubject *s, pid_t pid) {
    char path[40];
    struct statx x;
    (void) snprintf(path, sizeof(path), "/proc/%d/exe", (int) pid);
    if (!watch_wants(s, FINDING_FOREIGN_PROGRAM))
        return -EBADF;
    _cleanup_fd_ int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &x) < 0 ||
        x.stx_mnt_id == s->usr_mount || x.stx_mnt_id == s->root_mount || foreign_is_marked(s, x.stx_mnt_id))
        return -EBADF;
    return TAKE_FD(fd);
}

static bool is_wanted(const WatchSubject *s, SightingKind kind) {
    return watch_wants(s, FINDING_DISGUISE) ||
           (kind == SIGHTING_EXECUTED && (watch_wants_programs(s) || watch_wants(s, FINDING_PRELOAD)));
}

static void on_event(Intake *i, const struct proc_event *e) {
    if (e->what != WHAT_EXEC && e->what != WHAT_COMM)
        return;
    pid_t pid = e->event_data.exec.process_tgid;
    Sighting g = {
        .kind = e->what == WHAT_EXEC ? SIGHTING_EXECUTED : SIGHTING_RENAMED,
        .subject = watch_subject_of(i->watch, pid),
        .host_pid = pid,
        .pidfd = -EBADF,
        .file_fd = -EBADF,
        .count = 1,
    };
    if (!g.subject)
        return;
    if (!is_wanted(g.subject, g.kind)) {
        sighting_done(&g);
        return;
    }
    if (g.kind == SIGHTING_EXECUTED)
        g.file_fd = program_of(g.subject, pid);
    watch_sighted(i->watch, &g);
}

static void on_events(Intake *i) {
    for (unsigned k = 0; k < MESSAGES_BATCH; k++) {
        Message m = { 0 };
        struct proc_event event;
        struct sockaddr_nl from = { 0 };
        socklen_t size = sizeof(from);
        ssize_t n = recvfrom(i->events_fd, &m, sizeof(m), MSG_DONTWAIT, (struct sockaddr *) &from, &size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == ENOBUFS) {
            count_lost(i);
            continue;
        }
        if (n < 0)
            return;
        memcpy(&event, &m.event, sizeof(event));
        if (n >= (ssize_t) (OFFSET(event_data.exec.process_tgid) + sizeof(uint32_t)) && from.nl_pid == 0 &&
            m.connector.id.idx == CN_IDX_PROC)
            on_event(i, &event);
    }
}

/* ---- refused calls ---- */

int intake_add_calls(Intake *i, WatchSubject *s, int consume_fd) {
    CallsListener *l = calloc(1, sizeof(CallsListener));
    if (!l) {
        (void) fd_close(consume_fd);
        return -ENOMEM;
    }
    *l = (CallsListener){ .subject = watch_subject_ref(s), .fd = consume_fd };
    (void) pthread_mutex_lock(&i->watch->lock);
    l->next = i->fresh;
    i->fresh = l;
    (void) pthread_mutex_unlock(&i->watch->lock);
    intake_wake(i);
    return 0;
}

static void listener_free(Intake *i, CallsListener *l) {
    if (l->added) /* the fd may live on in a process of the container's */
        (void) epoll_ctl(i->epoll_fd, EPOLL_CTL_DEL, l->fd, NULL);
    (void) fd_close(l->fd);
    (void) watch_subject_unref(l->subject);
    free(l);
}

static void remove_listener(Intake *i, CallsListener *l) {
    for (CallsListener **p = &i->listeners; *p; p = &(*p)->next)
        if (*p == l) {
            *p = l->next;
            i->n_listeners--;
            listener_free(i, l);
            return;
        }
}

static size_t listeners_of(const Intake *i, const WatchSubject *s) {
    size_t n = 0;
    for (const CallsListener *l = i->listeners; l; l = l->next)
        n += l->subject == s;
    return n;
}

/* A listener that is closed has its calls fail with ENOSYS; the program sees to it that nobody inside can have another. */
static void add_fresh(Intake *i) {
    (void) pthread_mutex_lock(&i->watch->lock);
    CallsListener *fresh = TAKE_PTR(i->fresh);
    (void) pthread_mutex_unlock(&i->watch->lock);
    for (CallsListener *l = fresh, *next; l; l = next) {
        next = l->next;
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = l };
        if (atomic_load(&l->subject->closed) || i->n_listeners >= LISTENERS_TOTAL_MAX ||
            listeners_of(i, l->subject) >= LISTENERS_MAX || epoll_ctl(i->epoll_fd, EPOLL_CTL_ADD, l->fd, &e) < 0) {
            atomic_store(&l->subject->calls_unheard, true);
            listener_free(i, l);
            continue;
        }
        l->added = true;
        l->next = i->listeners;
        i->listeners = l;
        i->n_listeners++;
    }
}

static void drop_closed(Intake *i) {
    for (CallsListener *l = i->listeners, *next; l; l = next) {
        next = l->next;
        if (atomic_load(&l->subject->closed))
            remove_listener(i, l);
    }
}

static void start_timer(Intake *i) {
    struct itimerspec t = { .it_value.tv_nsec = REFILL_USEC * 1000L };
    if (!i->timed && timerfd_settime(i->timer_fd, 0, &t, NULL) >= 0)
        i->timed = true;
}

static void pause_listener(Intake *i, CallsListener *l, bool pause) {
    struct epoll_event e = { .events = pause ? 0 : EPOLLIN, .data.ptr = l };
    l->paused = pause;
    (void) epoll_ctl(i->epoll_fd, EPOLL_CTL_MOD, l->fd, &e);
}

static void on_listener(Intake *i, CallsListener *l, uint32_t events) {
    bool exhausted = false;
    if (events & EPOLLIN)
        calls_serve(l, &i->sizes, &exhausted);
    if (exhausted)
        pause_listener(i, l, true);
    if (events & EPOLLIN)
        start_timer(i);
    else if (events & (EPOLLHUP | EPOLLERR))
        remove_listener(i, l);
}

/* Those that had used up their share may go on, and what was counted is told. */
static void on_timer(Intake *i) {
    bool again = false;
    uint64_t n, now = watch_now();
    (void) !read(i->timer_fd, &n, sizeof(n));
    i->timed = false;
    for (CallsListener *l = i->listeners; l; l = l->next) {
        again |= calls_flush(l->subject, now);
        if (l->paused && calls_refill(l->subject))
            pause_listener(i, l, false);
        again |= l->paused;
    }
    if (again)
        start_timer(i);
}

/* ---- the thread ---- */

void intake_wake(Intake *i) {
    (void) eventfd_write(i->wake_fd, 1);
}

/* False: the end. */
static bool on_wake(Intake *i) {
    uint64_t n;
    (void) eventfd_read(i->wake_fd, &n);
    (void) pthread_mutex_lock(&i->watch->lock);
    bool ending = i->ending;
    intake_listen(i);
    (void) pthread_mutex_unlock(&i->watch->lock);
    if (ending)
        return false;
    add_fresh(i);
    drop_closed(i);
    return true;
}

/* What the set tells: one of our own fds by its address, else a listener. A listener that another event of the same batch
 * has removed is not looked at: it is only removed by an event of its own, or by waking, which comes last. */
static bool dispatch(Intake *i, const struct epoll_event *e, bool *ret_woken) {
    void *p = e->data.ptr;
    if (p == &i->wake_fd)
        *ret_woken = true;
    else if (p == &i->marks_fd)
        on_marks(i);
    else if (p == &i->events_fd)
        on_events(i);
    else if (p == &i->timer_fd)
        on_timer(i);
    else
        on_listener(i, p, e->events);
    return true;
}

static void *intake_main(void *userdata) {
    Intake *i = userdata;
    struct epoll_event events[64];
    for (bool woken = false;; woken = false) {
        int n = epoll_wait(i->epoll_fd, events, ELEMENTSOF(events), -1);
        for (int k = 0; k < n; k++)
            (void) dispatch(i, &events[k], &woken);
        if (woken && !on_wake(i))
            return NULL;
    }
}

static int add_own(Intake *i, int *fd) {
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = fd };
    return *fd >= 0 && epoll_ctl(i->epoll_fd, EPOLL_CTL_ADD, *fd, &e) < 0 ? -errno : 0;
}

/* A queue with an end: what does not fit is told as an overflow. Marks are as many as containers have mounts. */
static void open_sources(Intake *i) {
    i->marks_fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_PIDFD | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_MARKS,
                                O_RDONLY | O_CLOEXEC | O_LARGEFILE | O_NOATIME | O_NONBLOCK);
    if (i->marks_fd < 0)
        (void) snprintf(i->no_marks, sizeof(i->no_marks), "fanotify: %s", strerror(errno));
    i->events_fd = open_events();
    if (i->events_fd < 0)
        (void) snprintf(i->no_events, sizeof(i->no_events), "the kernel's process connector: %s",
                        strerror(-i->events_fd));
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &i->sizes) < 0)
        i->sizes = (struct seccomp_notif_sizes){ 0 };
}

static int start_thread(Intake *i) {
    sigset_t all, saved;
    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &saved);
    int r = -pthread_create(&i->thread, NULL, intake_main, i);
    (void) pthread_sigmask(SIG_SETMASK, &saved, NULL);
    i->runs = r >= 0;
    if (i->runs)
        (void) pthread_setname_np(i->thread, "intake");
    return r;
}

static int begin(Intake *i) {
    open_sources(i);
    i->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    i->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    i->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (i->epoll_fd < 0 || i->wake_fd < 0 || i->timer_fd < 0)
        return -errno;
    int *own[] = { &i->wake_fd, &i->timer_fd, &i->marks_fd, &i->events_fd };
    for (size_t k = 0; k < ELEMENTSOF(own); k++) {
        int r = add_own(i, own[k]);
        if (r < 0)
            return r;
    }
    return start_thread(i);
}

int intake_new(Watch *w, Intake **ret, Error *reterr) {
    Intake *i = calloc(1, sizeof(Intake));
    if (!i)
        return error_failed(reterr, ENOMEM, "watch", "out of memory");
    i->watch = w;
    i->epoll_fd = i->wake_fd = i->timer_fd = i->marks_fd = i->events_fd = -EBADF;
    int r = begin(i);
    if (r < 0) {
        (void) intake_free(i);
        return error_failed(reterr, -r, "watch", "the intake cannot begin: %s", strerror(-r));
    }
    *ret = i;
    return 0;
}

Intake *intake_free(Intake *i) {
    if (!i)
        return NULL;
    (void) pthread_mutex_lock(&i->watch->lock);
    i->ending = true;
    (void) pthread_mutex_unlock(&i->watch->lock);
    if (i->runs) {
        intake_wake(i);
        (void) pthread_join(i->thread, NULL);
    }
    if (i->listening)
        (void) subscribe(i->events_fd, false);
    while (i->listeners)
        remove_listener(i, i->listeners);
    for (CallsListener *l = i->fresh, *next; l; l = next) {
        next = l->next;
        listener_free(i, l);
    }
    (void) fd_close(i->marks_fd);
    (void) fd_close(i->events_fd);
    (void) fd_close(i->timer_fd);
    (void) fd_close(i->wake_fd);
    (void) fd_close(i->epoll_fd);
    free(i);
    return NULL;
}

const char *intake_missing_marks(const Intake *i) {
    return i->no_marks[0] ? i->no_marks : NULL;
}

const char *intake_missing_events(const Intake *i) {
    return i->no_events[0] ? i->no_events : NULL;
}
