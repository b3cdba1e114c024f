/* Calls stat(2) COUNT times, repeatedly over ROOT/0/0 .. ROOT/FOLDERS-1/FILES-1.
 *
 * With "missing" it uses other names, of files that must not exist.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
    static char path[8192];
    struct stat status;
    int missing;
    long count, folders, files;

    if (argc != 6) {
        fprintf(stderr, "usage: paths there|missing COUNT FOLDERS FILES ROOT\n");
        return 2;
    }
    missing = strcmp(argv[1], "missing") == 0;
    count = atol(argv[2]);
    folders = atol(argv[3]);
    files = atol(argv[4]);
    for (long i = 0; i < count; i++) {
        long number = i % (folders * files);
        const char *end = missing ? ".none" : "";
        int result;

        snprintf(path, sizeof path, "%s/%ld/%ld%s", argv[5], number / files, number % files, end);
        result = stat(path, &status);
        if (missing ? result == 0 || errno != ENOENT : result != 0) {
            fprintf(stderr, "%s: unexpected result of stat\n", path);
            return 1;
        }
    }
    return 0;
}
