/* Makes all rare calls that have a path, as an unprivileged user: most fail, but the kernel looks
 * up each path. The call numbers are those of all architectures since Linux 5.0. */
#include "tracee.h"
#include <sys/quota.h>
#include <sys/xattr.h>

enum { OPEN_TREE = 428, MOVE_MOUNT = 429, FSPICK = 433, MOUNT_SETATTR = 442, FCHMODAT2 = 452 };
enum { SETXATTRAT = 463, GETXATTRAT, LISTXATTRAT, REMOVEXATTRAT, OPEN_TREE_ATTR };
enum { FILE_GETATTR = 468, FILE_SETATTR };

int main(int argc, char **argv)
{
    char bytes[256] = {0};
    unsigned size = sizeof bytes;
    int mount_id;
    enter(argc, argv);
    must(argc == 3);
    if (geteuid() == 0) {
        must(setresgid(65534, 65534, 65534) == 0);
        must(setresuid(65534, 65534, 65534) == 0);
    }
    if (strcmp(argv[2], "files") == 0) {
#ifdef SYS_uselib
        syscall(SYS_uselib, "uselib");
#endif
        syscall(SYS_acct, "acct");
        syscall(SYS_swapon, "swapon", 0);
        syscall(SYS_swapoff, "swapoff");
        syscall(SYS_quotactl, QCMD(Q_SYNC, USRQUOTA), "quotactl", 0, NULL);
        syscall(SYS_fanotify_mark, -1, 1, 0x20L, AT_FDCWD, "fanotify_mark");
        syscall(SYS_name_to_handle_at, AT_FDCWD, "name_to_handle_at", bytes, &mount_id, 0);
        syscall(SYS_statfs, "statfs", bytes);
        syscall(SYS_lsetxattr, "lsetxattr", "user.x", "", 0, 0);
        syscall(SYS_removexattr, "removexattr", "user.x");
        syscall(SYS_lremovexattr, "lremovexattr", "user.x");
        syscall(SYS_llistxattr, "llistxattr", bytes, sizeof bytes);
        syscall(OPEN_TREE, AT_FDCWD, "open_tree", 0);
        syscall(OPEN_TREE_ATTR, AT_FDCWD, "open_tree_attr", 0, bytes, 8);
        syscall(FCHMODAT2, AT_FDCWD, "fchmodat2", 0644, 0);
        syscall(SETXATTRAT, AT_FDCWD, "setxattrat", 0, "user.x", bytes, 16);
        syscall(GETXATTRAT, AT_FDCWD, "getxattrat", 0, "user.x", bytes, 16);
        syscall(LISTXATTRAT, AT_FDCWD, "listxattrat", 0, bytes, size);
        syscall(REMOVEXATTRAT, AT_FDCWD, "removexattrat", 0, "user.x");
        syscall(FILE_GETATTR, AT_FDCWD, "file_getattr", bytes, 24, 0);
        syscall(FILE_SETATTR, AT_FDCWD, "file_setattr", bytes, 24, 0);
    } else {
        syscall(SYS_chroot, "chroot");
        syscall(SYS_pivot_root, "pivot_root-new", "pivot_root-old");
        syscall(SYS_mount, "none", "mount", "tmpfs", 0, "");
        syscall(SYS_umount2, "umount2", 0);
        syscall(MOVE_MOUNT, AT_FDCWD, "move_mount-from", AT_FDCWD, "move_mount-to", 0);
        syscall(MOUNT_SETATTR, AT_FDCWD, "mount_setattr", 0, bytes, 32);
        syscall(FSPICK, AT_FDCWD, "fspick", 0);
    }
    return 0;
}
