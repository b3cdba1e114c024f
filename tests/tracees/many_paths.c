/* Looks up argv[2] names that do not exist, each once. */
#include "tracee.h"

int main(int argc, char **argv)
{
    char name[32];
    enter(argc, argv);
    must(argc == 3);
    for (int i = atoi(argv[2]); i > 0; i--) {
        snprintf(name, sizeof name, "path-%d", i);
        fails_with(ENOENT, access(name, F_OK));
    }
    return 0;
}
