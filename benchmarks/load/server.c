/* The ceiling: an echo server in C, one thread, level-triggered epoll, on a socket that it is given (--fd).
 *
 * One recv and one send a readiness, as an event loop does them; what the kernel does not take is kept, and nothing
 * more is read from that peer until it has gone. --udp: datagrams, up to BATCH a readiness. --tls CERTIFICATE (a PEM
 * file with the key in it): OpenSSL on the socket, when built with -DWITH_TLS. Ends when its standard input ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#endif

enum { EVENTS = 256, RECEIVE = 1 << 18, BATCH = 64 };

struct peer {
    int fd;
    char *rest; /* what the kernel has not taken yet */
    size_t rest_at, rest_end;
#ifdef WITH_TLS
    SSL *tls;
#endif
};

static int epoll_fd;
static char buffer[RECEIVE];
#ifdef WITH_TLS
static SSL_CTX *context;
#endif

static _Noreturn void fail(const char *what) {
    perror(what);
    exit(1);
}

static void watch(int operation, int fd, uint32_t events, void *peer) {
    struct epoll_event event = {.events = events, .data.ptr = peer};
    if (epoll_ctl(epoll_fd, operation, fd, &event)) fail("epoll_ctl");
}

/* As recv() and send() speak: -1 and EAGAIN when it has to wait. */
static ssize_t get(struct peer *p) {
#ifdef WITH_TLS
    if (p->tls) {
        int n = SSL_read(p->tls, buffer, RECEIVE), error = n > 0 ? 0 : SSL_get_error(p->tls, n);
        if (error) errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
        return n > 0 ? n : error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
    }
#endif
    return recv(p->fd, buffer, RECEIVE, 0);
}

static ssize_t put(struct peer *p, const char *bytes, size_t count) {
#ifdef WITH_TLS
    if (p->tls) {
        int n = SSL_write(p->tls, bytes, (int)count), error = n > 0 ? 0 : SSL_get_error(p->tls, n);
        if (error) errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
        return n > 0 ? n : -1;
    }
#endif
    return send(p->fd, bytes, count, MSG_NOSIGNAL);
}

static void drop(struct peer *p) {
#ifdef WITH_TLS
    if (p->tls) SSL_free(p->tls);
#endif
    close(p->fd);
    free(p->rest);
    free(p);
}

static void take_in(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct peer *p = calloc(1, sizeof *p);
        if (!p) fail("calloc");
        p->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* not on a Unix socket; no matter */
#ifdef WITH_TLS
        if (context) {
            p->tls = SSL_new(context);
            SSL_set_fd(p->tls, fd);
            SSL_set_accept_state(p->tls);
        }
#endif
        watch(EPOLL_CTL_ADD, fd, EPOLLIN, p);
    }
}

/* Sends from `bytes`; keeps what is left. Returns -1 when the peer is gone. */
static int give(struct peer *p, const char *bytes, size_t count) {
    size_t done = 0;
    while (done < count) {
        ssize_t n = put(p, bytes + done, count - done);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) return -1;
        done += (size_t)n;
    }
    if (done == count) return 0;
    p->rest = malloc(count - done);
    if (!p->rest) fail("malloc");
    memcpy(p->rest, bytes + done, count - done);
    p->rest_at = 0;
    p->rest_end = count - done;
    watch(EPOLL_CTL_MOD, p->fd, EPOLLOUT, p);
    return 0;
}

static void give_rest(struct peer *p) {
    while (p->rest_at < p->rest_end) {
        ssize_t n = put(p, p->rest + p->rest_at, p->rest_end - p->rest_at);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) {
            drop(p);
            return;
        }
        p->rest_at += (size_t)n;
    }
    free(p->rest);
    p->rest = 0;
    watch(EPOLL_CTL_MOD, p->fd, EPOLLIN, p);
}

static void answer(struct peer *p) {
    for (;;) {
        ssize_t n = get(p);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0 || give(p, buffer, (size_t)n)) {
            drop(p);
            return;
        }
#ifdef WITH_TLS
        if (p->tls && !p->rest && SSL_pending(p->tls)) continue;
#endif
        return;
    }
}

static void answer_datagrams(int fd) {
    struct sockaddr_storage from;
    for (int i = 0; i < BATCH; i++) {
        socklen_t length = sizeof from;
        ssize_t n = recvfrom(fd, buffer, RECEIVE, MSG_DONTWAIT, (struct sockaddr *)&from, &length);
        if (n < 0) return;
        sendto(fd, buffer, (size_t)n, MSG_DONTWAIT, (struct sockaddr *)&from, length);
    }
}

static void settle(int core) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (core >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)core, &set);
        if (sched_setaffinity(0, sizeof set, &set)) fail("sched_setaffinity");
    }
    if (setpriority(PRIO_PROCESS, 0, -20)) return;
    FILE *group = fopen("/proc/self/autogroup", "w");
    if (group) fputs("-20", group), fclose(group);
}

int main(int argc, char **argv) {
    static const struct option names[] = {
        {"fd", 1, 0, 'f'}, {"core", 1, 0, 'c'}, {"udp", 0, 0, 'u'}, {"tls", 1, 0, 't'}, {0}};
    static int listener = -1, core = -1, udp;
    for (int c; (c = getopt_long(argc, argv, "", names, 0)) != -1;) switch (c) {
            case 'f': listener = atoi(optarg); break;
            case 'c': core = atoi(optarg); break;
            case 'u': udp = 1; break;
#ifdef WITH_TLS
            case 't':
                context = SSL_CTX_new(TLS_server_method());
                if (!context || SSL_CTX_use_certificate_chain_file(context, optarg) != 1 ||
                    SSL_CTX_use_PrivateKey_file(context, optarg, SSL_FILETYPE_PEM) != 1)
                    fail("certificate");
                SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
                break;
#endif
            default: exit(2);
        }
    settle(core);
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(0);
    static struct peer quit;
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
    watch(EPOLL_CTL_ADD, 0, EPOLLIN, &quit);
    for (struct epoll_event events[EVENTS];;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        if (n < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < n; i++) {
            void *p = events[i].data.ptr;
            if (p == &quit) return 0;
            if (p == &listener) udp ? answer_datagrams(listener) : take_in(listener);
            else if (events[i].events & EPOLLOUT) give_rest(p);
            else answer(p);
        }
    }
}
