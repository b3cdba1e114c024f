/* Children that a tracer could miss: clone3, CLONE_PARENT, CLONE_UNTRACED. */
#include "tracee.h"
#include <linux/sched.h>
#include <signal.h>

int main(int argc, char **argv)
{
    enter(argc, argv);
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == 0) {
        look("clone3");
        _exit(0);
    }
    must(child > 0);
    reap(child);

    child = (pid_t)syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, NULL, NULL, NULL, 0);
    if (child == 0) {
        look("untraced");
        _exit(0);
    }
    must(child > 0);
    reap(child);

    /* The grandchild becomes a child of this process: its own parent cannot wait for it. */
    child = fork();
    if (child == 0) {
        pid_t sibling = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0);
        if (sibling == 0)
            look("parent");
        _exit(sibling < 0);
    }
    must(child > 0);
    for (int i = 0; i < 2; i++) {
        int status;
        must(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    fails_with(ECHILD, wait(NULL));
    return 0;
}
