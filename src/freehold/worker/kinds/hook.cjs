'use strict';
// Hooks: `module.exports = function (..., context, cb)`. The secrets of a call are `context.webtask.secrets`; the
// context is the last argument that is given.

const callback = require('./callback.cjs');
const script = require('./script.cjs');

function invoke(found, given, tools) {
  const context = given[given.length - 1];
  context.webtask = tools.context.helpers.parse(tools.context.helpers.stringify({ secrets: tools.secrets }));
  return callback.invoke(found, given);
}

module.exports = { load: script.load, invoke };
