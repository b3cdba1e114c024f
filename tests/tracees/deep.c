/* Opens a file whose absolute path is longer than PATH_MAX. */
#include "tracee.h"
#include <limits.h>

int main(int argc, char **argv)
{
    char name[201] = {0}, cwd[PATH_MAX];
    memset(name, 'd', sizeof name - 1);
    enter(argc, argv);
    while (getcwd(cwd, sizeof cwd) != NULL && strlen(cwd) + sizeof name < PATH_MAX) {
        must(mkdir(name, 0755) == 0);
        must(chdir(name) == 0);
    }
    make(name);
    look(name);
    fails_with(ENOENT, open("../none", O_RDONLY));
    return 0;
}
