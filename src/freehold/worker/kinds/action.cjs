'use strict';
// Actions: `exports.onExecute... = async (event, api)`. The methods of `api` note what the action wants; the answer is
// the list of these commands, which the server checks and carries out, whatever they say. The secrets of a call are
// `event.secrets`. What can be answered here (tokens of a redirect, the cache) is.
//
// Modules that actions share are required as `actions:NAME`; they see their own secrets as `actions.secrets`, and those
// come with the action's, as `actions:NAME/KEY`.

const { createHmac, timingSafeEqual } = require('node:crypto');
const plain = require('./module.cjs');

const CACHE = { entries: 20, key: 64, value: 4096, total: 8192, standard: 15 * 60 * 1000, longest: 24 * 60 * 60 * 1000 };
const caches = new Map();
const groups = new Map();
const MOST_COMMANDS = 1000;
// Commands that mean nothing to the next action, with what is certainly right about their arguments.
const isClaim = (values) => typeof values[0] === 'string' && values[0] !== '' && JSON.stringify(values).length < 8192;
const isScope = (values) => typeof values[0] === 'string' && /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(values[0]);
const PLAIN = {
  __proto__: null, 'accessToken.setCustomClaim': isClaim, 'idToken.setCustomClaim': isClaim,
  'accessToken.addScope': isScope, 'accessToken.removeScope': isScope,
};

function load(context, script, secrets) {
  const shared = script.shared || {};
  context.shared = new Map();
  // The longest name first: one may begin like another.
  for (const [name, code] of Object.entries(shared).sort(([one], [other]) => other.length - one.length)) {
    const own = context.helpers.parse('{}');
    context.shared.set(`actions:${name}/`, own);
    let module;
    context.loader.added.set(`actions:${name}`, () => {
      if (module === undefined) {
        module = { exports: context.loader.newObject(), id: `actions:${name}`, loaded: false };
        const parameters = ['exports', 'require', 'module', '__filename', '__dirname', 'actions'];
        const body = context.compile(code, parameters, `actions:${name}`);
        const actions = context.loader.newObject();
        actions.secrets = own;
        try {
          Reflect.apply(body, module.exports, [module.exports, context.require(), module, `/${name}.js`, '/', actions]);
        } catch (error) {
          module = undefined;
          throw error;
        }
        module.loaded = true;
      }
      return module.exports;
    });
  }
  if (context.shared.size) sortSecrets(context, context.helpers.parse(secrets || '{}'));
  return plain.load(context, script);
}

// Gives each module its secrets; what is left are the action's own.
function sortSecrets(context, secrets) {
  for (const [prefix, own] of context.shared) {
    for (const key of Object.keys(own)) delete own[key];
    for (const key of Object.keys(secrets)) {
      if (!key.startsWith(prefix)) continue;
      own[key.slice(prefix.length)] = secrets[key];
      delete secrets[key];
    }
  }
  return secrets;
}

async function invoke(found, [event, around], tools) {
  const { parse, stringify } = tools.context.helpers;
  const secrets = sortSecrets(tools.context, parse(stringify(tools.secrets)));
  Object.defineProperty(event, 'secrets', { value: secrets, enumerable: true });
  const commands = [];
  const note = (name) => (...given) => {
    if (commands.length === MOST_COMMANDS) throw new Error(`An action may call the methods of api ${MOST_COMMANDS} times`);
    // Kept as it is now: what the action changes afterwards does not count.
    commands.push([name, parse(stringify(given))]);
    if (name === 'transaction.setMetadata') remember(event, commands[commands.length - 1][1]);
    return api;
  };
  const api = apiOf(around, event, note, tools.ask);
  await Reflect.apply(found, undefined, [event, api]);
  return commands;
}

// The next action gets the same event, unless this one asked for something that changes it, ends the flow, or may be wrong.
function follow(answer, given) {
  return Array.isArray(answer) && answer.every(([name, values]) => name in PLAIN && PLAIN[name](values)) ? given : null;
}

// What is kept for the transaction can be read at once (Auth0 docs, "Transaction Metadata").
function remember(event, [key, value]) {
  if (!event.transaction || typeof event.transaction.metadata !== 'object') return;
  if (value === null || value === undefined) delete event.transaction.metadata[key];
  else event.transaction.metadata[key] = value;
}

// An action uses few of the methods: those of a group are made when it is named first.
function apiOf(around, event, note, ask) {
  const api = { cache: cacheOf(around.trigger) };
  for (const [group, names] of groupsOf(around)) {
    Object.defineProperty(api, group, {
      configurable: true, enumerable: true,
      get() {
        const made = {};
        for (const name of names) made[name] = note(`${group}.${name}`);
        if (group === 'redirect') addRedirect(made, event, around);
        Object.defineProperty(api, group, { value: made, writable: true });
        return made;
      },
    });
  }
  if (around.rules) api.rules = { wasExecuted: (id) => around.rules.includes(id) };
  for (const name of around.asks || []) {
    const [group, method] = name.split('.');
    api[group] = api[group] || {};
    api[group][method] = (...given) => ask(name, given);
  }
  return api;
}

function addRedirect(made, event, around) {
  made.canRedirect = () => around.can_redirect === true;
  made.encodeToken = (options) => encodeToken(options, event, around);
  made.validateToken = (options) => validateToken(options, event, around);
}

function groupsOf({ trigger, methods }) {
  const known = groups.get(trigger);
  if (known !== undefined && known.count === methods.length) return known;
  const found = new Map();
  for (const path of methods) {
    const [group, name] = path.split('.');
    if (!found.has(group)) found.set(group, []);
    found.get(group).push(name);
  }
  groups.set(trigger, Object.assign(found, { count: methods.length }));
  return found;
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const sign = (text, secret) => createHmac('sha256', secret).update(text).digest();

function encodeToken({ secret, payload = {}, expiresInSeconds = 900 } = {}, event, around) {
  if (typeof secret !== 'string' || !secret) throw new Error('A token needs a secret');
  const now = Math.floor(Date.now() / 1000);
  const claims = { ...payload, iat: now, exp: now + expiresInSeconds, iss: around.domain, sub: event.user && event.user.user_id, ip: event.request.ip };
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${text}.${sign(text, secret).toString('base64url')}`;
}

function validateToken({ secret, tokenParameterName = 'session_token' } = {}, event, around) {
  if (typeof secret !== 'string' || !secret) throw new Error('A token needs a secret');
  const { query = {}, body = {} } = event.request;
  const token = query[tokenParameterName] || body[tokenParameterName];
  if (typeof token !== 'string') throw new Error('There is no session token in the request');
  const [head, content, signature, ...rest] = token.split('.');
  const wrong = new Error('The session token is invalid');
  if (!signature || rest.length) throw wrong;
  let header, claims;
  try {
    header = JSON.parse(Buffer.from(head, 'base64url'));
    claims = JSON.parse(Buffer.from(content, 'base64url'));
  } catch {
    throw wrong;
  }
  const given = Buffer.from(signature, 'base64url');
  const right = sign(`${head}.${content}`, secret);
  if (header.alg !== 'HS256' || given.length !== right.length || !timingSafeEqual(given, right)) throw wrong;
  if (typeof claims.exp !== 'number' || claims.exp * 1000 <= Date.now()) throw new Error('The session token has expired');
  if (claims.sub !== undefined && event.user && claims.sub !== event.user.user_id) throw wrong;
  if (claims.state !== undefined && claims.state !== around.state) throw wrong;
  return claims;
}

function cacheOf(trigger) {
  if (!caches.has(trigger)) caches.set(trigger, new Map());
  const kept = caches.get(trigger);
  const size = (text) => Buffer.byteLength(text);
  const failed = (code) => ({ type: 'error', code });
  const fresh = (key) => {
    const found = kept.get(key);
    if (found && found.expires_at <= Date.now()) kept.delete(key);
    return kept.get(key);
  };
  return {
    get(key) {
      const found = fresh(String(key));
      return found && { ...found };
    },
    set(key, value, { ttl, expires_at } = {}) {
      if (typeof key !== 'string' || typeof value !== 'string') return failed('INVALID_TYPE');
      if (size(key) > CACHE.key || size(value) > CACHE.value) return failed('ITEM_TOO_LARGE');
      for (const each of [...kept.keys()]) fresh(each);
      let total = size(key) + size(value);
      for (const [other, record] of kept) if (other !== key) total += size(other) + size(record.value);
      if (total > CACHE.total || (!kept.has(key) && kept.size >= CACHE.entries)) return failed('CACHE_FULL');
      const now = Date.now();
      const ends = [now + (ttl === undefined && expires_at === undefined ? CACHE.standard : CACHE.longest)];
      if (typeof ttl === 'number') ends.push(now + ttl);
      if (typeof expires_at === 'number') ends.push(expires_at);
      const record = { value, expires_at: Math.min(...ends) };
      kept.set(key, record);
      return { type: 'success', record: { key, ...record } };
    },
    delete(key) {
      return kept.delete(String(key)) ? { type: 'success' } : failed('NOT_FOUND');
    },
  };
}

module.exports = { load, invoke, follow };
