/* Runs PROGRAM in COUNT processes at once; fails if one of them fails. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int status, failed = 0;

    if (argc < 3) {
        fprintf(stderr, "usage: parallel COUNT PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    for (long i = 0, count = atol(argv[1]); i < count; i++) {
        pid_t child = fork();

        if (child == 0) {
            execv(argv[2], argv + 2);
            _exit(127);
        }
        if (child < 0) {
            perror("fork");
            return 1;
        }
    }
    while (wait(&status) > 0)
        failed |= status != 0;
    return failed;
}
