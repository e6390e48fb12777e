"""What the server counts, in the form Prometheus reads.

Counting is a dictionary entry and costs well under a microsecond; the Prometheus library only writes the page. With
several worker processes each leaves its numbers in a shared folder, and whichever is asked adds them up.
"""

import asyncio
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from prometheus_client import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

LATENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
COMMIT_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)

Labels = tuple[str | int, ...]


class Counter:
    """A number that only grows, for each combination of labels."""

    def __init__(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> None:
        self.name, self.help_text, self.labels = name, help_text, labels
        self.values: dict[Labels, float] = {}

    def inc(self, *labels: str | int, by: float = 1) -> None:
        """Add to the counter with these label values."""
        self.values[labels] = self.values.get(labels, 0) + by


class Histogram:
    """How often values fell below each bound, for each combination of labels."""

    def __init__(self, name: str, help_text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()) -> None:
        self.name, self.help_text, self.labels, self.buckets = name, help_text, labels, buckets
        # For each combination one number per bucket, one above the last, and the sum of all values.
        self.values: dict[Labels, list[float]] = {}

    def observe(self, value: float, *labels: str | int) -> None:
        """Count a value."""
        row = self.values.get(labels)
        if row is None:
            row = self.values[labels] = [0.0] * (len(self.buckets) + 2)
        row[bisect_left(self.buckets, value)] += 1
        row[-1] += value


class Metrics:
    """All counters of the program. `gauge` registers a number that is read when the page is asked for."""

    def __init__(self) -> None:
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._shared: Path | None = None
        self._latency = self.histogram(
            "freehold_http_request_seconds",
            "Requests answered and the time each took, by route name and status.",
            LATENCY_BUCKETS_S,
            ("route", "status"),
        )
        self._commits = self.histogram(
            "freehold_store_commit_transactions", "Transactions made durable by one commit.", COMMIT_BUCKETS
        )

    def counter(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Counter:
        """A counter of this name; the same one when asked again."""
        return self._counters.setdefault(name, Counter(name, help_text, labels))

    def histogram(
        self, name: str, help_text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()
    ) -> Histogram:
        """A histogram of this name; the same one when asked again."""
        return self._histograms.setdefault(name, Histogram(name, help_text, buckets, labels))

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Register a number, such as the depth of a queue; with several workers their numbers are added."""
        self._gauges[name] = (help_text, read)

    def observe_request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request; the edge's observer."""
        self._latency.observe(seconds, route, status)

    def observe_commit(self, transactions: int) -> None:
        """Count a commit of the store and how many transactions it carried."""
        self._commits.observe(transactions)

    def render(self) -> bytes:
        """The page, in the Prometheus text format."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.registry import Collector

        families = list(self._families())

        class Collected(Collector):
            def collect(self) -> Iterator["Metric"]:
                return iter(families)

        registry = CollectorRegistry()
        registry.register(Collected())
        return generate_latest(registry)

    async def share(self, folder: Path, *, interval_s: float = 2.0) -> None:
        """Leave this process's numbers in the folder from time to time, until cancelled.

        The folder is emptied by who starts the workers (`empty_shared`), so that an earlier run does not count.
        """
        self._shared = folder
        last = b""
        try:
            while True:
                encoded = msgspec.msgpack.encode(self._snapshot())
                if encoded != last:
                    self._write(folder, encoded)
                    last = encoded
                await asyncio.sleep(interval_s)
        finally:
            self._write(folder, msgspec.msgpack.encode(self._snapshot()))

    def _write(self, folder: Path, encoded: bytes) -> None:
        target = folder / f"{os.getpid()}.metrics"
        partial = target.with_suffix(".partial")
        partial.write_bytes(encoded)
        partial.replace(target)

    def _snapshot(self) -> dict[str, Any]:
        return {
            "counters": {name: list(counter.values.items()) for name, counter in self._counters.items()},
            "histograms": {name: list(histogram.values.items()) for name, histogram in self._histograms.items()},
            "gauges": {name: float(read()) for name, (_, read) in self._gauges.items()},
        }

    def _snapshots(self) -> Iterator[dict[str, Any]]:
        """This process's numbers now, and the last ones of the other processes; a dead one's gauges no longer count."""
        yield self._snapshot()
        if self._shared is None:
            return
        for file in sorted(self._shared.glob("*.metrics")):
            pid = int(file.stem)
            if pid == os.getpid():
                continue
            with suppress(OSError, msgspec.MsgspecError):
                snapshot = msgspec.msgpack.decode(file.read_bytes())
                if not _is_alive(pid):
                    snapshot["gauges"] = {}
                yield snapshot

    def _families(self) -> Iterator["Metric"]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        snapshots = list(self._snapshots())
        for name, counter in self._counters.items():
            totals: dict[Labels, float] = {}
            for snapshot in snapshots:
                for labels, value in snapshot["counters"].get(name, ()):
                    totals[tuple(labels)] = totals.get(tuple(labels), 0) + value
            family = CounterMetricFamily(name, counter.help_text, labels=counter.labels)
            for labels, value in sorted(totals.items()):
                family.add_metric([str(label) for label in labels], value)
            yield family
        for name, histogram in self._histograms.items():
            rows: dict[Labels, list[float]] = {}
            for snapshot in snapshots:
                for labels, row in snapshot["histograms"].get(name, ()):
                    before = rows.get(tuple(labels))
                    rows[tuple(labels)] = [a + b for a, b in zip(before, row, strict=True)] if before else list(row)
            distribution = HistogramMetricFamily(name, histogram.help_text, labels=histogram.labels)
            bounds = [*(repr(bound) for bound in histogram.buckets), "+Inf"]
            for labels, row in sorted(rows.items()):
                running = [sum(row[: index + 1]) for index in range(len(bounds))]
                distribution.add_metric(
                    [str(label) for label in labels], list(zip(bounds, running, strict=True)), row[-1]
                )
            yield distribution
        for name, (help_text, _) in self._gauges.items():
            yield GaugeMetricFamily(name, help_text, value=sum(s["gauges"].get(name, 0.0) for s in snapshots))


def empty_shared(folder: Path) -> None:
    """Make the shared folder, without the numbers of an earlier run."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in folder.iterdir():
        file.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
