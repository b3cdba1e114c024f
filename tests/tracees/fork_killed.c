/* Processes that fork all the time are killed at any moment, ROUNDS times; so are their children. */
#include "tracee.h"
#include <signal.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    must(argc == 2);
    for (int round = 0; round < atoi(argv[1]); round++) {
        int ended[2]; /* end of file once the last of them is gone */
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
