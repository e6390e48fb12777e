"""The hosted pages: whole, accessible, usable without a script, in every language."""

import re
from itertools import pairwise

import pytest
from msgspec import structs

from freehold.login import pages, views
from freehold.login.pages import SCREENS, mail_document, render
from freehold.login.texts import LANGUAGES
from tests.login.examples import EXAMPLES, FORM, WITH_FORM, WITH_PROBLEMS, context
from tests.login.html_tree import Element, read_html

EVERY_PAGE = [(name, language) for name in EXAMPLES for language in LANGUAGES]


def page(name: str, language: str = "en", **changes: object) -> Element:
    return read_html(render(EXAMPLES[name], context(language, **changes)).body)


def test_every_view_has_an_example_and_a_screen() -> None:
    assert {type(view) for view in EXAMPLES.values()} == set(SCREENS)


def test_the_same_view_gives_the_same_bytes() -> None:
    assert [render(view, context()) for view in EXAMPLES.values()] == [
        render(view, context()) for view in EXAMPLES.values()
    ]


@pytest.mark.parametrize(("name", "language"), EVERY_PAGE)
def test_a_page_says_what_it_is(name: str, language: str) -> None:
    document = page(name, language)

    html = document.one("html")
    assert (html["lang"], html["dir"]) == (language, "ltr")
    assert document.one("title").text
    assert document.one("meta", name="viewport")["content"] == "width=device-width, initial-scale=1"
    assert len(document.all("main")) == 1
    assert document.one("h1").text
    assert "${" not in document.text


@pytest.mark.parametrize("name", EXAMPLES)
def test_headings_leave_no_level_out(name: str) -> None:
    levels = [int(heading.tag[1]) for heading in page(name).all("h1", "h2", "h3")]

    assert levels[0] == 1
    assert all(deeper - level <= 1 for level, deeper in pairwise(levels))


@pytest.mark.parametrize("name", EXAMPLES)
def test_ids_are_unique_and_whatever_refers_to_one_finds_it(name: str) -> None:
    document = page(name)
    ids = [element["id"] for element in document.walk() if "id" in element.attributes]

    assert len(ids) == len(set(ids))
    for element in document.walk():
        for attribute in ("for", "aria-describedby", "aria-labelledby"):
            assert set((element.get(attribute) or "").split()) <= set(ids)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_visible_input_has_a_label_a_name_and_an_autocomplete_value(name: str) -> None:
    document = page(name)
    labels = {label["for"] for label in document.all("label")}

    for field in document.all("input"):
        if field["type"] == "hidden" or "hidden" in field.attributes:
            continue
        assert field.get("id") in labels or field.get("aria-label")
        assert field["name"]
        assert field["autocomplete"] in {
            "username",
            "email",
            "tel",
            "current-password",
            "new-password",
            "one-time-code",
            "off",
        }


@pytest.mark.parametrize("name", WITH_FORM)
def test_every_form_carries_state_and_token_and_has_one_submit_button(name: str) -> None:
    forms = page(name).all("form")

    assert forms
    for form in forms:
        assert (form["method"], form["action"]) == ("post", "/u/login?state=st4te")
        assert form.one("input", name="state")["value"] == "st4te"
        assert form.one("input", name="_csrf")["value"] == "t0ken"
        button = form.one("button")
        assert (button["type"], button["name"]) == ("submit", "action")
        assert button.text


@pytest.mark.parametrize("name", EXAMPLES)
def test_pictures_have_a_text_or_are_hidden(name: str) -> None:
    brand = views.Brand(name="Northwind", logo_url="https://cdn.example.com/logo.png")
    document = page(name, brand=brand)

    assert all("alt" in image.attributes for image in document.all("img"))
    assert all(image["aria-hidden"] == "true" for image in document.all("svg"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_needs_a_script_and_nothing_is_inline(name: str) -> None:
    document = page(name)

    for element in document.walk():
        assert "style" not in element.attributes
        assert not [attribute for attribute in element.attributes if attribute.startswith("on")]
        if element.tag == "style" or (element.tag == "script" and element.get("type") != "application/json"):
            assert element["nonce"]
    assert not document.all("button", type="button")


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_is_loaded_from_elsewhere(name: str) -> None:
    document = page(name)

    loaded = [e.get("src") or e.get("href") for e in document.all("script", "link", "img", "iframe")]
    assert all(url is None or re.match(r"/(?!/)", url) for url in loaded)
    styles = " ".join(style.text for style in document.all("style"))
    assert "url(" not in styles
    assert "@import" not in styles


def test_the_login_form_has_the_inputs_of_auth0() -> None:
    document = page("login")

    username, password = document.one("input", name="username"), document.one("input", name="password")
    assert (username["type"], username["autocomplete"], username["inputmode"]) == ("email", "username", "email")
    assert (password["type"], password["autocomplete"]) == ("password", "current-password")
    assert (document.one("button")["name"], document.one("button")["value"]) == ("action", "default")
    assert [a["href"] for a in document.one("main").all("a")] == ["/u/reset?state=st4te", "/u/signup?state=st4te"]


def test_identifier_first_asks_for_one_thing_at_a_time() -> None:
    first, second = page("login-id"), page("login-password")

    assert not first.all("input", type="password")
    assert first.one("label").text == "Phone number, username or email address"
    assert first.one("input", name="username")["type"] == "text"
    chosen = second.one("input", name="username")
    assert (chosen["value"], "readonly" in chosen.attributes) == ("ada@example.com", True)
    assert second.one("a", href="/u/login/identifier?state=st4te").text == "Edit"


def test_links_are_left_out_where_there_is_nowhere_to_go() -> None:
    assert not read_html(render(views.Login(form=FORM), context()).body).all("a")
    assert not read_html(render(views.LoggedOut(), context()).body).all("a")


def test_sign_up_tells_the_rules_of_the_password_beforehand() -> None:
    document = page("signup-wrong")

    rules = document.one("div", data_rules_for="password")
    assert rules["id"] in document.one("input", name="password")["aria-describedby"].split()
    assert "At least 10 characters" in rules.text
    assert "At least 3 of these:" in rules.text
    assert "No more than 2 identical characters in a row" in rules.text


def test_sign_up_asks_for_what_the_connection_needs() -> None:
    document = page("signup")

    assert [field["name"] for field in document.all("input") if field["type"] != "hidden"] == [
        "email",
        "username",
        "password",
    ]
    assert "required" in document.one("input", name="email").attributes
    assert "required" not in document.one("input", name="username").attributes
    assert document.one("label", for_="username").text == "Username (optional)"


def test_a_policy_without_rules_shows_none() -> None:
    view = views.SignUp(form=FORM, password=views.PASSWORD_HINTS["none"])
    document = read_html(render(view, context()).body)

    assert not document.all("div", data_rules_for="password")
    assert document.one("input", name="password").get("aria-describedby") is None


def test_a_new_password_is_asked_for_twice_and_kept_for_the_right_account() -> None:
    document = page("reset-password")

    assert [field["name"] for field in document.all("input", type="password")] == [
        "password-reset",
        "re-enter-password",
    ]
    account = document.one("input", autocomplete="username")
    assert (account["value"], account.get("name")) == ("ada@example.com", None)


@pytest.mark.parametrize("name", WITH_PROBLEMS)
def test_problems_are_told_where_they_are_and_in_the_title(name: str) -> None:
    view = EXAMPLES[name]
    document = page(name)

    assert render(view, context()).status == 400
    assert document.one("title").text.startswith("Error: ")
    assert not page("login").one("title").text.startswith("Error")
    for problem in view.problems:  # type: ignore[union-attr]
        if problem.field:
            field = document.one("input", name=problem.field)
            message = document.one("p", id=f"{problem.field}-error")
            assert field["aria-invalid"] == "true"
            assert field["aria-describedby"].split()[0] == message["id"]
            assert message["role"] == "alert"
            assert message.text
        else:
            assert document.one("div", role="alert").text


def test_at_most_one_field_has_the_focus_and_it_is_the_one_to_correct() -> None:
    for name in EXAMPLES:
        assert len([field for field in page(name).all("input") if "autofocus" in field.attributes]) <= 1

    assert "autofocus" in page("login").one("input", name="username").attributes
    assert "autofocus" in page("login-wrong").one("input", name="password").attributes
    assert "autofocus" in page("signup-wrong").one("input", name="email").attributes
    assert "autofocus" in page("reset-password-wrong").one("input", name="re-enter-password").attributes


def test_a_problem_with_words_of_its_own_is_shown_as_it_is() -> None:
    view = views.Login(form=FORM, problems=(views.Problem("custom", text="Ask <b>Bob</b>."),))

    assert read_html(render(view, context()).body).one("div", role="alert").text == "Ask <b>Bob</b>."


def test_a_problem_nobody_wrote_a_text_for_still_says_something() -> None:
    view = views.Login(form=FORM, problems=(views.Problem("no-such-code"),))

    alert = read_html(render(view, context()).body).one("div", role="alert")
    assert alert.text == "That did not work. Please try again."


def test_what_was_typed_comes_back_except_passwords() -> None:
    assert page("login-wrong").one("input", name="username")["value"] == "ada@example.com"
    assert page("login-wrong").one("input", name="password").get("value") is None


def test_consent_names_what_is_asked_and_offers_two_ways() -> None:
    document = page("consent-to-others")

    scopes = [item.text for item in document.all("li")]
    assert scopes == ["Know who you are", "custom", "Read your orders read:orders", "write:orders"]
    assert "Orders is not run by Northwind." in document.text
    assert [(button["name"], button["value"]) for button in document.all("button")] == [
        ("action", "accept"),
        ("action", "deny"),
    ]
    assert "is not run by" not in page("consent").text


def test_the_error_page_has_the_heading_of_auth0_and_the_tracking_id() -> None:
    answer = render(EXAMPLES["error"], context())
    document = read_html(answer.body)

    assert answer.status == 400
    assert document.one("h1").text == "Oops!, something went wrong"
    terms, values = document.one("dl").all("dt"), document.one("dl").all("dd")
    assert [(term.text, value.text) for term, value in zip(terms, values, strict=True)] == [
        ("Application", "Orders"),
        ("Error", "invalid_request"),
        ("Description", "Unknown client: x"),
        ("Tracking ID", "7f3a9c"),
    ]


def test_a_bug_has_an_error_page_with_its_own_status() -> None:
    view = views.ErrorDetails(error="server_error", description="", tracking="7f3a9c", status=500)

    assert render(view, context()).status == 500


def test_refusals_have_their_status() -> None:
    names = ("not-found", "method-not-allowed", "too-many-requests", "unavailable")

    assert [render(EXAMPLES[name], context()).status for name in names] == [404, 405, 429, 503]
    assert "Wait 7 seconds" in page("too-many-requests").text


def test_the_outbox_lists_mails_and_says_when_there_are_none() -> None:
    document = page("outbox")

    assert [a["href"] for a in document.one("tbody").all("a")] == ["/outbox/2", "/outbox/1"]
    assert document.all("time")[0]["datetime"] == "2026-03-04T09:30:00Z"
    assert "(no subject)" in document.text
    assert "No mails yet" in page("outbox-empty").text


def test_a_mail_is_shown_in_a_sandbox_and_as_text_with_links() -> None:
    document = page("outbox-mail")

    frame = document.one("iframe")
    assert frame["src"] == "/outbox/2/html"
    assert set(frame["sandbox"].split()) == {"allow-popups", "allow-popups-to-escape-sandbox"}
    link = document.one("pre").one("a")
    assert link["href"] == link.text == "https://login.example.com/u/reset?ticket=abc"
    assert link["rel"] == "noopener noreferrer"


def test_a_mails_links_open_outside_of_its_frame() -> None:
    assert mail_document("<html><head><title>x</title></head></html>").body == (
        b'<html><head><base target="_blank"><title>x</title></head></html>'
    )
    assert mail_document("<p>x").body == b'<base target="_blank"><p>x'


def test_a_right_to_left_language_turns_the_page() -> None:
    html = page("login", "ar-EG").one("html")

    assert (html["lang"], html["dir"]) == ("ar-EG", "rtl")


def test_a_tenants_texts_and_logo_win() -> None:
    texts = {"login": {"login": {"title": "Ahoy, ${clientName}!", "pageTitle": "Ahoy"}}}
    brand = views.Brand(name="Northwind", logo_url="https://cdn.example.com/logo.png")

    document = page("login", custom_texts=texts, brand=brand)

    assert document.one("h1").text == "Ahoy, Orders!"
    assert document.one("title").text == "Ahoy"
    assert document.one("img")["alt"] == "Northwind"
    assert document.one("label", for_="password").text == "Password"


@pytest.mark.parametrize("name", ["login", "login-id"])
def test_a_page_filled_in_for_another_visitor_is_the_page_rendered_for_them(name: str) -> None:
    """What has been rendered once is filled in for the next: nothing of the one before may stay in it."""

    def for_visitor(mark: str) -> tuple[pages.View, views.PageContext]:
        state = f"{mark}-state-0123456789"
        form = views.Form(action=f"/u/login?state={state}", state=state, csrf_token=f"{mark}-token-0123456789")
        urls = {"signup_url": f"/u/signup?state={state}"}
        return structs.replace(EXAMPLES[name], form=form, **urls), structs.replace(
            context(), nonce=f"{mark}-nonce-0123456789"
        )

    render(*for_visitor("first"))
    view, surrounded = for_visitor("second")
    filled = render(view, surrounded)
    pages._blanks.clear()

    assert filled == render(view, surrounded)
    assert b"first" not in filled.body
    assert filled.body.count(b"second-nonce-0123456789") == 3
    assert render(*for_visitor("third")) != render(structs.replace(view, signup_url=""), surrounded)
