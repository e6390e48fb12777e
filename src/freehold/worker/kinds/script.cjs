'use strict';
// Custom database scripts and fetchUserProfile: functions with a callback, with `configuration` and Auth0's error
// classes as globals. The secrets of a call are its `configuration`. The answer is the list of values.

const callback = require('./callback.cjs');
const classes = require('../classes.cjs');

function load(context, script) {
  classes.define(context);
  return callback.load(context, script);
}

function invoke(found, given, tools) {
  classes.set(tools.context, 'configuration', Object.freeze(tools.secrets));
  return callback.invoke(found, given);
}

module.exports = { load, invoke };
