/* A timer fires all the time while files are opened: open of a regular file is never interrupted
 * (signal(7)), with SA_RESTART (argv[2] is "restart") and without. argv[3] is the number of
 * opens. */
#include "tracee.h"
#include <signal.h>
#include <sys/time.h>

static volatile sig_atomic_t ticks;

static void tick(int signal)
{
    (void)signal;
    ticks++;
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    must(argc == 4);
    int flags = strcmp(argv[2], "restart") == 0 ? SA_RESTART : 0;
    struct sigaction action = {.sa_handler = tick, .sa_flags = flags};
    struct itimerval fast = {{0, 100}, {0, 100}}, never = {{0, 0}, {0, 0}};
    must(sigaction(SIGALRM, &action, NULL) == 0);
    must(setitimer(ITIMER_REAL, &fast, NULL) == 0);
    for (int i = atoi(argv[3]); i > 0 || ticks < 10; i--)
        look("file");
    must(setitimer(ITIMER_REAL, &never, NULL) == 0);
    make("made");
    return 0;
}
