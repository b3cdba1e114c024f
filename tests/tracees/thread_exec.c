/* A thread that is not the leader execs: it becomes the leader and its siblings vanish. */
#include "tracee.h"
#include <pthread.h>

static char *program;

static void *wait_for_the_end(void *unused)
{
    pause();
    return unused;
}

static void *exec(void *unused)
{
    look("before");
    execl(program, program, ".", "second", NULL);
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    enter(argc, argv);
    if (argc > 2) {
        look("after");
        return 0;
    }
    program = argv[0];
    must(pthread_create(&thread, NULL, wait_for_the_end, NULL) == 0);
    must(pthread_create(&thread, NULL, exec, NULL) == 0);
    pthread_join(thread, NULL);
    return 1;
}
