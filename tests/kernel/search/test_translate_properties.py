"""Whatever the query and whatever the people, SQL finds whom plain Python finds."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings

from freehold.kernel.clock import FakeClock
from freehold.kernel.store import Store, create_schema, open_store
from tests.kernel.search.people import MEMBERS, PEOPLE, Person, fill, ids_of
from tests.kernel.search.queries import Query, scenes


@pytest.mark.parametrize("scene_count", [20, pytest.param(400, marks=pytest.mark.slow)])
def test_sql_finds_whom_a_plain_evaluation_finds(store_url: str, scene_count: int) -> None:
    with asyncio.Runner() as runner:
        store = runner.run(opened(store_url))

        @settings(max_examples=scene_count, deadline=None, suppress_health_check=list(HealthCheck))
        @given(scenes())
        def check(scene: tuple[list[Person], list[Query]]) -> None:
            people, queries = scene
            runner.run(fill(store, people))
            for query in queries:
                found = runner.run(ids_of(store, str(query)))
                assert found == [person["id"] for person in people if query.matches(person)], str(query)

        check()
        runner.run(store.close())


async def opened(url: str) -> Store:
    store = open_store(url, clock=FakeClock())
    await create_schema(store, [PEOPLE, MEMBERS])
    return store
