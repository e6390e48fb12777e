'use strict';
// CommonJS: the script's exports hold the functions, which return a value or a promise of one.

function load(context, script) {
  const module = { exports: context.loader.newObject(), id: 'script', filename: '/script.js', loaded: false };
  const body = context.compile(script.code, ['exports', 'require', 'module', '__filename', '__dirname'], `${script.id}.js`);
  Reflect.apply(body, module.exports, [module.exports, context.require(), module, '/script.js', '/']);
  return (name) => (name === '' ? module.exports : module.exports && module.exports[name]);
}

function invoke(found, given) {
  return Reflect.apply(found, undefined, given);
}

module.exports = { load, invoke };
