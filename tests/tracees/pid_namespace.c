/* A process that has another PID inside its own PID namespace. */
#include "tracee.h"
#include <sched.h>

int main(int argc, char **argv)
{
    enter(argc, argv);
    int flags = CLONE_NEWPID | (geteuid() == 0 ? 0 : CLONE_NEWUSER);
    if (unshare(flags) != 0)
        return CANNOT_BE_TRIED_HERE;
    pid_t child = fork();
    if (child == 0) {
        must(getpid() == 1);
        must(chdir("sub") == 0);
        look("file");
        _exit(0);
    }
    must(child > 0);
    reap(child);
    return 0;
}
