/* Exec through descriptors: AT_EMPTY_PATH on O_PATH, and a name below a directory. argv[2] is a
 * copy of this program in argv[1]. */
#include "tracee.h"

int main(int argc, char **argv)
{
    char *arguments[] = {"copy", ".", "by-name", NULL}, *none[] = {NULL};
    enter(argc, argv);
    const char *stage = argc > 2 ? argv[2] : "start";
    if (strcmp(stage, "start") == 0) {
        int fd = open("copy", O_PATH | O_CLOEXEC);
        must(fd >= 0);
        syscall(SYS_execveat, fd, "", arguments, none, AT_EMPTY_PATH);
    } else if (strcmp(stage, "by-name") == 0) {
        look("through the descriptor");
        int directory = open("sub", O_PATH | O_DIRECTORY);
        must(directory >= 0);
        arguments[2] = "end";
        syscall(SYS_execveat, directory, "../sub/copy", arguments, none, 0);
    } else {
        look("through the name");
        return 0;
    }
    must(!"reached");
}
