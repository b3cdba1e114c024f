/* Forks and executes PROGRAM COUNT times, one after the other. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: forks COUNT PROGRAM\n");
        return 2;
    }
    for (long i = 0, count = atol(argv[1]); i < count; i++) {
        int status;
        pid_t child = fork();

        if (child == 0) {
            execl(argv[2], argv[2], (char *)0);
            _exit(127);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            perror(argv[2]);
            return 1;
        }
    }
    return 0;
}
