"""Templates by tenants: they do what Liquid does, reach nothing, and always come to an end."""

from datetime import UTC, datetime
from string import ascii_lowercase

import pytest

from freehold.kernel.liquid import LONGEST_TEMPLATE, BadTemplate, _environment, parse_template

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\"'&"


def render(source: str, *, escape: bool = True, **variables: object) -> str:
    return parse_template(source, escape=escape).render(variables, now=NOW)


def doubled(times: int) -> str:
    """A template with a list of 2 to the power of `times` elements."""
    return "{% assign a = 'a' | split: '' %}" + "{% assign a = a | concat: a %}" * times


def test_variables_conditions_and_loops_work() -> None:
    source = (
        "Hi {{ user.name | default: user.email }}{% for role in roles %}, {{ role }}{% endfor %}{% if x %}!{% endif %}"
    )

    assert render(source, user={"email": "a@x"}, roles=["b", "c"]) == "Hi a@x, b, c"


def test_a_variable_without_a_value_is_empty() -> None:
    assert render("[{{ a }}{{ a.b.c }}{{ a[0] }}]") == "[]"


def test_values_are_escaped_and_never_twice() -> None:
    assert render("{{ a }}{{ a | escape }}", a="<&>") == "&lt;&amp;&gt;" * 2
    assert render("{{ a }}", escape=False, a="<&>") == "<&>"


@pytest.mark.parametrize("name", sorted(_environment(True).filters))
def test_no_filter_lets_a_value_through_unescaped(name: str) -> None:
    rendered = 0
    for value in ("u", "list", "'<b>x</b>'", "u | escape", "u | url_encode", "u | base64_encode"):
        for arguments in ("", ": u", ": list", ": 'x'", ": 'x', u", ": u, 'x'", ": 1"):
            source = f"{{{{ {value} | {name}{arguments} }}}}{{% assign v = {value} | {name}{arguments} %}}{{{{ v }}}}"
            try:
                answer = render(source, u=HOSTILE, list=[HOSTILE], x="x")
            except BadTemplate:
                continue
            rendered += 1
            assert "<script" not in answer
            assert '"' not in answer
    assert rendered


@pytest.mark.parametrize(
    "source", ["{{ a.__class__ }}", "{{ a.b.__globals__ }}", "{{ a['__init__'] }}", "{{ a.keys }}"]
)
def test_a_template_sees_values_and_nothing_behind_them(source: str) -> None:
    assert render(source, a={"b": "text"}) == ""


def test_only_plain_values_are_handed_to_a_template() -> None:
    with pytest.raises(TypeError):
        render("{{ a }}", a=object())
    with pytest.raises(TypeError):
        render("{{ a }}", a={"b": [print]})


def test_the_clock_is_the_callers() -> None:
    assert (
        render("{{ 'now' | date: '%Y' }} {{ now | date: '%Y-%m-%d %H:%M' }} {{ today }}")
        == "2026 2026-01-02 03:04 2026-01-02"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\nb {{ x", "line 2: '{{' is not closed"),
        ("a\n\n{% nonsense %}", "line 3: unexpected tag 'nonsense'"),
        ("{{ x | nonsense }}", "line 1: unknown filter 'nonsense'"),
        ("{% include 'x' %}", "line 1: unexpected tag 'include'"),
        ("{% render 'x' %}", "line 1: unexpected tag 'render'"),
        ("{% doc %}x{% enddoc %}", "line 1: the tag 'doc' is not supported"),
        ("\n{% for i in (1..3) %}{% endfor %}", "line 2: ranges are not supported"),
        ("{{ x | safe }}", "line 1: unknown filter 'safe'"),
        ("{{ 1 | divided_by: 0 }}", "line 1: divided_by"),
        ("{% if x %}", "expected tag endif"),
        ("x" * (LONGEST_TEMPLATE + 1), "the template is longer than"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(source: str, message: str) -> None:
    with pytest.raises(BadTemplate, match="^" + message.replace("{", "\\{").replace("(", "\\(")) as refusal:
        render(source)
    assert len(refusal.value.message) < 260


def test_two_dots_in_a_text_are_no_range() -> None:
    assert render("{{ x | append: '..' }}", x="a") == "a.."


@pytest.mark.parametrize(
    "source",
    [
        "{% assign x = 'aaaaaaaaaa' %}" + "{% assign x = x | append: x %}" * 40,
        "{{ 'aaaaaaaaaa'" + " | replace: 'a', 'aaaaaaaaaa'" * 12 + " }}",
        "{{ 'aaaaaaaaaa'" + " | replace: '', 'aaaaaaaaaa'" * 12 + " }}",
        "{{ 9999999999" + " | times: 9999999999" * 50 + " }}",
        doubled(40) + "{{ a }}",
        doubled(9) + "{% for x in a %}{% for y in a %}{% for z in a %}{% endfor %}{% endfor %}{% endfor %}",
        doubled(9) + "{% for x in a %}" + "{% if 1 == 1 %}{% endif %}" * 9000 + "{% endfor %}",
        doubled(9) + "{% tablerow x in a %}{% tablerow y in a %}{% tablerow z in a %}" + "{% endtablerow %}" * 3,
        doubled(9) + "{% for x in a %}{{ long }}{% endfor %}",
        "{% capture x %}"
        + "y" * 20_000
        + "{% endcapture %}"
        + "".join(
            f"{{% capture {c}{d} %}}{{{{ x }}}}{{% endcapture %}}" for c in ascii_lowercase for d in ascii_lowercase
        ),
        "{{ 'now' | date: '%999999999d' }}",
        "{{ 'now' | date: '" + "%Y" * 900 + "' }}" * 1 + "{{ a" + "[a" * 600 + "]" * 600 + " }}",
        "{% if (1..99999999999) contains 'a' %}{% endif %}",
        "{% a" + " " * 200_000 + "%}",
        "{% a" + " " * 200_000,
        "{{" * 100_000,
        "{%" * 100_000,
        "{% comment %}" + "{% raw %}" * 20_000,
        "{% if a %}" * 1000 + "{% endif %}" * 1000,
        "{{ '99999999999999999999999999' | date: '%s' }}",
    ],
    ids=range(20),
)
def test_a_template_that_would_work_for_ever_is_refused(source: str) -> None:
    with pytest.raises(BadTemplate):
        render(source, long="x" * 2_000)


def test_an_ordinary_template_is_far_from_the_limits() -> None:
    source = "<p>Hello {{ user.name }}</p>\n" * 500 + "{% for role in roles %}{{ role | upcase }}{% endfor %}"

    assert render(source, user={"name": "Ada"}, roles=["x"] * 50).endswith("X" * 50)
