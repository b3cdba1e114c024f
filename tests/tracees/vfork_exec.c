/* A vfork child execs while its parent waits. */
#include "tracee.h"

int main(int argc, char **argv)
{
    enter(argc, argv);
    if (argc > 2) {
        look("child");
        return 0;
    }
    pid_t child = vfork();
    if (child == 0) {
        execl(argv[0], argv[0], ".", "child", NULL);
        _exit(1);
    }
    must(child > 0);
    reap(child);
    look("parent");
    return 0;
}
