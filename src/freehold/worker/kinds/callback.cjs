'use strict';
// Functions that answer through a last argument `callback(error, value, ...)`. The script is an expression that is a
// function, or the declaration of functions, or sets `module.exports` to one. The answer is the list of values.

function load(context, script) {
  const module = { exports: null };
  const given = ['require', 'module'];
  const values = [context.require(), module];
  let expression;
  try {
    expression = context.compile(`return (${script.code}\n);`, given, `${script.id}.js`);
  } catch (error) {
    if (error === null || typeof error !== 'object' || error.name !== 'SyntaxError') throw error;
  }
  if (expression) {
    const found = Reflect.apply(expression, context.global, values);
    return () => found;
  }
  const declared = context.compile(
    `${script.code}\n;return (name) => { try { return eval(name); } catch { return undefined; } };`, given, `${script.id}.js`,
  );
  const byName = Reflect.apply(declared, context.global, values);
  const identifier = /^[A-Za-z_$][\w$]*$/;
  return (name) => (identifier.test(name) ? byName(name) : undefined) || module.exports || undefined;
}

function invoke(found, given) {
  return new Promise((keep, fail) => {
    let answered = false;
    // A second answer is not an answer any more, as with every promise.
    const callback = (error, ...values) => {
      if (answered) return;
      answered = true;
      if (error !== null && error !== undefined && error !== false) fail(error);
      else keep(values);
    };
    const returned = Reflect.apply(found, undefined, [...given, callback]);
    if (returned && typeof returned.then === 'function') returned.then(undefined, fail);
  });
}

module.exports = { load, invoke };
