/* Execs itself, which fails, and later overwrites its arguments, as setproctitle(3bsd) does. */
#include "tracee.h"

enum { TOO_LONG = 200000 };

int main(int argc, char **argv)
{
    enter(argc, argv);
    char *variable = malloc(TOO_LONG);
    must(variable != NULL);
    memset(variable, 'x', TOO_LONG - 1);
    variable[TOO_LONG - 1] = '\0';
    char *variables[] = {variable, NULL};
    fails_with(E2BIG, execve(argv[0], argv, variables));
    look("before");
    memset(argv[1], 'x', strlen(argv[1]));
    look("after");
    return 0;
}
