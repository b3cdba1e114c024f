/* Job control: a child with threads stops itself; its parent waits for that and continues it. */
#include "tracee.h"
#include <pthread.h>
#include <signal.h>

static void *wait_for_the_end(void *unused)
{
    pause();
    return unused;
}

static void stop_and_go_on(int stop)
{
    int status, go_on[2]; /* the child ends only after the parent saw that it continued */
    char byte;
    must(pipe(go_on) == 0);
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        close(go_on[1]);
        for (int i = 0; i < 3; i++)
            must(pthread_create(&thread, NULL, wait_for_the_end, NULL) == 0);
        must(kill(getpid(), stop) == 0);
        look("after the stop");
        must(read(go_on[0], &byte, 1) == 0);
        _exit(0);
    }
    must(child > 0);
    close(go_on[0]);
    must(waitpid(child, &status, WUNTRACED) == child);
    must(WIFSTOPPED(status) && WSTOPSIG(status) == stop);
    must(kill(child, SIGCONT) == 0);
    must(waitpid(child, &status, WCONTINUED) == child);
    must(WIFCONTINUED(status));
    close(go_on[1]);
    reap(child);
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    stop_and_go_on(SIGSTOP);
    stop_and_go_on(SIGTSTP);

    int status;
    pid_t stopped = fork(); /* a stopped process can be killed */
    if (stopped == 0) {
        raise(SIGSTOP);
        _exit(1);
    }
    must(stopped > 0);
    must(waitpid(stopped, &status, WUNTRACED) == stopped && WIFSTOPPED(status));
    must(kill(stopped, SIGKILL) == 0);
    must(waitpid(stopped, &status, 0) == stopped);
    must(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return 0;
}
