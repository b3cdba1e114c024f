/* Calls stat(2) COUNT times, repeatedly over DIRECTORY/0 .. DIRECTORY/499. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { PATHS = 500 };

int main(int argc, char **argv)
{
    static char paths[PATHS][4096];
    struct stat status;

    if (argc != 3) {
        fprintf(stderr, "usage: stats COUNT DIRECTORY\n");
        return 2;
    }
    for (int i = 0; i < PATHS; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%d", argv[2], i);
    for (long i = 0, count = atol(argv[1]); i < count; i++) {
        if (stat(paths[i % PATHS], &status) != 0) {
            perror(paths[i % PATHS]);
            return 1;
        }
    }
    return 0;
}
