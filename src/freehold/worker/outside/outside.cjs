'use strict';
// Runs one piece of custom code on plain Node.js, the way the server's sandbox does: same shapes of code, same globals,
// same `api`. What it asks of the server is only noted. `code.js` is the code, unchanged; `package.json` says the rest,
// under `freehold`.

const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');
const { createRequire } = require('node:module');

const MASK = '[secret]';
// What npm does not have, as in the sandbox.
const STAND_INS = { '@auth0/rule-utilities': './stand-ins/rule-utilities.cjs' };

class Outside {
  constructor(folder, about) {
    this.folder = folder;
    this.global = globalThis;
    this.helpers = { parse: JSON.parse, stringify: JSON.stringify };
    this.loader = { newObject: () => ({}), added: new Map() };
    this.specs = about.specs || {};
    this.globals = about.globals || {};
    this.plain = createRequire(path.join(folder, 'code.js'));
  }

  // Libraries that were globals there are parameters here, so that no other package of this process sees them.
  compile(code, parameters, filename) {
    const names = Object.keys(this.globals);
    const values = names.map((name) => this.globalNamed(this.globals[name]));
    const made = vm.compileFunction(code, [...names, ...parameters], {
      filename: path.join(this.folder, filename), importModuleDynamically: vm.constants && vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    });
    return function run(...given) {
      return Reflect.apply(made, this, [...values, ...given]);
    };
  }

  globalNamed(wanted) {
    const [request, part] = wanted.split('#');
    try {
      const whole = this.require()(request);
      return part ? whole[part] : whole;
    } catch (error) {
      if (error.code === 'MODULE_NOT_FOUND') return undefined;
      throw error;
    }
  }

  // 'name@version' is the package of that version, whatever it is called among the dependencies.
  require() {
    const load = (request) => {
      const added = this.loader.added.get(request);
      if (added !== undefined) return added();
      const standIn = STAND_INS[String(request).replace(/(?<=.)@[^/]*$/, '')];
      if (standIn !== undefined) return require(standIn);
      return this.plain(this.named(String(request)));
    };
    load.resolve = (request) => this.plain.resolve(this.named(String(request)));
    load.cache = Object.create(null);
    return load;
  }

  named(request) {
    const at = request.indexOf('@', 1);
    if (at < 0 || request.startsWith('node:')) return request;
    const slash = request.indexOf('/', at);
    const end = slash < 0 ? request.length : slash;
    const alias = this.specs[request.slice(0, end)];
    return alias === undefined ? request : alias + request.slice(end);
  }
}

function open(folder) {
  const about = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')).freehold;
  const script = { id: 'code', code: fs.readFileSync(path.join(folder, 'code.js'), 'utf8'), shared: {} };
  for (const [name, file] of Object.entries(about.shared || {})) script.shared[name] = fs.readFileSync(path.join(folder, file), 'utf8');
  const kind = require(`./kinds/${about.kind}.cjs`);
  const context = new Outside(folder, about);
  let loaded;

  const load = (secrets = masked()) => {
    if (loaded === undefined) loaded = kind.load(context, script, JSON.stringify(secrets));
    return loaded;
  };

  // Call a function of the code with these arguments, which are copied; the answer is what the server would have got.
  async function run(name, given, { secrets = {}, ask = async () => null } = {}) {
    const found = load(secrets)(name);
    if (typeof found !== 'function') throw new TypeError(`The script has no function ${name}`);
    const copied = JSON.parse(JSON.stringify(given));
    if (about.around && copied.length === 1) copied.push({ ...about.around });
    const tools = { ask, secrets: JSON.parse(JSON.stringify(secrets)), helpers: context.helpers, context };
    const value = await kind.invoke(found, copied, tools);
    const text = JSON.stringify(value === undefined ? null : value);
    return text === undefined ? null : JSON.parse(text);
  }

  // The secrets as they stand in recorded executions: masked.
  const masked = () => Object.fromEntries((about.secrets || []).map((name) => [name, MASK]));
  return { about, load, run, masked };
}

// Each recorded execution as a test of `node --test`.
function testAll(folder) {
  const test = require('node:test');
  const assert = require('node:assert/strict');
  const { load, run, masked } = open(folder);
  const recorded = JSON.parse(fs.readFileSync(path.join(folder, 'executions.json'), 'utf8'));
  test('the code loads', () => load());
  for (const each of recorded) {
    test(`${each.function || 'the function'} at ${each.started_at}`, { skip: each.skip || false }, async () => {
      const [answer] = await Promise.allSettled([run(each.function, each.given, { secrets: masked() })]);
      if (each.error === undefined) {
        if (answer.status === 'rejected') throw answer.reason;
        assert.deepEqual(answer.value, each.answered);
      } else {
        assert.equal(answer.status, 'rejected', 'it answered, and threw when it was recorded');
        const { name, message } = Object(answer.reason);
        assert.equal(`${name || 'Error'}: ${message === undefined ? answer.reason : message}`, each.error);
      }
    });
  }
}

module.exports = { open, testAll };
