/* A program that traces its own child: under a tracer it cannot. */
#include "tracee.h"
#include <sys/ptrace.h>

int main(int argc, char **argv)
{
    enter(argc, argv);
    pid_t child = fork();
    if (child == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 || errno == EPERM ? 0 : 1);
    must(child > 0);
    reap(child);
    look("file");
    return 0;
}
