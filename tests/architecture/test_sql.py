"""SQL is written, not built: values are parameters, and what varies between databases is a word of the dialect.

Text that follows from declarations (table and column names) is put together by the kernel's store, search and declare
packages, and constants may be joined to constants. Anywhere else the line says why nothing foreign can get in, with
`# noqa: S608 - reason`, or `# SQL: reason` where the linter does not see it.
"""

import ast
import re

from tests.architecture.project import Module, sample, source_modules

BUILDERS = ("freehold.kernel.store", "freehold.kernel.search", "freehold.kernel.declare")
REASON = re.compile(r"#.*(?:S608 -|SQL:) \w")
CONSTANT = re.compile(r"_*[A-Z][A-Z0-9_]*")
STATEMENT = re.compile(
    r"\s*\(?\s*(select\b.*\bfrom\b|insert\s+into\b|update\s+\S+\s+set\b|delete\s+from\b|with\s+\S+\s+as\b|"
    r"(create|alter|drop)\s+(unique\s+)?(table|index|view)\b)",
    re.IGNORECASE | re.DOTALL,
)
QUERY_METHODS = {"one", "all", "run", "run_many", "scan"}


def built_sql(modules: list[Module]) -> list[str]:
    findings = []
    for module in modules:
        if module.name.startswith(BUILDERS):
            continue
        for node in module.nodes:
            if not isinstance(node, ast.expr):
                continue
            if varies(node) and STATEMENT.match(text(node)):
                remark = "SQL built from parts"
            elif isinstance(node, ast.Call) and queries(node) and varies(node.args[0]):
                remark = "a query built from parts"
            else:
                continue
            if not has_reason(module, node):
                findings.append(module.at(node, remark))
    return sorted(set(findings))


def has_reason(module: Module, node: ast.expr) -> bool:
    lines = module.text.splitlines()[node.lineno - 1 : node.end_lineno]
    return any(REASON.search(line) for line in lines)


def varies(node: ast.expr) -> bool:
    """Whether this is text put together from something that is not a constant."""
    match node:
        case ast.JoinedStr():
            return any(isinstance(part, ast.FormattedValue) and not is_constant(part.value) for part in node.values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return not (is_constant(left) and is_constant(right))
        case ast.BinOp(op=ast.Mod()):
            return True
        case ast.Call(func=ast.Attribute(attr="format" | "join")):
            return True
    return False


def is_constant(node: ast.expr) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return CONSTANT.fullmatch(name) is not None
        case ast.JoinedStr():
            return not varies(node)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return is_constant(left) and is_constant(right)
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
        'h = f"delete from {table}"  # noqa: S608\n'
    )

    assert [finding.split(":")[1] for finding in built_sql([module])] == ["1", "2", "3", "4", "5", "6", "7", "8"]


def test_written_sql_and_other_text_are_fine() -> None:
    module = sample(
        'a = "select id from users " + "where tenant_id = :tenant_id"\n'
        'b = tx.one("select id from users where id = :id", id=user_id)\n'
        'c = f"Select {name} in the list."\n'
        'd = f"update of {name}"\n'
        "e = subprocess.run(f'{x}')\n"
        "f = 1 + 2\n"
        'g = f"select {COLUMNS} from users " + "where id = :id"\n'
        'h = tx.one(_SELECT + "and id = :id", id=user_id)\n'
        'i = f"delete from {table}"  # noqa: S608 - a declared table\n'
        "j = tx.all(\n    base + condition,  # SQL: both are written above\n)\n"
    )

    assert built_sql([module]) == []


def test_the_kernel_may() -> None:
    module = sample('a = f"delete from {table}"\n', name="freehold.kernel.store.tables")

    assert built_sql([module]) == []
