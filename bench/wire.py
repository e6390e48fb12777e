"""Operations over HTTP: every subject in turn, round after round, with the machine's limits timed beside each."""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.limits import Limits
from bench.load import Measured, measure
from bench.report import TARGETS, Figure, Report
from bench.subjects import BARE, Subject


@dataclass(frozen=True)
class Operation:
    """How often a round does it, over how many connections, and how many RSA signatures it cannot do without."""

    operations: int
    connections: int
    signatures: int = 0


OPERATIONS = {
    "client_credentials": Operation(400, 16, 1),
    "refresh": Operation(200, 16, 2),
    "sign_in": Operation(12, 1, 1),
    "userinfo": Operation(800, 16),
    "discovery": Operation(1500, 16),
    "jwks": Operation(1500, 16),
    "get": Operation(800, 16),
    "list": Operation(400, 16),
}
_BARE = Operation(2000, 16)


def run(bare: Subject, subjects: Sequence[Subject], names: Sequence[str], report: Report, *, rounds: int) -> None:
    """Measure the named operations on all subjects; the first round warms everybody up and is not counted."""
    measured: dict[tuple[str, str], list[tuple[Measured, float]]] = {}
    for number in range(rounds + 1):
        for name in names:
            limits = Limits.measure()
            limits.bare_us = bare_answer_us(bare)
            if number:
                report.limits.append(limits)
            for subject in subjects:
                if name in subject.steps:
                    found = _measure(subject, name, OPERATIONS[name])
                    if number:
                        value = _value(name, found, limits)
                        measured.setdefault((name, subject.name), []).append((found, value))
    for (name, subject_name), found_in_rounds in measured.items():
        cpu_us = statistics.median(found.cpu_us for found, _ in found_in_rounds)
        database_us = statistics.median(found.database_us for found, _ in found_in_rounds)
        value = statistics.median(value for _, value in found_in_rounds)
        report.add(Figure(name, subject_name, value, _shown(cpu_us, database_us), cpu_us))


def bare_answer_us(bare: Subject) -> float:
    """CPU microseconds of an HTTP answer of prepared bytes."""
    return _measure(bare, BARE, _BARE).cpu_us


def _measure(subject: Subject, name: str, operation: Operation) -> Measured:
    return asyncio.run(
        measure(
            subject.base_url, subject.steps[name], pid=subject.pid, database_pid=subject.database_pid,
            operations=operation.operations, connections=operation.connections,
        )
    )  # fmt: skip


def _value(name: str, found: Measured, limits: Limits) -> float:
    """What was measured, in the unit of its target."""
    unit, signatures = TARGETS[name].unit, OPERATIONS[name].signatures
    if unit == "% of RSA":
        return 100 * signatures * limits.rsa_us / found.cpu_us
    if unit == "us":
        return limits.request_at_target(found.cpu_us, signatures)
    spent_us = found.beside_hashing_us if name == "sign_in" else found.cpu_us
    return limits.request_at_target(spent_us, signatures) / 1000


def _shown(cpu_us: float, database_us: float) -> str:
    own = f"{cpu_us:,.0f} us" if cpu_us < 10_000 else f"{cpu_us / 1000:,.1f} ms"
    return f"{own} + {database_us:,.0f} us db" if database_us else own
