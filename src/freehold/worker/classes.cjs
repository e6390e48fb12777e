'use strict';
// The errors that rules, hooks and database scripts throw by name. They are made in the script's own context, so that
// `instanceof Error` holds there, and defined as globals of it; outside of the sandbox there is one context.

const vm = require('node:vm');

const CLASSES = `(() => {
  const named = (name, make) => {
    const type = ({ [name]: class extends Error {
      constructor(...given) {
        const { message, ...members } = make(...given);
        super(message);
        Object.defineProperty(this, 'name', { value: name, configurable: true, writable: true });
        Object.assign(this, members);
      }
    } })[name];
    return type;
  };
  const plain = (message) => ({ message });
  return {
    UnauthorizedError: named('UnauthorizedError', plain),
    ValidationError: named('ValidationError', (code, message) => ({ code, message: message === undefined ? code : message })),
    WrongUsernameOrPasswordError: named('WrongUsernameOrPasswordError', (user, message) => ({ user: user || '', message: message || '' })),
    PreUserRegistrationError: named('PreUserRegistrationError', (message, userMessage) => ({ message, userMessage: userMessage || '' })),
    InvalidScopeError: named('InvalidScopeError', plain),
    InvalidRequestError: named('InvalidRequestError', plain),
    ServerError: named('ServerError', plain),
  };
})()`;
const script = new vm.Script(CLASSES, { filename: 'freehold:classes' });

function define(context) {
  for (const [name, value] of Object.entries(context.context ? script.runInContext(context.context) : script.runInThisContext())) set(context, name, value);
}

function set(context, name, value) {
  Object.defineProperty(context.global, name, { value, writable: true, configurable: true, enumerable: false });
}

module.exports = { define, set };
