"""What the rules look at: the files of the project and its modules."""

import ast
import subprocess
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
NOT_OURS = {".git", ".venv", "node_modules", "__pycache__", "build", "dist"}


@dataclass(frozen=True)
class Module:
    """A Python file of ours; `name` is empty outside of src."""

    path: str
    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Return the syntax tree."""
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Return everything in the tree; walking it takes longer than most rules do."""
        return tuple(ast.walk(self.tree))

    def at(self, node: ast.stmt | ast.expr | ast.excepthandler, remark: str) -> str:
        """Return a finding in the form that editors can jump to."""
        return f"{self.path}:{node.lineno}: {remark}"


def project_files() -> list[Path]:
    """Return the files that belong to the project: those git knows or would add; without git, all but what is built."""
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        found = (path for path in ROOT.rglob("*") if not NOT_OURS.intersection(path.relative_to(ROOT).parts))
        names = [str(path.relative_to(ROOT)) for path in found]
    return sorted(ROOT / name for name in names if name and (ROOT / name).is_file())


@cache
def project_modules() -> list[Module]:
    """Return every Python file of the project."""
    return [read_module(path) for path in project_files() if path.suffix == ".py"]


def source_modules() -> list[Module]:
    """Return the modules of the program itself."""
    return [module for module in project_modules() if module.name]


def read_module(path: Path) -> Module:
    """Read one file."""
    name = ""
    if path.is_relative_to(SOURCE):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(str(path.relative_to(ROOT)), name, path.read_text(encoding="utf-8"))


def sample(text: str, *, name: str = "freehold.domain.sample") -> Module:
    """Return a module that exists only as text, to show that a rule catches it."""
    return Module(f"src/{name.replace('.', '/')}.py", name, text)
