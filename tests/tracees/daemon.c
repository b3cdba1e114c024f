/* A daemon, forked twice, that opens its file after the first process has ended. */
#include "tracee.h"

int main(int argc, char **argv)
{
    int living[2];
    char byte;
    enter(argc, argv);
    must(pipe(living) == 0);
    pid_t child = fork();
    if (child == 0) {
        must(setsid() > 0);
        pid_t grandchild = fork();
        if (grandchild != 0)
            _exit(grandchild < 0);
        must(close(living[1]) == 0);
        must(read(living[0], &byte, 1) == 0); /* returns when the first process has ended */
        look("late");
        make("pidfile");
        _exit(9);
    }
    must(child > 0);
    reap(child);
    look("early");
    return 3;
}
