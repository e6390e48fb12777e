"""The ceremony's pages without JavaScript: what they show, keep, and refuse."""

import ast
import asyncio
import html
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest
from pysequoia import SignatureMode, decrypt, sign

from freehold.domain import audit
from freehold.domain.ceremonies.evidence.form import statement
from freehold.login.texts import LANGUAGES
from freehold.surfaces.ceremony.pages.guide import pgp_guide, rendered
from freehold.surfaces.dashboard import Screens
from tests.support.administrators import Person, form_to, form_with, make_administrator
from tests.support.ceremonies import RELAXED, armored, key_of
from tests.support.hosted_pages import BrowserSession, Page, read_page
from tests.support.in_process import Installation, started

ADA, BOB, GRACE = "ada@example.com", "bob@example.com", "grace@example.com"
PURPOSE = "Moving to another provider"
PACKAGE = "freehold.surfaces.ceremony"
FOLDER = Path(str(files(PACKAGE)))
EVIDENCE = Path(str(files("freehold.domain.ceremonies.evidence")))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with started(
        tmp_path_factory.mktemp("pages") / "data", **RELAXED, ceremony_allow_scan="without_private_keys"
    ) as running:
        # OpenPGP keys are made by the machine's time.
        running.advance((datetime.now(UTC) + timedelta(minutes=1) - running.clock.now()).total_seconds())
        yield running


@pytest.fixture(scope="module")
def ada(place: Installation) -> Person:
    return make_administrator(place, ADA)


@pytest.fixture(scope="module")
def bob(place: Installation) -> Person:
    return make_administrator(place, BOB)


@pytest.fixture(scope="module")
def executive(ada: Person) -> str:
    """Somebody enrolled with an OpenPGP key on the page."""
    browser, page = ada.sign_in(at="/admin/executives")
    page = browser.submit(
        page, form=form_to(page, "/admin/executives"), name="Grace Hopper", title="CSO", email=GRACE,
        openpgp=armored(GRACE),
    )  # fmt: skip
    assert (page.status, page.path) == (200, "/admin/executives")
    found = re.search(r"exe_\w+", page.response.text)
    assert found, page.text
    return found[0]


@pytest.fixture
def draft(ada: Person, executive: str) -> Iterator[tuple[BrowserSession, Page]]:
    """A draft of Ada's, in her browser; it is cancelled afterwards, if it can be."""
    browser, page = ada.sign_in(at="/admin/exports/new")
    page = ask(browser, page, executive)
    assert page.path.startswith("/admin/exports/cer_"), page.alerts
    yield browser, page
    at = page.path
    browser, page = ada.sign_in(at=at)
    if any(form.action == f"{at}/cancel" for form in page.forms):
        browser.submit(page, form=form_to(page, f"{at}/cancel"))


def ask(browser: BrowserSession, page: Page, executive: str, **changes: str) -> Page:
    form = form_to(page, "/admin/exports")
    form.values["kinds"] = "password_hashes"
    given = {"purpose": PURPOSE, "key_1": armored(ADA), "executive": executive, **changes}
    return browser.submit(page, form=form, **given)


def step(browser: BrowserSession, page: Page, name: str, **fields: str) -> Page:
    at = re.match(r"/admin/exports/cer_\w+", page.path)
    assert at
    form = form_to(page, f"{at[0]}/{name}")
    if name == "authorize" and "accepted" not in form.values:
        box = re.search(r'name="accepted" type="checkbox" value="([^"]+)"', page.response.text)
        assert box
        form.values["accepted"] = html.unescape(box[1])
    return browser.submit(page, form=form, **fields)


def word_in(page: Page) -> str:
    found = re.search(r"-----BEGIN PGP MESSAGE.*?-----END PGP MESSAGE-----", page.response.text, re.DOTALL)
    assert found
    opened = decrypt(html.unescape(found[0]).encode(), decryptor=key_of(ADA).decryptor()).bytes
    assert opened is not None
    return opened.decode().strip()


def groups_in(page: Page) -> str:
    found = re.search(r"\b[0-9a-f]{64}\b", page.text)
    assert found
    return " ".join(found[0][at : at + 4] for at in range(0, 24, 4))


def by_code(page: Page, decision: str) -> object:
    return next(form for form in page.forms if form.values.get("decision") == decision and "code" in form.values)


def upload(browser: BrowserSession, page: Page, content: bytes, kind: str = "openpgp") -> Page:
    form = form_to(page, f"{page.path}/signature")
    answer = browser.http.post(
        form.action, data={**form.values, "kind": kind}, files={"file": ("signed.asc", content)},
        headers={"origin": browser.origin, "sec-fetch-site": "same-origin"},
    )  # fmt: skip
    return browser.open(answer.headers["location"]) if answer.status_code == 303 else read_page(answer)


def test_the_whole_ceremony_with_codes(
    place: Installation, ada: Person, bob: Person, draft: tuple[BrowserSession, Page]
) -> None:
    browser, page = draft
    at = page.path
    assert "EdDSA" in page.text
    page = step(browser, page, "submit")
    wrong = step(browser, page, "possess", word_1="nonsense")
    assert (wrong.status, wrong.alerts) == (
        403, ["This is not the word in the message. Decrypt it, and type what it says."],
    )  # fmt: skip
    assert form_to(wrong, f"{at}/possess").values["word_1"] == "nonsense", "what was typed is still there"
    page = step(browser, wrong, "possess", word_1=word_in(page))
    wrong = step(browser, page, "authorize", tenant="another")
    assert wrong.alerts == ["Type the tenant's name exactly as it is shown, and accept the sentence."]
    assert form_to(wrong, f"{at}/authorize").values["tenant"] == "another"
    page = step(browser, wrong, "authorize", tenant="main")

    second, seen = bob.sign_in(at=f"{at}/decision")
    for shown in ("Ada <ada@example.com>", PURPOSE, "Password hashes", "Grace Hopper, CSO", "low assurance"):
        assert shown in seen.text
    fingerprint = str(key_of(ADA).extract_certificate().fingerprint).upper()
    assert " ".join(fingerprint[start : start + 4] for start in range(0, len(fingerprint), 4)) in seen.text
    wrong = second.submit(seen, form=by_code(seen, "approve"), code=bob.code(), digest="0000 1111")  # type: ignore[arg-type]
    assert wrong.alerts == ["These are not the groups that are shown. Compare them again."]
    groups = groups_in(seen)
    approved = second.submit(wrong, form=by_code(wrong, "approve"), code=bob.code(), digest=groups)  # type: ignore[arg-type]
    assert approved.path == at
    assert "confirmed low assurance" in approved.text

    form = browser.http.get(f"{at}/form")
    assert (form.headers["content-type"], form.content[:5]) == ("application/pdf", b"%PDF-")
    page = browser.open(at)
    refused = upload(browser, page, form.content, "pdf")
    assert refused.status == 400
    assert "not signed" in refused.alerts[0]
    digest = re.search(r"\b[0-9a-f]{64}\b", page.text)
    assert digest
    text = statement(form.content, bytes.fromhex(digest[0]))
    signed = sign(key_of(GRACE).signer(), text.encode(), mode=SignatureMode.CLEAR)
    page = upload(browser, browser.open(at), signed)
    for _ in range(150):
        place.work()
        page = browser.open(at)
        if "Download the file now" in page.text:
            break
        place.run(asyncio.sleep(0.2))
    file = step(browser, page, "download")
    assert (file.path, file.status) == (f"{at}/file", 200)
    sha256 = re.search(r"SHA-256 ([0-9a-f]{64}) Size", page.text)
    assert sha256
    assert re.search(r"Size [\d,]+ bytes Password hashes \d+ Download", page.text)
    assert decrypt(file.response.content, decryptor=key_of(ADA).decryptor()).bytes
    assert browser.open(file.url.removeprefix(browser.origin)).status == 410, "a link works once"
    assert "Downloaded completely: 1 of 3" in browser.open(at).text
    assert form_to(second.open(at), f"{at}/cancel"), "the other administrator can remove it"
    assert not any(form.action == f"{at}/download" for form in second.open(at).forms)
    place.advance(8 * 86_400)
    for _ in range(3):
        place.work()
    browser, page = ada.sign_in(at=at)
    assert "The file and its key were destroyed." in page.text
    assert browser.http.get(f"{at}/receipt").headers["content-type"] == "application/zip"
    assert browser.open("/admin/exports").text.count("removed") >= 1


def test_a_signature_on_paper_counts_by_the_word_of_a_named_person(
    place: Installation, ada: Person, bob: Person, draft: tuple[BrowserSession, Page]
) -> None:
    """The operator's policy here allows it where no private keys leave."""
    browser, page = draft
    at = page.path
    page = step(browser, page, "submit")
    page = step(browser, page, "possess", word_1=word_in(page))
    step(browser, page, "authorize", tenant="main")
    second, seen = bob.sign_in(at=f"{at}/decision")
    second.submit(seen, form=by_code(seen, "approve"), code=bob.code(), digest=groups_in(seen))  # type: ignore[arg-type]
    page = upload(browser, browser.open(at), b"%PDF-1.4 a scan of ink", kind="scan")

    assert page.path == at, page.alerts
    assert not any(form.action == f"{at}/scan" for form in page.forms), "whoever uploads it cannot confirm it"
    token = form_to(page, f"{at}/cancel").values
    sent = {**token, "channel": "I know her hand"}
    alone = browser.http.post(f"{at}/scan", data=sent, headers={"origin": browser.origin})
    assert alone.status_code == 403
    seen = second.open(at)
    done = step(second, seen, "scan", channel="I called her on the number in the directory")
    assert done.path == at
    assert "Bob" in done.text
    entries = place.run(audit.latest_entries(place.services.store, place.tenant, limit=20))
    told = next(entry for entry in entries if entry.action == "ceremony.confirm_scan")
    details = json.loads(told.details)
    assert (told.actor.email, details["channel"]) == (BOB, "I called her on the number in the directory")
    assert "allow_scan" in details["relaxed"]


def test_a_rejection_ends_it(ada: Person, bob: Person, draft: tuple[BrowserSession, Page]) -> None:
    browser, page = draft
    at = page.path
    page = step(browser, page, "submit")
    step(browser, page, "possess", word_1=word_in(page))
    second, seen = bob.sign_in(at=f"{at}/decision")
    ended = second.submit(
        seen, form=by_code(seen, "reject"), code=bob.code(), digest=groups_in(seen), reason="Nobody told me"  # type: ignore[arg-type]
    )  # fmt: skip
    assert ended.path == at
    assert "Reason: Nobody told me" in ended.text
    assert "cancelled" in ended.text


def test_nothing_typed_is_lost_and_each_problem_stands_by_its_field(ada: Person, executive: str) -> None:
    browser, page = ada.sign_in(at="/admin/exports/new")
    page = ask(browser, page, executive, purpose="short", key_1="x", needed_by="2020-01-01", email_2="z@example.com")
    assert page.status == 400
    assert len(page.alerts) == 4, page.alerts
    for name in ("purpose", "needed_by", "key_2"):
        assert f'id="{name}-error"' in page.response.text, name
    form = form_to(page, "/admin/exports")
    kept = {"purpose": "short", "key_1": "x", "needed_by": "2020-01-01", "email_2": "z@example.com"}
    assert {name: form.values[name] for name in kept} == kept
    assert form.values["executive"] == executive
    page = ask(browser, page, executive, key_1=armored("other@example.com"), needed_by="", email_2="")
    assert "No user id of the key has the e-mail ada@example.com" in " ".join(page.alerts)


def test_what_was_typed_outlasts_a_confirmation(place: Installation, ada: Person, executive: str) -> None:
    browser, page = ada.sign_in(at="/admin/exports/new")
    place.advance(301)
    asked = ask(browser, page, executive)
    assert asked.status == 403
    wrong = browser.submit(
        asked, form=form_with(asked, "confirm_password"), confirm_password="wrong", confirm_code=ada.code()
    )
    assert wrong.status == 400
    made = browser.submit(
        wrong, form=form_with(wrong, "confirm_password"), confirm_password=ada.password, confirm_code=ada.code()
    )
    assert made.path.startswith("/admin/exports/cer_")
    assert PURPOSE in made.text
    step(browser, made, "cancel")


def test_a_change_has_another_digest(draft: tuple[BrowserSession, Page]) -> None:
    browser, page = draft
    before = groups_in(page)
    form = browser.open(f"{page.path}/change")
    assert form_to(form, f"{page.path}/change").values["purpose"] == PURPOSE
    changed = browser.submit(form, form=form_to(form, f"{page.path}/change"), purpose="Moving to yet another provider")
    assert changed.path == page.path
    assert groups_in(changed) != before
    assert "revision 2" in changed.text


def test_an_old_form_is_refused(draft: tuple[BrowserSession, Page]) -> None:
    browser, page = draft
    step(browser, page, "submit")
    stale = step(browser, page, "cancel")
    assert stale.status == 409
    assert "this page was old" in stale.alerts[0]
    assert "Check the word" in stale.text, "nothing happened, and the page shows how it stands"


def test_another_page_sends_no_form(draft: tuple[BrowserSession, Page], bob: Person) -> None:
    browser, page = draft
    form = form_to(page, f"{page.path}/submit")
    for values, headers in (
        (form.values, {"origin": "https://evil.example"}),
        (form.values, {"origin": browser.origin, "sec-fetch-site": "cross-site"}),
        ({**form.values, "csrf_token": "x"}, {"origin": browser.origin}),
        ({"version": form.values["version"]}, {"origin": browser.origin}),
    ):
        assert browser.http.post(form.action, data=values, headers=headers).status_code == 403
    other, _ = bob.sign_in()
    foreign = other.http.post(form.action, data=form.values, headers={"origin": browser.origin})
    assert foreign.status_code == 403, "a token belongs to one session"
    assert "draft" in browser.open(page.path).text


def test_only_the_requester_changes_submits_and_fetches(draft: tuple[BrowserSession, Page], bob: Person) -> None:
    _, page = draft
    at = page.path
    browser, seen = bob.sign_in(at=at)
    assert not any(form.action in {f"{at}/submit", f"{at}/cancel"} for form in seen.forms)
    assert browser.open(f"{at}/change").status == 403
    token, headers = form_to(seen, "/admin/sign-out").values["csrf_token"], {"origin": browser.origin}
    for name in ("submit", "words", "possess", "authorize", "cancel"):
        sent = {"csrf_token": token, "version": "1", "word_1": "x", "tenant": "main"}
        answer = browser.http.post(f"{at}/{name}", data=sent, headers=headers)
        assert answer.status_code in {403, 409}, name
    answer = browser.http.post(f"{at}/download", data={"csrf_token": token}, headers=headers)
    assert answer.status_code == 410
    assert "draft" in browser.open(at).text


def test_a_viewer_looks_and_does_nothing(place: Installation, draft: tuple[BrowserSession, Page]) -> None:
    _, page = draft
    viewer = make_administrator(place, "viewer@example.com", "viewer")
    browser, seen = viewer.sign_in(at=page.path)
    assert seen.status == 200
    assert {form.action for form in seen.forms} == {"/admin/sign-out"}
    for path in ("/admin/exports/new", f"{page.path}/decision"):
        assert browser.open(path).status == 403
    assert {form.action for form in browser.open("/admin/executives").forms} == {"/admin/sign-out"}
    token = form_to(seen, "/admin/sign-out").values["csrf_token"]
    sent = {"csrf_token": token, "version": "1"}
    for path in (f"{page.path}/submit", f"{page.path}/decision", f"{page.path}/download", "/admin/executives"):
        assert browser.http.post(path, data=sent, headers={"origin": browser.origin}).status_code == 403


def test_every_page_is_safe_from_framing_and_scripts(draft: tuple[BrowserSession, Page]) -> None:
    browser, page = draft
    for path in (
        "/admin/exports", "/admin/exports/new", page.path, f"{page.path}/change", "/admin/executives",
        "/admin/guide/pgp", "/admin/executive/passkey?token=x", "/admin/executive/sign?token=x",
    ):  # fmt: skip
        answer = browser.http.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy or answer.headers.get("x-frame-options") == "DENY", path
        assert answer.headers["cache-control"].startswith("no-store"), path
        assert not re.search(r'\son\w+="|style="|javascript:', answer.text), path


def test_nobody_gets_in_without_a_session(place: Installation, draft: tuple[BrowserSession, Page]) -> None:
    _, page = draft
    with place.client() as http:
        for path in ("/admin/exports", "/admin/exports/new", page.path, "/admin/executives", "/admin/guide/pgp"):
            answer = http.get(path)
            assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/admin/sign-in")
        for path in (f"{page.path}/form", f"{page.path}/receipt", f"{page.path}/file?ticket=x"):
            assert http.get(path).status_code in {303, 401}
    with place.client(headers={"authorization": str(place.management().headers["authorization"])}) as machine:
        assert machine.get(page.path).status_code in {303, 401}


@pytest.mark.parametrize("name", ["passkey", "sign"])
def test_a_link_that_is_none_opens_nothing(place: Installation, name: str) -> None:
    browser = BrowserSession(place.client())
    for token in ("", "x", "A" * 43):
        seen = browser.open(f"/admin/executive/{name}?token={token}")
        assert (seen.status, seen.forms) == (410, [])
    assert browser.http.get("/admin/executive/form?token=" + "A" * 43).status_code == 410
    answer = browser.http.post(f"/admin/executive/{name}-options?token={'A' * 43}", json={"purpose": "register"})
    assert answer.status_code == 403


def test_a_language_of_ones_own(draft: tuple[BrowserSession, Page]) -> None:
    browser, page = draft
    german = browser.open(page.path, headers={"accept-language": "de"})
    assert "Der Fingerabdruck dieses Antrags" in german.text


def test_the_guide_is_the_documentations_text() -> None:
    title, body = pgp_guide()
    assert title == "Make a key, and open a sealed export"
    assert "gpg --full-generate-key" in body
    assert 'id="5-show-that-you-can-decrypt"' in body
    assert "not run:" not in body
    assert "<!--" not in body


def test_a_guide_holds_no_html_of_its_own() -> None:
    _, body = rendered(
        "# T\n\n<script>alert(1)</script>\n\nA <b onclick=x>word</b> [a](javascript:alert(1)) [b](../x.md) "
        "[c](https://example.com/) ![d](https://example.com/x.png)\n\n```sh\n<img src=x>\n```\n"
    )
    assert "<script" not in body
    assert "onclick" not in body
    assert 'href="javascript' not in body
    assert "<img" not in body
    assert "../x.md" not in body
    assert '<a href="https://example.com/">c</a>' in body


USED = re.compile(r"""\bt(?:\(|\[)"([^"]+)"(?!\s*~)""")
VARIABLE = re.compile(r"\$\{(\w+)\}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_that_is_used_is_there(language: str) -> None:
    texts = Screens(PACKAGE).texts(language)
    used = {key for path in (FOLDER / "templates").glob("*.html") for key in USED.findall(path.read_text())}
    assert [key for key in sorted(used) if not texts.optional(key)] == []


def reasons(*names: str) -> set[str]:
    """The codes of refusals that these modules raise."""
    found = set()
    for name in names:
        for node in ast.walk(ast.parse((EVIDENCE / f"{name}.py").read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                (code, *_) = node.args
                if node.func.id in {"Refusal", "KeyRefused", "FormRefused"} and isinstance(code, ast.Constant):
                    found.add(str(code.value))
    return found


def test_why_a_key_or_a_form_is_refused_is_said_in_german() -> None:
    german = Screens(PACKAGE).texts("de")
    wanted = {f"key.{code}" for code in reasons("recipient_key", "recipient_key_worker", "possession")}
    wanted |= {f"form.{code}" for code in reasons("signed_form", "signed_pdf_worker", "signed_text_worker")}
    assert len(wanted) > 60
    assert [key for key in sorted(wanted) if not german.optional(key)] == []


def test_a_key_is_refused_in_german(place: Installation, ada: Person, executive: str) -> None:
    browser, page = ada.sign_in(
        BrowserSession(place.client(headers={"accept-language": "de"})), at="/admin/exports/new"
    )
    refused = ask(browser, page, executive, key_1="-----BEGIN PGP PUBLIC KEY BLOCK-----")
    assert refused.status == 400
    assert "Das ist kein vollständiger öffentlicher OpenPGP-Schlüssel" in html.unescape(refused.response.text)


def test_the_languages_say_the_same_things() -> None:
    english, german = (json.loads((FOLDER / "locales" / f"{name}.json").read_text()) for name in ("en", "de"))
    # Why a key or a form is refused is said in English by the refusal itself, with its figures.
    refusals = {key for key in german if key.startswith(("key.", "form."))}
    assert english.keys() == german.keys() - refusals
    for key, text in english.items():
        assert set(VARIABLE.findall(german[key])) == set(VARIABLE.findall(text)), key
