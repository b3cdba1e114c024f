/* Makes the calls named in argv and prints the results: NAME and the name of an errno, or ok. */
#include "tracee.h"
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>

static void *nothing(void *unused)
{
    return unused;
}

static long born(long child)
{
    if (child == 0)
        _exit(0);
    if (child > 0)
        reap((pid_t)child);
    return child;
}

static long made(int fd)
{
    if (fd >= 0)
        close(fd);
    return fd;
}

static long done(const char *what)
{
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    pthread_t thread;
    if (strcmp(what, "nothing") == 0)
        return 0;
    if (strcmp(what, "fork") == 0)
        return born(fork());
    if (strcmp(what, "thread") == 0) {
        errno = pthread_create(&thread, NULL, nothing, NULL);
        return errno ? -1 : pthread_join(thread, NULL);
    }
    if (strcmp(what, "abort") == 0) {
        pid_t child = fork();
        if (child == 0)
            abort();
        int status = 0;
        must(waitpid(child, &status, 0) == child);
        must(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        return 0;
    }
    if (strcmp(what, "prctl") == 0)
        return prctl(PR_SET_NAME, "other");
    if (strcmp(what, "inet") == 0)
        return made(socket(AF_INET, SOCK_STREAM, 0));
    if (strcmp(what, "inet6") == 0)
        return made(socket(AF_INET6, SOCK_STREAM, 0));
    if (strcmp(what, "unix") == 0)
        return made(socket(AF_UNIX, SOCK_STREAM, 0));
    if (strcmp(what, "netlink") == 0)
        return made(socket(AF_NETLINK, SOCK_RAW, 0));
    if (strcmp(what, "packet") == 0)
        return made(socket(AF_PACKET, SOCK_DGRAM, 0));
    if (strcmp(what, "mount") == 0) /* the type is read before the privilege is looked at */
        return mount("none", "/", (char *)1, 0, NULL);
    if (strcmp(what, "ptrace") == 0)
        return ptrace(PTRACE_TRACEME, 0, 0, 0);
    if (strcmp(what, "unshare") == 0)
        return unshare(CLONE_NEWUSER);
    if (strcmp(what, "clone-user") == 0)
        return born(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0));
    if (strcmp(what, "clone3") == 0)
        return born(syscall(SYS_clone3, &arguments, sizeof arguments));
    if (strcmp(what, "personality") == 0)
        return personality(0xffffffff);
    if (strcmp(what, "no-aslr") == 0)
        return personality(ADDR_NO_RANDOMIZE);
    if (strcmp(what, "keyctl") == 0)
        return syscall(SYS_keyctl, 0, -2, 0); /* KEYCTL_GET_KEYRING_ID of the process */
    must(!"known");
    return -1;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        errno = 0;
        const char *how = done(argv[i]) < 0 ? strerrorname_np(errno) : "ok";
        printf("%s %s\n", argv[i], how);
    }
    return 0;
}
