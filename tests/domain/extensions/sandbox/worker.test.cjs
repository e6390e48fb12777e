'use strict';
// The worker's own parts, without a server. Run by test_worker_in_node.py with the folder of the worker.

const test = require('node:test');
const assert = require('node:assert/strict');
const path = require('node:path');

const worker = process.env.FREEHOLD_WORKER;
const { ModuleSet } = require(path.join(worker, 'modules.cjs'));
const { ScriptContext } = require(path.join(worker, 'contexts.cjs'));
const virtualFs = require(path.join(worker, 'files.cjs'));

const NODE = ['node', 'require', 'default'];

function setOf(files) {
  const set = new ModuleSet({});
  for (const [name, content] of Object.entries(files)) {
    set.add(name, Buffer.from(typeof content === 'string' ? content : JSON.stringify(content)));
  }
  return set;
}

test('a package is found in the nearest node_modules', () => {
  const set = setOf({
    'node_modules/a/index.js': '', 'node_modules/b/index.js': '', 'node_modules/b/node_modules/a/index.js': '',
  });
  assert.equal(set.resolve('a', 'script.js', NODE), 'node_modules/a/index.js');
  assert.equal(set.resolve('a', 'node_modules/b/index.js', NODE), 'node_modules/b/node_modules/a/index.js');
  assert.throws(() => set.resolve('c', 'script.js', NODE), { code: 'MODULE_NOT_FOUND' });
});

test('exports decide what a package shows, in the order of its conditions', () => {
  const set = setOf({
    'node_modules/a/package.json': {
      exports: { '.': { browser: './web.js', import: './m.mjs', node: { require: './c.cjs' } }, './x/*.js': './deep/*.js', './no': null },
      imports: { '#inner': './deep/one.js' },
    },
    'node_modules/a/c.cjs': '', 'node_modules/a/m.mjs': '', 'node_modules/a/web.js': '', 'node_modules/a/deep/one.js': '',
  });
  assert.equal(set.resolve('a', 'script.js', NODE), 'node_modules/a/c.cjs');
  assert.equal(set.resolve('a', 'script.js', ['node', 'import', 'default']), 'node_modules/a/m.mjs');
  assert.equal(set.resolve('a/x/one.js', 'script.js', NODE), 'node_modules/a/deep/one.js');
  assert.equal(set.resolve('#inner', 'node_modules/a/c.cjs', NODE), 'node_modules/a/deep/one.js');
  for (const hidden of ['a/no', 'a/deep/one.js', 'a/c.cjs']) {
    assert.throws(() => set.resolve(hidden, 'script.js', NODE), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' });
  }
});

test('a path cannot climb out of the set', () => {
  const set = setOf({ 'node_modules/a/index.js': '' });
  for (const name of ['../../etc/passwd', './../../../x', '/etc/passwd']) {
    assert.throws(() => set.resolve(name, 'node_modules/a/index.js', NODE), { code: 'MODULE_NOT_FOUND' });
  }
});

test('fs shows the files of the packages and nothing else', () => {
  const fs = virtualFs.forSet(setOf({ 'node_modules/a/t.txt': 'text', 'node_modules/a/b/c.txt': '' }));
  assert.equal(fs.readFileSync('/node_modules/a/t.txt', 'utf8'), 'text');
  assert.deepEqual(fs.readdirSync('/node_modules/a'), ['b', 't.txt']);
  assert.equal(fs.existsSync('/etc/passwd'), false);
  assert.throws(() => fs.readFileSync('/etc/passwd'), { code: 'EACCES' });
  assert.throws(() => fs.readFileSync('/node_modules/a/none'), { code: 'ENOENT' });
  assert.throws(() => fs.writeFileSync('/node_modules/a/t.txt', ''), { code: 'EACCES' });
});

test('a callback that is called twice counts once, and one that throws fails', async () => {
  const kind = require(path.join(worker, 'kinds', 'callback.cjs'));
  assert.deepEqual(await kind.invoke((done) => { done(null, 1); done(null, 2); }, []), [1]);
  await assert.rejects(kind.invoke((done) => done(new Error('no')), []), { message: 'no' });
  await assert.rejects(kind.invoke(() => { throw new Error('thrown'); }, []), { message: 'thrown' });
  await assert.rejects(kind.invoke(async () => { throw new Error('later'); }, []), { message: 'later' });
});

test('a context notices what a call changed of the language', () => {
  const kind = { load: () => () => undefined };
  const make = () => new ScriptContext({ id: 's', code: '', globals: {} }, kind, null, () => {});
  for (const change of ['Object.prototype.x = 1', 'Array.prototype.push = () => 1', 'delete String.prototype.trim', 'JSON.parse = null']) {
    const context = make();
    assert.equal(context.watch.changed(), false);
    context.compile(change, [], 's.js')();
    assert.equal(context.watch.changed(), true, change);
    assert.equal(make().watch.changed(), false);
  }
});
