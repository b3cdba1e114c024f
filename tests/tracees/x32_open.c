/* A call of the x32 table from a 64-bit program. */
#include "tracee.h"

int main(int argc, char **argv)
{
    enter(argc, argv);
    long fd = syscall(0x40000000 + 2, "by-x32", O_RDONLY, 0);
    if (fd < 0 && errno == ENOSYS)
        return CANNOT_BE_TRIED_HERE;
    must(fd >= 0);
    look("by-syscall");
    return 0;
}
