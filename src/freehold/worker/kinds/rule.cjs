'use strict';
// Rules: `function (user, context, callback)`. They are given a third thing, what is around them, which they see as
// globals: `auth0`, the restricted client of the Management API. The secrets of a call are `configuration`.
// The answer is [user, context] as the rule left them.

const callback = require('./callback.cjs');
const script = require('./script.cjs');
const classes = require('../classes.cjs');

const { parse, stringify } = JSON;

async function invoke(found, [user, context, around], tools) {
  classes.set(tools.context, 'configuration', Object.freeze(tools.secrets));
  classes.set(tools.context, 'auth0', clientOf(around, tools.ask));
  const values = await callback.invoke(found, [user, context]);
  return [values[0] === undefined ? user : values[0], values[1] === undefined ? context : values[1]];
}

// The next rule gets user and context as this one left them.
function follow(answer, given) {
  if (!Array.isArray(answer) || answer.length !== 2 || !answer.every(isObject)) return null;
  return stringify([...answer, parse(given)[2]]);
}

const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

// Both ways of node-auth0 2: a promise, or a last argument that is called with (error, value).
function clientOf(around, ask) {
  const call = (name) => (...given) => {
    const done = typeof given[given.length - 1] === 'function' ? given.pop() : null;
    const answer = ask(`auth0.users.${name}`, given);
    if (!done) return answer;
    answer.then((value) => done(null, value), done);
    return undefined;
  };
  const users = {};
  for (const name of ['updateUserMetadata', 'updateAppMetadata']) users[name] = call(name);
  return { ...around, users };
}

module.exports = { load: script.load, invoke, follow };
