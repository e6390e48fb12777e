"""Scripts that others wrote for Auth0: the public gallery runs unmodified, and its own tests hold in the sandbox.

What a piece of the gallery asks for and gets here is compared by the gallery's own words: its files of tests are run by
`jest.cjs` as a rule. Deviations are listed one by one, each with its reason, and nothing else may deviate.
"""

import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from freehold.domain.extensions import RULES, RULES_CONFIGS, npm
from freehold.domain.extensions.executions import Execution
from freehold.domain.extensions.post_login import run_post_login
from freehold.domain.extensions.running import Deadline, legacy_script, run
from freehold.domain.extensions.sandbox import Limits, Sandbox, Script
from freehold.domain.tenants.lifecycle import create
from freehold.kernel.clock import SystemClock
from freehold.kernel.declare import documents
from freehold.kernel.store import create_schema, open_store
from freehold.registry import REGISTRY
from tests.domain.extensions.conftest import Extended, Services, facts
from tests.domain.extensions.gallery import REPORT, Piece, rules, scripts, texts
from tests.support.full_tenant import directory

pytestmark = [pytest.mark.gallery, pytest.mark.asyncio(loop_scope="module")]

JEST = Path(__file__).with_name("jest.cjs").read_text("utf-8")
RUN_BY_JEST = [("nock", "10.0.6"), ("lodash", "4.17.21"), ("jsonwebtoken", "8.5.1"), ("moment-timezone", "0.5.45"),
               ("bcrypt", "5.1.1")]  # fmt: skip

# The gallery's tests that do not hold here, and why; by piece and title.
_BCRYPT = "bcryptjs stands for bcrypt, whose native part cannot be loaded, and words a missing argument otherwise"
_NOCK = "the socket that nock 10 plays is none for node-fetch on this Node.js, outside of the sandbox as well"
EXPLAINED: dict[tuple[str, str], str] = {
    **dict.fromkeys(
        [
            ("mongo/change_password", "number 2"), ("mongo/create", "number 3"), ("mongo/login", "number 3"),
            ("mysql/change_password", "number 2"), ("mysql/create", "number 1"), ("mysql/login", "number 3"),
            ("postgres/change_password", "number 2"), ("postgres/create", "number 1"), ("postgres/login", "number 3"),
            ("sqlserver/change_password", "number 2"), ("sqlserver/login", "number 3"),
        ],
        _BCRYPT,
    ),
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

# Packages that a rule names in a version that the registry of npm has no more.
GONE = {"@onfido/api", "@incognia/api", "@auth0/rule-utilities"}
# What a script would throw for something that the sandbox lacks, and not for what it was told by others.
LACKING = re.compile(
    r"Cannot find module|is not available in the sandbox|is not defined|is not a function|is not a constructor"
)


@dataclass
class Row:
    """A line of the table of results."""

    gallery: str
    name: str
    ran: str = ""
    held: int = 0
    tests: int = 0
    failed: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def report() -> Iterator[dict[str, Row]]:
    """The table of results, written where FREEHOLD_GALLERY_REPORT says."""
    rows: dict[str, Row] = {}
    yield rows
    if file := os.environ.get(REPORT):
        Path(file).write_text(_table(list(rows.values())), "utf-8")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gallery() -> AsyncIterator[Extended]:
    """One tenant, and one set of all packages that any piece of the gallery needs, because npm takes its time."""
    with tempfile.TemporaryDirectory(prefix="freehold-gallery-", ignore_cleanup_errors=True) as folder:
        store = open_store(f"sqlite:///{folder}/test.db", clock=SystemClock())
        await create_schema(store, REGISTRY.tables)
        tenant = await create(store, directory(store, REGISTRY), "acme", "acme.test")
        # Every piece has its own copy of what it loads, and all are kept.
        limits = Limits(memory_mb=1024)
        sandbox = Sandbox(require_level="basic", modules_folder=Path(folder, "modules"), limits=limits)
        extended = Extended(Services(store, sandbox), tenant)
        modules = await npm.installed_for(extended.services, tenant, requiring(packages_of_all()))

        async def all_of_them(*_: Any) -> str:
            return modules

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(npm, "installed_for", all_of_them)
            yield extended
        await sandbox.close()
        sandbox.modules.remove(tenant.id)
        await store.close()


def row_of(report: dict[str, Row], piece: Piece) -> Row:
    return report.setdefault(f"{piece.gallery}/{piece.name}", Row(piece.gallery, piece.name))


@pytest.mark.parametrize("rule", rules(), ids=str)
async def test_a_rule_runs_in_the_pipeline(gallery: Extended, rule: Piece, report: dict[str, Row]) -> None:
    row = row_of(report, rule)
    await configure(gallery, rule.code)
    made = await gallery.make(RULES, {"name": re.sub(r"[^A-Za-z0-9]+", "-", rule.name), "script": rule.code})

    verdict = await run_post_login(gallery.services, gallery.tenant, facts(), ask=answers())

    async with gallery.services.store.transaction() as tx:
        await documents.delete(tx, gallery.tenant, RULES, made)
    ended = verdict.executions[0].results[0].get("error")
    row.ran = "yes" if ended is None else str(ended["msg"])[:200]
    if rule.name not in CANNOT_RUN:
        assert ended is None or not (LACKING.search(ended["msg"]) or ended["id"] != "script"), ended


@pytest.mark.parametrize("script", scripts(), ids=str)
async def test_a_database_script_loads_and_answers(gallery: Extended, script: Piece, report: dict[str, Row]) -> None:
    row = row_of(report, script)
    made = await legacy_script(gallery.services, gallery.tenant, script.name, script.code, "script")
    user = {"email": "ada@example.com", "password": "secret", "tenant": "acme", "connection": "db", "client_id": "app"}
    given: dict[str, list[Any]] = {
        "create": [user], "login": ["ada@example.com", "secret"], "change_password": ["ada@example.com", "new secret"],
    }  # fmt: skip

    outcome = await run(
        gallery.services, gallery.tenant, made, "", given.get(script.name.split("/")[1], ["ada@example.com"]),
        name=script.name, execution=Execution("database", gallery.tenant.clock.now_ms()), deadline=Deadline(),
    )  # fmt: skip

    # Its server is nowhere to be found, which it says by its callback.
    row.ran = "yes" if outcome.error is None else f"{outcome.error.kind}: {outcome.error.message}"[:200]
    if script.name not in CANNOT_RUN:
        assert outcome.error is None or outcome.error.kind == "script", outcome.error
        assert outcome.error is None or not LACKING.search(outcome.error.message), outcome.error


@pytest.mark.parametrize("piece", [each for each in [*rules(), *scripts()] if each.tests], ids=str)
async def test_the_gallerys_own_tests_hold(gallery: Extended, piece: Piece, report: dict[str, Row]) -> None:
    row = row_of(report, piece)

    results = await run_by_jest(gallery, piece)

    failed = {title: failure for title, failure in results.items() if failure is not None}
    row.tests, row.held = len(results), len(results) - len(failed)
    row.failed = [f"{title}: {failure}"[:400] for title, failure in failed.items()]
    assert results
    assert {title: failure for title, failure in failed.items() if (piece.name, title) not in EXPLAINED} == {}


def test_few_deviate() -> None:
    told = sum(len(re.findall(r"^\s*it\(", text, re.M)) for name in ("rules", "db-connections-templates")
               for text in texts(name).values())  # fmt: skip

    assert told > 300
    assert len(EXPLAINED) <= told / 20


async def run_by_jest(gallery: Extended, piece: Piece) -> dict[str, str | None]:
    """What became of each test of a piece; None where it held."""
    everything = texts(piece.gallery)
    tests = everything[piece.tests]
    modules = await npm.installed_for(gallery.services, gallery.tenant, "")
    script = Script("jest", "1", JEST, kind="rule", modules=modules)
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


def packages_of_all() -> list[tuple[str, str]]:
    """What the pieces and the gallery's tests need, as the server finds it for each."""
    codes = [*(each.code for each in [*rules(), *scripts()]), *texts("rules").values(),
             *texts("db-connections-templates").values()]  # fmt: skip
    needed = {package for code in codes for package in npm.packages_in(code)} - {("nock", "latest")}
    left_out = {"parse-comments", *GONE}
    return sorted({*RUN_BY_JEST, *(each for each in needed if each[0] not in left_out)})


def requiring(packages: list[tuple[str, str]]) -> str:
    return "\n".join(f"require('{name}@{version}');" for name, version in packages)


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


def _table(rows: list[Row]) -> str:
    held, tests = sum(row.held for row in rows), sum(row.tests for row in rows)
    lines = [f"{len(rows)} pieces; {held} of {tests} of the gallery's own tests hold.", "",
             "| piece | came to | own tests | what failed |", "|---|---|---|---|"]  # fmt: skip
    for row in sorted(rows, key=lambda row: (row.gallery, row.name)):
        cells = [f"{row.gallery}/{row.name}", row.ran, f"{row.held}/{row.tests}", "; ".join(row.failed)]
        lines.append("| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
