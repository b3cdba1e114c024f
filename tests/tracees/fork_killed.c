/* Kills processes that fork continuously, and their children, at random moments, ROUNDS times. */
#include "tracee.h"
#include <signal.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    must(argc == 2);
    for (int round = 0; round < atoi(argv[1]); round++) {
        int ended[2]; /* end of file when the last of them has ended */
        char byte;
        must(pipe(ended) == 0);
        pid_t forker = fork();
        must(forker >= 0);
        if (forker == 0) {
            for (;;)
                if (fork() == 0)
                    _exit(0);
        }
        close(ended[1]);
        struct timespec moment = {0, 1000 * (50 + rand() % 500)};
        nanosleep(&moment, NULL);
        must(kill(forker, SIGKILL) == 0);
        must(waitpid(forker, NULL, 0) == forker);
        must(read(ended[0], &byte, 1) == 0);
        close(ended[0]);
    }
    return 0;
}
