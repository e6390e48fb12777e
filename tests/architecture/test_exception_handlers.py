"""An expected refusal has a class of its own; anything else is a bug, and only an edge may stand in its way."""

import ast

from tests.architecture.project import Module, sample, source_modules

# Where a bug meets the outside: each logs it and goes on with the next request or job.
EDGES = {
    "freehold.kernel.http.edge": "an exception becomes an answer and a log line with the request id",
    "freehold.kernel.http.server": "an exception of a worker thread is handed to the thread that started it",
    "freehold.kernel.control.listen": "an exception of a command is logged, and the operator told to look there",
    "freehold.kernel.log": "a library's broken log call must not become our failure",
    "freehold.kernel.jobs.runner": "an exception becomes a retry of the job",
}


def catch_alls(modules: list[Module]) -> list[str]:
    return [
        module.at(node, "catches everything")
        for module in modules
        if module.name not in EDGES
        for node in module.nodes
        if isinstance(node, ast.ExceptHandler) and is_catch_all(node) and not passes_it_on(node)
    ]


def is_catch_all(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"}) for kind in caught
    )


def passes_it_on(handler: ast.ExceptHandler) -> bool:
    """Whether the handler ends by raising, so that it only cleans up; a context manager may decide."""
    last = handler.body[-1]
    if isinstance(last, ast.If):
        last = last.body[-1]
    return isinstance(last, ast.Raise)


def test_only_edges_catch_everything() -> None:
    assert catch_alls(source_modules()) == []


def test_every_way_of_catching_everything_is_found() -> None:
    module = sample(
        "try: x()\nexcept Exception: pass\n"
        "try: x()\nexcept: pass\n"
        "try: x()\nexcept (ValueError, BaseException) as error: log(error)\n"
        "try: x()\nexcept BaseException: close(); raise\n"
        "try: x()\nexcept ValueError: pass\n"
        "try: x()\nexcept BaseException as error:\n    if not leave(error): raise\n"
    )

    assert catch_alls([module]) == [
        "src/freehold/domain/sample.py:2: catches everything",
        "src/freehold/domain/sample.py:4: catches everything",
        "src/freehold/domain/sample.py:6: catches everything",
    ]


def test_the_edges_may() -> None:
    assert catch_alls([sample("try: x()\nexcept Exception: pass\n", name="freehold.kernel.http.edge")]) == []
