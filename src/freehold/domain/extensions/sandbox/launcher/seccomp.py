"""L2: the list of system calls that a script's process may make; every other one fails with EPERM.

The filter is assembled here as classic BPF, without a library. A call that is allowed whatever its arguments costs
nothing: the kernel works that out once. Where an argument decides, it is compared as a 64-bit number.
"""

import ctypes
import struct

from . import system

# In place of a path, the fork server runs Node from a descriptor of this number, which lies above the limit of open
# files that holds from then on: nobody can ever have this descriptor again, so nothing can be executed any more.
EXECUTABLE_FD = 1000

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_SECCOMP_SET_MODE_FILTER = 1

_FREE = (
    "read", "write", "readv", "writev", "pread64", "preadv", "preadv2", "close", "fstat", "stat", "lstat", "lseek",
    "poll", "ppoll", "select", "pselect6", "mmap", "mprotect", "munmap", "mremap", "madvise", "mincore", "msync",
    "brk", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "sigaltstack",
    "sched_yield", "sched_getaffinity", "sched_getparam", "sched_getscheduler", "getpriority", "nanosleep",
    "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday", "time", "times", "getpid", "gettid",
    "getppid", "getuid", "getgid", "geteuid", "getegid", "uname", "getcwd", "readlink", "readlinkat", "access",
    "faccessat", "faccessat2", "open", "openat", "newfstatat", "statx", "getdents64", "getrlimit", "getrusage",
    "sysinfo", "futex", "futex_waitv", "set_robust_list", "get_robust_list", "set_tid_address", "restart_syscall",
    "rseq", "membarrier", "getrandom", "getcpu", "exit", "exit_group", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "pipe", "pipe2", "dup", "dup2", "dup3",
    "fadvise64", "arch_prctl", "capget", "mseal", "shutdown", "getsockname", "getpeername", "getsockopt",
    "pkey_mprotect", "pkey_alloc", "pkey_free",
)  # fmt: skip

_CLONE_THREAD = 0x00010000
_CLONE_NAMESPACES = 0x7E020080
_AT_EMPTY_PATH = 0x1000
_PRCTL = (3, 15, 16, 0x53564D41)  # GET_DUMPABLE, SET_NAME, GET_NAME, SET_VMA (the name of a memory area)
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # is it a terminal, its size, bytes waiting, (non)blocking

# Copies and flags. Not who gets the signal of a descriptor, and which: the kernel sends any to any process of the user.
_FCNTL = (0, 1, 2, 3, 4, 1030)

Instruction = tuple[int, int, int, int]


def available() -> str:
    """Why there can be no filter here; empty when there can."""
    if not system.LINUX or system.ARCHITECTURE not in _AUDIT_ARCH:
        return f"no filter is written for {system.ARCHITECTURE}"
    try:
        system.call("seccomp", 2, 0, ctypes.byref(ctypes.c_uint32(_ERRNO)))  # SECCOMP_GET_ACTION_AVAIL
    except OSError as error:
        return f"the kernel has no seccomp filters ({error.strerror})"
    return ""


def program(own_pid: int) -> list[Instruction]:
    """The filter of the process with this number (as it sees itself)."""
    code: list[Instruction] = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_JEQ, 1, 0, _AUDIT_ARCH[system.ARCHITECTURE]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the number
    ]
    if system.ARCHITECTURE == "x86_64":
        code += [(_JGE, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]  # the x32 table
    for name in _FREE:
        code += _when(name, [(_RETURN, 0, 0, _ALLOW)])
    code += _when("clone3", [(_RETURN, 0, 0, _ERRNO | _ENOSYS)])  # its flags lie in memory; libc then calls clone
    code += _when(
        "clone",
        [*_argument(0), (_JSET, 0, 3, _CLONE_THREAD), (_JSET, 2, 0, _CLONE_NAMESPACES), (_RETURN, 0, 0, _ALLOW)],
    )
    code += _when(
        "execveat",
        [
            *_argument(0),
            (_JEQ, 0, 3, EXECUTABLE_FD),
            *_argument(4),
            (_JEQ, 0, 1, _AT_EMPTY_PATH),
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    for name in ("kill", "tgkill"):
        code += _when(name, [*_argument(0), (_JEQ, 0, 1, own_pid), (_RETURN, 0, 0, _ALLOW)])
    # Reading a limit is free, setting one is not: the pointer to the new limit has to be null in both halves.
    code += _when(
        "prlimit64",
        [*_argument(2), (_JEQ, 0, 3, 0), (_LOAD, 0, 0, 16 + 2 * 8 + 4), (_JEQ, 0, 1, 0), (_RETURN, 0, 0, _ALLOW)],
    )
    code += _when("prctl", _one_of(0, _PRCTL))
    code += _when("ioctl", _one_of(1, _IOCTL))
    code += _when("fcntl", _one_of(1, _FCNTL))
    return [*code, (_RETURN, 0, 0, _ERRNO | _EPERM)]


def install(own_pid: int) -> None:
    """Filter the system calls of this process from now on. Raises OSError."""
    code = program(own_pid)
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    memory = ctypes.create_string_buffer(packed, len(packed))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    system.call("seccomp", _SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(Program(len(code), ctypes.addressof(memory))))


def _when(name: str, body: list[Instruction]) -> list[Instruction]:
    """The body for one system call; a body that does not return ends in the refusal."""
    found = system.number(name)
    if found is None:
        return []
    if len(body) > 1:
        body = [*body, (_RETURN, 0, 0, _ERRNO | _EPERM)]
    return [(_JEQ, 0, len(body), found), *body]


def _argument(index: int) -> list[Instruction]:
    return [(_LOAD, 0, 0, 16 + index * 8)]  # the lower half; both processors are little-endian


def _one_of(index: int, values: tuple[int, ...]) -> list[Instruction]:
    code = _argument(index)
    for value in values:
        code += [(_JEQ, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    return code
