/* Makes one call for each file; the file has the name of the call. */
#include "tracee.h"
#include <linux/openat2.h>
#include <linux/stat.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <utime.h>

#define call(number, ...) syscall(SYS_##number, __VA_ARGS__)

static struct sockaddr_un named(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, name);
    return address;
}

static void open_with(const char *name, int flags)
{
    int fd = open(name, flags, 0644);
    must(fd >= 0);
    must(close(fd) == 0);
}

int main(int argc, char **argv)
{
    struct stat status;
    struct statx extended;
    struct statfs system;
    char bytes[4096];
    enter(argc, argv);

    open_with("open-read", O_RDONLY);
    open_with("open-write", O_WRONLY);
    open_with("open-both", O_RDWR);
    open_with("open-path", O_PATH);
    open_with("open-create-old", O_WRONLY | O_CREAT);
    open_with("open-create-new", O_WRONLY | O_CREAT);
    open_with("open-directory", O_RDONLY | O_DIRECTORY);
    fails_with(EEXIST, open("open-exclusive", O_WRONLY | O_CREAT | O_EXCL, 0644));
    struct open_how how = {.flags = O_RDONLY};
    must(call(openat2, AT_FDCWD, "openat2", &how, sizeof how) >= 0);

    must(call(newfstatat, AT_FDCWD, "newfstatat", &status, 0) == 0);
    must(call(statx, AT_FDCWD, "statx", 0, STATX_SIZE, &extended) == 0);
    must(call(faccessat, AT_FDCWD, "faccessat", R_OK) == 0);
    must(call(faccessat2, AT_FDCWD, "faccessat2", R_OK, 0) == 0);
    must(statfs("statfs", &system) == 0);
    call(getxattr, "getxattr", "user.x", bytes, sizeof bytes);
    call(lgetxattr, "lgetxattr", "user.x", bytes, sizeof bytes);
    call(listxattr, "listxattr", bytes, sizeof bytes);
    must(inotify_add_watch(inotify_init1(0), "inotify", IN_MODIFY) >= 0);
    must(call(readlinkat, AT_FDCWD, "readlinkat", bytes, sizeof bytes) > 0);
    fails_with(EINVAL, readlink("readlink-of-file", bytes, sizeof bytes));

    call(setxattr, "setxattr", "user.x", "1", 1, 0);
    must(call(fchmodat, AT_FDCWD, "fchmodat", 0600) == 0);
    must(call(fchownat, AT_FDCWD, "fchownat", getuid(), getgid(), 0) == 0);
    must(call(utimensat, AT_FDCWD, "utimensat", NULL, 0) == 0);
    int fd = open("fchmod", O_RDONLY);
    must(fd >= 0 && fchmod(fd, 0600) == 0);
    must(futimens(open("futimens", O_RDONLY), NULL) == 0);

#ifdef __x86_64__
    must(call(open, "open", O_RDONLY) >= 0);
    must(call(creat, "creat", 0644) >= 0);
    must(call(stat, "stat", &status) == 0);
    must(call(lstat, "lstat", &status) == 0);
    must(call(access, "access", F_OK) == 0);
    must(call(readlink, "readlink", bytes, sizeof bytes) > 0);
    must(call(chmod, "chmod", 0600) == 0);
    must(call(chown, "chown", getuid(), getgid()) == 0);
    must(call(lchown, "lchown", getuid(), getgid()) == 0);
    must(call(utime, "utime", NULL) == 0);
    must(call(utimes, "utimes", NULL) == 0);
    must(call(futimesat, AT_FDCWD, "futimesat", NULL) == 0);
    must(call(mkdir, "mkdir", 0755) == 0);
    must(call(rmdir, "rmdir") == 0);
    must(call(mknod, "mknod", S_IFIFO | 0600, 0) == 0);
    must(call(symlink, "target", "symlink") == 0);
    must(call(link, "link-from", "link-to") == 0);
    must(call(unlink, "unlink") == 0);
    must(call(rename, "rename-from", "rename-to") == 0);
    must(call(renameat, AT_FDCWD, "renameat-from", AT_FDCWD, "renameat-to") == 0);
#endif
    must(truncate("truncate", 0) == 0);
    must(call(mkdirat, AT_FDCWD, "mkdirat", 0755) == 0);
    fails_with(EEXIST, call(mkdirat, AT_FDCWD, "mkdirat-old", 0755));
    must(call(mknodat, AT_FDCWD, "mknodat", S_IFIFO | 0600, 0) == 0);
    must(call(symlinkat, "target", AT_FDCWD, "symlinkat") == 0);
    must(call(linkat, AT_FDCWD, "linkat-from", AT_FDCWD, "linkat-to", 0) == 0);
    must(call(unlinkat, AT_FDCWD, "unlinkat", 0) == 0);
    must(call(unlinkat, AT_FDCWD, "unlinkat-dir", AT_REMOVEDIR) == 0);
    must(call(renameat2, AT_FDCWD, "renameat2-from", AT_FDCWD, "renameat2-to", 0) == 0);

    struct sockaddr_un server = named("bind"), nobody = named("connect-nobody");
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    must(bind(listener, (struct sockaddr *)&server, sizeof server) == 0);
    must(listen(listener, 1) == 0);
    must(connect(client, (struct sockaddr *)&server, sizeof server) == 0);
    fails_with(ECONNREFUSED,
        connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&nobody, sizeof nobody));
    struct sockaddr_un nowhere = named("sendto-nobody");
    fails_with(ECONNREFUSED, sendto(socket(AF_UNIX, SOCK_DGRAM, 0), "", 1, 0,
        (struct sockaddr *)&nowhere, sizeof nowhere));
    struct sockaddr_un abstract = {.sun_family = AF_UNIX, .sun_path = "\0no file"};
    snprintf(abstract.sun_path + 8, 32, "%d", getpid());
    must(bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&abstract, sizeof abstract) == 0);

    must(chdir("chdir") == 0);
    must(fchdir(open("..", O_PATH)) == 0);
    return 0;
}
