"""What a new process does between its birth and the first instruction of Node: it puts the layers around itself.

The order is forced by what each step needs: mounts need capabilities, capabilities go before the filter of system calls
comes, and that one comes last, because it forbids everything else.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from . import cgroups, landlock, namespaces, rlimits, seccomp, system

SIGKILL = 9
FIRST_USER, USERS = 0x6000_0000, 0x0100_0000

# Node's dynamic libraries, and what it reads of the system.
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/local/lib")
DEVICES = ("/dev/null", "/dev/urandom")


@dataclass
class Plan:
    """What the launcher found it can do, and why it cannot do the rest."""

    filters_calls: bool = False
    limits_files: bool = False
    limits_resources: bool = False
    alone: namespaces.Kind | None = None
    own_user: bool = False
    groups: cgroups.Groups | None = None
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """What is run: the executable, the worker's folder, the memory it may have; and the part of the cgroup tree."""

    executable: str
    folder: str
    memory_bytes: int
    cgroup: str = ""

    @property
    def visible(self) -> list[str]:
        """Every path that a process may see."""
        # Without a C library of its own name in these folders nothing starts, so they are always there.
        return [*(path for path in LIBRARIES if os.path.exists(path)), self.executable, self.folder, *DEVICES]  # noqa: PTH110


def make_plan(target: Target, disabled: frozenset[str]) -> Plan:
    """Find out which layers this machine offers, by trying them."""
    plan = Plan()
    plan.reasons = dict.fromkeys(disabled, "switched off")
    if "seccomp" not in disabled:
        plan.reasons["seccomp"] = seccomp.available()
        plan.filters_calls = not plan.reasons["seccomp"]
    if "landlock" not in disabled:
        plan.limits_files = landlock.version() > 0
        plan.reasons["landlock"] = "" if plan.limits_files else "the kernel has no Landlock, or it is switched off"
    if "rlimits" not in disabled:
        plan.limits_resources = True
    if "namespaces" not in disabled:
        plan.alone, plan.reasons["namespaces"] = _find_namespaces(target)
    plan.own_user = _can_have_own_user(target, plan)
    if "cgroups" not in disabled:
        plan.groups, plan.reasons["cgroups"] = _find_groups(target, plan)
    return plan


def enter(plan: Plan, target: Target, serial: int, launcher: int, *, caller: int, caller_group: int) -> None:
    """Apply the plan to this process, which was just born by `namespaces.clone`. Raises OSError."""
    own_user = plan.own_user
    if plan.alone is not None:
        if plan.alone.flags & namespaces.NEW_USER:
            namespaces.become_nobody_inside(caller, caller_group)
        if plan.alone.own_root:
            namespaces.replace_root(target.visible)
        _name_the_host()
    os.setsid()
    executable = os.open(target.executable, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(executable, seccomp.EXECUTABLE_FD, inheritable=False)
    os.close(executable)
    if plan.limits_resources:
        inside = plan.alone is not None and bool(plan.alone.flags & namespaces.NEW_USER)
        rlimits.impose(rlimits.Quota(target.memory_bytes, own_user or inside))
    if own_user:
        user = FIRST_USER + serial % USERS
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    if system.LINUX:
        system.drop_capabilities()
        # Cleared by a change of user, so not before; the launcher may have died meanwhile.
        system.prctl(system.PR_SET_PDEATHSIG, SIGKILL)
        if os.getppid() not in {launcher, 0}:
            os._exit(70)
        system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
    if plan.limits_files:
        landlock.restrict([*LIBRARIES, "/dev/urandom", "/dev/null", target.folder], [*LIBRARIES, target.executable])
    if plan.filters_calls:
        seccomp.install(os.getpid())


def _find_namespaces(target: Target) -> tuple[namespaces.Kind | None, str]:
    if not system.LINUX:
        return None, "not on this operating system"
    reason = ""
    users = (0, namespaces.NEW_USER) if os.geteuid() == 0 else (namespaces.NEW_USER,)
    for own_root in (True, False):
        for user in users:
            kind = namespaces.Kind(namespaces.ALONE | user, own_root)
            refused = _try(kind, target)
            if not refused:
                return kind, reason and f"without a file system of its own: {reason}"
            reason = reason or refused
    return None, reason


def _try(kind: namespaces.Kind, target: Target) -> str:
    uid, gid = os.geteuid(), os.getegid()

    def alone() -> None:
        if kind.flags & namespaces.NEW_USER:
            namespaces.become_nobody_inside(uid, gid)
        if kind.own_root:
            namespaces.replace_root(target.visible)

    try:
        return in_a_child(alone, kind.flags)
    except OSError as error:
        return error.strerror or "refused"


def in_a_child(work: Callable[[], str | None], flags: int = 0) -> str:
    """Do something in a process of its own, and answer what it returned, or what went wrong. Raises OSError."""
    reading, writing = os.pipe()
    child = namespaces.clone(flags) if system.LINUX else os.fork()
    if child == 0:
        answer = "ended"
        try:
            answer = work() or ""
        except (OSError, ValueError, ArithmeticError, LookupError, MemoryError) as error:
            answer = f"{error}"
        finally:
            os.write(writing, answer.encode()[:60_000])
            os._exit(0)
    os.close(writing)
    parts = []
    while part := os.read(reading, 65_536):
        parts.append(part)
    os.close(reading)
    os.waitpid(child, 0)
    return b"".join(parts).decode(errors="replace")


def _can_have_own_user(target: Target, plan: Plan) -> bool:
    """Whether each process can run as a user of its own: for root, when that user can reach Node and our code."""
    if os.geteuid() != 0 or (plan.alone is not None and plan.alone.flags & namespaces.NEW_USER):
        return False
    own_root = plan.alone is not None and plan.alone.own_root

    def become() -> str:
        if own_root:
            namespaces.replace_root(target.visible)
        os.setgroups([])
        os.setresgid(FIRST_USER, FIRST_USER, FIRST_USER)
        os.setresuid(FIRST_USER, FIRST_USER, FIRST_USER)
        for path, wanted in ((target.executable, os.X_OK), (target.folder, os.R_OK | os.X_OK)):
            if not os.access(path, wanted):
                return f"another user cannot reach {path}"
        return ""

    try:
        refused = in_a_child(become, namespaces.NEW_MOUNTS if own_root else 0)
    except OSError as error:
        refused = str(error)
    if refused:
        plan.reasons["user"] = refused
    return not refused


def _find_groups(target: Target, plan: Plan) -> tuple[cgroups.Groups | None, str]:
    if not system.LINUX:
        return None, "not on this operating system"
    folder, refused = cgroups.find(target.cgroup)
    if refused:
        return None, refused
    groups = cgroups.Groups(folder, memory_bytes=target.memory_bytes)
    refused = groups.open()
    if refused:
        return None, refused
    try:
        entering = groups.add(0)

        def enter_it() -> str:
            cgroups.join(entering)
            return "" if groups.holds(0) else f"the kernel puts no process into a group of {folder}"

        try:
            # As a process is born later, so that it is known to work from within new namespaces.
            refused = in_a_child(enter_it, plan.alone.flags if plan.alone else 0)
        finally:
            os.close(entering)
            groups.remove(0)
    except OSError as error:
        refused = f"{folder}: {error.strerror}"
    if refused:
        groups.close()
    return (None, refused) if refused else (groups, "")


def _name_the_host() -> None:
    with suppress(OSError):  # a seccomp profile around us may forbid it; the name alone is no danger
        namespaces.set_host_name(b"sandbox")
