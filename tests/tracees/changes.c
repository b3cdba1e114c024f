/* Reads a file, then changes it in the way that argv[2] names. */
#include "tracee.h"
#include <sys/mman.h>

static void overwrite(const char *name, int flags)
{
    int fd = open(name, flags, 0644);
    must(fd >= 0);
    must(write(fd, "changed\n", 8) == 8);
    must(close(fd) == 0);
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    must(argc == 3);
    const char *change = argv[2];
    int read_by = open("file", O_RDONLY);
    must(read_by >= 0);
    if (strcmp(change, "nothing") == 0) {
    } else if (strcmp(change, "open-truncate") == 0) {
        overwrite("file", O_WRONLY | O_TRUNC);
    } else if (strcmp(change, "read-truncate") == 0) {
        look("file");
        int fd = open("file", O_RDONLY | O_TRUNC); /* Linux truncates here too */
        must(fd >= 0);
    } else if (strcmp(change, "creat") == 0) {
        must(creat("file", 0644) >= 0);
    } else if (strcmp(change, "overwrite") == 0) {
        overwrite("file", O_WRONLY);
    } else if (strcmp(change, "append") == 0) {
        overwrite("file", O_WRONLY | O_APPEND);
    } else if (strcmp(change, "open-or-create") == 0) {
        overwrite("file", O_RDWR | O_CREAT);
    } else if (strcmp(change, "truncate") == 0) {
        must(truncate("file", 0) == 0);
    } else if (strcmp(change, "map") == 0) {
        int fd = open("file", O_RDWR);
        char *bytes = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        must(bytes != MAP_FAILED);
        memcpy(bytes, "new!", 4);
    } else if (strcmp(change, "reopen") == 0) {
        char name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", read_by);
        overwrite(name, O_WRONLY);
    } else if (strcmp(change, "delete") == 0) {
        must(unlink("file") == 0);
    } else if (strcmp(change, "rename-away") == 0) {
        must(rename("file", "elsewhere") == 0);
    } else if (strcmp(change, "rename-over") == 0) {
        make("temporary");
        must(rename("temporary", "file") == 0);
    } else if (strcmp(change, "exchange") == 0) {
        make("temporary");
        must(syscall(SYS_renameat2, AT_FDCWD, "temporary", AT_FDCWD, "file", 2) == 0);
    } else if (strcmp(change, "through-symlink") == 0) {
        overwrite("symlink", O_WRONLY | O_TRUNC);
    } else if (strcmp(change, "through-hard-link") == 0) {
        overwrite("hard-link", O_WRONLY | O_TRUNC);
    } else if (strcmp(change, "rename-directory") == 0) {
        look("sub/inside");
        must(rename("sub", "moved") == 0);
        must(unlink("moved/inside") == 0);
    } else {
        must(!"known");
    }
    return 0;
}
