"""System calls that a profile allows though the app was not seen to make them."""

from __future__ import annotations

RUNTIME_CALLS = frozenset(
    """
    clock_gettime clone close close_range dup3 epoll_create1 epoll_ctl epoll_pwait eventfd2 execve
    execveat exit exit_group faccessat2 fcntl fstat fstatfs futex getcwd getdents64 getpid gettid
    getuid lseek madvise mmap mprotect munmap nanosleep newfstatat openat openat2 pipe2 prctl
    pselect6 read readlinkat rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield
    select sigaltstack statx tgkill write
    """.split()  # noqa: SIM905 -- 50 quoted names would be read by nobody
)
"""What runc and crun call under the profile before the app is executed, with no_new_privs.

runc (libcontainer/standard_init_linux.go, setns_init_linux.go) loads the profile, then closes its
pipes, opens the exec fifo, closes every descriptor that is not the container's and execs; it is a
Go program, whose runtime starts threads, wakes them and collects garbage at any time. crun
(src/libcrun/container.c) closes the profile's descriptor and execs. Seen with runc 1.1.5 and crun
1.8.1; what newer runc does instead (close_range, openat2, readlinkat, statx, execveat) is from its
source.
"""

PRIVILEGED_RUNTIME_CALLS = frozenset(
    """
    capget capset chdir fchown getgid getppid kill setgid setgroups setresgid setresuid setuid
    """.split()  # noqa: SIM905
)
"""And without no_new_privs: to load a profile is a privilege then, so that it comes before the
runtime takes the container's user and gives up capabilities."""

COMMON_CALLS = frozenset(
    """
    brk clock_nanosleep exit exit_group fork futex getpid getrandom gettid gettimeofday
    kill lseek madvise mmap mprotect mremap munmap nanosleep ppoll poll read restart_syscall rseq
    rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield set_robust_list
    sigaltstack statx tgkill time vfork wait4 waitid write writev
    _llseek clock_gettime64 clock_nanosleep_time64 fcntl64 fstat64 futex_time64 mmap2 ppoll_time64
    set_thread_area sigreturn waitpid
    """.split()  # noqa: SIM905
)
"""What any program may come to, however short its trace: memory, a thread, a signal, a timer, an
error message, its end. No new kind of object, nothing by a path. The last two lines are the names
of 32-bit ABIs. These count where the trace is exact (``run --syscalls all``)."""

SENSITIVE_CALLS = frozenset(
    """
    acct add_key bpf chroot clock_adjtime clock_settime delete_module fanotify_init finit_module
    fsconfig fsmount fsopen fspick init_module ioperm iopl kcmp kexec_file_load kexec_load keyctl
    lookup_dcookie mount mount_setattr move_mount open_by_handle_at open_tree perf_event_open
    pidfd_getfd pivot_root process_madvise process_vm_readv process_vm_writev ptrace quotactl
    reboot request_key setdomainname sethostname setns settimeofday swapoff swapon syslog umount
    umount2 unshare userfaultfd vhangup
    """.split()  # noqa: SIM905
)
"""What engines' own profiles refuse a container without capabilities: allowed here where the app
was seen to call it, and said."""
