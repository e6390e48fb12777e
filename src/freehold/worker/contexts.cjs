'use strict';
// One context for each version of a script: its own Object, Array and Promise. What one script does to them does not
// reach another, and what a call does to them ends the context (see `changed`).

const vm = require('node:vm');
const { Loader } = require('./modules.cjs');
const egress = require('./egress.cjs');

const NAMES = [
  'Buffer', 'URL', 'URLSearchParams', 'TextEncoder', 'TextDecoder', 'queueMicrotask', 'setTimeout', 'clearTimeout', 'setInterval',
  'clearInterval', 'setImmediate', 'clearImmediate',
];
// Node loads these when they are named first, and so do we.
const LATER = [
  'AbortController', 'AbortSignal', 'Event', 'EventTarget', 'DOMException', 'structuredClone', 'atob', 'btoa', 'performance', 'Blob',
  'MessageChannel', 'BroadcastChannel', 'ReadableStream', 'WritableStream', 'TransformStream', 'CompressionStream',
  'DecompressionStream', 'File', 'CustomEvent', 'MessageEvent', 'MessagePort', 'CloseEvent', 'TextEncoderStream',
  'TextDecoderStream', 'ReadableStreamDefaultReader', 'ReadableStreamBYOBReader', 'WritableStreamDefaultWriter',
  'ByteLengthQueuingStrategy', 'CountQueuingStrategy', 'crypto', 'Crypto', 'CryptoKey', 'SubtleCrypto',
];
const NETWORK = ['fetch', 'Headers', 'Request', 'Response', 'FormData', 'WebSocket'];
// Buffer is an Uint8Array of Node's own context: a library that asks `instanceof Uint8Array` means both.
const SHARED = ['ArrayBuffer', 'Uint8Array'];

// What a call can change for the next one: properties that were added, which can be enumerated where nothing can be
// otherwise, and functions that were replaced. It runs after every call, so it has to be quick. A script that hides its
// changes from this cheats nobody but its own tenant.
const WATCH = `(() => {
  const { ownKeys, getOwnPropertyDescriptor, getPrototypeOf } = Reflect;
  const watched = [
    Object.prototype, Object, Function.prototype, Array, Array.prototype, String.prototype, Number.prototype, Boolean.prototype,
    Symbol.prototype, Date, Date.prototype, RegExp.prototype, Error.prototype, Promise, Promise.prototype, Map.prototype,
    Set.prototype, WeakMap.prototype, JSON, Math, Reflect, getPrototypeOf(async () => {}), getPrototypeOf(function* () {}),
    getPrototypeOf(getPrototypeOf([][Symbol.iterator]())),
  ];
  let items = [], keys = [], values = [], enumerable = -1;
  const countEnumerable = () => {
    let count = 0;
    for (let i = 0; i < watched.length; i++) for (const key in watched[i]) count++;
    return count;
  };
  return {
    begin() {
      items = [], keys = [], values = [];
      enumerable = countEnumerable();
      for (const item of watched) {
        for (const key of ownKeys(item)) {
          const found = getOwnPropertyDescriptor(item, key);
          if (typeof found.value !== 'function') continue;
          items.push(item), keys.push(key), values.push(found.value);
        }
      }
    },
    changed() {
      for (let i = 0; i < items.length; i++) if (items[i][keys[i]] !== values[i]) return true;
      return countEnumerable() !== enumerable;
    },
  };
})()`;

// Prepared in the context itself, so that what it makes is of the context.
const HELPERS = `(() => {
  const { parse, stringify } = JSON;
  const text = String;
  return {
    parse,
    stringify,
    describe(thrown) {
      if (thrown === null || (typeof thrown !== 'object' && typeof thrown !== 'function')) {
        return { type: 'Error', message: text(thrown), details: null };
      }
      let type = thrown.name, message = thrown.message, details = null;
      if (typeof type !== 'string') type = 'Error';
      if (typeof message !== 'string') { try { message = stringify(thrown); } catch { message = ''; } }
      try {
        const own = {};
        for (const key of Object.keys(thrown)) {
          const value = thrown[key];
          if (key !== 'stack' && key !== 'message' && key !== 'name' && typeof value !== 'function') own[key] = value;
        }
        details = stringify(own);
      } catch {}
      return { type, message: text(message), stack: typeof thrown.stack === 'string' ? thrown.stack : '', details };
    },
  };
})()`;

const watchScript = new vm.Script(WATCH, { filename: 'freehold:watch' });
const helperScript = new vm.Script(HELPERS, { filename: 'freehold:helpers' });

// `log` takes (level, text) of the call that runs; `kind` says what shape the code has; `secrets` are those of the first
// call, as text, for kinds whose code reads them while it is loaded.
class ScriptContext {
  constructor(script, kind, modules, log, secrets) {
    this.script = script;
    const context = vm.createContext(Object.create(null), {
      name: 'script', codeGeneration: { strings: true, wasm: true },
    });
    this.context = context;
    const global = vm.runInContext('globalThis', context);
    this.global = global;
    const define = (name, value) => Object.defineProperty(global, name, {
      value, writable: true, configurable: true, enumerable: false,
    });
    for (const name of NAMES) if (globalThis[name] !== undefined) define(name, globalThis[name]);
    for (const name of SHARED) define(name, globalThis[name]);
    for (const name of [...LATER, ...NETWORK]) {
      Object.defineProperty(global, name, {
        configurable: true,
        get() {
          if (NETWORK.includes(name)) egress.install();
          define(name, globalThis[name]);
          return globalThis[name];
        },
        set(value) { define(name, value); },
      });
    }
    const processFacade = facadeOfProcess();
    this.loader = new Loader(context, modules, processFacade);
    define('global', global);
    define('process', processFacade);
    define('console', consoleFor(log));
    this.loader.native.set('console', Object.assign(global.console, { console: global.console }));
    this.helpers = helperScript.runInContext(context);
    for (const [name, request] of Object.entries(script.globals || {})) {
      Object.defineProperty(global, name, {
        configurable: true,
        get: () => {
          const [module, part] = request.split('#');
          const whole = this.loader.require(module, 'script.js');
          const value = part ? whole[part] : whole;
          define(name, value);
          return value;
        },
        set(value) { define(name, value); },
      });
    }
    this.watch = watchScript.runInContext(context);
    this.kind = kind;
    this.run = kind.load(this, script, secrets);
    this.watch.begin();
  }

  compile(code, parameters, filename) {
    return vm.compileFunction(code, parameters, {
      parsingContext: this.context,
      filename,
      importModuleDynamically: (request) => this.loader.importing(request, 'script.js'),
    });
  }

  require() {
    return this.loader.requireFrom('script.js');
  }
}

function consoleFor(log) {
  const { format, inspect } = require('node:util');
  const write = (level) => (...given) => log(level, format(...given));
  const shown = { log: write('log'), info: write('info'), warn: write('warn'), error: write('error'), debug: write('debug') };
  shown.trace = shown.debug;
  shown.dir = (item) => log('log', inspect(item));
  shown.table = shown.dir;
  shown.group = shown.log;
  shown.assert = (condition, ...given) => { if (!condition) log('error', `Assertion failed: ${format(...given)}`); };
  for (const name of ['groupEnd', 'time', 'timeEnd', 'timeLog', 'count', 'countReset']) shown[name] = () => {};
  return shown;
}

function facadeOfProcess() {
  const { version, versions, arch, platform, nextTick, hrtime, uptime, memoryUsage } = process;
  const stream = { write: () => true, isTTY: false, fd: -1, on: () => stream, once: () => stream, end: () => stream };
  const facade = {
    version, versions: { ...versions }, arch, platform, nextTick, hrtime, uptime, memoryUsage, env: {}, argv: ['node'], argv0: 'node',
    execArgv: [], execPath: 'node', pid: 1, ppid: 0, title: 'node', release: { name: 'node' }, config: {}, features: {}, exitCode: undefined,
    stdout: stream, stderr: stream, stdin: stream, browser: false, umask: () => 0o77, cwd: () => '/', emitWarning: () => {},
    exit() { throw Object.assign(new Error('process.exit is not available in the sandbox'), { code: 'ERR_ACCESS_DENIED' }); },
    cpuUsage: process.cpuUsage, allowedNodeEnvironmentFlags: new Set(),
  };
  facade.abort = facade.kill = facade.chdir = facade.exit;
  for (const name of ['binding', '_linkedBinding', 'dlopen']) facade[name] = egress.refuse(`process.${name}`);
  for (const name of ['on', 'once', 'off', 'addListener', 'removeListener', 'removeAllListeners', 'prependListener', 'setMaxListeners']) {
    facade[name] = () => facade;
  }
  // Libraries tell Node from a browser by this.
  Object.defineProperty(facade, Symbol.toStringTag, { value: 'process' });
  facade.emit = () => false;
  facade.listeners = () => [];
  facade.listenerCount = () => 0;
  return facade;
}

module.exports = { ScriptContext };
