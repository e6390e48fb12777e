"""Code with npm packages goes home: installed and tested there as its README says, with Node.js and a mirror alone."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from freehold.domain.connections import CONNECTIONS
from freehold.domain.extensions import ACTIONS, actions, bindings, databases, executions, npm, taking_home
from freehold.domain.extensions.post_login import run_post_login
from freehold.domain.extensions.sandbox import Sandbox
from freehold.domain.extensions.sandbox.mirror import serve_folder
from freehold.domain.users.databases import find_database
from freehold.kernel.declare import SYSTEM, documents
from tests.domain.extensions.conftest import Extended
from tests.domain.extensions.sandbox.packages import add_installed, add_package
from tests.support.programs import find_node, find_node_modules, find_npm_script

pytestmark = [pytest.mark.node, pytest.mark.slow]

ACTION = """const debug = require('debug');
const { version } = require('@scope/shout/package.json');
exports.onExecutePostLogin = async (event, api) => {
    api.idToken.setCustomClaim('https://x.example/said', [debug.humanize(90000), require('@scope/shout')(event.user.name), version]);
};"""  # noqa: E501 - a line of JavaScript is one line
# The password is masked in what is recorded, so that no test can depend on it; whom the script knows decides.
LOGIN = """function login(email, password, callback) {
    const bcrypt = require('bcrypt');
    const { v4, validate } = require('uuid@11.1.1');
    if (!validate(v4()) || typeof password !== 'string') return callback(new Error('no ids'));
    bcrypt.compare(email, bcrypt.hashSync('ada@example.com', 4), (error, same) => {
        if (error) return callback(error);
        if (!same) return callback(new WrongUsernameOrPasswordError(email, 'not in ' + configuration.TABLE));
        callback(null, { user_id: 'u1', email, name: _.upperFirst('ada') });
    });
}"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a mirror without a network has: packages of others as they were published, and some of our own."""
    found = find_node_modules()
    assert found is not None
    folder = tmp_path_factory.mktemp("registry")
    add_installed(folder, found, ["debug", "bcryptjs", "uuid"])
    code = "module.exports = (text) => require('louder')(text) + '!';"
    add_package(folder, "@scope/shout", "1.2.3", {"index.js": code}, dependencies={"louder": "^2.0.0"})
    add_package(folder, "louder", "2.0.1", {"index.js": "module.exports = (text) => text.toUpperCase();"})
    add_package(
        folder, "lodash", "4.17.21", {"index.js": "exports.upperFirst = (s) => s[0].toUpperCase() + s.slice(1);"}
    )
    return folder


@dataclass(frozen=True)
class Home:
    """Another machine: Node.js, npm, and the mirror that it was told of."""

    folder: Path
    mirror: str

    def npm(self, place: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run npm in a package, with nothing in its environment but the mirror and a place for its cache."""
        script = find_npm_script()
        assert script is not None
        return self._run(place, str(script), command)

    def test(self, place: str) -> subprocess.CompletedProcess[str]:
        """`node --test`."""
        return self._run(place, "--test", "--test-reporter=tap")

    def _run(self, place: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "", "HOME": str(self.folder), "npm_config_registry": self.mirror,
                       "npm_config_cache": str(self.folder / ".cache")}  # fmt: skip
        return subprocess.run(
            [str(find_node()), *arguments], cwd=self.folder / place, env=environment, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip


@pytest.fixture
def home(registry: Path, tmp_path: Path) -> Iterator[Home]:
    with serve_folder(registry) as address:
        (tmp_path / "home").mkdir()
        yield Home(tmp_path / "home", address)


@pytest.fixture
async def mirrored(extended: Extended, registry: Path, tmp_path: Path) -> AsyncIterator[Extended]:
    """The tenant, where packages come from the mirror."""
    await extended.services.sandbox.close()
    sandbox = Sandbox(require_level="basic", modules_folder=tmp_path / "mirrored", npm_folder=registry)
    extended.services.sandbox = sandbox
    yield extended
    sandbox.modules.remove(extended.tenant.id)


async def exported(extended: Extended, home: Home) -> dict[str, taking_home.Package]:
    found = await taking_home.packages(extended.services.store, extended.tenant)
    taking_home.write(home.folder, found)
    return {package.place: package for package in found}


def check_at_home(home: Home, place: str, tests: int) -> None:
    """Before its packages are there it cannot run; then it does what was recorded. They are the very same."""
    assert home.test(place).returncode == 1
    lock = (home.folder / place / "package-lock.json").read_text()

    installed = home.npm(place, "ci")
    assert installed.returncode == 0, installed.stderr
    assert (home.folder / place / "package-lock.json").read_text() == lock
    done = home.test(place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"# pass {tests}\n" in done.stdout
    assert "# skipped 0" in done.stdout

    again = home.npm(place, "install")
    assert again.returncode == 0, again.stderr
    assert home.test(place).returncode == 0


async def test_an_action_with_packages(mirrored: Extended, home: Home) -> None:
    services, tenant = mirrored.services, mirrored.tenant
    wanted = [("debug", "4.4.3"), ("@scope/shout", "1.2.3")]
    key = await npm.installed(services, tenant, wanted)
    async with services.store.transaction() as tx:
        draft = await documents.create(tx, tenant, ACTIONS, {
            "name": "Shout", "supported_triggers": [{"id": "post-login"}], "code": ACTION,
            "dependencies": [{"name": name, "version": version} for name, version in wanted],
        })  # fmt: skip
        built = await documents.update(
            tx, tenant, ACTIONS, draft.id, {}, server={"status": "built", "module_set": key}
        )  # fmt: skip
        await actions.deploy_draft(tx, tenant, built)
        await bindings.replace(tx, tenant, "post-login", [(draft.id, "x")], actor=SYSTEM)
    verdict = await run_post_login(services, tenant, mirrored.facts())
    assert verdict.id_token["https://x.example/said"] == ["2m", "ADA!", "1.2.3"]
    async with services.store.transaction() as tx:
        await executions.keep_all(tx, tenant, verdict.executions)

    assert {place: each.executions for place, each in (await exported(mirrored, home)).items()} == {"actions/shout": 1}
    check_at_home(home, "actions/shout", 2)


async def test_a_database_script_with_packages_globals_and_configuration(mirrored: Extended, home: Home) -> None:
    """`bcrypt` has a native part: what stands for it in the sandbox stands for it at home."""
    services, tenant = mirrored.services, mirrored.tenant
    options = {"enabledDatabaseCustomization": True, "customScripts": {"login": LOGIN},
               "configuration": {"TABLE": "the-secret-table"}}  # fmt: skip
    await mirrored.make(CONNECTIONS, {"name": "legacy", "strategy": "auth0", "options": options})
    database = await find_database(services.store, tenant, "legacy")
    assert database is not None
    user = await databases.log_in(services, tenant, database, "ada@example.com", "correct horse")
    assert user is not None
    assert user.profile["name"] == "Ada"
    assert await databases.log_in(services, tenant, database, "bob@example.com", "battery staple") is None

    assert (await exported(mirrored, home))["databases/legacy-login"].executions == 2
    text = "".join(path.read_text() for path in home.folder.rglob("*") if path.is_file())
    assert [secret for secret in ("the-secret-table", "correct horse", "battery staple") if secret in text] == []
    check_at_home(home, "databases/legacy-login", 3)
