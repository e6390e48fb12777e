"""What the tests' own set-up promises: nothing that was left out stays unsaid."""

import pytest
from playwright.async_api import Page

from tests.support.node import RunNode
from tests.support.plugin import not_tested
from tests.support.programs import MARKERS, find_chromium


def skipped(reason: str) -> pytest.TestReport:
    return pytest.TestReport("tests/t.py::t", ("tests/t.py", 1, "t"), {}, "skipped", ("tests/t.py", 1, reason), "setup")


def test_every_reason_is_named_once_with_its_number_of_tests() -> None:
    reports = [skipped("Skipped: no bell"), skipped("Skipped: no book"), skipped("Skipped: no book")]

    assert not_tested(reports, selection="") == [
        "NOT TESTED: 2 tests: no book",
        "NOT TESTED: 1 test: no bell",
    ]


def test_a_run_of_everything_has_nothing_to_confess() -> None:
    assert not_tested([], selection="") == []


def test_a_selection_is_named() -> None:
    (line,) = not_tested([], selection="not slow")

    assert "not slow" in line


def test_a_missing_program_skips_only_the_tests_that_ask_for_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert find_chromium() is None
    pytester.makeini("[pytest]\nmarkers = browser\n")
    pytester.makepyfile(
        "import pytest\n@pytest.mark.browser\ndef test_page(): raise AssertionError\ndef test_other(): pass\n"
    )

    result = pytester.runpytest_inprocess("-p", "tests.support.plugin", "-p", "no:asyncio")

    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines([f"NOT TESTED: 1 test: {MARKERS['browser'].missing}"])


@pytest.mark.node
def test_javascript_finds_the_locked_client_libraries(run_node: RunNode) -> None:
    module = """
        import { ManagementClient } from "auth0"
        import { AuthenticationClient } from "auth0/legacy"
        import { discovery } from "openid-client"
        console.log(typeof ManagementClient, typeof AuthenticationClient, typeof discovery, process.argv[2])
    """

    assert run_node(module, "last").split() == ["function", "function", "function", "last"]


@pytest.mark.browser
async def test_a_page_runs_without_network(page: Page) -> None:
    await page.set_content("<title>Sign in</title><input type=password aria-label=Password>")

    await page.get_by_label("Password").fill("correct horse")

    assert await page.title() == "Sign in"
    assert await page.get_by_label("Password").input_value() == "correct horse"
