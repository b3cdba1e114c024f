/* SIGTRAP that the program causes: raised, sent, and by a breakpoint instruction. */
#include "tracee.h"
#include <signal.h>

static volatile sig_atomic_t traps;

static void count(int signal)
{
    (void)signal;
    traps++;
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    must(signal(SIGTRAP, count) != SIG_ERR);
    raise(SIGTRAP);
    must(traps == 1);
    kill(getpid(), SIGTRAP);
    must(traps == 2);
#ifdef __x86_64__
    __asm__ volatile("int3");
    must(traps == 3);
#endif
    look("file");
    return 0;
}
