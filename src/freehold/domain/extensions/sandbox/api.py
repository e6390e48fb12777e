"""What callers give the sandbox and get from it. Everything in an outcome was said by foreign code."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import msgspec

from freehold.domain.extensions.sandbox.visits import Visit
from freehold.kernel.errors import FreeholdError

# Why there is no value. `script`: it threw. `load`: it does not compile, misses a module, or has no such function.
# `lost`: the process ended for what another call did; the call had begun, so it is not made again.
ErrorKind = Literal["script", "load", "timeout", "cpu", "memory", "output", "exit", "protocol", "lost"]


class SandboxUnavailable(FreeholdError):
    """Custom code cannot run here: no Node.js, or layers that the operator requires are missing."""

    status, code = 503, "sandbox_unavailable"


class SandboxBusy(FreeholdError):
    """So much of the tenant's code is waiting already that one more call would not be answered in time."""

    status, code = 429, "sandbox_busy"


@dataclass(frozen=True)
class Script:
    """A version of a piece of code.

    `kind` names how it is loaded and called: `module` (CommonJS, promises), `callback` (Node's callbacks), or a file of
    `freehold/worker/kinds`. `modules` is the key of an installed set of npm modules. `globals` are names that are
    required when the script uses them first. `shared` is code by name that an action requires as `actions:NAME`; its
    secrets come with those of a call, as `actions:NAME/KEY`.
    """

    id: str
    version: str
    code: str
    kind: str = "module"
    modules: str = ""
    globals: Mapping[str, str] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """What tells this version from every other; a script that was changed under its version is another one."""
        named = [sorted(self.globals.items()), sorted(self.shared.items())]
        content = msgspec.json.encode([self.code, self.kind, self.modules, *named])
        return f"{self.id}@{self.version}#{hashlib.sha256(content).hexdigest()[:24]}"


class Step(msgspec.Struct, frozen=True):
    """One function of those that a call runs, one after the other."""

    script: Script
    function: str = ""
    secrets: Mapping[str, str] = msgspec.field(default_factory=dict)


class LogLine(msgspec.Struct, frozen=True):
    """One line of the script's console."""

    level: str
    text: str


class ScriptError(msgspec.Struct, frozen=True):
    """Why there is no value. `type` and `message` are the script's own words when `kind` is `script`.

    `stack` is for the tenant's logs only; `details` are the other properties of what was thrown.
    """

    kind: ErrorKind
    type: str
    message: str
    stack: str = ""
    details: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Outcome(msgspec.Struct, frozen=True):
    """How a call ended."""

    value: Any = None
    error: ScriptError | None = None
    logs: tuple[LogLine, ...] = ()
    duration_ms: float = 0.0
    # The call changed the language's own objects, so its script was loaded anew for the next one.
    spoilt: bool = False
    # Where it connected to, or was not let, and how many more there were than are kept.
    visits: tuple[Visit, ...] = ()
    visits_left_out: int = 0


class Limits(msgspec.Struct, frozen=True):
    """What a tenant's code gets."""

    timeout_s: float = 20.0
    cpu_s: float = 10.0
    memory_mb: int = 256
    # Of console output and of an answer; a call that says more is ended.
    output_bytes: int = 1 << 20
    # Calls that may wait for a process, and the processes that a tenant may have when they do. Each runs one at a time.
    queue: int = 64
    processes: int = 4
    streams: int = 50
