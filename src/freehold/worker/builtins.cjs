'use strict';
// What `require` of Node's own modules gives a script: a copy of its own of what is harmless, a stand-in for the rest.
// This is comfort, not the wall: what a script must not do is refused by the layers around the process.

const egress = require('./egress.cjs');

const PLAIN = new Set([
  'assert', 'assert/strict', 'async_hooks', 'buffer', 'console', 'constants', 'crypto', 'diagnostics_channel', 'events',
  'path', 'path/posix', 'path/win32', 'perf_hooks', 'punycode', 'querystring', 'stream', 'stream/consumers', 'stream/promises',
  'stream/web', 'string_decoder', 'timers', 'timers/promises', 'url', 'util', 'util/types', 'zlib',
]);
const NETWORK = new Set(['http', 'https', 'http2', 'tls']);
const ABSENT = new Set([
  'child_process', 'cluster', 'dgram', 'inspector', 'inspector/promises', 'repl', 'sea', 'sqlite', 'test', 'trace_events', 'wasi',
  'worker_threads', 'v8', 'readline', 'readline/promises', 'domain',
]);

const { refuse } = egress;

const standIns = {
  net: () => egress.netFor(),
  dns: () => egress.dnsFor(),
  'dns/promises': () => egress.dnsFor().promises,
  sys: () => copyOf('util'),
  os: () => {
    const os = require('node:os');
    return {
      EOL: os.EOL, constants: os.constants, devNull: os.devNull, arch: os.arch, endianness: os.endianness, platform: os.platform,
      type: os.type, release: () => '', version: () => '', machine: () => os.machine(), hostname: () => 'sandbox',
      homedir: () => '/', tmpdir: () => '/tmp', cpus: () => [], loadavg: () => [0, 0, 0], networkInterfaces: () => ({}),
      totalmem: () => 0, freemem: () => 0, uptime: () => process.uptime(), availableParallelism: () => 1,
      userInfo: () => ({ uid: -1, gid: -1, username: 'sandbox', homedir: '/', shell: null }),
    };
  },
  child_process: () => Object.fromEntries(
    ['exec', 'execFile', 'execFileSync', 'execSync', 'fork', 'spawn', 'spawnSync'].map((name) => [name, refuse(name)]),
  ),
  dgram: () => ({ createSocket: refuse('dgram.createSocket'), Socket: refuse('dgram.Socket') }),
  worker_threads: () => ({
    isMainThread: true, threadId: 0, parentPort: null, workerData: null, Worker: refuse('worker_threads.Worker'),
    MessageChannel, MessagePort, markAsUncloneable() {}, markAsUntransferable() {}, isMarkedAsUntransferable: () => false,
  }),
  v8: () => {
    const { serialize, deserialize, getHeapStatistics } = require('node:v8');
    return { serialize, deserialize, getHeapStatistics };
  },
  tty: () => ({ isatty: () => false }),
  readline: () => ({ createInterface: refuse('readline') }),
  domain: () => require('node:domain'),
};

function copyOf(name) {
  const real = require(`node:${name}`);
  if (typeof real !== 'function') return { ...real };
  // Modules that are a function or a class (`events`, `stream`, `assert`): the same one, because others compare it.
  return real;
}

// Node.js had it until its version 24, and drivers of SQL Server from before speak TLS by it: one side takes and gives
// what is encrypted, the other what is not.
function createSecurePair(secureContext, isServer = false, requestCert = !isServer, rejectUnauthorized = false) {
  const { TLSSocket, createSecureContext } = require('node:tls');
  const { EventEmitter } = require('node:events');
  const [encrypted, inner] = require('node:stream').duplexPair();
  const cleartext = new TLSSocket(inner, {
    secureContext: secureContext || createSecureContext(), isServer, requestCert, rejectUnauthorized,
  });
  const pair = Object.assign(new EventEmitter(), { encrypted, cleartext });
  cleartext.once('secure', () => pair.emit('secure'));
  pair.destroy = () => [cleartext, encrypted].forEach((side) => side.destroy());
  return pair;
}

// The module, or undefined when Node has no such module, or the sandbox does not offer it.
function builtin(name, own) {
  const short = name.startsWith('node:') ? name.slice(5) : name;
  if (own.has(short)) return own.get(short);
  let found;
  if (standIns[short]) found = standIns[short]();
  else if (PLAIN.has(short)) found = copyOf(short);
  else if (NETWORK.has(short)) {
    egress.install();
    found = copyOf(short);
    if (short !== 'tls') found.createServer = found.Server = refuse(`${short}.createServer`);
    if (short === 'tls') {
      found.createServer = refuse('tls.createServer');
      found.createSecurePair ||= createSecurePair;
    }
  }
  if (found !== undefined) own.set(short, found);
  return found;
}

const isBuiltin = (name) => {
  const short = name.startsWith('node:') ? name.slice(5) : name;
  return Boolean(standIns[short]) || PLAIN.has(short) || NETWORK.has(short) || ABSENT.has(short);
};

module.exports = { builtin, isBuiltin };
