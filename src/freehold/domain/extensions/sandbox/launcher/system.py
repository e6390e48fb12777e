"""System calls that Python has no function for, by number, for the two processors that are known."""

import ctypes
import os
import platform
import sys
from contextlib import suppress

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long

ARCHITECTURE = platform.machine()
LINUX = sys.platform == "linux"

# x86_64, aarch64 (the generic table). What a script's process may call, and what the layers and probes call.
NUMBERS: dict[str, tuple[int | None, int]] = {
    "read": (0, 63), "write": (1, 64), "open": (2, -1), "close": (3, 57), "stat": (4, -1), "fstat": (5, 80),
    "lstat": (6, -1), "poll": (7, -1), "lseek": (8, 62), "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215),
    "brk": (12, 214), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "ioctl": (16, 29), "pread64": (17, 67), "pwrite64": (18, 68), "readv": (19, 65), "writev": (20, 66),
    "access": (21, -1), "pipe": (22, -1), "select": (23, -1), "sched_yield": (24, 124), "mremap": (25, 216),
    "msync": (26, 227), "mincore": (27, 232), "madvise": (28, 233), "dup": (32, 23), "dup2": (33, -1),
    "nanosleep": (35, 101), "getpid": (39, 172), "socket": (41, 198), "connect": (42, 203), "shutdown": (48, 210),
    "getsockname": (51, 204), "getpeername": (52, 205), "socketpair": (53, 199), "setsockopt": (54, 208),
    "getsockopt": (55, 209), "clone": (56, 220), "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221),
    "exit": (60, 93), "kill": (62, 129), "uname": (63, 160), "fcntl": (72, 25), "getcwd": (79, 17),
    "readlink": (89, -1), "gettimeofday": (96, 169), "getrlimit": (97, 163), "getrusage": (98, 165),
    "sysinfo": (99, 179), "times": (100, 153), "ptrace": (101, 117), "getuid": (102, 174), "getgid": (104, 176),
    "geteuid": (107, 175), "getegid": (108, 177), "getppid": (110, 173), "capget": (125, 90), "capset": (126, 91),
    "rt_sigpending": (127, 136), "rt_sigtimedwait": (128, 137), "sigaltstack": (131, 132), "getpriority": (140, 141),
    "sched_getparam": (143, 121), "sched_getscheduler": (145, 120), "prctl": (157, 167), "arch_prctl": (158, -1),
    "setrlimit": (160, 164), "sethostname": (170, 161),
    "mount": (165, 40), "pivot_root": (155, 41), "umount2": (166, 39), "gettid": (186, 178),
    "tkill": (200, 130), "time": (201, -1), "futex": (202, 98), "sched_getaffinity": (204, 123),
    "epoll_create": (213, -1), "getdents64": (217, 61), "set_tid_address": (218, 96), "restart_syscall": (219, 128),
    "fadvise64": (221, 223), "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "exit_group": (231, 94), "epoll_wait": (232, -1), "epoll_ctl": (233, 21), "tgkill": (234, 131),
    "add_key": (248, 217), "openat": (257, 56), "newfstatat": (262, 79), "readlinkat": (267, 78),
    "faccessat": (269, 48),
    "pselect6": (270, 72), "ppoll": (271, 73), "unshare": (272, 97), "set_robust_list": (273, 99),
    "get_robust_list": (274, 100), "epoll_pwait": (281, 22), "eventfd2": (290, 19), "epoll_create1": (291, 20),
    "dup3": (292, 24), "pipe2": (293, 59), "preadv": (295, 69), "pwritev": (296, 70), "perf_event_open": (298, 241),
    "prlimit64": (302, 261), "process_vm_readv": (310, 270), "getcpu": (309, 168), "seccomp": (317, 277),
    "getrandom": (318, 278), "memfd_create": (319, 279), "bpf": (321, 280), "execveat": (322, 281),
    "membarrier": (324, 283), "copy_file_range": (326, 285), "preadv2": (327, 286), "pwritev2": (328, 287),
    "pkey_mprotect": (329, 288), "pkey_alloc": (330, 289), "pkey_free": (331, 290), "statx": (332, 291),
    "rseq": (334, 293), "io_uring_setup": (425, 425), "pidfd_open": (434, 434), "clone3": (435, 435),
    "close_range": (436, 436), "faccessat2": (439, 439), "epoll_pwait2": (441, 441),
    "landlock_create_ruleset": (444, 444), "landlock_add_rule": (445, 445), "landlock_restrict_self": (446, 446),
    "futex_waitv": (449, 449), "mseal": (462, 462),
}  # fmt: skip


def number(name: str) -> int | None:
    """The number of a system call on this processor; None when it has no such call, or the processor is unknown."""
    column = {"x86_64": 0, "aarch64": 1}.get(ARCHITECTURE)
    found = None if column is None else NUMBERS[name][column]
    return None if found is None or found < 0 else found


def call(name: str, *arguments: object) -> int:
    """Make a system call. Raises OSError."""
    found = number(name)
    if found is None or not LINUX:
        raise OSError(38, f"{name}: not on this machine")
    widened = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    result = int(_LIBC.syscall(ctypes.c_long(found), *widened))
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 24, 47, 4


def prctl(option: int, value: int = 0, third: int = 0) -> None:
    """Change an attribute of this process. Raises OSError."""
    call("prctl", option, value, third, 0, 0)


def drop_capabilities() -> None:
    """Give up every capability, for good."""

    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:  # not known to this kernel, or not ours to drop
            continue
    with suppress(OSError):
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = Header(0x20080522, 0)
    call("capset", ctypes.byref(header), (ctypes.c_uint32 * 6)())
