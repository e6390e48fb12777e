// A rule that runs a file of tests written for Jest, with what such files use of it, inside of the sandbox: what the
// tests load is compiled in the very context, with the very `require`, in which a tenant's rules run.
// `user` is { files, test, loads, only }: texts by path, the path of the file of tests, what `load-rule` and
// `load-script` read, and the number of the one test to run, or null. It answers with [{ title, failure }].
function (user, context, callback) {
  const LONGEST_MS = 5000;
  const tests = [];
  let failure = null;

  const plainly = (value) => {
    try { return typeof value === 'function' ? `function ${value.name}` : JSON.stringify(value); } catch (error) { return String(value); }
  };
  const isObject = (value) => value !== null && typeof value === 'object';
  const kindOf = (value) => Object.prototype.toString.call(value);
  const same = (a, b) => {
    if (Object.is(a, b)) return true;
    if (!isObject(a) || !isObject(b) || kindOf(a) !== kindOf(b)) return false;
    if (kindOf(a) === '[object Date]') return a.getTime() === b.getTime();
    if (kindOf(a) === '[object RegExp]') return String(a) === String(b);
    if (kindOf(a) === '[object Error]') return a.message === b.message;
    if (Array.isArray(a) && a.length !== b.length) return false;
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((key) => same(a[key], b[key]));
  };
  const holds = (a, part) => {
    if (!isObject(part) || !isObject(a)) return same(a, part);
    return Object.keys(part).every((key) => key in a && holds(a[key], part[key]));
  };
  const member = (value, path) => String(path).split('.').reduce((at, key) => (isObject(at) ? at[key] : undefined), value);
  const MATCHERS = {
    toBe: (value, wanted) => Object.is(value, wanted),
    toEqual: same,
    toMatchObject: holds,
    toBeDefined: (value) => value !== undefined,
    toBeUndefined: (value) => value === undefined,
    toBeNull: (value) => value === null,
    toBeFalsy: (value) => !value,
    toBeTruthy: (value) => Boolean(value),
    toBeInstanceOf: (value, type) => value instanceof type,
    toContain: (value, wanted) => value.includes(wanted),
    toContainEqual: (value, wanted) => value.some((each) => same(each, wanted)),
    toHaveProperty: (value, path) => member(value, path) !== undefined,
    toHaveBeenCalled: (value) => value.mock.calls.length > 0,
  };
  const expect = (value) => {
    const matchers = { not: {} };
    for (const [name, matches] of Object.entries(MATCHERS)) {
      for (const [target, wanted] of [[matchers, true], [matchers.not, false]]) {
        target[name] = (...given) => {
          if (Boolean(matches(value, ...given)) === wanted) return;
          const error = new Error(`${plainly(value)} ${wanted ? '' : 'not '}${name} ${given.map(plainly).join(' ')}`);
          failure = failure || error.message;
          throw error;
        };
      }
    }
    return matchers;
  };
  const jest = {
    fn(first) {
      let usual = first;
      const once = [];
      const mock = function (...given) {
        mock.mock.calls.push(given);
        const run = once.length ? once.shift() : usual;
        return run ? run.apply(this, given) : undefined;
      };
      mock.mock = { calls: [] };
      mock.mockImplementation = (run) => { usual = run; return mock; };
      mock.mockImplementationOnce = (run) => { once.push(run); return mock; };
      mock.mockReturnValue = (value) => mock.mockImplementation(() => value);
      mock.mockReturnValueOnce = (value) => mock.mockImplementationOnce(() => value);
      return mock;
    },
  };

  let group = { title: '', around: null, hooks: { beforeAll: [], beforeEach: [], afterEach: [], afterAll: [] } };
  const describe = (title, body) => {
    group = { title: `${group.title} ${title}`.trim(), around: group, hooks: { beforeAll: [], beforeEach: [], afterEach: [], afterAll: [] } };
    body();
    group = group.around;
  };
  const it = (title, body) => { tests.push({ title: `${group.title} ${title}`, body, group }); };
  describe.only = describe;
  it.only = it;
  const hook = (name) => (body) => { group.hooks[name].push(body); };

  const compile = (text, given) => new Function(...Object.keys(given), text)(...Object.values(given));
  const load = (text, globals, stubs) => {
    const ours = (name) => (stubs && stubs[name]) || require(name);
    // As the sandbox loads rules and database scripts: the text is an expression.
    return compile(`return (${text}\n);`, { require: ours, ...globals });
  };
  const loaders = {
    'load-rule': (name, globals, stubs) => load(user.loads[name], globals, stubs),
    'load-script': (type, name, globals, stubs) => load(user.loads[`${type}/${name}`], globals, stubs),
  };
  const modules = {};
  const requireFrom = (from) => (name) => {
    if (!name.startsWith('.')) return require(name);
    const loader = loaders[name.split('/').pop()];
    if (loader) return loader;
    const parts = from.split('/').slice(0, -1);
    for (const part of name.split('/')) {
      if (part === '..') parts.pop();
      else if (part !== '.') parts.push(part);
    }
    const path = `${parts.join('/').replace(/\.js$/, '')}.js`;
    if (!modules[path]) modules[path] = execute(path).exports;
    return modules[path];
  };
  const execute = (path) => {
    const module = { exports: {} };
    compile(user.files[path], {
      require: requireFrom(path), module, exports: module.exports, describe, it, test: it, expect, jest,
      beforeAll: hook('beforeAll'), beforeEach: hook('beforeEach'), afterEach: hook('afterEach'), afterAll: hook('afterAll'),
    });
    return module;
  };

  const finished = (body) => new Promise((keep, fail) => {
    const timer = setTimeout(() => fail(new Error('was not done in time')), LONGEST_MS);
    const done = (error) => { clearTimeout(timer); if (error) fail(error); else keep(); };
    try {
      if (body.length) body(done);
      else Promise.resolve(body()).then(() => done(), done);
    } catch (error) {
      done(error);
    }
  });
  const begun = new Set();
  const runHooks = async (where, name) => {
    if (!where) return;
    if (name.startsWith('before')) await runHooks(where.around, name);
    if (name !== 'beforeAll' || !begun.has(where)) for (const body of where.hooks[name]) await finished(body);
    if (name === 'beforeAll') begun.add(where);
    if (name.startsWith('after')) await runHooks(where.around, name);
  };
  const run = async () => {
    execute(user.test);
    const results = [];
    for (const [number, test] of tests.entries()) {
      if (user.only !== null && user.only !== number) continue;
      failure = null;
      try {
        await runHooks(test.group, 'beforeAll');
        await runHooks(test.group, 'beforeEach');
        await finished(test.body);
        await runHooks(test.group, 'afterEach');
      } catch (error) {
        failure = failure || String(error && error.stack || error);
      }
      results.push({ title: test.title, failure });
    }
    return { count: tests.length, results };
  };
  run().then((answer) => callback(null, answer, {}), callback);
}
