/* Runs PROGRAM under the seccomp filter in FILE, and lets every call that it stops go on.
 *
 * It reads and records nothing, and does not follow processes. So it measures what the kernel takes
 * to stop a call and to pass it on twice. It installs the filter and receives as slimtrace does, and
 * ends, as slimtrace does, when the last task with the filter ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* Linux 5.19 */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS /* Linux 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1UL
#endif

static void fail(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(125);
}

static struct sock_fprog load(const char *file)
{
    static struct sock_filter code[BPF_MAXINSNS];
    struct sock_fprog filter = {.filter = code};
    FILE *in = fopen(file, "rb");

    if (!in)
        fail(file);
    filter.len = fread(code, sizeof *code, BPF_MAXINSNS, in);
    fclose(in);
    return filter;
}

static int install(const struct sock_fprog *filter)
{
    unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;

    for (int attempt = 0; attempt < 3; attempt++) {
        int listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, filter);

        if (listener >= 0)
            return listener;
        if (errno == EINVAL)
            flags = SECCOMP_FILTER_FLAG_NEW_LISTENER; /* Linux before 5.19 */
        else if (errno != EACCES || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
            break;
    }
    fail("cannot install the filter");
    return -1;
}

/* Sends a descriptor over a socket, or receives one if fd is -1 (unix(7), SCM_RIGHTS). */
static int pass(int socket, int fd)
{
    char byte = 0;
    union {
        char room[CMSG_SPACE(sizeof fd)];
        struct cmsghdr header;
    } control = {.header = {CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};

    if (fd >= 0) {
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
        return sendmsg(socket, &message, 0) == 1 ? fd : -1;
    }
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message))
        return -1;
    memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
    return fd;
}

/* Whether a waiting receive returns when the last task ends (Linux 6.11); else only poll does. */
static int receive_returns_at_end(void)
{
    struct utsname name;
    int major = 0, minor = 0;

    uname(&name);
    sscanf(name.release, "%d.%d", &major, &minor);
    return major > 6 || (major == 6 && minor >= 11);
}

static int is_over(int listener, int timeout)
{
    struct pollfd wait = {.fd = listener, .events = POLLIN};

    return poll(&wait, 1, timeout) > 0 && wait.revents & POLLHUP;
}

static void answer(int listener)
{
    struct seccomp_notif request;
    struct seccomp_notif_resp response = {.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    int polls_first = !receive_returns_at_end();

    ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    for (;;) {
        if (polls_first && is_over(listener, -1))
            return;
        memset(&request, 0, sizeof request);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) {
            if (errno != EINTR && errno != ENOENT) /* no task is left, or a caller was killed */
                fail("cannot receive");
            if (is_over(listener, 0))
                return;
            continue;
        }
        response.id = request.id;
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
    }
}

int main(int argc, char **argv)
{
    struct sock_fprog filter;
    int ends[2], listener, status;
    pid_t child;

    if (argc < 3) {
        fprintf(stderr, "usage: floor FILE PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    filter = load(argv[1]);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        fail("cannot make a socket");
    child = fork();
    if (child == 0) {
        if (pass(ends[1], install(&filter)) < 0)
            fail("cannot pass the listener");
        execv(argv[2], argv + 2);
        fail(argv[2]);
    }
    close(ends[1]);
    listener = child < 0 ? -1 : pass(ends[0], -1);
    if (listener < 0)
        fail("cannot start");
    answer(listener);
    if (waitpid(child, &status, 0) != child)
        fail("cannot wait");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
