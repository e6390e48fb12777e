"""What the figures are held against, and the table that says how they stand.

`TARGETS` is the promise: a floor that every change must keep and a goal to aim at. A figure in the unit of its target
is either a ratio to a limit timed in the same run, or is translated to the machine that the targets were set on, by the
limit that is nearest in kind: RSA for signatures, a bare HTTP answer for the rest of a request, bcrypt for computing.
"""

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.limits import BARE_US, BCRYPT_MS, RSA_US, Limits


@dataclass(frozen=True)
class Target:
    """A row of the promise."""

    title: str
    unit: str
    floor: float | None = None
    goal: float | None = None
    more_is_better: bool = False
    digits: int = 0

    def reached(self, value: float) -> str:
        """Which of the two a value reaches."""
        if self.goal is not None and self._keeps(value, self.goal):
            return "goal"
        if self.floor is None:
            return "-"
        return "floor" if self._keeps(value, self.floor) else "NO"

    def show(self, value: float | None) -> str:
        """A value in this unit."""
        return "-" if value is None else f"{value:,.{self.digits}f} {self.unit}"

    def _keeps(self, value: float, bound: float) -> bool:
        return value >= bound if self.more_is_better else value <= bound


TARGETS = {
    "client_credentials": Target("client_credentials, RS256, durable log entry", "% of RSA", 60, 75, True),
    "refresh": Target("refresh, rotated, access + ID token, durable", "ms", 1.0, 2 * RSA_US / 1000 / 0.75, digits=2),
    "sign_in": Target("sign-in on the pages, code + PKCE, bcrypt 10", "ms + bcrypt", 3, 1.5, digits=2),
    "userinfo": Target("userinfo with a JWT", "us", 150, 80),
    "discovery": Target("discovery", "us", 50, 30),
    "jwks": Target("JWKS", "us", 50, 30),
    "get": Target("Management API, user by id", "us", 120, 60),
    "list": Target("Management API, 50 users", "us", 300, 150),
    "import": Target("import of NDJSON users, bcrypt hashes", "users/CPU-s", 50_000, None, True),
    "import_joined": Target("the same, profiles and hashes in two files", "users/CPU-s", None, None, True),
    "export": Target("export, gzip", "users/CPU-s", 300_000, 500_000, True),
    "import_memory": Target("memory of the import", "MiB", 256, 170),
    "export_memory": Target("memory of the export", "MiB", 256, 48),
    "sealed_export": Target("sealed export, against OpenPGP alone on as many bytes", "%", 60, None, True),
    "sealed_export_memory": Target("memory of the sealed export, all its processes", "MiB", 300, None),
    "ceremony": Target("whole ceremony of 25 users by a script, restored elsewhere", "s", 60, None),
    "start": Target("start of a server", "s CPU", 1.0, 0.35, digits=2),
    "idle_memory": Target("idle server", "MiB", 80, 40),
    "latency": Target("p99 of a trivial request while sign-ins queue up", "ms", 50, 10, digits=1),
    "crowd": Target("sign-in among all users against 1,000, bcrypt left out", "times", 1.3, None, digits=2),
    "reset": Target("tenants reset, the operation", "ms", 100, None),
    "reset_command": Target("tenants reset, the whole command", "s CPU", None, None, digits=2),
    "code_call": Target("empty action, beyond one round trip to bare Node", "ms", 0.3, 0.07, digits=2),
    "code_call_p99": Target("p99 of an empty action", "ms", 5, 2, digits=2),
    "code_cold": Target("first action of a tenant, process started for it", "ms", 150, 75),
    "code_first": Target("the same, process started before", "ms", 40, 15, digits=1),
    "code_memory": Target("idle process of custom code, its own memory", "MiB", 25, 20, digits=1),
    "code_tenants": Target("processes that tenants with code keep when nobody signs in", "", 0, 0),
    "code_sign_in": Target("three rules and two actions, in a sign-in on the pages", "ms CPU", 5, None, digits=2),
}


@dataclass(frozen=True)
class Figure:
    """What one operation cost on one subject."""

    key: str
    subject: str
    value: float
    """In the unit of the target."""
    raw: str
    """As it was measured, for people."""
    cpu_us: float | None = None
    """CPU of the server per operation, where a peer can be held against it."""
    floor: float | None = None
    goal: float | None = None
    """In place of the target's own, where they depend on the database or on a limit of this run."""


@dataclass
class Report:
    """All figures of a run, and the limits they were taken beside."""

    limits: list[Limits] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)

    def limit_lines(self) -> list[str]:
        """The limits in words."""
        found = self.median_limits()
        here = f"RSA-2048 signature {found['rsa_us']:,.0f} us, bcrypt of cost 10 {found['bcrypt_ms']:.1f} ms"
        if "bare_us" in found:
            here += f", bare HTTP answer {found['bare_us']:.1f} us"
        return [
            f"Limits in this run: {here}.",
            f"'At target' is for the machine that the targets were set on: {RSA_US:.0f} us, {BCRYPT_MS} ms, "
            f"{BARE_US:.0f} us.",
        ]

    def median_limits(self) -> dict[str, float]:
        """The median of each limit that was timed."""
        found = {}
        for name in ("rsa_us", "bcrypt_ms", "bare_us"):
            if timed := [getattr(limits, name) for limits in self.limits if getattr(limits, name) is not None]:
                found[name] = statistics.median(timed)
        return found

    def print(self, peer: str) -> None:
        """The table."""
        console = Console(width=230, highlight=False)
        for line in self.limit_lines():
            console.print(line)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("operation", "on", "measured", "at target", "floor", "goal", "reached", peer, "times cheaper"):
            table.add_column(name, justify="left" if name in {"operation", "on", "reached"} else "right", no_wrap=True)
        for key, target in TARGETS.items():
            found = [figure for figure in self.figures if figure.key == key]
            other = next((figure for figure in found if figure.subject == peer), None)
            for figure in found:
                if figure is other:
                    continue
                bound = _bound(target, figure)
                ratio = other.cpu_us / figure.cpu_us if other and other.cpu_us and figure.cpu_us else None
                table.add_row(
                    target.title, figure.subject, figure.raw, target.show(figure.value), bound.show(bound.floor),
                    bound.show(bound.goal), bound.reached(figure.value), other.raw if other else "-",
                    f"{ratio:.1f}" if ratio else "-",
                )  # fmt: skip
        console.print(table)
        for note in self.notes:
            console.print(note)

    def write(self, path: Path) -> None:
        """The same as JSON."""
        figures = [
            {**vars(figure), "unit": TARGETS[figure.key].unit, "floor": bound.floor, "goal": bound.goal,
             "reached": bound.reached(figure.value)}
            for figure in self.figures
            for bound in [_bound(TARGETS[figure.key], figure)]
        ]  # fmt: skip
        content = {"limits": self.median_limits(), "figures": figures, "notes": self.notes}
        path.write_text(json.dumps(content, indent=2) + "\n")


def _bound(target: Target, figure: Figure) -> Target:
    return Target(
        target.title, target.unit, target.floor if figure.floor is None else figure.floor,
        target.goal if figure.goal is None else figure.goal, target.more_is_better, target.digits,
    )  # fmt: skip
