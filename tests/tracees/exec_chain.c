/* Six parallel children have grandchildren that only exec three programs in a row. */
#include <sys/wait.h>
#include "tracee.h"

int main(int argc, char **argv)
{
    if (argc > 2) {
        char rest[2] = {argv[2][0] - 1, 0};
        if (rest[0] >= '0')
            execl(argv[0], argv[0], argv[1], rest, (char *)0);
        return 0;
    }
    for (int i = 0; i < 6; i++)
        if (fork() == 0) {
            for (int j = 0; j < 20; j++) {
                if (vfork() == 0) {
                    execl(argv[0], argv[0], "chain", "2", (char *)0);
                    _exit(1);
                }
                wait(0);
            }
            _exit(0);
        }
    while (wait(0) > 0)
        continue;
    return 0;
}
