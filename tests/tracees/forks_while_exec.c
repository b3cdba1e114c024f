/* One thread forks while another execs; the exec copies a large environment, so it takes long. */
#include "tracee.h"
#include <pthread.h>

enum { CHILDREN = 200, VARIABLES = 15, LENGTH = 100000 };

static void *fork_on(void *nothing)
{
    for (int i = 0; i < CHILDREN; i++) {
        if (fork() == 0) {
            usleep(400000);
            look("child");
            _exit(0);
        }
    }
    pause();
    return nothing;
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    if (argc > 2) {
        look("after");
        while (wait(NULL) > 0)
            continue;
        return 0;
    }
    char *variables[VARIABLES + 1] = {NULL};
    for (int i = 0; i < VARIABLES; i++) {
        variables[i] = calloc(LENGTH + 1, 1);
        must(variables[i] != NULL);
        memset(variables[i], 'x', LENGTH);
    }
    pthread_t thread;
    must(pthread_create(&thread, NULL, fork_on, NULL) == 0);
    usleep(3000);
    execle(argv[0], argv[0], ".", "second", NULL, variables);
    return 1;
}
