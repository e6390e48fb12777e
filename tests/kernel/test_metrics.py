"""What Prometheus reads: counts of this process, and of all workers together."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from freehold.kernel.metrics import Metrics


def samples(page: bytes) -> dict[tuple[str, ...], float]:
    """Every sample by its name and label values, the bound of a bucket last."""
    return {
        (
            sample.name,
            *(sample.labels[name] for name in sorted(sample.labels, key=lambda name: name == "le")),
        ): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def test_requests_are_counted_and_timed_by_route_and_status() -> None:
    metrics = Metrics()
    metrics.observe_request("oauth.token", 200, 0.002)
    metrics.observe_request("oauth.token", 200, 0.04)
    metrics.observe_request("oauth.token", 429, 60.0)

    found = samples(metrics.render())

    assert found["freehold_http_request_seconds_count", "oauth.token", "200"] == 2
    assert found["freehold_http_request_seconds_count", "oauth.token", "429"] == 1
    assert found["freehold_http_request_seconds_bucket", "oauth.token", "200", "0.0025"] == 1
    assert found["freehold_http_request_seconds_bucket", "oauth.token", "200", "0.05"] == 2
    assert found["freehold_http_request_seconds_bucket", "oauth.token", "429", "10.0"] == 0
    assert found["freehold_http_request_seconds_bucket", "oauth.token", "429", "+Inf"] == 1
    assert found["freehold_http_request_seconds_sum", "oauth.token", "200"] == pytest.approx(0.042)


def test_a_value_on_a_bound_belongs_below_it() -> None:
    metrics = Metrics()
    metrics.observe_commit(4)
    metrics.observe_commit(5)

    found = samples(metrics.render())

    assert found["freehold_store_commit_transactions_bucket", "4.0"] == 1
    assert found["freehold_store_commit_transactions_bucket", "8.0"] == 2


def test_a_gauge_is_read_when_asked() -> None:
    metrics, depth = Metrics(), [0]
    metrics.gauge("freehold_password_queue_depth", "Password checks waiting.", lambda: depth[0])
    depth[0] = 7

    assert samples(metrics.render())["freehold_password_queue_depth",] == 7


def test_a_name_asked_for_twice_is_one_counter() -> None:
    metrics = Metrics()
    metrics.counter("freehold_mails", "Mails sent.", ("template",)).inc("welcome")
    metrics.counter("freehold_mails", "Mails sent.", ("template",)).inc("welcome", by=2)

    assert samples(metrics.render())["freehold_mails_total", "welcome"] == 3


def test_label_values_cannot_forge_lines() -> None:
    metrics = Metrics()
    metrics.counter("freehold_mails", "Mails sent.", ("template",)).inc('a"} 1\nforged 5 # {b="')

    assert ("forged",) not in samples(metrics.render())


async def test_workers_add_up_and_a_dead_ones_queue_is_forgotten(tmp_path: Path) -> None:
    ours, other = Metrics(), Metrics()
    for metrics in (ours, other):
        metrics.gauge("freehold_password_queue_depth", "Password checks waiting.", lambda: 2)
        metrics.observe_request("oauth.token", 200, 0.002)
    other.observe_request("userinfo", 200, 0.001)
    dead_pid = 2**22 + 1  # above the largest process id of Linux
    (tmp_path / f"{dead_pid}.metrics").write_bytes(msgspec.msgpack.encode(other._snapshot()))
    (tmp_path / "1.metrics").write_bytes(msgspec.msgpack.encode(other._snapshot()))
    (tmp_path / "2.metrics").write_bytes(b"half written")

    sharing = asyncio.create_task(ours.share(tmp_path, interval_s=0.001))
    await asyncio.sleep(0.01)
    found = samples(ours.render())
    sharing.cancel()
    await asyncio.gather(sharing, return_exceptions=True)

    assert found["freehold_http_request_seconds_count", "oauth.token", "200"] == 3
    assert found["freehold_http_request_seconds_count", "userinfo", "200"] == 2
    assert found["freehold_password_queue_depth",] == 4


async def test_a_workers_last_numbers_outlive_it(tmp_path: Path) -> None:
    metrics = Metrics()
    sharing = asyncio.create_task(metrics.share(tmp_path, interval_s=60))
    await asyncio.sleep(0.01)
    metrics.observe_request("oauth.token", 200, 0.002)
    sharing.cancel()
    await asyncio.gather(sharing, return_exceptions=True)

    (file,) = tmp_path.glob("*.metrics")
    assert msgspec.msgpack.decode(file.read_bytes())["histograms"]["freehold_http_request_seconds"][0][0] == [
        "oauth.token",
        200,
    ]
