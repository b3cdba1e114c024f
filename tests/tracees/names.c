/* Names that are prefixes of others, and lookups that fail. */
#include "tracee.h"

int main(int argc, char **argv)
{
    enter(argc, argv);
    look("python3.11");
    look("python3");
    look("libx.so");
    look("libx.so.1");
    look("lib/x");
    look("lib-x");
    fails_with(ENOENT, open("nothing", O_RDONLY));
    fails_with(ENOENT, open("no-directory/nothing", O_RDONLY));
    fails_with(ENOTDIR, open("python3/nothing", O_RDONLY));
    fails_with(ENOENT, open("dangling", O_RDONLY));
    look("through/x");
    char target[64];
    must(readlink("dangling", target, sizeof target) == 6);
    fails_with(ELOOP, open("loop", O_RDONLY));
    fails_with(ELOOP, open("through", O_RDONLY | O_NOFOLLOW));
    return 0;
}
