/* A container's root: a new mount namespace and pivot_root. */
#include "tracee.h"
#include <sched.h>
#include <sys/mount.h>

int main(int argc, char **argv)
{
    enter(argc, argv);
    int flags = CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER);
    if (unshare(flags) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return CANNOT_BE_TRIED_HERE;
    must(mount("jail", "jail", NULL, MS_BIND, NULL) == 0);
    must(syscall(SYS_pivot_root, "jail", "jail/old") == 0);
    must(chdir("/") == 0);
    must(umount2("/old", MNT_DETACH) == 0);
    look("/etc/conf");
    fails_with(ENOENT, open("/etc/nope", O_RDONLY));
    return 0;
}
