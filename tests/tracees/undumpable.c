/* A program that lets nobody look into it, as those that hold keys do. */
#include "tracee.h"
#include <sys/prctl.h>

int main(int argc, char **argv)
{
    enter(argc, argv);
    must(prctl(PR_SET_DUMPABLE, 0) == 0);
    look("file");
    return 0;
}
