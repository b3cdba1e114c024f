/* A program that is not dumpable (PR_SET_DUMPABLE), as programs with secret keys are. */
#include "tracee.h"
#include <sys/prctl.h>

int main(int argc, char **argv)
{
    enter(argc, argv);
    must(prctl(PR_SET_DUMPABLE, 0) == 0);
    look("file");
    return 0;
}
