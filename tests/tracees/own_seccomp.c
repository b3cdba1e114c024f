/* A program with its own seccomp sandbox: calls that its filters refuse were never made. */
#include "tracee.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

static struct sock_fprog refuse(struct sock_filter code[4], unsigned number)
{
    code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    code[1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
    code[2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    code[3] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return (struct sock_fprog){.len = 4, .filter = code};
}

int main(int argc, char **argv)
{
    struct sock_filter code[4];
    enter(argc, argv);
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    struct sock_fprog filter = refuse(code, SYS_mkdirat);
    must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0);
    filter = refuse(code, SYS_unlinkat);
    must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
    fails_with(EPERM, mkdirat(AT_FDCWD, "refused", 0755));
    fails_with(EPERM, unlinkat(AT_FDCWD, "kept", 0));
    look("file");
    return 0;
}
