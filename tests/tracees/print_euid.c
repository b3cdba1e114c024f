/* Prints the effective user ID; the test makes this program setuid. */
#include "tracee.h"

int main(int argc, char **argv)
{
    enter(argc, argv);
    look("file");
    printf("%d\n", (int)geteuid());
    return 0;
}
