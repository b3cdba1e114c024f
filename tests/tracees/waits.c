/* waits HOW: waits in one blocking call until a byte arrives on stdin, and prints the result. HOW
 * is epoll (which fails with EINTR after any stop), read, poll, nanosleep (8 s), semop or futex (a
 * lock that another thread holds until the byte arrives). Then opens "after". */
#include "tracee.h"
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <time.h>

static int word = 1;

static void *wake(void *semaphore)
{
    char byte;
    struct sembuf up = {.sem_op = 1};
    must(read(0, &byte, 1) == 1);
    __atomic_store_n(&word, 0, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
    semop(*(int *)semaphore, &up, 1);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    enter(argc, argv);
    must(argc == 3);
    const char *how = argv[2];
    struct epoll_event event = {.events = EPOLLIN};
    struct pollfd input = {.events = POLLIN};
    struct timespec left = {8, 0};
    struct sembuf down = {.sem_op = -1};
    char byte;
    long result = -1;
    int epoll = epoll_create1(0), semaphore = semget(IPC_PRIVATE, 1, 0600);

    if (strcmp(how, "semop") == 0 || strcmp(how, "futex") == 0)
        must(pthread_create(&thread, NULL, wake, &semaphore) == 0);
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event) == 0);
    must(write(1, "waiting\n", 8) == 8);
    if (strcmp(how, "epoll") == 0)
        result = epoll_wait(epoll, &event, 1, -1);
    else if (strcmp(how, "read") == 0)
        result = read(0, &byte, 1);
    else if (strcmp(how, "poll") == 0)
        result = poll(&input, 1, -1);
    else if (strcmp(how, "nanosleep") == 0)
        result = nanosleep(&left, &left) == 0;
    else if (strcmp(how, "semop") == 0)
        result = semop(semaphore, &down, 1) == 0;
    else if (strcmp(how, "futex") == 0)
        result = syscall(SYS_futex, &word, FUTEX_WAIT, 1, NULL, NULL, 0) == 0 || errno == EAGAIN;
    semctl(semaphore, 0, IPC_RMID);
    printf("%s\n", result == 1 ? "done" : strerror(errno));
    look("after");
    return 0;
}
