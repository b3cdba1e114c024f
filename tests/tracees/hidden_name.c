/* Makes a call often, then with a name in memory that the program itself cannot read. */
#include "tracee.h"
#include <sys/mman.h>

int main(int argc, char **argv)
{
    enter(argc, argv);
    char *name = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(name != MAP_FAILED);
    strcpy(name, "hidden");
    must(mprotect(name, 4096, PROT_NONE) == 0);
    for (int i = 0; i < 200; i++)
        look("file");
    fails_with(EFAULT, open(name, O_RDONLY));
    return 0;
}
