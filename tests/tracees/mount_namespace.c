/* A mount that only the tracee sees. */
#include "tracee.h"
#include <sched.h>
#include <sys/mount.h>

int main(int argc, char **argv)
{
    enter(argc, argv);
    int flags = CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER);
    if (unshare(flags) != 0)
        return CANNOT_BE_TRIED_HERE;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return CANNOT_BE_TRIED_HERE;
    must(mount("source", "target", NULL, MS_BIND, NULL) == 0);
    look("target/file");
    look("plain");
    return 0;
}
