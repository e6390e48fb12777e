"""Ids in Auth0's forms: the right alphabet and length, never the same twice, in order where an order is promised."""

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from freehold.kernel.crypto.ids import (
    new_client_id,
    new_client_secret,
    new_id,
    new_kid,
    new_log_id,
    new_object_id,
    new_token,
)

NOW = datetime(2026, 1, 31, 12, 34, 56, 789000, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@pytest.mark.parametrize(
    ("make", "form"),
    [
        (lambda: new_id("rol_"), r"rol_[A-Za-z0-9]{16}"),
        (lambda: new_id("con_", 24), r"con_[A-Za-z0-9]{24}"),
        (new_object_id, r"[0-9a-f]{24}"),
        (new_client_id, r"[A-Za-z0-9]{32}"),
        (new_client_secret, r"[A-Za-z0-9_-]{64}"),
        (new_token, r"[A-Za-z0-9_-]{43}"),
        (lambda: new_token(48), r"[A-Za-z0-9_-]{64}"),
        (new_kid, r"[A-Za-z0-9_-]{21}"),
        (lambda: new_log_id(NOW_MS), r"90020260131123456789[0-9]{36}"),
    ],
)
def test_each_has_its_form_and_none_comes_twice(make: Callable[[], str], form: str) -> None:
    made = [make() for _ in range(2000)]

    assert all(re.fullmatch(form, one) for one in made)
    assert len(set(made)) == len(made)


def test_every_base62_character_is_as_likely_as_another() -> None:
    text = new_id("", 62 * 2000)
    counts = [text.count(character) for character in set(text)]

    assert len(counts) == 62
    # 2000 expected; 300 is about seven standard deviations.
    assert all(1700 < count < 2300 for count in counts)


def test_object_ids_sort_by_second_and_then_by_making() -> None:
    ids = [new_object_id(NOW + timedelta(seconds=second)) for second in range(50)]

    assert ids == sorted(ids)
    assert int(ids[0][:8], 16) == int(NOW.timestamp())


def test_log_ids_sort_by_time_and_then_by_making() -> None:
    same = [new_log_id(NOW_MS) for _ in range(1000)]
    later = [new_log_id(NOW_MS + step) for step in range(1, 1000)]

    assert same + later == sorted(same + later)
    assert len(later[0]) <= 61


@pytest.mark.parametrize("make", [lambda: new_object_id(NOW), lambda: new_log_id(NOW_MS)])
def test_a_forked_process_does_not_get_its_parents_ids(make: Callable[[], str]) -> None:
    """Both go on from the same counter, in the same millisecond."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, make().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.read() != make()


def test_threads_do_not_get_the_same_id() -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: new_object_id(NOW), range(5000)))

    assert len(set(made)) == len(made)
