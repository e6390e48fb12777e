"""Scripts that others wrote for Auth0: the public gallery runs unmodified, and its own tests hold in the sandbox.

What a piece of the gallery asks for and gets here is compared by the gallery's own words: its files of tests are run by
`jest.cjs` as a rule. Deviations are listed one by one, each with its reason, and nothing else may deviate.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from freehold.domain.extensions import RULES, RULES_CONFIGS, npm
from freehold.domain.extensions.post_login import run_post_login
from freehold.domain.extensions.sandbox import Script
from freehold.kernel.declare import documents
from tests.domain.extensions.conftest import Extended, facts
from tests.domain.extensions.gallery import LACKING, Piece, Table, rules, scripts, texts

pytestmark = [pytest.mark.gallery, pytest.mark.asyncio(loop_scope="module")]

JEST = Path(__file__).with_name("jest.cjs").read_text("utf-8")
RUN_BY_JEST = [("nock", "10.0.6"), ("lodash", "4.17.21"), ("jsonwebtoken", "8.5.1"), ("moment-timezone", "0.5.45"),
               ("bcrypt", "5.1.1")]  # fmt: skip

# The gallery's tests that do not hold here, and why; by piece and title.
_NOCK = "the socket that nock 10 plays is none for node-fetch on this Node.js, outside of the sandbox as well"
EXPLAINED: dict[tuple[str, str], str] = {
    ("MVC4/login", "number 4"): "it derives a key of no bytes, which Node.js refuses since it has OpenSSL 3",
    ("scaled-access-relationships-claim", "number 1"): _NOCK,
    ("scaled-access-relationships-claim", "number 2"): _NOCK,
}  # fmt: skip
# Pieces that cannot come to their end here, and why.
CANNOT_RUN: dict[str, str] = {
    "onfido-idv": "it needs a version of @onfido/api that is not published any more",
    "incognia-authentication": "it needs a version of @incognia/api that is not published any more",
    "incognia-onboarding": "it needs a version of @incognia/api that is not published any more",
}


@pytest.mark.parametrize("rule", rules(), ids=str)
async def test_a_rule_runs_in_the_pipeline(gallery: Extended, rule: Piece, report: Table) -> None:
    row = report.of(rule)
    await configure(gallery, rule.code)
    await npm.installed_for(gallery.services, gallery.tenant, rule.code)
    made = await gallery.make(RULES, {"name": re.sub(r"[^A-Za-z0-9]+", "-", rule.name), "script": rule.code})

    verdict = await run_post_login(gallery.services, gallery.tenant, facts(), ask=answers())

    async with gallery.services.store.transaction() as tx:
        await documents.delete(tx, gallery.tenant, RULES, made)
    ended = verdict.executions[0].results[0].get("error")
    row.ran = "yes" if ended is None else str(ended["msg"])[:200]
    if rule.name not in CANNOT_RUN:
        assert ended is None or not (LACKING.search(ended["msg"]) or ended["id"] != "script"), ended


@pytest.mark.parametrize("piece", [each for each in [*rules(), *scripts()] if each.tests], ids=str)
async def test_the_gallerys_own_tests_hold(gallery: Extended, piece: Piece, report: Table) -> None:
    row = report.of(piece)

    results = await run_by_jest(gallery, piece)

    failed = {title: failure for title, failure in results.items() if failure is not None}
    row.tests, row.held = len(results), len(results) - len(failed)
    row.failed = [f"{title}: {failure}"[:400] for title, failure in failed.items()]
    assert results
    assert {title: failure for title, failure in failed.items() if (piece.name, title) not in EXPLAINED} == {}


async def test_few_deviate() -> None:
    told = sum(len(re.findall(r"^\s*it\(", text, re.M)) for name in ("rules", "db-connections-templates")
               for text in texts(name).values())  # fmt: skip

    assert told > 300
    assert len(EXPLAINED) <= told / 20


async def run_by_jest(gallery: Extended, piece: Piece) -> dict[str, str | None]:
    """What became of each test of a piece; None where it held."""
    everything = texts(piece.gallery)
    tests = everything[piece.tests]
    modules = await npm.installed_for(gallery.services, gallery.tenant, packages_of(piece, tests))
    script = Script(f"jest/{piece.gallery}/{piece.name}", "1", JEST, kind="rule", modules=modules)
    sources = {each.name: each.code for each in (rules() if piece.gallery == "rules" else scripts())}
    shared = {path: text for path, text in everything.items() if "/utils/" in path}
    given = {"files": shared | {piece.tests: tests}, "test": piece.tests, "loads": {piece.name: sources[piece.name]}}

    async def ask(only: int | None) -> Any:
        return await gallery.services.sandbox.call(
            gallery.tenant.id, script, "", [{**given, "only": only}, {}, {}], timeout_s=20
        )

    outcome = await ask(None)
    if outcome.error is None:
        return {each["title"]: each["failure"] for each in outcome.value[0]["results"]}
    # One of them ended the call for all: each for itself then.
    results: dict[str, str | None] = {}
    for number in range(len(re.findall(r"^\s*it\(", tests, re.M))):
        outcome = await ask(number)
        for each in outcome.value[0]["results"] if outcome.error is None else []:
            results[each["title"]] = each["failure"]
        if outcome.error is not None:
            results[f"number {number + 1}"] = f"{outcome.error.kind}: {outcome.error.message}"
    return results


def packages_of(piece: Piece, tests: str) -> str:
    """A text that names what a piece and its tests need."""
    needed = {*npm.packages_in(piece.code), *npm.packages_in(tests)} - {
        ("nock", "latest"),
        ("parse-comments", "latest"),
    }
    needed = {each for each in needed if each[0] not in {name for name, _ in RUN_BY_JEST}} | set(RUN_BY_JEST)
    return "\n".join(f"require('{name}@{version}');" for name, version in sorted(needed))


async def configure(gallery: Extended, code: str) -> None:
    """Give a rule every value of the configuration that it names."""
    async with gallery.services.store.transaction() as tx:
        for key in sorted(set(re.findall(r"\bconfiguration\.(\w+)", code))):
            await documents.delete(tx, gallery.tenant, RULES_CONFIGS, key)
            value = "https://service.example.com/path" if "URL" in key or "DOMAIN" in key else f"the value of {key}"
            await documents.create(tx, gallery.tenant, RULES_CONFIGS, {"value": value}, server={"key": key})


def answers() -> dict[str, Any]:
    """The restricted client of the Management API, which agrees to everything."""

    async def agree(given: Any) -> Any:
        return {"user_id": given[0]}

    return {f"auth0.users.{name}": agree for name in ("updateAppMetadata", "updateUserMetadata")}
