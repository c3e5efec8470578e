/* For `benchmarks.instructions`: says to callgrind what is to be counted, and is the client of the echoes that run in
   one process with it, so that hardly an instruction is the client's. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <valgrind/callgrind.h>

static char sent[1 << 20];

void begin(void) {
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}

void end(const char *row) {
    CALLGRIND_DUMP_STATS_AT(row);
    CALLGRIND_STOP_INSTRUMENTATION;
}

/* Sends `size` bytes to each; 0, or the errno of the first that fails. */
int ask(const int *fds, int count, int size) {
    for (int i = 0; i < count; i++)
        if (send(fds[i], sent, (size_t)size, MSG_NOSIGNAL) != size) return errno ? errno : EPIPE;
    return 0;
}

/* Takes `size` bytes of each, waiting for them; 0, or an errno. */
int take(const int *fds, int count, int size) {
    static char got[1 << 20];
    for (int i = 0; i < count; i++) {
        int left = size;
        while (left) {
            ssize_t read = recv(fds[i], got, (size_t)left, MSG_DONTWAIT);
            if (read > 0) {
                left -= (int)read;
                continue;
            }
            if (read == 0 || (errno != EAGAIN && errno != EINTR)) return read == 0 ? EPIPE : errno;
            struct pollfd waiting = {fds[i], POLLIN, 0};
            if (poll(&waiting, 1, 10000) <= 0) return ETIMEDOUT;
        }
    }
    return 0;
}
