/* Executables without a name: a memfd, and a file that is deleted while it runs. */
#include "tracee.h"
#include <sys/mman.h>
#include <sys/sendfile.h>

static void copy_self(int to)
{
    struct stat status;
    int self = open("/proc/self/exe", O_RDONLY);
    must(self >= 0 && fstat(self, &status) == 0);
    must(sendfile(to, self, NULL, (size_t)status.st_size) == status.st_size);
    must(close(self) == 0);
}

int main(int argc, char **argv)
{
    char *none[] = {NULL};
    enter(argc, argv);
    const char *stage = argc > 2 ? argv[2] : "start";
    if (strcmp(stage, "start") == 0) {
        int fd = memfd_create("nameless", MFD_CLOEXEC);
        must(fd >= 0);
        copy_self(fd);
        char *arguments[] = {"in-memory", ".", "in-memory", NULL};
        fexecve(fd, arguments, none);
    } else if (strcmp(stage, "in-memory") == 0) {
        look("from memory");
        int fd = open("copy", O_WRONLY | O_CREAT | O_EXCL, 0755);
        must(fd >= 0);
        copy_self(fd);
        must(close(fd) == 0);
        execl("copy", "copy", ".", "deleted", NULL);
    } else if (strcmp(stage, "deleted") == 0) {
        must(unlink("copy") == 0);
        execl("/proc/self/exe", "again", ".", "end", NULL);
    } else {
        look("from a deleted file");
        return 0;
    }
    must(!"reached");
}
