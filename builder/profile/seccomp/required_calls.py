"""System calls that a profile allows although the trace does not have them."""

from __future__ import annotations

RUNTIME_CALLS = frozenset(
    """
    clock_gettime clone close close_range dup3 epoll_create1 epoll_ctl epoll_pwait eventfd2 execve
    execveat exit exit_group faccessat2 fcntl fstat fstatfs futex getcwd getdents64 getpid gettid
    getuid lseek madvise mmap mprotect munmap nanosleep newfstatat openat openat2 pipe2 prctl
    pselect6 read readlinkat rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield
    select sigaltstack statx tgkill write
    """.split()  # noqa: SIM905 -- nobody would read 50 quoted names
)
"""Calls that runc and crun make under the profile before they execute the app, with no_new_privs.

runc (libcontainer/standard_init_linux.go, setns_init_linux.go) loads the profile, then closes its
pipes, opens the exec FIFO, closes all descriptors but the container's, and execs. It is a Go
program: its runtime starts threads, wakes them and collects garbage at any time. crun
(src/libcrun/container.c) closes the profile's descriptor and execs. Observed with runc 1.1.5 and
crun 1.8.1; the calls of newer runc (close_range, openat2, readlinkat, statx, execveat) are from its
source.
"""

PRIVILEGED_RUNTIME_CALLS = frozenset(
    """
    capget capset chdir fchown getgid getppid kill setgid setgroups setresgid setresuid setuid
    """.split()  # noqa: SIM905
)
"""The same without no_new_privs. Loading a profile is privileged then, so runtimes load it before
they change to the container's user and drop capabilities."""

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
"""Calls that any program may make, however short its trace: for memory, threads, signals, timers,
error messages and its end. None opens a path or makes a new kind of object. The last two lines are
the names in 32-bit ABIs. They matter where the trace is exact (``run --syscalls all``)."""

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
"""Calls that engines' default profiles refuse to a container without capabilities. A profile allows
those that the app made, and the command reports them."""
