/* Calls read(2) COUNT times, for one byte of /dev/zero: the cheapest read. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char byte;
    int fd = open("/dev/zero", O_RDONLY);

    if (argc != 2) {
        fprintf(stderr, "usage: reads COUNT\n");
        return 2;
    }
    for (long i = 0, count = atol(argv[1]); i < count; i++) {
        if (read(fd, &byte, 1) != 1) {
            perror("/dev/zero");
            return 1;
        }
    }
    return 0;
}
