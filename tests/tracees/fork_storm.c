/* Starts argv[2] children, up to 50 at a time; each looks up its own file. */
#include "tracee.h"

static void reap_one(void)
{
    int status;
    must(wait(&status) > 0);
    must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv)
{
    char name[32];
    enter(argc, argv);
    must(argc == 3);
    int count = atoi(argv[2]), living = 0;
    for (int i = 0; i < count; i++, living++) {
        if (living == 50) {
            reap_one();
            living--;
        }
        pid_t child = fork();
        if (child == 0) {
            snprintf(name, sizeof name, "child-%d", i);
            _exit(access(name, F_OK) == 0);
        }
        must(child > 0);
    }
    for (; living > 0; living--)
        reap_one();
    return 0;
}
