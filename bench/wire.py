"""Operations over HTTPS: every subject in turn, round after round, with the machine's limits timed beside each."""

import asyncio
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import limits
from bench.load import Measured, measure
from bench.report import BCRYPT_MS, RSA_US, Figure, Report
from bench.subjects import Subject


@dataclass(frozen=True)
class Operation:
    """How often a round does it, over how many connections, and its figure from what was measured and the limits."""

    operations: int
    connections: int
    value: Callable[[Measured, float, float], float]


def _us(measured: Measured, _rsa_us: float, bcrypt_ms: float) -> float:
    return measured.cpu_us * BCRYPT_MS / bcrypt_ms


OPERATIONS = {
    "client_credentials": Operation(400, 16, lambda m, rsa_us, _: 100 * rsa_us / m.cpu_us),
    "refresh": Operation(200, 16, lambda m, rsa_us, _: m.cpu_us / 1000 * RSA_US / rsa_us),
    "sign_in": Operation(12, 1, lambda m, _, bcrypt_ms: m.beside_hashing_ms * BCRYPT_MS / bcrypt_ms),
    "userinfo": Operation(800, 16, _us),
    "discovery": Operation(1500, 16, _us),
    "jwks": Operation(1500, 16, _us),
    "get": Operation(800, 16, _us),
    "list": Operation(400, 16, _us),
}


def run(subjects: Sequence[Subject], names: Sequence[str], report: Report, *, rounds: int) -> None:
    """Measure the named operations on all subjects; the first round warms everybody up and is not counted."""
    measured: dict[tuple[str, str], list[tuple[Measured, float]]] = {}
    for number in range(rounds + 1):
        for name in names:
            operation = OPERATIONS[name]
            for subject in subjects:
                if name not in subject.steps:
                    continue
                rsa_us, bcrypt_ms = limits.rsa_sign_us(), limits.bcrypt_ms()
                found = asyncio.run(
                    measure(
                        subject.base_url, subject.ca_file, subject.steps[name], pid=subject.pid,
                        database_pid=subject.database_pid, operations=operation.operations,
                        connections=operation.connections,
                    )
                )  # fmt: skip
                if number:
                    report.rsa_us.append(rsa_us)
                    report.bcrypt_ms.append(bcrypt_ms)
                    value = operation.value(found, rsa_us, bcrypt_ms)
                    measured.setdefault((name, subject.name), []).append((found, value))
    for (name, subject_name), found_in_rounds in measured.items():
        cpu_us = statistics.median(found.cpu_us for found, _ in found_in_rounds)
        database_us = statistics.median(found.database_us for found, _ in found_in_rounds)
        value = statistics.median(value for _, value in found_in_rounds)
        report.add(Figure(name, subject_name, value, _shown(cpu_us, database_us), cpu_us))


def _shown(cpu_us: float, database_us: float) -> str:
    own = f"{cpu_us:,.0f} us" if cpu_us < 10_000 else f"{cpu_us / 1000:,.1f} ms"
    return f"{own} + {database_us:,.0f} us db" if database_us else own
