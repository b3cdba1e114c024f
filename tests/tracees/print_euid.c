/* Prints the effective user: the test makes it setuid. */
#include "tracee.h"

int main(int argc, char **argv)
{
    enter(argc, argv);
    look("file");
    printf("%d\n", (int)geteuid());
    return 0;
}
