/* Opens paths below another root. */
#include "tracee.h"
#include <sched.h>

int main(int argc, char **argv)
{
    enter(argc, argv);
    if (geteuid() != 0 && unshare(CLONE_NEWUSER) != 0)
        return CANNOT_BE_TRIED_HERE;
    int outside = open("outside", O_PATH | O_DIRECTORY);
    must(outside >= 0);
    must(chroot("jail") == 0);
    look("relative");            /* the cwd is still outside the new root */
    must(chdir("/") == 0);
    look("/etc/conf");
    look("/absolute-link");      /* to /etc/target, which only jail has */
    fails_with(ENOENT, open("/nope", O_RDONLY));
    make("/made");
    int fd = openat(outside, "file", O_RDONLY);
    must(fd >= 0);
    return 0;
}
