/* A directory's descriptor: inherited, sent over a socket, and copied with pidfd_getfd. */
#include "tracee.h"
#include <dirent.h>
#include <sys/socket.h>

static void look_at(int directory, const char *name)
{
    int fd = openat(directory, name, O_RDONLY);
    must(fd >= 0);
    must(close(fd) == 0);
}

static void send_descriptor(int channel, int fd)
{
    char byte = 0, control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
        .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    must(sendmsg(channel, &message, 0) == 1);
}

static int receive_descriptor(int channel)
{
    int fd;
    char byte, control[CMSG_SPACE(sizeof fd)];
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
        .msg_control = control, .msg_controllen = sizeof control};
    must(recvmsg(channel, &message, 0) == 1);
    must(CMSG_FIRSTHDR(&message) != NULL);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

int main(int argc, char **argv)
{
    int channel[2];
    enter(argc, argv);
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, channel) == 0);
    pid_t receiver = fork();
    if (receiver == 0) {
        look_at(receive_descriptor(channel[1]), "sent");
        _exit(0);
    }
    must(receiver > 0);

    DIR *directory = opendir("sub");
    must(directory != NULL);
    while (readdir(directory) != NULL)
        ;
    int fd = dirfd(directory);
    look_at(fd, "own");
    send_descriptor(channel[0], fd);
    reap(receiver);

    pid_t parent = getpid();
    pid_t heir = fork();
    if (heir == 0) {
        look_at(fd, "inherited");
        must(close(fd) == 0);
        int handle = (int)syscall(SYS_pidfd_open, parent, 0);
        must(handle >= 0);
        int taken = (int)syscall(SYS_pidfd_getfd, handle, fd, 0);
        if (taken >= 0)  /* refused if the child may not trace its parent */
            look_at(taken, "taken");
        _exit(taken >= 0 ? 0 : CANNOT_BE_TRIED_HERE);
    }
    must(heir > 0);
    int status;
    must(waitpid(heir, &status, 0) == heir && WIFEXITED(status));
    return WEXITSTATUS(status);
}
