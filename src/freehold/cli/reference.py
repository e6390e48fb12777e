"""The reference pages of `docs/`, computed from settings, routes, declarations, event types and commands.

`freehold dev reference` writes them and a test compares them with what is committed, so that a page cannot say
something else than the program does. Nothing here depends on the machine, the time or the width of a terminal.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from freehold.domain.events.types import EVENT_TYPES
from freehold.kernel.config import documentation_table
from freehold.kernel.declare.compile import Projection, project
from freehold.kernel.declare.registry import Registry
from freehold.kernel.declare.shapes import (
    Child,
    Collection,
    Declaration,
    Derived,
    Ephemeral,
    Link,
    Singleton,
    Stored,
    VaultKind,
)
from freehold.registry import REGISTRY
from freehold.surfaces.management.openapi import describe
from freehold.surfaces.management.routes import PREFIX, Endpoint, endpoints
from freehold.surfaces.transfer.schemas import schema_files

_MADE_BY = "<!-- Written by `freehold dev reference`. Change what it is computed from, not this page. -->\n"


def pages() -> Iterator[tuple[str, bytes]]:
    """Path below `docs/` and content of each page."""
    texts: Mapping[str, Callable[[], str]] = {
        "configuration": configuration,
        "management-api": management_api,
        "declarations": declarations,
        "events": events,
        "commands": commands,
    }
    for name, text in texts.items():
        yield f"reference/{name}.md", text().encode()
    openapi = json.dumps(describe(REGISTRY), indent=1, ensure_ascii=False)
    yield "reference/openapi.json", openapi.encode() + b"\n"
    yield from schema_files(REGISTRY)


def configuration() -> str:
    """Every setting."""
    return _page(
        "Settings",
        "A setting comes from, in rising order: its default, the configuration file, the environment, the command "
        "line. The file is `freehold.toml` in the data folder, or the one that `FREEHOLD_CONFIG` names. A list is "
        "written with commas in the environment and as an array in the file. A name that does not exist is refused in "
        "the file and ignored in the environment. The options of `freehold up` are in [Commands](commands.md).",
        documentation_table(),
    )


def management_api() -> str:
    """Every operation of the Management API."""
    found = endpoints(REGISTRY)
    sections: dict[str, list[Endpoint]] = {}
    for endpoint in sorted(found, key=lambda one: (one.path, one.method)):
        sections.setdefault(endpoint.path.split("/")[0], []).append(endpoint)
    parts = [
        f"{len(found)} operations, below `{PREFIX}`. A token needs one of the scopes named. Statuses are those of "
        "success; a refusal has Auth0's form (`statusCode`, `error`, `message`, `errorCode`). The types of bodies and "
        "answers are in [openapi.json](openapi.json).",
    ]
    for name, members in sections.items():
        rows = ((f"`{e.method}`", f"`/{e.path}`", _codes(e.scopes), str(e.status), e.audit or "") for e in members)
        parts.append(f"## {name}\n\n" + _table(("Method", "Path", "Any scope of", "Status", "In the log as"), rows))
    return _page("Management API", *parts)


def declarations(registry: Registry = REGISTRY) -> str:
    """Every declaration: its shape, where it is kept, and how it leaves."""
    shown = [d for d in sorted(registry.by_name.values(), key=lambda d: d.name) if not isinstance(d, VaultKind)]
    leaving = (
        (f"`{d.name}`", type(d).__name__.lower(), _route(d, registry), _vault_and_secrets(d), _leaves(d)) for d in shown
    )
    vault = ((f"`{kind.name}`", kind.description) for kind in registry.vault_kinds)
    own = ", ".join(f"`{table.name}`" for table in registry.own_tables)
    return _page(
        "Declarations",
        "Everything a tenant is made of. Each kind of data is declared once, and its storage, routes, validation, "
        "export and restore follow from that. The name is the table's name and the name of the folder in the archive, "
        "whose lines a [schema](../schemas) describes. Why it is done so: "
        "[decision 0002](../decisions/0002-declarations.md).",
        _table(("Name", "Shape", "Route", "Not shown in clear", "In the archive"), leaving),
        "## The vault\n\nWhat is of these kinds leaves only in the vault archive, which is encrypted to its reader. "
        f"It is kept in {own}.",
        _table(("Kind", "What it is"), vault),
        "## What refers to what\n\nA restore writes what is referred to before what refers to it.",
        _table(("Name", "Refers to"), _references(registry)),
    )


def events() -> str:
    """Every type of entry in a tenant's log."""
    used = ((f"`{code}`", kind.event, f"`{kind.category}`" if kind.category else "") for code, kind in _sorted_events())
    return _page(
        "Log events",
        "The types of entries in a tenant's log, as Auth0 names them: `type` in `GET /api/v2/logs`, to be searched as "
        "`q=type:seccft`. Freehold knows the whole list, so that what reads Auth0's logs can read these. An entry is "
        "written only for what this release does; [the status table](../../README.md#status) says what that is.",
        _table(("Type", "What happened", "Category"), used),
    )


def commands() -> str:
    """The help of every command."""
    import typer

    from freehold.cli.commands import app

    parts = ["`freehold COMMAND --help` says the same. A refusal is one sentence on standard error and exit status 1."]
    root = typer.main.get_command(app)
    parts += _command(root, typer.Context(root, info_name="freehold"))
    return _page("Commands", *parts)


# --- declarations ------------------------------------------------------------------------------------------------


def _route(declaration: Declaration, registry: Registry) -> str:
    if isinstance(declaration, Link):
        return "<br>".join(f"`/{path}`" for path in (declaration.left_path, declaration.right_path) if path)
    if isinstance(declaration, Collection | Singleton):
        reached = (e.path for e in endpoints(registry) if f"{e.path}/".startswith(f"{declaration.path}/"))
        return f"`/{declaration.path}`" if any(reached) else ""
    return ""


def _vault_and_secrets(declaration: Declaration) -> str:
    if not isinstance(declaration, Collection | Singleton):
        return ""
    projection = project(declaration.document)
    secret = [
        f"`{path}`" + (f" (shown with {_codes(scopes)})" if scopes else " (shown when made)")
        for path, scopes in _secrets(projection)
    ]
    sealed = [f"`{path}` (sealed, `{kind}`)" for path, kind in _sealed(projection)]
    return "<br>".join(secret + sealed)


def _secrets(projection: Projection) -> list[tuple[str, tuple[str, ...]]]:
    found = {".".join(path): marker.readable_with for path, marker in projection.secrets.items()}
    for name, shape in _variant_shapes(projection):
        found |= {f"{name}.{path}": scopes for path, scopes in _secrets(shape)}
    return sorted(found.items())


def _sealed(projection: Projection) -> list[tuple[str, str]]:
    found = {".".join(path): marker.kind for path, marker in projection.sealed.items()}
    for name, shape in _variant_shapes(projection):
        found |= {f"{name}.{path}": kind for path, kind in _sealed(shape)}
    return sorted(found.items())


def _variant_shapes(projection: Projection) -> Iterator[tuple[str, Projection]]:
    for name, variant in projection.variants.items():
        for shape in dict.fromkeys([*variant.shapes.values(), variant.default]):
            yield name, project(shape)


def _leaves(declaration: Declaration) -> str:
    match declaration:
        case Ephemeral():
            return f"no: {declaration.because}"
        case Derived():
            return f"no: computed again from `{declaration.from_}`"
    return "yes"


def _references(registry: Registry) -> Iterator[tuple[str, str]]:
    for _, declaration in sorted(registry.by_name.items()):
        wanted: set[str] = set()
        match declaration:
            case Collection() | Singleton():
                wanted = {ref.to for ref in project(declaration.document).refs.values()}
                if isinstance(declaration, Child):
                    wanted.add(declaration.parent)
            case Link():
                wanted = {declaration.left, declaration.right}
            case Stored():
                wanted = set(declaration.refs.values())
        if wanted:
            yield f"`{declaration.name}`", _codes(sorted(wanted))


# --- commands ----------------------------------------------------------------------------------------------------


def _command(command: Any, context: Any) -> Iterator[str]:
    """A command and those below it. Untyped, because typer's copy of click is not public."""
    path = context.command_path
    if hasattr(command, "list_commands"):
        if context.parent is not None:
            yield f"## {path}\n\n{command.help or ''}"
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            yield from _command(child, context.__class__(child, info_name=name, parent=context))
        return
    depth = "###" if path.count(" ") > 1 else "##"
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [f"{depth} {path}", f"`{usage}`", _paragraphs(command.help or "")]
    # Arguments first, as on the command line.
    ordered = sorted(command.params, key=lambda one: str(one.param_type_name))
    known = (one.get_help_record(context) for one in ordered if "--help" not in one.opts)
    rows = [(f"`{names}`", meaning) for names, meaning in filter(None, known)]
    if rows:
        parts.append(_table(("Argument or option", "Meaning"), rows))
    yield "\n\n".join(part.rstrip() for part in parts if part)


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


# --- Markdown ----------------------------------------------------------------------------------------------------


def _sorted_events() -> Iterable[tuple[str, Any]]:
    return sorted(EVENT_TYPES.items())


def _page(title: str, *parts: str) -> str:
    return f"{_MADE_BY}# {title}\n\n" + "\n\n".join(part.rstrip() for part in parts) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _codes(names: Iterable[str]) -> str:
    return " ".join(f"`{name}`" for name in names)
