"""What is kept of an execution: within its limits, and without the value of a secret."""

from freehold.domain.extensions.executions import LONGEST_TEXT, Execution
from freehold.domain.extensions.sandbox import LogLine, Outcome, Visit


def kept(outcome: Outcome, *secrets: str) -> dict[str, object]:
    execution = Execution("post-login", 0)
    execution.add("it", outcome, given=[], started_ms=0, ended_ms=0, secrets=secrets)
    return execution.results[0]


def test_destinations_are_kept_without_the_secrets_in_their_names() -> None:
    visits = (
        Visit("api.example", 443, "connected", times=3),
        Visit("xkey-4711x.evil.example", 53, "refused", "why"),
        Visit("db.example", 0, "resolved"),
    )

    result = kept(Outcome(visits=visits, visits_left_out=7), "Key-4711")

    assert result["destinations"] == [
        {"host": "api.example", "how": "connected", "port": 443, "times": 3},
        {"host": "x[secret]x.evil.example", "how": "refused", "port": 53, "reason": "why"},
        {"host": "db.example", "how": "resolved"},
    ]
    assert result["destinations_left_out"] == 7
    assert "destinations" not in kept(Outcome())


def test_lines_without_a_text_are_not_kept_without_end() -> None:
    result = kept(Outcome(logs=(LogLine("log", ""),) * 10_000))

    assert result["logs"] == [{"level": "log", "text": ""}] * LONGEST_TEXT
