/* What every tracee shares: it exits 0 when it did what it meant to do, 77 where this kernel
 * cannot do it at all, and otherwise says which step failed. */
#ifndef TRACEE_H
#define TRACEE_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT_BE_TRIED_HERE = 77 };

#define must(condition)                                                                    \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, strerror(errno)); \
            _exit(1);                                                                      \
        }                                                                                  \
    } while (0)

#define fails_with(error, call) must((errno = 0, (call) == -1 && errno == (error)))

/* Makes the directory of argv[1] the cwd: the names that follow are relative to it. */
static inline void enter(int argc, char **argv)
{
    must(argc >= 2);
    must(chdir(argv[1]) == 0);
}

static inline void look(const char *name)
{
    int fd = open(name, O_RDONLY);
    must(fd >= 0);
    must(close(fd) == 0);
}

static inline void make(const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    must(fd >= 0);
    must(write(fd, "new\n", 4) == 4);
    must(close(fd) == 0);
}

static inline void reap(pid_t child)
{
    int status = 0;
    pid_t reaped;
    do {
        reaped = waitpid(child, &status, 0);
    } while (reaped < 0 && errno == EINTR);
    must(reaped == child);
    must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#endif
