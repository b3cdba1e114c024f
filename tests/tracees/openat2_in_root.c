/* openat2 with RESOLVE_IN_ROOT. */
#include "tracee.h"
#include <linux/openat2.h>

static int open_in(int directory, const char *name, unsigned long long resolve)
{
    struct open_how how = {.flags = O_RDONLY, .resolve = resolve};
    return (int)syscall(SYS_openat2, directory, name, &how, sizeof how);
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    int jail = open("jail", O_PATH | O_DIRECTORY);
    must(jail >= 0);
    must(open_in(jail, "/etc/conf", RESOLVE_IN_ROOT) >= 0);
    must(open_in(jail, "/../../up", RESOLVE_IN_ROOT) >= 0);
    must(open_in(jail, "link", RESOLVE_IN_ROOT) >= 0); /* to /etc/target, which only jail has */
    must(open_in(jail, "etc/beneath", RESOLVE_BENEATH) >= 0);
    fails_with(ENOENT, open_in(jail, "/etc/nope", RESOLVE_IN_ROOT));
    fails_with(EXDEV, open_in(jail, "/etc/refused", RESOLVE_BENEATH));
    must(open_in(AT_FDCWD, "plain", 0) >= 0);
    return 0;
}
