/* A child that shares its parent's cwd (CLONE_FS) changes it. */
#include "tracee.h"
#include <sched.h>
#include <signal.h>

static char stack[65536] __attribute__((aligned(16)));

static int move(void *unused)
{
    (void)unused;
    return chdir("sub") != 0;
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    look("file");
    pid_t child = clone(move, stack + sizeof stack, CLONE_FS | SIGCHLD, NULL);
    must(child > 0);
    reap(child);
    look("file");
    return 0;
}
