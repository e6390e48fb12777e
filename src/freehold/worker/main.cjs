'use strict';
// The process of one tenant's custom code. Descriptor 3 carries calls (frames.cjs), descriptor 4 the network (egress.cjs).
//
//   in   load    a version of a script          out  ready    once, when it can take calls
//        modules a package of npm modules, in parts  began    a call runs
//        call    run functions, in their order       log      a line of output
//        answer  to an `ask`                         ask      something of the server, for a call
//                                                    done     the value or the error of a function

const frames = require('./frames.cjs');
const egress = require('./egress.cjs');
const { ModuleSet } = require('./modules.cjs');
const { ScriptContext } = require('./contexts.cjs');
const { AsyncLocalStorage } = require('node:async_hooks');

const LOG_LINE = 16 * 1024;
const { parse, stringify } = JSON;
const { hrtime } = process;
const exit = process.reallyExit.bind(process);

const scripts = new Map();
const contexts = new Map();
const moduleSets = new Map();
const running = new Map();
const current = new AsyncLocalStorage();
const kinds = new Map();

const calls = frames.open(3, received);
egress.start(4);

function received(frame) {
  if (frame.t === 'call') begin(frame);
  else if (frame.t === 'load') scripts.set(frame.key, frame);
  else if (frame.t === 'modules') addModules(frame);
  else if (frame.t === 'answer') answer(frame);
  else if (frame.t === 'forget') forget(frame.key);
}

function addModules(frame) {
  let set = moduleSets.get(frame.key);
  if (!set) moduleSets.set(frame.key, (set = new ModuleSet(frame.specs)));
  for (const [name, content, more] of frame.files) set.add(name, Buffer.from(content, 'base64'), more);
}

function forget(key) {
  scripts.delete(key);
  contexts.delete(key);
}

function kindOf(name) {
  if (!kinds.has(name)) {
    if (!/^[a-z][a-z0-9-]*$/.test(name)) throw new Error('no such kind');
    kinds.set(name, require(`./kinds/${name}.cjs`));
  }
  return kinds.get(name);
}

function contextOf(key, secrets) {
  let context = contexts.get(key);
  if (context === undefined) {
    const script = scripts.get(key);
    context = new ScriptContext(script, kindOf(script.kind), script.modules ? moduleSets.get(script.modules) : null, log, secrets);
    contexts.set(key, context);
  }
  return context;
}

function log(level, text) {
  const call = current.getStore();
  if (call === undefined || call.over) return;
  const line = text.length > LOG_LINE ? `${text.slice(0, LOG_LINE)}…` : text;
  calls.send({ t: 'log', id: call.id, level, text: line });
}

function begin(frame) {
  if (Number(hrtime.bigint() / 1000000n) > frame.before) {
    calls.send({ t: 'late', id: frame.id });
    return;
  }
  calls.send({ t: 'began', id: frame.id });
  runAll(frame);
}

// One function after the other, as long as their kind knows what the next one is given: see `follow` in the kinds.
async function runAll(frame) {
  const { id, steps } = frame;
  const asked = { next: 1 };
  let given = frame.args;
  for (let n = 0; given !== null; n++) {
    const { script, fn, secrets } = steps[n];
    const last = n === steps.length - 1;
    const call = { id, n, key: script, fn, given, secrets: frame.secrets[secrets], most: last ? 0 : frame.most, asked, asks: new Map(), over: false, began: hrtime.bigint() };
    running.set(id, call);
    given = await current.run(call, run, call);
  }
}

async function run(call) {
  let context;
  try {
    context = contextOf(call.key, call.secrets);
  } catch (error) {
    return finish(call, context, failed(context, error, 'load'));
  }
  let outcome;
  try {
    const found = context.run(call.fn);
    if (typeof found !== 'function') {
      return finish(call, context, { ok: false, error: { kind: 'load', type: 'NoSuchFunction', message: `The script has no function ${call.fn}` } });
    }
    const { parse } = context.helpers;
    const given = parse(call.given);
    const tools = { ask: (name, content) => ask(call, name, content), secrets: parse(call.secrets), helpers: context.helpers, context };
    const value = await context.kind.invoke(found, given, tools);
    const text = context.helpers.stringify(value === undefined ? null : value);
    outcome = { ok: true, value: text === undefined ? 'null' : text };
  } catch (error) {
    outcome = failed(context, error, 'script');
  }
  return finish(call, context, outcome);
}

function failed(context, error, kind) {
  try {
    const described = context ? context.helpers.describe(error) : describe(error);
    return { ok: false, error: { kind, ...described } };
  } catch {
    return { ok: false, error: { kind, type: 'Error', message: '' } };
  }
}

function describe(error) {
  const plain = error !== null && typeof error === 'object';
  return {
    type: plain && typeof error.name === 'string' ? error.name : 'Error',
    message: plain && typeof error.message === 'string' ? error.message : String(error),
    stack: plain && typeof error.stack === 'string' ? error.stack : '',
  };
}

// Says how a function ended; answers what the next one is given, or null when it is the server's turn.
function finish(call, context, outcome) {
  if (call.over) return null;
  call.over = true;
  running.delete(call.id);
  const { error } = outcome;
  if (error) {
    error.type = error.type.slice(0, 200);
    error.message = error.message.slice(0, 4000);
    error.stack = ownLines(error.stack || '').slice(0, 8000);
    if (error.details && error.details.length > 16000) error.details = null;
  }
  // A script whose call changed the language for the next one starts anew.
  const spoilt = context !== undefined && isSpoilt(context);
  if (spoilt) contexts.delete(call.key);
  const next = outcome.ok ? following(call, context, outcome.value) : null;
  const said = { t: 'done', id: call.id, n: call.n, ms: Number(hrtime.bigint() - call.began) / 1e6, spoilt };
  if (calls.send({ ...said, ...outcome, more: next !== null })) return next;
  calls.send({ ...said, ok: false, error: { kind: 'output', type: 'AnswerTooLarge', message: 'The answer is too large' } });
  return null;
}

// An answer that the server may refuse (for its size, or half a character) is for the server to see first.
function following(call, context, text) {
  if (text.length > call.most || context.kind.follow === undefined || /\\ud[89a-f]/i.test(text)) return null;
  try {
    return context.kind.follow(parse(text), call.given);
  } catch {
    return null;
  }
}

// Of a stack what lies in the script and its packages: the rest is ours, and names folders of the server.
function ownLines(stack) {
  return stack.split('\n').filter((line) => !/^\s+at /.test(line) || !(line.includes(__dirname) || line.includes('node:'))).join('\n');
}

function isSpoilt(context) {
  try {
    return context.watch.changed();
  } catch {
    return true;
  }
}

function ask(call, name, content) {
  return new Promise((keep, fail) => {
    if (call.over) return;
    const number = call.asked.next++;
    call.asks.set(number, { keep, fail });
    calls.send({ t: 'ask', id: call.id, n: number, name: String(name), content: stringify(content === undefined ? null : content) });
  });
}

function answer(frame) {
  const call = running.get(frame.id);
  const waiting = call && call.asks.get(frame.n);
  if (!waiting) return;
  call.asks.delete(frame.n);
  const { parse } = contexts.get(call.key).helpers;
  if (frame.ok) waiting.keep(parse(frame.content));
  else waiting.fail(Object.assign(new Error(frame.message), { code: frame.code }));
}

// An error that nobody waits for belongs to the call in whose time it was thrown; without one it is of no consequence.
process.on('unhandledRejection', (error) => stray(error));
process.on('uncaughtException', (error) => stray(error));

function stray(error) {
  const call = current.getStore();
  if (call !== undefined && !call.over) finish(call, contexts.get(call.key), failed(contexts.get(call.key), error, 'script'));
}

// What every first call needs is made ready before anybody waits for it.
function warm() {
  const script = { key: '', id: 'warm', code: 'exports.run = async (value) => JSON.stringify(value);', globals: {} };
  for (const kind of ['module', 'callback']) kindOf(kind);
  const context = new ScriptContext(script, kindOf('module'), null, log);
  context.kind.invoke(context.run('run'), [context.helpers.parse('{}')]);
  isSpoilt(context);
}

warm();
process.on('exit', (code) => exit(code));
calls.send({ t: 'ready', node: process.versions.node });
