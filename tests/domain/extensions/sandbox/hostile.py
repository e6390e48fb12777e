"""Scripts that try to get out, and what each is stopped by.

They do not start where a script starts: they run in Node's own context, with its real `require` and `process`, as if
they had got out of theirs already. Each answers "refused: …" or "open: …", or is ended.
"""

# ruff: noqa: E501 - a line of JavaScript is one line

from dataclasses import dataclass

# Runs a script outside of any context. Only the tests have this kind.
NAKED = """
'use strict';
const vm = require('node:vm');
// What is fetched goes to the broker in every set of layers, so that no test ever calls another machine; it is the
// broker's policy that refuses it. Sockets of the process itself only ever aim at this machine.
require('../egress.cjs').install();
function load(context, script) {
  const body = vm.compileFunction(script.code, ['require', 'process', 'context', 'given', 'ask']);
  return () => (given) => body(require, process, context, given);
}
module.exports = { load, invoke: (found, given) => found(...given) };
"""


@dataclass(frozen=True)
class Attack:
    """`ends` is how the call ends where it is contained: an error's kind, `refused`, or several of them."""

    name: str
    code: str
    ends: tuple[str, ...] = ("refused",)
    # Layer sets in which this is not contained by what is left; the guide says so.
    open_in: tuple[str, ...] = ()
    timeout_s: float = 1.0


def _try(body: str) -> str:
    return f"try {{ {body} }} catch (e) {{ return 'refused: ' + (e.code || e.name) }}"


def _event(make: str, good: str, bad: str = "error") -> str:
    """Something with events: which of two comes first."""
    return (
        "return new Promise((keep) => { try { const it = " + make + ";"
        f"it.once('{bad}', (e) => keep('refused: ' + (e.code || e.name)));"
        f"it.once('{good}', () => {{ keep('open: {good}'); }});"
        "setTimeout(() => keep('refused: silence'), 400);"
        "} catch (e) { keep('refused: ' + (e.code || e.name)) } });"
    )


NO_SECCOMP = ("no_seccomp", "basic")

ATTACKS = (
    # Time
    Attack("endless loop", "for (;;);", ("timeout",)),
    Attack("endless loop of microtasks", "return (async () => { for (;;) await null })();", ("timeout",)),
    Attack("never answers", "return new Promise(() => {});", ("timeout",)),
    Attack("regular expression without end", "return /^(a+)+$/.test('a'.repeat(50) + 'b');", ("timeout",)),
    Attack(
        "waits in Atomics",
        "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); return 'open';",
        ("timeout",),
    ),
    Attack("timer flood", "const again = () => { setImmediate(again); setImmediate(again) }; again(); return new Promise(() => {});",
           ("timeout", "memory")),
    # Memory
    Attack("heap bomb", "const a = []; for (;;) a.push(new Array(100000).fill(1.1));", ("memory",), timeout_s=10.0),
    Attack("buffer bomb", "const a = []; for (;;) a.push(Buffer.alloc(10e6, 1));", ("memory", "script"), timeout_s=10.0),
    Attack(
        "WebAssembly bomb",
        "const a = []; for (;;) { const m = new WebAssembly.Memory({ initial: 2000 });"
        "new Uint8Array(m.buffer).fill(1); a.push(m) }",
        ("memory", "script"),
        timeout_s=10.0,
    ),
    Attack("string bomb", "let s = 'x'.repeat(1e6); const a = []; for (let i = 0; ; i++) a.push((s + i).split(''));", ("memory",), timeout_s=10.0),
    # Processes
    Attack("spawn", _try("const r = require('child_process').spawnSync('/bin/true'); if (r.error) throw r.error; return 'open: ran'")),
    Attack(
        "fork bomb",
        _try(
            "const { spawn } = require('child_process'); for (let i = 0; i < 20; i++) spawn('/bin/sleep', ['5']).on('error', () => {});"
            "return new Promise((keep) => setTimeout(() => keep('open: forked'), 300))"
        ),
    ),
    Attack("exec in place", _try("process.execve('/bin/true', ['true'], {}); return 'open: ran'"), ("refused", "exit")),
    Attack("worker thread", _try("new (require('worker_threads').Worker)('1', { eval: true }); return 'open: thread'"), ("refused", "memory"),
           open_in=("no_permission",)),
    Attack("native addon", _try("process.dlopen({ exports: {} }, '/lib/x86_64-linux-gnu/libm.so.6'); return 'open: loaded'")),
    Attack("process.binding", _try("process.binding('spawn_sync'); return 'open: bound'"), open_in=("no_permission",)),
    Attack("inspector", _try("require('inspector').open(0, '127.0.0.1'); return require('inspector').url() ? 'open: ' + 'port' : 'refused: no port'")),
    Attack("signal the server", _try("process.kill(given.server, 0); return 'open: reached'"), open_in=("no_seccomp", "basic")),
    Attack("signal everything", _try("process.kill(-1, 0); return 'open: reached'"), open_in=("no_seccomp", "basic")),
    # Files
    Attack("read a file", _try("return 'open: ' + require('fs').readFileSync('/etc/passwd').length")),
    Attack("read the server's data", _try("return 'open: ' + require('fs').readFileSync(given.secretFile, 'utf8')")),
    Attack("list files", _try("return 'open: ' + require('fs').readdirSync('/')")),
    Attack("write a file", _try("require('fs').writeFileSync(given.folder + '/left', 'x'); return 'open: wrote'")),
    Attack("write a database", _try("new (require('node:sqlite').DatabaseSync)(given.folder + '/left.db').exec('create table t (a)'); return 'open: wrote'")),
    Attack("write a report", _try(
        "process.report.writeReport(given.folder + '/left.json'); return require('fs').existsSync(given.folder + '/left.json') ? 'open: wrote' : 'refused: nothing written'")),
    Attack("write a heap snapshot", _try("require('v8').writeHeapSnapshot(given.folder + '/left.heapsnapshot'); return 'open: wrote'"), ("refused", "exit")),
    Attack("server's environment", _try("return 'open: ' + require('fs').readFileSync(`/proc/${given.server}/environ`).length")),
    Attack("own environment", "return JSON.stringify(process.env).includes(given.secret) ? 'open: seen' : 'refused: not there';"),
    Attack("own memory as a file", _try("require('fs').openSync('/proc/self/mem', 'r+'); return 'open: opened'")),
    # Network
    Attack("TCP", _event("require('net')._real.connect(given.port, '127.0.0.1')", "connect"), open_in=("basic",)),
    Attack("UDP", "return new Promise((keep) => { try { const s = require('dgram').createSocket('udp4'); s.on('error', (e) => keep('refused: ' + e.code));"
           "s.send('x', given.port, '127.0.0.1', (e) => keep(e ? 'refused: ' + e.code : 'open: sent')) } catch (e) { keep('refused: ' + e.code) } });",
           open_in=NO_SECCOMP),
    Attack("listen", _event("require('net').createServer().listen(0, '127.0.0.1')", "listening"), open_in=("basic",)),
    Attack("local socket by path", _event("require('net')._real.connect(given.socket)", "connect"), open_in=NO_SECCOMP),
    Attack("abstract local socket", _event("require('net')._real.connect('\\0' + given.abstract)", "connect"), open_in=("basic",)),
    Attack("cloud metadata by fetch", "return fetch('http://169.254.169.254/latest/meta-data/').then(() => 'open: read', (e) => 'refused: ' + (e.cause && e.cause.code));"),
    Attack("this machine by fetch", "return fetch(`http://localhost:${given.httpPort}/`).then(() => 'open: read', (e) => 'refused: ' + (e.cause && e.cause.code));"),
    Attack("name with a private address", "return fetch('http://inside.example/').then(() => 'open: read', (e) => 'refused: ' + (e.cause && e.cause.code));"),
    Attack("name that changes its answer", "const once = () => fetch(`http://changing.example:${given.httpPort}/`).then(() => 'open', (e) => e.cause && e.cause.code);"
           "return once().then(once).then((r) => r === 'open' ? 'open: read' : 'refused: ' + r);"),
    # Channels
    Attack("output flood", "const b = Buffer.alloc(65536, 120); for (;;) try { require('fs').writeSync(1, b) } catch {}", ("output",), timeout_s=5.0),
    Attack("forged answer", "const t = JSON.stringify({ t: 'done', id: '0'.repeat(32), ok: true, value: '1' }); const b = Buffer.alloc(4 + t.length);"
           "b.writeUInt32BE(t.length); b.write(t, 4); require('fs').writeSync(3, b); return new Promise(() => {});", ("protocol",)),
    Attack("garbage on the channel", "require('fs').writeSync(3, Buffer.from([0, 0, 0, 3, 1, 2, 3])); return new Promise(() => {});", ("protocol",)),
    Attack("a message without end", "require('fs').writeSync(3, Buffer.from([255, 255, 255, 255])); return new Promise(() => {});", ("protocol",)),
    Attack("garbage on the network channel", "require('fs').writeSync(4, Buffer.alloc(64, 255)); return new Promise(() => {});", ("protocol",)),
    Attack("connections without end", "const n = require('net'); for (let i = 0; i < 1500; i++) n.connect(9, 'inside.example').on('error', () => {}); return new Promise(() => {});",
           ("output", "timeout"), timeout_s=10.0),
    Attack("names without end", "const b = Buffer.from('{\"host\":\"inside.example\"}'); for (let i = 0; i < 1100; i++) {"
           "const h = Buffer.alloc(9); h[0] = 7; h.writeUInt32BE(1000 + i, 1); h.writeUInt32BE(b.length, 5);"
           "require('fs').writeSync(4, Buffer.concat([h, b])) } return new Promise(() => {});", ("protocol", "output", "timeout"), timeout_s=10.0),
    Attack("answer nested 500 deep", "return JSON.parse('['.repeat(500) + ']'.repeat(500));", ("output",)),
    Attack("nested answer", "return JSON.parse('['.repeat(100000) + ']'.repeat(100000));", ("script", "output")),
    Attack("huge answer", "return 'x'.repeat(5e6);", ("output",)),
    Attack("circular answer", "const a = {}; a.a = a; return a;", ("script",)),
    Attack("answer with a getter", "return { get a() { throw new Error('no') } };", ("script",)),
    Attack("BigInt as an answer", "return { a: 1n };", ("script",)),
    Attack("JSON and Promise replaced", "JSON.stringify = JSON.parse = () => 'x'; Promise.prototype.then = () => { throw 1 }; return 1;",
           ("value", "timeout", "script", "protocol", "exit")),
    # Ends
    Attack("exit", "process.reallyExit(0);", ("exit",)),
    Attack("abort", "process.abort();", ("exit",)),
    Attack("throws nothing", "throw undefined;", ("script",)),
    Attack("throws something odd", "throw new Proxy({}, { get() { throw 1 } });", ("script",)),
    Attack("rejects later", "setTimeout(() => Promise.reject(new Error('later')), 5); return new Promise(() => {});", ("script",)),
)  # fmt: skip

# What is switched off in each set.
CGROUPS = "strong_and_cgroups"
"""The only set with cgroups, which few machines delegate: so the others come out the same everywhere."""
LAYER_SETS: dict[str, tuple[str, ...]] = {
    "strong": ("cgroups",),
    "standard": ("cgroups", "namespaces"),
    "no_permission": ("cgroups", "permission", "namespaces"),
    "no_seccomp": ("cgroups", "seccomp", "namespaces"),
    "basic": ("cgroups", "seccomp", "landlock", "namespaces"),
    CGROUPS: (),
}
