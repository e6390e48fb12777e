"""What an installed package holds: built once as a wheel, from a copy of the project, and looked into."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = "freehold/surfaces/ceremony/guides/pgp.md"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("wheel")
    folder = tmp_path_factory.mktemp("wheel")
    project = folder / "project"
    project.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.in"):
        shutil.copy(ROOT / name, project / name)
    shutil.copytree(
        ROOT / "src", project / "src", symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    shutil.copytree(ROOT / "docs/guides", project / "docs/guides")
    # Without isolation, so that nothing is fetched.
    command = [sys.executable, "-c", "from setuptools.build_meta import build_wheel; print(build_wheel('..'))"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_the_guide_itself_and_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        guide = archive.read(GUIDE)
    package = ROOT / "src/freehold"
    wanted = {
        path.relative_to(ROOT / "src").as_posix()
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".so"} and "node_modules" not in path.parts
    }
    assert guide == (ROOT / "docs/guides/pgp.md").read_bytes(), "not the path that the link holds"
    assert wanted - names == set()
    assert not any("test" in Path(name).parts for name in names)
