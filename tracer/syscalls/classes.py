"""Puts every system call of every supported ABI into exactly one class (a test checks that)."""

from __future__ import annotations

from slimtrace.tracer.syscalls.table import SIGNATURES, CallMeaning

_PROCESS_MEANINGS = {
    CallMeaning.OWN_ROOT,
    CallMeaning.OWN_FILTER,
    CallMeaning.OWN_TRACER,
    CallMeaning.RING,
    CallMeaning.LISTEN,
    CallMeaning.SOCKET,
    CallMeaning.SOCKETCALL,
    CallMeaning.NOTED,
}

PATH = frozenset(
    name for name, signature in SIGNATURES.items() if signature.meaning not in _PROCESS_MEANINGS
)
"""Calls that carry a path: stopped and decoded."""

PROCESS = frozenset(SIGNATURES) - PATH
"""Calls that change how paths resolve or what the tracer can see: stopped and tracked."""

HOT = frozenset(
    """
    accept accept4 alarm arch_prctl arm_fadvise64_64 brk cacheflush clock_getres clock_getres_time64
    clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 clone clone3 close close_range
    copy_file_range dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait
    epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 exit exit_group fadvise64 fadvise64_64
    fallocate fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fstat fstat64 fstatfs
    fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv
    futex_wake get_robust_list get_thread_area get_tls getcpu getcwd getdents getdents64 getegid
    getegid32
    geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp
    getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit
    getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 ioctl kill _llseek
    lseek madvise membarrier memfd_create mincore mlock mlock2 mmap mmap2 mprotect mremap msync
    munlock munmap nanosleep _newselect oldfstat pause pidfd_send_signal pipe pipe2 poll ppoll
    ppoll_time64 prctl pread64 preadv preadv2 prlimit64 pselect6 pselect6_time64 pwrite64 pwritev
    pwritev2 read readahead readdir readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg
    restart_syscall rseq rseq_slice_yield rt_sigaction rt_sigpending rt_sigprocmask
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
    rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
    sched_getattr sched_getparam sched_getscheduler sched_setaffinity sched_setscheduler
    sched_yield select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64
    sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address set_tls setitimer
    setpgid
    setsid setsockopt shmat shmctl shmdt shmget shutdown sigaction sigaltstack signalfd signalfd4
    sigprocmask sigreturn sigsuspend socketpair splice sync_file_range sync_file_range2
    sysinfo tee tgkill
    time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
    timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64 times tkill ugetrlimit umask uname uretprobe uprobe vfork vmsplice wait4
    waitid waitpid write writev
    """.split()  # noqa: SIM905 -- nobody reads 200 quoted names
)
"""Calls that programs make all the time: never stopped, and listed as ``assumed``."""

RARE = frozenset(
    """
    add_key adjtimex bpf breakpoint cachestat capget capset clock_adjtime clock_adjtime64
    clock_settime clock_settime64 delete_module fanotify_init finit_module get_mempolicy init_module
    inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
    io_pgetevents_time64 io_setup io_submit ioperm iopl ioprio_get ioprio_set ipc kcmp
    kexec_file_load kexec_load keyctl landlock_add_rule landlock_create_ruleset
    landlock_restrict_self listmount listns lookup_dcookie lsm_get_self_attr lsm_list_modules
    lsm_set_self_attr map_shadow_stack mbind memfd_secret migrate_pages mlockall modify_ldt
    move_pages mq_getsetattr mq_notify mq_timedreceive mq_timedreceive_time64 mq_timedsend
    mq_timedsend_time64 mseal msgctl msgget msgrcv msgsnd munlockall nice oldolduname olduname
    pciconfig_iobase pciconfig_read pciconfig_write perf_event_open personality pidfd_getfd
    pidfd_open pkey_alloc pkey_free pkey_mprotect
    process_madvise process_mrelease process_vm_readv process_vm_writev quotactl_fd reboot
    remap_file_pages request_key sched_rr_get_interval sched_rr_get_interval_time64 sched_setattr
    sched_setparam set_mempolicy set_mempolicy_home_node setdomainname setfsgid setfsgid32
    setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 sethostname setpriority setregid
    setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit
    settimeofday setuid setuid32 sgetmask signal sigpending ssetmask statmount stime sync syncfs
    sysfs syslog userfaultfd usr26 usr32 ustat vhangup vm86 vm86old
    """.split()  # noqa: SIM905
)
"""Calls that are stopped only for the list of system calls."""


def classify(name: str) -> str | None:
    """``path``, ``process``, ``rare``, ``hot``, or None for a call unknown to this version."""
    named = {"path": PATH, "process": PROCESS, "rare": RARE, "hot": HOT}
    return next((label for label, members in named.items() if name in members), None)
