/* AT_EMPTY_PATH: the call applies to the descriptor itself. */
#include "tracee.h"
#include <linux/stat.h>

int main(int argc, char **argv)
{
    struct stat status;
    struct statx extended;
    enter(argc, argv);
    int fd = open("opened", O_RDONLY);
    int handle = open("handle", O_PATH);
    must(fd >= 0 && handle >= 0);
    must(fstatat(fd, "", &status, AT_EMPTY_PATH) == 0);
    must(syscall(SYS_statx, handle, "", AT_EMPTY_PATH, STATX_SIZE, &extended) == 0);
    must(fstatat(AT_FDCWD, "", &status, AT_EMPTY_PATH) == 0);
    int owned = open("owned", O_RDONLY);
    must(owned >= 0);
    must(fchownat(owned, "", getuid(), getgid(), AT_EMPTY_PATH) == 0);
    fails_with(ENOENT, fstatat(fd, "", &status, 0));
    int channel[2];
    must(pipe(channel) == 0);
    must(fstatat(channel[0], "", &status, AT_EMPTY_PATH) == 0); /* no file has this name */
    return 0;
}
