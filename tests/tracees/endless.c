/* Accesses files, in two processes with two threads each, until it is killed; each process prints
 * "started" once it runs. */
#include "tracee.h"
#include <pthread.h>

static void *look_for_ever(void *unused)
{
    char name[32];
    for (unsigned i = 0;; i++) {
        snprintf(name, sizeof name, "f%u", i % 1000);
        access(name, F_OK);
    }
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    enter(argc, argv);
    must(fork() >= 0);
    must(pthread_create(&thread, NULL, look_for_ever, NULL) == 0);
    look("file");
    must(write(1, "started\n", 8) == 8);
    look_for_ever(NULL);
}
