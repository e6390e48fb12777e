"""npm packages: what may be named, how they are installed, and how scripts get them."""

# ruff: noqa: E501 - a line of JavaScript is one line

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from freehold.domain.extensions.sandbox import ModulesNotInstalled, Sandbox, Script, pool, required_versions, worker
from freehold.domain.extensions.sandbox.auth0_globals import globals_named_in
from freehold.domain.extensions.sandbox.modules import check_name, check_version
from freehold.kernel.errors import BadRequest, NotFound
from tests.domain.extensions.sandbox.conftest import OpenSandbox
from tests.domain.extensions.sandbox.packages import add_package


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A folder with packages of every form that the loader knows."""
    folder = tmp_path / "registry"
    folder.mkdir()
    (tmp_path / "ran").write_text("")
    add_package(folder, "old", "1.0.0", {"index.js": "exports.version = 1; exports.here = __dirname;"})
    add_package(folder, "old", "2.0.0", {"lib/main.js": "exports.version = 2;"}, main="lib/main")
    add_package(
        folder, "uses", "1.2.3",
        {"index.js": "exports.old = require('old').version; exports.data = require('./data.json').a;", "data.json": '{"a": 5}'},
        dependencies={"old": "^1.0.0"},
    )  # fmt: skip
    add_package(
        folder, "modern", "3.0.0",
        {"index.js": "import { join } from 'node:path'; import old from 'old'; export const both = join('a', String(old.version)); export default 'it';",
         "deep/part.js": "export const part = import.meta.url;"},
        type="module", exports={".": "./index.js", "./parts/*": {"import": "./deep/*.js", "default": "./deep/*.js"}},
        dependencies={"old": "2.0.0"},
    )  # fmt: skip
    add_package(
        folder, "@scope/dated", "0.1.0",
        {"index.js": "exports.isDate = (value) => value instanceof Date; exports.bytes = (value) => value instanceof Uint8Array;"
                     "exports.file = require('fs').readFileSync(__dirname + '/text.txt', 'utf8');", "text.txt": "read"},
    )  # fmt: skip
    add_package(
        folder,
        "installing",
        "1.0.0",
        {"index.js": "exports.ok = 1;"},
        scripts={"postinstall": f"touch {tmp_path}/ran-it"},
    )
    add_package(folder, "native", "1.0.0", {"index.js": "module.exports = require('./x.node');", "x.node": "ELF"})
    add_package(folder, "bcryptjs", "2.4.3", {"index.js": "exports.compareSync = () => 'compared';"})
    add_package(
        folder, "lodash", "4.17.21", {"index.js": "exports.map = (list, name) => list.map((item) => item[name]);"}
    )
    return folder


@pytest.fixture
async def sandbox(open_sandbox: OpenSandbox, registry: Path, tmp_path: Path) -> Sandbox:
    return await open_sandbox(modules_folder=tmp_path / "modules", npm_folder=registry)


async def test_packages_are_loaded_as_node_loads_them(sandbox: Sandbox) -> None:
    wanted = [("old", "1.0.0"), ("old", "2.0.0"), ("uses", "1.2.3"), ("modern", "latest"), ("@scope/dated", "0.1.0")]
    installed = await sandbox.modules.install("acme", wanted)
    code = """
        const dated = require('@scope/dated');
        exports.run = async () => ({
            two: [require('old@1.0.0').version, require('old@2.0.0').version],
            uses: [require('uses').old, require('uses').data],
            modern: [require('modern').both, require('modern').default, (await import('modern')).both],
            part: require('modern/parts/part').part.split('/').pop(),
            dated: [dated.isDate(new Date()), dated.bytes(Buffer.from('a')), dated.file],
            here: require('old@1.0.0').here,
        });
    """

    outcome = await sandbox.call("acme", Script("a", "1", code, modules=installed.key), "run", [])

    assert outcome.error is None, outcome.error
    assert outcome.value == {
        "two": [1, 2], "uses": [1, 5], "modern": ["a/2", "it", "a/2"], "part": "part.js",
        "dated": [True, True, "read"], "here": "/node_modules/old",
    }  # fmt: skip


async def test_a_set_is_kept_by_its_content_with_its_lock_file(sandbox: Sandbox, tmp_path: Path) -> None:
    first = await sandbox.modules.install("acme", [("uses", "1.2.3")])
    again = await sandbox.modules.install("acme", [("uses", "1.2.3")], lock=first.lock)
    other = await sandbox.modules.install("acme", [("old", "1.0.0")])

    assert first.key == again.key != other.key
    packages = json.loads(first.lock)["packages"]
    assert {"node_modules/old", "node_modules/uses"} <= packages.keys()
    assert all(entry.get("integrity") for name, entry in packages.items() if name)
    written = [path for path in (tmp_path / "modules").rglob(f"*/{first.key}/**/*") if path.stat().st_mode & 0o222]
    assert written == []


async def test_sets_belong_to_a_tenant(sandbox: Sandbox) -> None:
    mine = await sandbox.modules.install("acme", [("old", "1.0.0")])

    with pytest.raises(NotFound):
        sandbox.modules.find("other", mine.key)
    with pytest.raises(NotFound):
        await sandbox.call("other", Script("a", "1", "exports.run = 1", modules=mine.key), "run", [])
    with pytest.raises(NotFound):
        sandbox.modules.find("acme", "../" + mine.key)
    sandbox.modules.remove("acme")
    with pytest.raises(NotFound):
        sandbox.modules.find("acme", mine.key)


async def test_install_scripts_do_not_run(sandbox: Sandbox, tmp_path: Path) -> None:
    await sandbox.modules.install("acme", [("installing", "1.0.0")])

    assert not (tmp_path / "ran-it").exists()


async def test_native_code_is_not_loaded(sandbox: Sandbox) -> None:
    installed = await sandbox.modules.install("acme", [("native", "1.0.0")])

    outcome = await sandbox.call("acme", Script("a", "1", "require('native')", modules=installed.key), "run", [])

    assert outcome.error is not None
    assert outcome.error.kind == "load"


async def test_a_package_that_is_not_there(sandbox: Sandbox) -> None:
    with pytest.raises(ModulesNotInstalled) as refused:
        await sandbox.modules.install("acme", [("missing", "1.0.0")])
    assert "missing" in refused.value.message


@pytest.mark.parametrize(
    "name", ["", "Upper", "../up", "a/b", "@/x", "a b", "a;x", "@scope/../x", "x" * 215, "file:..", ".hidden", "node_modules", "a\n"]
)  # fmt: skip
def test_names_that_npm_would_not_take(name: str) -> None:
    with pytest.raises(BadRequest):
        check_name(name)


@pytest.mark.parametrize(
    "version", ["", "git+ssh://x", "file:x", "1.2.3 || 2", "npm:other@1", "1.0.0\n", "http://x/y.tgz", "01.2.3", "next"]
)
def test_versions_that_are_none(version: str) -> None:
    with pytest.raises(BadRequest):
        check_version(version)


def test_versions_named_in_a_script() -> None:
    code = (
        "require('a@1.2.3'); require(\"@s/b@2.0.0-rc.1/sub\"); require('c'); require('../x@1.0.0'); require(`a@1.2.3`);"
    )

    assert required_versions(code) == [("a", "1.2.3"), ("@s/b", "2.0.0-rc.1")]


async def test_the_globals_of_auth0_are_there_when_they_are_named(sandbox: Sandbox) -> None:
    code = "function (callback) { callback(null, _.map([{ a: 1 }], 'a'), bcrypt.compareSync(), typeof request, require('bcrypt') === bcrypt); }"
    wanted = globals_named_in(code)
    packages = [*(package for package in wanted.packages if package[0] != "request"), ("bcrypt", "5.0.0")]
    installed = await sandbox.modules.install("acme", packages)
    own = {name: request for name, request in wanted.globals.items() if name != "request"}

    outcome = await sandbox.call("acme", Script("r", "1", code, "callback", installed.key, own), "", [])

    assert outcome.error is None, outcome.error
    assert outcome.value[:3] == [[1], "compared", "undefined"]


def test_globals_are_names_that_a_script_uses() -> None:
    code = """
        // bcrypt in a comment
        async function (user, context, callback) {
          const uuid = require('uuid'); const text = 'xpath'; user.ip = { mysql: 1 };
          [1].map(async (each) => each);
          request.get(`${jwt.sign({})}`, callback);
        }
    """

    wanted = globals_named_in(code)

    assert wanted.globals == {"jwt": "jsonwebtoken@8.5.1", "request": "request@2.88.2"}
    assert wanted.packages == (("jsonwebtoken", "8.5.1"), ("request", "2.88.2"))


async def test_old_interfaces_of_packages_are_there(sandbox: Sandbox, registry: Path) -> None:
    add_package(registry, "punycode", "9.0.0", {"index.js": "exports.own = true;"})
    add_package(
        registry,
        "pg",
        "8.11.3",
        {"lib/index.js": "exports.Pool = class { connect(done) { done(null, 'client'); } };"},
        main="lib",
    )
    installed = await sandbox.modules.install("acme", [("punycode", "9.0.0"), ("pg", "8.11.3")])
    code = """
        exports.run = () => new Promise((keep) => require('pg').connect('postgres://a@b/c', (error, client) => {
            keep([require('punycode').own, client, Object.prototype.toString.call(process)]);
        }));
    """

    outcome = await sandbox.call("acme", Script("p", "1", code, modules=installed.key), "run", [])

    assert (outcome.error, outcome.value) == (None, [True, "client", "[object process]"])


async def test_a_process_that_is_slow_to_take_in_large_packages_is_waited_for(
    sandbox: Sandbox, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine that takes longer than any call may need to begin; this one is quick, so it has less time."""
    texts = {f"text{number}.json": '"' + "x" * (1 << 20) + '"' for number in range(24)}
    add_package(registry, "large", "1.0.0", {"index.js": "module.exports = require('./text7.json').length;", **texts})
    made = await sandbox.modules.install("acme", [("large", "1.0.0")])
    for place in (pool, worker):
        monkeypatch.setattr(place, "BEGIN_S", 0.002)
    script = Script("s", "1", "exports.run = async () => require('large');", modules=made.key)

    outcome = await sandbox.call("acme", script, "run", [])

    assert (outcome.value, outcome.error) == (1 << 20, None)


async def test_bcrypt_says_what_is_missing_as_the_native_one(open_sandbox: OpenSandbox, tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    registry.mkdir()
    add_package(
        registry, "bcryptjs", "2.4.3",
        {"index.js": "exports.hash = (data, salt, done) => done(null, data + salt); exports.compare = async () => true;"},
    )  # fmt: skip
    sandbox = await open_sandbox(modules_folder=tmp_path / "modules", npm_folder=registry)
    made = await sandbox.modules.install("acme", [("bcrypt", "5.1.1")])
    body = """exports.run = async () => {
        const bcrypt = require('bcrypt');
        const told = (...given) => new Promise((then) => bcrypt.hash(...given, (error, made) => then(error ? error.message : made)));
        return [await told('a', 'b'), await told(undefined, 10), await bcrypt.compare('a').catch((error) => error.message)];
    };"""

    outcome = await sandbox.call("acme", Script("s", "1", body, modules=made.key), "run", [])

    assert outcome.value == ["ab", "data and salt arguments required", "data and hash arguments required"]


@pytest.fixture
def inside() -> Iterator[tuple[str, list[str]]]:
    """A server inside of the operator's network, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("where", ["{inside}/x.tgz", "file:/etc"])
async def test_a_package_cannot_have_another_fetched_from_an_address_of_its_own(
    where: str, sandbox: Sandbox, registry: Path, inside: tuple[str, list[str]]
) -> None:
    address, asked = inside
    add_package(registry, "leads", "1.0.0", {"index.js": ""}, dependencies={"away": where.format(inside=address)})

    with pytest.raises(ModulesNotInstalled):
        await sandbox.modules.install("acme", [("leads", "1.0.0")])

    assert asked == []


async def test_a_lock_file_says_what_is_installed_and_not_from_where(
    sandbox: Sandbox, inside: tuple[str, list[str]]
) -> None:
    address, asked = inside
    made = await sandbox.modules.install("acme", [("uses", "1.2.3")])
    lock = json.loads(made.lock)
    for name, entry in lock["packages"].items():
        if name:
            entry["resolved"] = f"{address}/{name}.tgz"

    again = await sandbox.modules.install("other", [("uses", "1.2.3")], lock=json.dumps(lock))

    assert asked == []
    assert address not in again.lock
    linked = json.dumps(
        {**lock, "packages": {**lock["packages"], "node_modules/x": {"link": True, "resolved": "/etc"}}}
    )
    for bad in (linked, "[]", "{", '{"packages": []}', '{"packages": {"": 1}}', "[" * 100_000):
        with pytest.raises(BadRequest):
            await sandbox.modules.install("third", [("uses", "1.2.3")], lock=bad)
