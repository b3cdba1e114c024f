/* Built with -m32: call numbers and pointers of the i386 ABI. */
#include "tracee.h"
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv)
{
    struct stat status;
    enter(argc, argv);
    must(sizeof(void *) == 4);
    look("openat");
    int fd = (int)syscall(SYS_open, "open", O_RDONLY);
    must(fd >= 0);
    must(stat("stat", &status) == 0);
    make("made");
    must(unlink("deleted") == 0);
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    long call[] = {client, (long)&address, sizeof address};
    fails_with(ENOENT, syscall(SYS_socketcall, 3 /* SYS_CONNECT */, call));
    return 0;
}
