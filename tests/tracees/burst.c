/* argv[3] threads open argv[2] files f0, f1, … in parallel, each file once. */
#include "tracee.h"
#include <pthread.h>

static int files, threads;
static pthread_barrier_t start;

static void *open_share(void *number)
{
    char name[32];
    pthread_barrier_wait(&start);
    for (int i = (int)(long)number; i < files; i += threads) {
        snprintf(name, sizeof name, "f%d", i);
        look(name);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    must(argc == 4);
    files = atoi(argv[2]);
    threads = atoi(argv[3]);
    pthread_t *thread = calloc((size_t)threads, sizeof *thread);
    must(thread != NULL);
    must(pthread_barrier_init(&start, NULL, (unsigned)threads) == 0);
    for (long i = 0; i < threads; i++)
        must(pthread_create(&thread[i], NULL, open_share, (void *)i) == 0);
    for (int i = 0; i < threads; i++)
        must(pthread_join(thread[i], NULL) == 0);
    return 0;
}
