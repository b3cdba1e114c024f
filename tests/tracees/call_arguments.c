/* Calls whose arguments the trace records: socket's family, clone's namespaces. */
#include "tracee.h"
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>

int main(void)
{
    int families[] = {AF_INET, AF_UNIX, AF_INET6, AF_UNIX, 12345};
    for (unsigned i = 0; i < sizeof families / sizeof *families; i++) {
#ifdef SOCKETCALL
        long block[] = {families[i], SOCK_DGRAM, 0};
        int fd = (int)syscall(SYS_socketcall, 1, block);
#else
        int fd = (int)syscall(SYS_socket, families[i], SOCK_DGRAM, 0);
#endif
        must((fd < 0) == (families[i] == 12345) || errno == EAFNOSUPPORT);
        close(fd);
    }
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    must(child > 0);
    reap(child);
    /* The kernel refuses it, but the tracer records the arguments. */
    fails_with(EINVAL, syscall(SYS_clone, CLONE_NEWUSER | CLONE_FS | SIGCHLD, NULL, NULL, NULL, 0));
    return 0;
}
