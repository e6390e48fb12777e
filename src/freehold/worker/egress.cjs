'use strict';
// The network of a script: streams over the socket to the broker in the server, which decides about every address.
// Each frame: one byte of kind, four bytes of stream, four bytes of length, content.

const realNet = require('node:net');
const { Duplex } = require('node:stream');
const { AsyncLocalStorage } = require('node:async_hooks');

const [OPEN, OPENED, DATA, END, CLOSED, CREDIT, RESOLVE, RESOLVED] = [1, 2, 3, 4, 5, 6, 7, 8];
const WINDOW = 256 * 1024;
const CHUNK = 64 * 1024;

let wire = null;
let nextStream = 1;
const streams = new Map();
const questions = new Map();

function start(descriptor) {
  wire = new realNet.Socket({ fd: descriptor, readable: true, writable: true });
  let kept = null;
  wire.on('data', (chunk) => {
    let data = kept === null ? chunk : Buffer.concat([kept, chunk]);
    kept = null;
    let at = 0;
    while (data.length - at >= 9) {
      const length = data.readUInt32BE(at + 5);
      if (data.length - at - 9 < length) break;
      received(data[at], data.readUInt32BE(at + 1), data.subarray(at + 9, at + 9 + length));
      at += 9 + length;
    }
    if (at < data.length) kept = at === 0 ? data : data.subarray(at);
  });
  wire.on('end', () => process.exit(0));
  wire.on('error', () => process.exit(0));
  wire.unref();
}

function send(kind, stream, content) {
  const head = Buffer.allocUnsafe(9);
  head[0] = kind;
  head.writeUInt32BE(stream, 1);
  head.writeUInt32BE(content ? content.length : 0, 5);
  wire.write(head);
  if (content && content.length) wire.write(content);
}

function received(kind, number, content) {
  if (kind === RESOLVED) {
    const answer = questions.get(number);
    questions.delete(number);
    if (answer) answer(() => JSON.parse(content));
    return;
  }
  const stream = streams.get(number);
  // Within the call that opened it: what a script throws or logs on an answer is that call's.
  if (stream) stream._within(() => alone(() => arrived(stream, kind, content)));
}

// What a script throws here is thrown again in a turn of its own: that knows the call, and our reading goes on.
function alone(run) {
  try {
    run();
  } catch (error) {
    process.nextTick(() => { throw error; });
  }
}

function arrived(stream, kind, content) {
  if (kind === OPENED) stream._opened(JSON.parse(content));
  else if (kind === DATA) stream._received(Buffer.from(content));
  else if (kind === END) stream._endedByPeer();
  else if (kind === CREDIT) stream._credited(content.readUInt32BE(0));
  else if (kind === CLOSED) stream._closedByPeer(content.length ? JSON.parse(content) : null);
}

function failure(answer, host, port) {
  const code = answer.code || 'ECONNREFUSED';
  const error = new Error(`connect ${code} ${host}:${port}`);
  error.code = code;
  error.errno = code;
  error.syscall = code === 'ENOTFOUND' ? 'getaddrinfo' : 'connect';
  error.address = host;
  error.port = port;
  if (code === 'ENOTFOUND') error.hostname = host;
  return error;
}

// Tell of the other side's end only to who has read what came before it and asks for more. Node tells while the last
// of it is being read; its fetch asserts that this does not happen while it waits for the reader of its answer.
function endWhenRead(stream) {
  const { push, read } = stream;
  let held = false;
  const end = () => {
    if (!held || stream.destroyed) return;
    held = false;
    Reflect.apply(push, stream, [null]);
    Reflect.apply(read, stream, [0]);
  };
  stream.push = (chunk, encoding) => {
    if (chunk !== null) return Reflect.apply(push, stream, [chunk, encoding]);
    held = true;
    if (stream.listenerCount('readable') > 0) stream.emit('readable');
    else if (stream.readableLength === 0) end();
    return false;
  };
  stream.read = (count) => {
    const content = Reflect.apply(read, stream, [count]);
    if (held && content === null && count !== 0 && stream.readableLength === 0) process.nextTick(end);
    return content;
  };
}

// What `net.Socket` is to a script.
class BrokeredSocket extends Duplex {
  constructor(options = {}) {
    super({ allowHalfOpen: Boolean(options && options.allowHalfOpen), emitClose: true, autoDestroy: true });
    if (options && (options.fd !== undefined || options.handle)) throw unavailable('a socket of a descriptor');
    this.connecting = false;
    this.pending = true;
    this.bytesRead = 0;
    this.bytesWritten = 0;
    this.timeout = 0;
    this._number = 0;
    this._credit = WINDOW;
    this._unread = 0;
    this._waiting = null;
    this._timer = null;
    this._host = null;
    endWhenRead(this);
  }

  connect(...given) {
    const [options, listener] = normalise(given);
    if (listener) this.once('connect', listener);
    if (options.path) {
      process.nextTick(() => this.destroy(failure({ code: 'EACCES' }, options.path, 0)));
      return this;
    }
    this._host = String(options.host || 'localhost');
    this._port = Number(options.port);
    if (!Number.isInteger(this._port) || this._port < 0 || this._port > 65535) {
      const error = new RangeError(`Port should be >= 0 and < 65536. Received ${String(options.port)}.`);
      error.code = 'ERR_SOCKET_BAD_PORT';
      throw error;
    }
    this.connecting = true;
    this._within = AsyncLocalStorage.snapshot();
    this._number = nextStream++;
    streams.set(this._number, this);
    send(OPEN, this._number, Buffer.from(JSON.stringify({ host: this._host, port: this._port })));
    return this;
  }

  _opened(answer) {
    this.connecting = false;
    this.pending = false;
    this.remoteAddress = answer.address;
    this.remotePort = this._port;
    this.remoteFamily = answer.address.includes(':') ? 'IPv6' : 'IPv4';
    this.localAddress = '0.0.0.0';
    this.localPort = 0;
    this.emit('lookup', null, answer.address, this.remoteFamily === 'IPv6' ? 6 : 4, this._host);
    this._push();
    this.emit('connect');
    this.emit('ready');
    this._touch();
  }

  _received(content) {
    this.bytesRead += content.length;
    this._touch();
    this._unread += content.length;
    if (this.push(content)) this._giveCredit();
  }

  _read() {
    this._giveCredit();
  }

  _giveCredit() {
    if (this._unread === 0 || this.destroyed) return;
    const credit = Buffer.allocUnsafe(4);
    credit.writeUInt32BE(this._unread, 0);
    this._unread = 0;
    send(CREDIT, this._number, credit);
  }

  _write(content, encoding, done) {
    this.bytesWritten += content.length;
    this._touch();
    this._waiting = { content: Buffer.isBuffer(content) ? content : Buffer.from(content, encoding), done };
    this._push();
  }

  _push() {
    while (this._waiting && this._credit > 0 && !this.pending) {
      const { content, done } = this._waiting;
      const part = content.subarray(0, Math.min(content.length, this._credit, CHUNK));
      this._credit -= part.length;
      send(DATA, this._number, part);
      if (part.length === content.length) {
        this._waiting = null;
        done();
      } else this._waiting.content = content.subarray(part.length);
    }
  }

  _credited(credit) {
    this._credit += credit;
    this._push();
  }

  _final(done) {
    const end = () => {
      if (this._number) send(END, this._number);
      done();
    };
    if (this.connecting) this.once('connect', end);
    else end();
  }

  _closedByPeer(answer) {
    streams.delete(this._number);
    this._number = 0;
    if (answer && this.connecting) this.destroy(failure(answer, this._host, this._port));
    else if (answer) {
      const error = new Error('read ECONNRESET');
      error.code = 'ECONNRESET';
      error.syscall = 'read';
      this.destroy(error);
    } else this._endedByPeer();
  }

  _endedByPeer() {
    if (this.readableEnded) return;
    this.push(null);
    this.read(0);
  }

  _destroy(error, done) {
    this.connecting = false;
    clearTimeout(this._timer);
    if (this._number) {
      streams.delete(this._number);
      send(CLOSED, this._number);
      this._number = 0;
    }
    done(error);
  }

  _touch() {
    if (this._timer) this._timer.refresh();
  }

  setTimeout(milliseconds, listener) {
    clearTimeout(this._timer);
    this._timer = null;
    this.timeout = milliseconds;
    if (listener) {
      if (milliseconds) this.once('timeout', listener);
      else this.removeListener('timeout', listener);
    }
    if (milliseconds) this._timer = setTimeout(() => this.emit('timeout'), milliseconds).unref();
    return this;
  }

  get readyState() {
    if (this.connecting) return 'opening';
    if (this.readable && this.writable) return 'open';
    return this.readable ? 'readOnly' : this.writable ? 'writeOnly' : 'closed';
  }

  get _connecting() { return this.connecting; }
  get bufferSize() { return this.writableLength; }
  setNoDelay() { return this; }
  setKeepAlive() { return this; }
  ref() { return this; }
  unref() { return this; }
  address() { return { address: this.localAddress, port: this.localPort, family: 'IPv4' }; }
  destroySoon() {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }
  resetAndDestroy() { return this.destroy(); }
}

function normalise(given) {
  // net hands an array of this form on to itself.
  const list = given.length === 1 && Array.isArray(given[0]) ? given[0] : given;
  const listener = typeof list[list.length - 1] === 'function' ? list[list.length - 1] : null;
  const [first, second] = list;
  if (typeof first === 'object' && first !== null) return [first, listener];
  if (typeof first === 'string' && !/^[0-9]+$/.test(first)) return [{ path: first }, listener];
  return [{ port: Number(first), host: typeof second === 'string' ? second : undefined }, listener];
}

function connect(...given) {
  const [options] = normalise(given);
  const socket = new BrokeredSocket(options);
  if (options.timeout) socket.setTimeout(options.timeout);
  return socket.connect(...given);
}

function unavailable(what) {
  const error = new Error(`${what} is not available in the sandbox`);
  error.code = 'ERR_ACCESS_DENIED';
  return error;
}

function refuse(what) {
  return () => { throw unavailable(what); };
}

function resolve(host, then) {
  const number = nextStream++;
  questions.set(number, AsyncLocalStorage.bind((answer) => alone(() => then(answer()))));
  send(RESOLVE, number, Buffer.from(JSON.stringify({ host: String(host) })));
}

function notFound(host, code) {
  const error = new Error(`getaddrinfo ${code} ${host}`);
  return Object.assign(error, { code, errno: code, syscall: 'getaddrinfo', hostname: host });
}

function lookup(host, options, callback) {
  if (typeof options === 'function') [options, callback] = [{}, options];
  if (typeof options === 'number') options = { family: options };
  const literal = realNet.isIP(host);
  const answered = (addresses, code) => {
    const wanted = Number(String(options.family || 0).replace('IPv', ''));
    const found = addresses
      .map((address) => ({ address, family: realNet.isIP(address) }))
      .filter((entry) => !wanted || entry.family === wanted);
    if (found.length === 0) callback(notFound(host, code || 'ENOTFOUND'));
    else if (options.all) callback(null, found);
    else callback(null, found[0].address, found[0].family);
  };
  if (literal) process.nextTick(answered, [host]);
  else resolve(host, (answer) => answered(answer.addresses || [], answer.code));
}

function dnsFor() {
  const real = require('node:dns');
  const byFamily = (family) => (host, options, callback) => {
    lookup(host, { family, all: true }, (error, found) => {
      (callback || options)(error, error ? undefined : found.map((entry) => entry.address));
    });
  };
  const facade = { lookup, resolve4: byFamily(4), resolve6: byFamily(6) };
  facade.resolve = (host, type, callback) => {
    if (typeof type === 'function') return facade.resolve4(host, type);
    if (type === 'A') return facade.resolve4(host, callback);
    if (type === 'AAAA') return facade.resolve6(host, callback);
    return process.nextTick(callback, notFound(host, 'ENOTIMP'));
  };
  const promised = (call) => (...given) =>
    new Promise((keep, fail) => call(...given, (error, value, family) => {
      if (error) fail(error);
      else keep(call === lookup && !(given[1] && given[1].all) ? { address: value, family } : value);
    }));
  facade.promises = Object.fromEntries(
    ['lookup', 'resolve', 'resolve4', 'resolve6'].map((name) => [name, promised(facade[name])]),
  );
  facade.setServers = facade.setDefaultResultOrder = () => {};
  facade.getServers = () => [];
  for (const [name, value] of Object.entries(real)) {
    if (typeof value === 'string' && !(name in facade)) facade[name] = value;
  }
  return facade;
}

let ready = false;

// Every door to the network that Node's own modules have (http, https, http2, fetch) leads through these functions.
function install() {
  if (ready) return;
  ready = true;
  const tls = require('node:tls');
  const http = require('node:http');
  require('node:https');
  const tlsConnect = tls.connect;
  realNet.connect = connect;
  realNet.createConnection = connect;
  http.Agent.prototype.createConnection = connect;
  tls.connect = function brokeredTls(...given) {
    const list = given.length === 1 && Array.isArray(given[0]) ? given[0] : given;
    const listener = typeof list[list.length - 1] === 'function' ? list[list.length - 1] : undefined;
    const options = { ...normalise(list)[0] };
    for (const item of list) if (typeof item === 'object' && item !== null) Object.assign(options, item);
    if (!options.socket) {
      options.socket = connect({ host: options.host, port: options.port, timeout: options.timeout });
      if (options.servername === undefined && options.host && !realNet.isIP(options.host)) {
        options.servername = options.host;
      }
      const secure = tlsConnect(options, listener);
      options.socket.on('error', (error) => secure.destroy(error));
      endWhenRead(secure);
      return secure;
    }
    return tlsConnect(options, listener);
  };
}

function netFor() {
  install();
  return {
    Socket: BrokeredSocket,
    Stream: BrokeredSocket,
    connect,
    createConnection: connect,
    isIP: realNet.isIP,
    isIPv4: realNet.isIPv4,
    isIPv6: realNet.isIPv6,
    BlockList: realNet.BlockList,
    SocketAddress: realNet.SocketAddress,
    createServer: refuse('net.createServer'),
    Server: refuse('net.Server'),
    getDefaultAutoSelectFamily: () => false,
    setDefaultAutoSelectFamily: () => {},
    getDefaultAutoSelectFamilyAttemptTimeout: () => 250,
    setDefaultAutoSelectFamilyAttemptTimeout: () => {},
    _normalizeArgs: (given) => normalise(given),
  };
}

module.exports = { start, install, netFor, dnsFor, refuse, unavailable };
