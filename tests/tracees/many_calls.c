/* Looks up one file argv[2] times. */
#include "tracee.h"

int main(int argc, char **argv)
{
    enter(argc, argv);
    must(argc == 3);
    for (int i = atoi(argv[2]); i > 0; i--)
        must(access("file", F_OK) == 0);
    return 0;
}
