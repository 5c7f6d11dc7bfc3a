"""Which system calls the code in a sandbox may make.

An allow list: a call that is not named here answers ENOSYS, as on a kernel that never had
it, so what a future kernel adds stays shut until somebody has looked at it. The reasons,
group by group, are in docs/security.md, and a test holds the two together.
"""

from __future__ import annotations

_ALLOWED = {
    "Files and directories": """
        open openat openat2 creat close close_range read write pread64 pwrite64 readv writev preadv
        pwritev preadv2 pwritev2 lseek sendfile splice tee copy_file_range fsync fdatasync
        sync_file_range readahead fadvise64 fallocate truncate ftruncate dup dup2 dup3 pipe pipe2
        fcntl flock stat fstat lstat newfstatat statx statfs fstatfs access faccessat faccessat2
        getdents getdents64 getcwd chdir fchdir mkdir mkdirat rmdir unlink unlinkat rename renameat
        renameat2 link linkat symlink symlinkat readlink readlinkat chmod fchmod fchmodat fchmodat2
        chown fchown lchown fchownat utime utimes futimesat utimensat umask mknod mknodat
        setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
        removexattr lremovexattr fremovexattr""",
    "Waiting for events": """
        poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait
        epoll_pwait2 eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_settime
        timerfd_gettime inotify_init inotify_init1 inotify_add_watch inotify_rm_watch""",
    "Memory": """
        mmap munmap mprotect mremap msync madvise mincore brk mlock mlock2 mlockall munlock
        munlockall memfd_create membarrier pkey_mprotect pkey_alloc pkey_free""",
    "Processes and threads": """
        fork vfork execve execveat exit exit_group wait4 waitid pidfd_open pidfd_send_signal kill
        tkill tgkill set_tid_address set_robust_list get_robust_list futex futex_waitv rseq
        arch_prctl getpid getppid gettid getpgid getpgrp setpgid getsid setsid getcpu sched_yield
        sched_setparam sched_getparam sched_setscheduler sched_getscheduler
        sched_get_priority_max sched_get_priority_min sched_rr_get_interval sched_setaffinity
        sched_getaffinity sched_setattr sched_getattr getpriority setpriority ioprio_get ioprio_set
        getrlimit setrlimit prlimit64 getrusage times sysinfo uname getrandom""",
    "Signals and time": """
        rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigqueueinfo
        rt_tgsigqueueinfo rt_sigsuspend sigaltstack restart_syscall pause alarm getitimer setitimer
        nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time timer_create
        timer_settime timer_gettime timer_getoverrun timer_delete""",
    "Identity": """
        getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid
        setresuid setresgid setfsuid setfsgid setgroups capget capset seccomp
        landlock_create_ruleset landlock_add_rule landlock_restrict_self""",
    "Network": """
        bind connect listen accept accept4 getsockname getpeername sendto recvfrom sendmsg recvmsg
        sendmmsg recvmmsg shutdown setsockopt getsockopt""",
    "Interprocess communication": """
        shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl
        mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr""",
}

_REFUSED = {
    "Mounts": """
        mount umount2 pivot_root chroot open_tree open_tree_attr move_mount fsopen fsconfig fsmount
        fspick mount_setattr""",
    "Namespaces": "unshare setns",
    "Other processes": """
        ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp
        pidfd_getfd""",
    "Programs inside the kernel": "bpf perf_event_open userfaultfd",
    "Keys": "add_key request_key keyctl",
    "Files by handle": "name_to_handle_at open_by_handle_at",
    "Watching file systems": "fanotify_init fanotify_mark",
    "The machine": """
        kexec_load kexec_file_load init_module finit_module delete_module reboot swapon swapoff
        quotactl quotactl_fd acct syslog settimeofday clock_settime clock_adjtime adjtimex
        sethostname setdomainname iopl ioperm vhangup""",
}

ALLOWED = {group: frozenset(names.split()) for group, names in _ALLOWED.items()}
# These answer EPERM.
REFUSED = {group: frozenset(names.split()) for group, names in _REFUSED.items()}
# These answer success and do nothing.
IGNORED = frozenset({"sync", "syncfs"})
# Whether these may be made depends on their arguments.
CHECKED = frozenset({"clone", "ioctl", "personality", "prctl", "socket", "socketpair"})
# What a nursery, the template of a function with SnapStart, needs to make sandboxes of itself.
# None of them uses its sixth argument, in which the nursery shows its secret.
GATED = frozenset({"unshare", "setns", "mount", "umount2", "move_mount", "sethostname"})
