/* The thread group leader ends; another thread continues. */
#include "tracee.h"
#include <pthread.h>

static void *outlive(void *leader)
{
    must(pthread_join(*(pthread_t *)leader, NULL) == 0);
    look("after the leader");
    exit(5);
}

int main(int argc, char **argv)
{
    static pthread_t leader;
    pthread_t thread;
    enter(argc, argv);
    leader = pthread_self();
    look("before");
    must(pthread_create(&thread, NULL, outlive, &leader) == 0);
    pthread_exit(NULL);
}
