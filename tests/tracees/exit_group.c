/* Processes that end while their threads are in file calls, many times. */
#include "tracee.h"
#include <pthread.h>

static void *look_for_ever(void *unused)
{
    for (;;)
        access("file", F_OK);
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    enter(argc, argv);
    for (int round = 0; round < 50; round++) {
        pid_t child = fork();
        if (child == 0) {
            for (int i = 0; i < 4; i++)
                must(pthread_create(&thread, NULL, look_for_ever, NULL) == 0);
            must(access("file", F_OK) == 0);
            _exit(0);
        }
        must(child > 0);
        reap(child);
    }
    make("done");
    return 0;
}
