/* Execs a program that ran before; the exec fails, and the memory of the name is unmapped. */
#include "tracee.h"
#include <sys/mman.h>

enum { TOO_LONG = 200000 };

static void exec_too_much(const char *program)
{
    char *name = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *variable = malloc(TOO_LONG);
    must(name != MAP_FAILED && variable != NULL);
    strcpy(name, program);
    memset(variable, 'x', TOO_LONG - 1);
    variable[TOO_LONG - 1] = '\0';
    char *arguments[] = {(char *)program, NULL}, *variables[] = {variable, NULL};
    fails_with(E2BIG, execve(name, arguments, variables));
    must(munmap(name, 4096) == 0);
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return 0;
    enter(argc, argv);
    pid_t child = fork();
    if (child == 0) {
        execl(argv[0], argv[0], NULL);
        _exit(1);
    }
    must(child > 0);
    reap(child);
    exec_too_much(argv[0]);
    look("after");
    return 0;
}
