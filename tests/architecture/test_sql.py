"""SQL is written, not built: values are parameters, and what varies between databases is a word of the dialect.

Text that follows from declarations (table and column names) is put together by the kernel's store, search and
declare packages; anywhere else it is a finding, unless the module is named here with a reason.
"""

import ast
import re

from tests.architecture.project import Module, sample, source_modules

BUILDERS = ("freehold.kernel.store", "freehold.kernel.search", "freehold.kernel.declare")
NAMED_FROM_DECLARATIONS = {
    "freehold.domain.tenants.directory": "empties every declared table of a tenant; the names are declared ones",
    "freehold.surfaces.management.collections": "counts the rows of a declared table with the page's own condition",
}
STATEMENT = re.compile(
    r"\s*\(?\s*(select\b.*\bfrom\b|insert\s+into\b|update\s+\S+\s+set\b|delete\s+from\b|with\s+\S+\s+as\b|"
    r"(create|alter|drop)\s+(unique\s+)?(table|index|view)\b)",
    re.IGNORECASE | re.DOTALL,
)
QUERY_METHODS = {"one", "all", "run", "run_many", "scan"}


def built_sql(modules: list[Module]) -> list[str]:
    findings = []
    for module in modules:
        if module.name.startswith(BUILDERS) or module.name in NAMED_FROM_DECLARATIONS:
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.expr) and varies(node) and STATEMENT.match(text(node)):
                findings.append(module.at(node, "SQL built from parts"))
            elif isinstance(node, ast.Call) and queries(node) and varies(node.args[0]):
                findings.append(module.at(node, "a query built from parts"))
    return sorted(set(findings))


def varies(node: ast.expr) -> bool:
    """Whether this is text put together from something that is not a literal."""
    match node:
        case ast.JoinedStr():
            return any(isinstance(part, ast.FormattedValue) for part in node.values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return not (is_literal(left) and is_literal(right))
        case ast.BinOp(op=ast.Mod()):
            return True
        case ast.Call(func=ast.Attribute(attr="format" | "join")):
            return True
    return False


def is_literal(node: ast.expr) -> bool:
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return is_literal(left) and is_literal(right)
    return isinstance(node, ast.Constant)


def text(node: ast.expr) -> str:
    """Return the literal part of the text, with `?` for the rest."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr():
            return "".join(text(part) for part in node.values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return text(left) + text(right)
        case ast.BinOp(left=left, op=ast.Mod()):
            return text(left)
        case ast.Call(func=ast.Attribute(value=template, attr="format")):
            return text(template)
    return "?"


def queries(call: ast.Call) -> bool:
    """Whether this looks like a query of a transaction or store; `subprocess.run` is none."""
    match call.func:
        case ast.Attribute(value=ast.Name(id="subprocess" | "asyncio"), attr=_):
            return False
        case ast.Attribute(attr=name):
            return name in QUERY_METHODS and bool(call.args)
    return False


def test_no_sql_is_built_outside_of_the_kernel() -> None:
    assert built_sql(source_modules()) == []


def test_every_way_of_building_sql_is_found() -> None:
    module = sample(
        'a = f"select * from users where name = {name}"\n'
        'b = "delete from users where id = " + user_id\n'
        'c = "update users set name = %s" % name\n'
        'd = "insert into {} values (1)".format(table)\n'
        'e = tx.all(f"{BASE} where {condition}")\n'
        'f = "select id " "from users " + f"where {x}"\n'
        "g = store.one(BASE + condition, id=user_id)\n"
    )

    assert [finding.split(":")[1] for finding in built_sql([module])] == ["1", "2", "3", "4", "5", "6", "7"]


def test_written_sql_and_other_text_are_fine() -> None:
    module = sample(
        'a = "select id from users " + "where tenant_id = :tenant_id"\n'
        'b = tx.one("select id from users where id = :id", id=user_id)\n'
        'c = f"Select {name} in the list."\n'
        'd = f"update of {name}"\n'
        "e = subprocess.run(f'{x}')\n"
        "f = 1 + 2\n"
    )

    assert built_sql([module]) == []


def test_the_kernel_may() -> None:
    module = sample('a = f"delete from {table}"\n', name="freehold.kernel.store.tables")

    assert built_sql([module]) == []
