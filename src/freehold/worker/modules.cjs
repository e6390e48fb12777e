'use strict';
// npm packages: a set of them arrives as one package of files, kept in memory; no file system is involved. They are
// loaded into the context of the script that asks, so that its Date is their Date.

const fs = require('node:fs');
const vm = require('node:vm');
const path = require('node:path').posix;
const { builtin, isBuiltin } = require('./builtins.cjs');
const virtualFs = require('./files.cjs');

const CONDITIONS = ['node', 'require', 'default'];
const MODULE_CONDITIONS = ['node', 'import', 'default'];
// What npm does not have any more and scripts still require, in whatever version.
const STAND_INS = { '@auth0/rule-utilities': 'rule-utilities.cjs' };

function problem(code, message) {
  return Object.assign(new Error(message), { code });
}

// One set: `files` from path to Buffer, `specs` from 'name@version' to the folder of that package.
class ModuleSet {
  constructor(specs) {
    this.specs = specs;
    this.files = new Map();
    this.folders = new Set();
    this.manifests = new Map();
  }

  // `more` says that the content continues what came before.
  add(name, content, more) {
    this.files.set(name, more ? Buffer.concat([this.files.get(name), content]) : content);
    for (let folder = path.dirname(name); !this.folders.has(folder) && folder !== '.'; folder = path.dirname(folder)) {
      this.folders.add(folder);
    }
  }

  manifest(folder) {
    if (!this.manifests.has(folder)) {
      const content = this.files.get(`${folder}/package.json`);
      this.manifests.set(folder, content ? JSON.parse(content.toString('utf8')) : null);
    }
    return this.manifests.get(folder);
  }

  // The nearest package.json above a file.
  scope(file) {
    for (let folder = path.dirname(file); folder !== '.' && folder !== '/'; folder = path.dirname(folder)) {
      if (this.files.has(`${folder}/package.json`)) return [folder, this.manifest(folder)];
      if (path.basename(folder) === 'node_modules') break;
    }
    return ['', null];
  }

  asFile(name) {
    for (const candidate of [name, `${name}.js`, `${name}.cjs`, `${name}.json`, `${name}.mjs`]) {
      if (this.files.has(candidate)) return candidate;
    }
    return null;
  }

  asFolder(name) {
    const manifest = this.manifest(name);
    if (manifest && typeof manifest.main === 'string') {
      const main = path.normalize(`${name}/${manifest.main}`);
      const found = this.asFile(main) || this.asFile(`${main}/index`);
      if (found) return found;
    }
    return this.asFile(`${name}/index`);
  }

  resolve(request, parent, conditions) {
    if (request.startsWith('.') || request.startsWith('/')) {
      const target = request.startsWith('/') ? request.slice(1) : path.normalize(`${path.dirname(parent)}/${request}`);
      const found = this.asFile(target.replace(/\/$/, '')) || this.asFolder(target.replace(/\/$/, ''));
      if (found) return found;
      throw problem('MODULE_NOT_FOUND', `Cannot find module '${request}'`);
    }
    if (request.startsWith('#')) {
      const [folder, manifest] = this.scope(parent);
      const found = manifest && manifest.imports && this.exported(folder, manifest.imports, request, conditions);
      if (found) return found;
      throw problem('MODULE_NOT_FOUND', `Cannot find module '${request}'`);
    }
    const pieces = request.split('/');
    const name = request.startsWith('@') ? pieces.slice(0, 2).join('/') : pieces[0];
    const rest = request.slice(name.length + 1);
    for (const folder of this.places(name, parent)) {
      const manifest = this.manifest(folder);
      if (manifest && manifest.exports !== undefined && manifest.exports !== null) {
        const table = typeof manifest.exports === 'object' && !Array.isArray(manifest.exports)
          && Object.keys(manifest.exports).some((key) => key.startsWith('.')) ? manifest.exports : { '.': manifest.exports };
        const found = this.exported(folder, table, rest ? `./${rest}` : '.', conditions);
        if (found) return found;
        throw problem('ERR_PACKAGE_PATH_NOT_EXPORTED', `Package ${name} does not export './${rest}'`);
      }
      const found = rest ? this.asFile(`${folder}/${rest}`) || this.asFolder(`${folder}/${rest}`) : this.asFolder(folder);
      if (found) return found;
    }
    throw problem('MODULE_NOT_FOUND', `Cannot find module '${request}'`);
  }

  *places(name, parent) {
    for (let folder = path.dirname(parent); ; folder = path.dirname(folder)) {
      if (path.basename(folder) !== 'node_modules') {
        const place = folder === '.' || folder === '/' ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
        if (this.folders.has(place)) yield place;
      }
      if (folder === '.' || folder === '/') return;
    }
  }

  exported(folder, table, wanted, conditions) {
    let target = table[wanted];
    let star = '';
    if (target === undefined) {
      let best = '';
      for (const key of Object.keys(table)) {
        const at = key.indexOf('*');
        if (at < 0 || key.length <= best.length) continue;
        const [before, after] = [key.slice(0, at), key.slice(at + 1)];
        if (wanted.startsWith(before) && wanted.endsWith(after) && wanted.length >= key.length) {
          best = key;
          target = table[key];
          star = wanted.slice(before.length, wanted.length - after.length);
        }
      }
    }
    const chosen = choose(target, conditions);
    if (typeof chosen !== 'string') return null;
    if (!chosen.startsWith('./')) return this.resolve(chosen, `${folder}/package.json`, conditions);
    return this.asFile(path.normalize(`${folder}/${chosen.replaceAll('*', star)}`));
  }
}

function choose(target, conditions) {
  if (typeof target === 'string' || target === null || target === undefined) return target;
  if (Array.isArray(target)) {
    for (const item of target) {
      const chosen = choose(item, conditions);
      if (chosen) return chosen;
    }
    return null;
  }
  for (const [condition, value] of Object.entries(target)) {
    if (condition === 'default' || conditions.includes(condition)) {
      const chosen = choose(value, conditions);
      if (chosen !== undefined) return chosen;
    }
  }
  return undefined;
}

// Until its version 7, pg had pools of its own behind `pg.connect`; scripts of that time say no version, and the old
// versions cannot speak with the servers of today.
function asBefore(pg) {
  if (pg.connect || !pg.Pool) return;
  const pools = new Map();
  pg.connect = (where, callback) => {
    const key = JSON.stringify(where);
    if (!pools.has(key)) pools.set(key, new pg.Pool(typeof where === 'string' ? { connectionString: where } : where));
    pools.get(key).connect(callback);
  };
}

// bcryptjs stands for bcrypt, which says otherwise what is missing, and scripts pass that on.
function asNative(bcrypt, Error) {
  const checked = (run, what) => function bcryptCall(data, other, ...more) {
    if (data !== undefined && data !== null && other !== undefined && other !== null) return run(data, other, ...more);
    const error = new Error(`data and ${what} arguments required`);
    const done = more.find((each) => typeof each === 'function');
    if (!done) return Promise.reject(error);
    process.nextTick(done, error);
    return undefined;
  };
  return { ...bcrypt, hash: checked(bcrypt.hash, 'salt'), compare: checked(bcrypt.compare, 'hash') };
}

// The modules of one context.
class Loader {
  constructor(context, set, processFacade) {
    this.context = context;
    this.set = set || new ModuleSet({});
    this.process = processFacade;
    this.loaded = new Map();
    this.native = new Map();
    // What a kind of scripts adds to what can be required: from name to a function that gives it.
    this.added = new Map();
    this.esm = new Map();
    this.native.set('process', processFacade);
    this.native.set('fs', virtualFs.forSet(this.set));
    this.native.set('fs/promises', this.native.get('fs').promises);
    const contextVm = {
      Script: vm.Script, createContext: vm.createContext, isContext: vm.isContext, runInNewContext: vm.runInNewContext,
      runInThisContext: (code, options) => vm.runInContext(code, context, options),
      runInContext: vm.runInContext, compileFunction: vm.compileFunction,
    };
    this.native.set('vm', contextVm);
    this.native.set('module', Object.assign(() => {}, {
      createRequire: () => this.requireFrom('script.js'), builtinModules: [], isBuiltin,
    }));
  }

  requireFrom(parent) {
    const load = (request) => this.require(String(request), parent);
    load.resolve = (request) => (isBuiltin(request) || this.added.has(request) ? request : `/${this.set.resolve(this.named(request), parent, CONDITIONS)}`);
    load.cache = Object.create(null);
    load.main = undefined;
    load.extensions = Object.create(null);
    return load;
  }

  // 'name@version' names one of the set's packages; without a version it is resolved as everywhere.
  named(request) {
    const at = request.indexOf('@', 1);
    if (at < 0) return request;
    const slash = request.startsWith('@') ? request.indexOf('/', request.indexOf('/') + 1) : request.indexOf('/');
    const end = slash < 0 ? request.length : slash;
    const folder = this.set.specs[request.slice(0, end)];
    if (folder === undefined) throw problem('MODULE_NOT_FOUND', `Cannot find module '${request}'`);
    return folder.replace(/^node_modules\//, '') + request.slice(end);
  }

  require(request, parent) {
    const added = this.added.get(request);
    if (added !== undefined) return added();
    const native = builtin(request, this.native);
    const bare = request.startsWith('.') || request.startsWith('/');
    const installed = request === 'punycode' && this.set.folders.has('node_modules/punycode');
    if (native !== undefined && !installed) return native;
    const standIn = STAND_INS[request.replace(/(?<=.)@[^/]*$/, '')];
    if (standIn !== undefined) return this.load(`stand-ins/${standIn}`, fs.readFileSync(`${__dirname}/stand-ins/${standIn}`, 'utf8'));
    if (!bare && !installed && isBuiltin(request)) throw problem('MODULE_NOT_FOUND', `Module '${request}' is not available in the sandbox`);
    return this.load(this.set.resolve(bare ? request : this.named(request), parent, CONDITIONS));
  }

  load(file, given) {
    const known = this.loaded.get(file);
    if (known) return known.exports;
    if (file.endsWith('.node')) throw problem('ERR_DLOPEN_DISABLED', `Native addons are not available in the sandbox: '${file}'`);
    const text = given === undefined ? this.set.files.get(file).toString('utf8') : given;
    const module = { exports: this.newObject(), id: `/${file}`, filename: `/${file}`, loaded: false, children: [], paths: [] };
    this.loaded.set(file, module);
    try {
      if (file.endsWith('.json')) module.exports = this.parse(text);
      else if (this.isModule(file)) module.exports = this.loadModule(file);
      else this.run(text, file, module);
    } catch (error) {
      this.loaded.delete(file);
      throw error;
    }
    module.loaded = true;
    if (file === 'node_modules/pg/lib/index.js') asBefore(module.exports);
    if (/^node_modules\/bcrypt\/(index|umd\/index|dist\/bcrypt)\.js$/.test(file)) {
      module.exports = asNative(module.exports, vm.runInContext('Error', this.context));
    }
    return module.exports;
  }

  run(text, file, module) {
    const load = this.requireFrom(file);
    module.require = load;
    const wrapped = vm.compileFunction(text.replace(/^#!.*/, ''), ['exports', 'require', 'module', '__filename', '__dirname'], {
      parsingContext: this.context,
      filename: `/${file}`,
      importModuleDynamically: (request) => this.importing(request, file),
    });
    Reflect.apply(wrapped, module.exports, [module.exports, load, module, `/${file}`, `/${path.dirname(file)}`]);
  }

  newObject() {
    this.makeObject ??= vm.runInContext('() => ({})', this.context);
    return this.makeObject();
  }

  parse(text) {
    this.parseJson ??= vm.runInContext('JSON.parse', this.context);
    return this.parseJson(text.replace(/^\ufeff/, ''));
  }

  isModule(file) {
    if (file.endsWith('.mjs')) return true;
    if (!file.endsWith('.js')) return false;
    const [, manifest] = this.set.scope(file);
    return Boolean(manifest && manifest.type === 'module');
  }

  // ECMAScript modules, linked and evaluated without waiting, as Node's own require does.
  loadModule(file) {
    const module = this.link(file);
    if (module.status === 'linked' || module.status === 'unlinked') module.instantiate();
    if (module.status === 'linked') module.evaluate().catch(() => {});
    if (module.status === 'errored') throw module.error;
    if (module.status !== 'evaluated') {
      throw problem('ERR_REQUIRE_ASYNC_MODULE', `'${file}' waits at its top level and cannot be required`);
    }
    const space = module.namespace;
    return 'module.exports' in space ? space['module.exports'] : space;
  }

  link(file) {
    const known = this.esm.get(file);
    if (known) return known;
    const module = new vm.SourceTextModule(this.set.files.get(file).toString('utf8'), {
      context: this.context,
      identifier: `file:///${file}`,
      initializeImportMeta: (meta) => {
        meta.url = `file:///${file}`;
        meta.filename = `/${file}`;
        meta.dirname = `/${path.dirname(file)}`;
      },
      importModuleDynamically: (request) => this.importing(request, file),
    });
    this.esm.set(file, module);
    module.linkRequests(module.moduleRequests.map(({ specifier }) => this.dependency(specifier, file)));
    return module;
  }

  dependency(request, parent) {
    const native = builtin(request, this.native);
    if (native !== undefined) return this.synthetic(`node:${request.replace(/^node:/, '')}`, native);
    const file = this.set.resolve(this.named(request), parent, MODULE_CONDITIONS);
    return this.isModule(file) ? this.link(file) : this.synthetic(file, () => this.load(file));
  }

  synthetic(name, exported) {
    const known = this.esm.get(name);
    if (known) return known;
    const value = typeof exported === 'function' && !name.startsWith('node:') ? exported() : exported;
    const names = new Set(value !== null && ['object', 'function'].includes(typeof value) ? Object.keys(value) : []);
    names.add('default');
    const module = new vm.SyntheticModule([...names], function fill() {
      for (const key of names) this.setExport(key, key === 'default' ? value : value[key]);
    }, { context: this.context, identifier: name });
    module.link(() => {});
    module.evaluate();
    this.esm.set(name, module);
    return module;
  }

  async importing(request, parent) {
    const module = this.dependency(String(request), parent);
    if (module.status === 'linked' || module.status === 'unlinked') module.instantiate();
    await module.evaluate();
    return module;
  }
}

module.exports = { ModuleSet, Loader };
