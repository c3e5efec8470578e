/* A load generator for echo servers, and with --http for web servers, on the loopback.
 *
 * One thread, one epoll, and it never blocks: it spins, so that the server never pays for waking it.
 * Each of --connections keeps --depth messages of --size bytes in flight. Every reply is compared byte by
 * byte with what was sent; a message opens with its connection and number, so a reply that strays, is lost
 * or comes twice is found. After a warm-up all replies are awaited, then the measured phase runs and all
 * replies are awaited again; the server's CPU time is read (schedstat of all tasks of --pid) while it is idle
 * on both sides, so neither connecting nor warming up is counted.
 *
 *   --http   a message is a GET of "/", on connections that stay open; the first reply is the yardstick of all
 *            the others but for its headers, whose length must not change.
 *   --unix   a Unix socket's path ("@name": an abstract one) instead of host and port.
 *   --udp    datagrams, one in flight a connection; one without a reply for 50 ms is sent again and counted as lost.
 *   --tls    TLS, when built with -DWITH_TLS; the server's certificate is not verified.
 *   --turns  a descriptor of a stream socket: a measured phase for each byte that comes, its finding written back as a
 *            line, until the other side closes. Whoever measures several servers can have them take turns.
 *   --rate   so many messages a second over all connections, at set times, ready or not: latency counts from the
 *            time a message was due, so a server that stops answering for a while cannot hide it.
 *
 * Prints one JSON object, of the last phase. Exit status 0, or 1 with a message on stderr. Linux only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#endif

enum { HEADER = 16, EVENTS = 256, RECEIVE = 1 << 18 };
static const uint64_t SECOND = 1000000000u, SILENCE = 10 * 1000000000ull,
                      LOST = 50000000u;

struct connection {
    int fd, waiting_to_write;
    uint64_t index, sent, received; /* messages */
    size_t reply_at;                /* bytes of the current reply seen so far */
    char *out;                      /* size * depth bytes: all that can be in flight */
    size_t out_start, out_end;
    uint64_t *sent_at; /* ring of depth */
#ifdef WITH_TLS
    SSL *tls;
#endif
};

static struct {
    const char *host, *unix_path;
    int port, core, udp, tls;
    size_t connections, size, depth;
    double seconds, warmup, rate;
    uint64_t requests; /* 0: by time */
    int pid, http, turns;
} option = {.host = "127.0.0.1", .core = -1, .turns = -1, .connections = 100, .size = 1024, .depth = 1, .seconds = 2, .warmup = 0.3};

static const char GET[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", OK[] = "HTTP/1.1 200 ";
static char *template, *buffer;     /* what is sent and comes back; with --http: what came back first */
static size_t request_size, body_at; /* bytes of a message that is sent; --http: where the body begins in a reply */
static int epoll_fd;
static uint64_t started, answered, lost; /* of this phase */
static uint32_t *latency;
static size_t latencies, latency_room;

static _Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static void *allocate(size_t bytes) {
    void *memory = calloc(1, bytes ? bytes : 1);
    if (!memory) fail("out of memory: %zu bytes", bytes);
    return memory;
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* First field of schedstat: nanoseconds on a CPU, exact while the task sleeps. */
static uint64_t server_cpu(void) {
    char path[64], name[352];
    uint64_t total = 0, one;
    if (!option.pid) return 0;
    snprintf(path, sizeof path, "/proc/%d/task", option.pid);
    DIR *tasks = opendir(path);
    if (!tasks) fail("cannot read %s: %s", path, strerror(errno));
    for (struct dirent *task; (task = readdir(tasks));) {
        if (task->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%s/%s/schedstat", path, task->d_name);
        FILE *file = fopen(name, "r");
        if (!file) continue; /* the task ended meanwhile */
        if (fscanf(file, "%" SCNu64, &one) == 1) total += one;
        fclose(file);
    }
    closedir(tasks);
    return total;
}

static void watch(struct connection *c, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, operation, c->fd, &event)) fail("epoll_ctl: %s", strerror(errno));
}

static void header_of(const struct connection *c, uint64_t number, char *header) {
    uint64_t words[2] = {c->index, number};
    memcpy(header, words, HEADER);
}

#ifdef WITH_TLS
/* As send() and recv() speak: -1 and EAGAIN when it has to wait. */
static ssize_t tls_result(struct connection *c, int n) {
    if (n > 0) return n;
    int error = SSL_get_error(c->tls, n);
    if (error == SSL_ERROR_ZERO_RETURN) return 0;
    if (error != SSL_ERROR_SYSCALL) errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
    return -1;
}
#endif

static ssize_t put(struct connection *c, const char *bytes, size_t count) {
#ifdef WITH_TLS
    if (c->tls) return tls_result(c, SSL_write(c->tls, bytes, (int)count));
#endif
    return send(c->fd, bytes, count, MSG_NOSIGNAL);
}

static ssize_t get(struct connection *c, char *bytes, size_t room) {
#ifdef WITH_TLS
    if (c->tls) return tls_result(c, SSL_read(c->tls, bytes, (int)room));
#endif
    return recv(c->fd, bytes, room, 0);
}

static void flush_out(struct connection *c) {
    while (c->out_start < c->out_end) {
        ssize_t n = put(c, c->out + c->out_start, c->out_end - c->out_start);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (n < 0) fail("send on connection %" PRIu64 ": %s", c->index, strerror(errno));
        c->out_start += (size_t)n;
    }
    if (c->out_start == c->out_end) c->out_start = c->out_end = 0;
    int waiting = c->out_end != 0;
    if (waiting != c->waiting_to_write) {
        watch(c, EPOLL_CTL_MOD, waiting ? EPOLLIN | EPOLLOUT : EPOLLIN);
        c->waiting_to_write = waiting;
    }
}

static void queue_message(struct connection *c, uint64_t time) {
    if (c->out_start) { /* only after a partial write */
        memmove(c->out, c->out + c->out_start, c->out_end - c->out_start);
        c->out_end -= c->out_start;
        c->out_start = 0;
    }
    memcpy(c->out + c->out_end, option.http ? GET : template, request_size);
    if (!option.http) header_of(c, c->sent, c->out + c->out_end);
    c->out_end += request_size;
    c->sent_at[c->sent++ % option.depth] = time;
    started++;
}

static void note_latency(uint64_t nanoseconds) {
    if (latencies == latency_room) {
        latency_room = latency_room ? latency_room * 2 : 1 << 16;
        latency = realloc(latency, latency_room * sizeof *latency);
        if (!latency) fail("out of memory for latencies");
    }
    latency[latencies++] = nanoseconds > UINT32_MAX ? UINT32_MAX : (uint32_t)nanoseconds;
}

static void check(const struct connection *c, const char *bytes, size_t at, size_t count) {
    char header[HEADER];
    size_t in_header = at < HEADER ? HEADER - at : 0;
    if (in_header > count) in_header = count;
    header_of(c, c->received, header);
    if (memcmp(bytes, header + at, in_header) ||
        memcmp(bytes + in_header, template + at + in_header, count - in_header))
        fail("connection %" PRIu64 ": reply %" PRIu64 " is not what was sent", c->index, c->received);
}

/* As check() for a reply of a web server: the status and the body. */
static void check_http(const struct connection *c, const char *bytes, size_t at, size_t count) {
    size_t status = at < sizeof OK - 1 ? sizeof OK - 1 - at : 0, skip = at < body_at ? body_at - at : 0;
    if (status > count) status = count;
    if (skip > count) skip = count;
    if (memcmp(bytes, template + at, status) || memcmp(bytes + skip, template + at + skip, count - skip))
        fail("connection %" PRIu64 ": reply %" PRIu64 " is not what came first", c->index, c->received);
}

static int already_answered(const struct connection *c) {
    uint64_t words[2];
    memcpy(words, buffer, HEADER);
    return words[0] == c->index && words[1] < c->received;
}

/* Returns how many bytes came. */
static ssize_t take_some(struct connection *c, int go_on) {
    ssize_t got = get(c, buffer, RECEIVE);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (got < 0) fail("recv on connection %" PRIu64 ": %s", c->index, strerror(errno));
    if (got == 0) fail("the server closed connection %" PRIu64, c->index);
    if (option.udp && (size_t)got != option.size) fail("a datagram of %zd bytes", got);
    if (option.udp && already_answered(c)) return got; /* one that was sent again, and had not been lost */
    uint64_t time = now();
    for (size_t done = 0; done < (size_t)got;) {
        size_t count = option.size - c->reply_at;
        if (count > (size_t)got - done) count = (size_t)got - done;
        if (c->received == c->sent) fail("connection %" PRIu64 ": more came back than was sent", c->index);
        (option.http ? check_http : check)(c, buffer + done, c->reply_at, count);
        done += count;
        c->reply_at += count;
        if (c->reply_at < option.size) break;
        c->reply_at = 0;
        note_latency(time - c->sent_at[c->received++ % option.depth]);
        answered++;
        if (go_on && (!option.requests || started < option.requests)) queue_message(c, time);
    }
    if (c->out_end && !c->waiting_to_write) flush_out(c);
    return got;
}

static void take_replies(struct connection *c, int go_on) {
    while (take_some(c, go_on) > 0 && option.tls) {} /* what OpenSSL has decrypted, epoll does not know of */
}

static void send_again(struct connection *connections) {
    for (size_t i = 0; i < option.connections; i++) {
        struct connection *c = &connections[i];
        if (c->received == c->sent) continue;
        header_of(c, c->received, template);
        if (send(c->fd, template, option.size, MSG_NOSIGNAL) < 0 && errno != EAGAIN) fail("send: %s", strerror(errno));
        lost++;
    }
}

/* Sends until the end, then waits for all replies. Returns nanoseconds from first message to last reply. */
static uint64_t phase(struct connection *connections, double seconds, uint64_t requests) {
    uint64_t begin = now(), end = begin + (uint64_t)(seconds * 1e9), time = begin, last = begin, seen = 0, resent = begin;
    struct epoll_event events[EVENTS];
    option.requests = requests;
    started = answered = latencies = lost = 0;
    for (size_t i = 0; i < option.connections && !option.rate; i++) {
        for (size_t k = 0; k < option.depth && (!requests || started < requests); k++)
            queue_message(&connections[i], begin);
        flush_out(&connections[i]);
    }
    uint64_t due = begin, number = 0;
    while (answered < started || (option.rate && time < end)) {
        for (; option.rate && due <= time && due < end; due = begin + (uint64_t)((double)++number * 1e9 / option.rate)) {
            struct connection *c = &connections[number % option.connections];
            if (c->sent - c->received == option.depth) fail("the server is %zu messages behind the rate", option.depth);
            queue_message(c, due);
            flush_out(c);
        }
        int n = epoll_wait(epoll_fd, events, EVENTS, 0);
        if (n < 0 && errno != EINTR) fail("epoll_wait: %s", strerror(errno));
        time = now();
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) flush_out(c);
            if (events[i].events & ~(uint32_t)EPOLLOUT) take_replies(c, option.rate ? 0 : requests ? 1 : time < end);
        }
        if (answered != seen || answered == started) seen = answered, last = time;
        if (option.udp && time - last > LOST && time - resent > LOST) send_again(connections), resent = time;
        if (time - last > SILENCE)
            fail("no reply for 10 s: %" PRIu64 " of %" PRIu64 " answered", answered, started);
    }
    return now() - begin;
}

static int connected(void) {
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons((uint16_t)option.port)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr *address = (struct sockaddr *)&inet;
    socklen_t length = sizeof inet;
    if (option.unix_path) {
        size_t path = strlen(option.unix_path);
        if (path >= sizeof local.sun_path) fail("too long a path: %s", option.unix_path);
        memcpy(local.sun_path, option.unix_path, path);
        if (local.sun_path[0] == '@') local.sun_path[0] = 0;
        address = (struct sockaddr *)&local;
        length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path);
    } else if (inet_pton(AF_INET, option.host, &inet.sin_addr) != 1) {
        fail("not an IPv4 address: %s", option.host);
    }
    int on = 1, fd = socket(address->sa_family, option.udp ? SOCK_DGRAM : SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, address, length)) fail("connect: %s", strerror(errno));
    if (!option.unix_path && !option.udp) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* Asks once, to learn what the replies look like. Their body is --size bytes. */
static void learn_reply(void) {
    int fd = connected();
    size_t got = 0;
    if (send(fd, GET, request_size, MSG_NOSIGNAL) != (ssize_t)request_size) fail("send: %s", strerror(errno));
    while (!body_at || got < body_at + option.size) {
        ssize_t n = got < RECEIVE - 1 ? recv(fd, buffer + got, RECEIVE - 1 - got, 0) : 0;
        if (n <= 0) fail("the first reply ends after %zu bytes", got);
        got += (size_t)n;
        char *end = strstr(buffer, "\r\n\r\n");
        if (end) body_at = (size_t)(end - buffer) + 4;
    }
    close(fd);
    option.size += body_at;
    if (got != option.size || memcmp(buffer, OK, sizeof OK - 1)) fail("not the reply it should be: %.200s", buffer);
    template = allocate(got);
    memcpy(template, buffer, got);
}

static void open_connection(struct connection *c, size_t index) {
    c->index = index;
    c->fd = connected();
#ifdef WITH_TLS
    if (option.tls) {
        static SSL_CTX *context;
        if (!context && !(context = SSL_CTX_new(TLS_client_method()))) fail("no TLS context");
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        c->tls = SSL_new(context);
        SSL_set_fd(c->tls, c->fd);
        if (SSL_connect(c->tls) != 1) fail("the TLS handshake of connection %zu failed", index);
    }
#endif
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->out = allocate(request_size * option.depth);
    c->sent_at = allocate(option.depth * sizeof *c->sent_at);
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile(double share) {
    return latencies ? latency[(size_t)(share * (double)(latencies - 1))] / 1e3 : 0;
}

static void parse(int argc, char **argv) {
    static const struct option names[] = {
        {"host", 1, 0, 'h'},  {"port", 1, 0, 'p'},    {"connections", 1, 0, 'n'}, {"size", 1, 0, 's'},
        {"depth", 1, 0, 'd'}, {"seconds", 1, 0, 't'}, {"requests", 1, 0, 'r'},    {"warmup", 1, 0, 'w'},
        {"pid", 1, 0, 'i'},   {"core", 1, 0, 'c'},    {"http", 0, 0, 'g'},
        {"unix", 1, 0, 'u'},  {"udp", 0, 0, 'U'},    {"tls", 0, 0, 'T'},         {"rate", 1, 0, 'R'},
        {"turns", 1, 0, 'S'},
        {0}};
    for (int c; (c = getopt_long(argc, argv, "", names, 0)) != -1;) switch (c) {
            case 'h': option.host = optarg; break;
            case 'p': option.port = atoi(optarg); break;
            case 'n': option.connections = strtoul(optarg, 0, 10); break;
            case 's': option.size = strtoul(optarg, 0, 10); break;
            case 'd': option.depth = strtoul(optarg, 0, 10); break;
            case 't': option.seconds = atof(optarg); break;
            case 'r': option.requests = strtoull(optarg, 0, 10); break;
            case 'w': option.warmup = atof(optarg); break;
            case 'i': option.pid = atoi(optarg); break;
            case 'c': option.core = atoi(optarg); break;
            case 'g': option.http = 1; break;
            case 'u': option.unix_path = optarg; break;
            case 'U': option.udp = 1; break;
            case 'T': option.tls = 1; break;
            case 'R': option.rate = atof(optarg); break;
            case 'S': option.turns = atoi(optarg); break;
            default: exit(2);
        }
#ifndef WITH_TLS
    if (option.tls) fail("built without TLS");
#endif
    if (option.udp && option.depth != 1) fail("--udp: one datagram in flight");
    if ((!option.port && !option.unix_path) || !option.connections || !option.depth) fail("--port, --connections and --depth: at least 1");
    if (!option.http && option.size < HEADER) fail("--size: at least %d bytes", HEADER);
}

/* Alone on its core, ahead of everything else if we may; both are favours, not conditions. */
static void settle(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (option.core >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)option.core, &set);
        if (sched_setaffinity(0, sizeof set, &set)) fail("cannot use core %d: %s", option.core, strerror(errno));
    }
    if (setpriority(PRIO_PROCESS, 0, -20)) return;
    FILE *group = fopen("/proc/self/autogroup", "w");
    if (group) fputs("-20", group), fclose(group);
}

struct finding {
    uint64_t elapsed, cpu;
};

/* The measured phase, between two moments in which the server sleeps, so that its clock is exact. */
static struct finding measure(struct connection *connections, uint64_t requests) {
    struct timespec pause = {0, 20000000};
    nanosleep(&pause, 0);
    uint64_t cpu = server_cpu();
    uint64_t elapsed = phase(connections, option.seconds, requests);
    nanosleep(&pause, 0);
    return (struct finding){elapsed, server_cpu() - cpu};
}

static void print_finding(int fd, const struct finding *found) {
    qsort(latency, latencies, sizeof *latency, by_size);
    dprintf(fd,
            "{%s\"requests\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"seconds\": %.6f, \"server_cpu_ns\": %" PRIu64
            ", \"requests_per_second\": %.0f, \"latency_us\": {\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, "
            "\"p999\": %.1f, \"max\": %.1f}}\n",
            option.http ? "\"client\": \"our load generator\", " : "", answered, lost, (double)found->elapsed / 1e9, found->cpu, (double)answered * 1e9 / (double)found->elapsed,
            percentile(.5), percentile(.9), percentile(.99), percentile(.999), percentile(1));
}

int main(int argc, char **argv) {
    parse(argc, argv);
    settle();
    /* At a page's begin: where malloc puts it, 16 bytes behind one, AMD's processors copy to it five times as slowly. */
    if (posix_memalign((void **)&buffer, 4096, RECEIVE)) fail("out of memory: %d bytes", RECEIVE);
    memset(buffer, 0, RECEIVE);
    if (option.http) {
        request_size = sizeof GET - 1;
        learn_reply();
    } else {
        request_size = option.size;
        template = allocate(option.size);
        for (size_t i = 0; i < option.size; i++) template[i] = (char)(i * 131 + (i >> 8) * 17 + 7);
    }
    epoll_fd = epoll_create1(0);
    struct connection *connections = allocate(option.connections * sizeof *connections);
    for (size_t i = 0; i < option.connections; i++) open_connection(&connections[i], i);

    uint64_t requests = option.requests;
    phase(connections, option.warmup, 0);
    struct finding found = {0};
    if (option.turns < 0) found = measure(connections, requests);
    for (char go; option.turns >= 0 && read(option.turns, &go, 1) == 1;) {
        found = measure(connections, requests);
        print_finding(option.turns, &found);
    }
    print_finding(STDOUT_FILENO, &found);
    return 0;
}
