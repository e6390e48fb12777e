'use strict';
// Frames on the socket of calls: four bytes of length (big-endian), then JSON. What is wrong ends the process, because
// the other side would end it anyway.

const { Socket } = require('node:net');

const LIMIT = 4 * 1024 * 1024;
const { stringify, parse } = JSON;
const { concat, allocUnsafe, byteLength } = Buffer;
const { exit } = process;

function open(descriptor, onFrame) {
  const socket = new Socket({ fd: descriptor, readable: true, writable: true });
  let kept = null;
  socket.on('data', (chunk) => {
    let data = kept === null ? chunk : concat([kept, chunk]);
    kept = null;
    let at = 0;
    while (data.length - at >= 4) {
      const length = data.readUInt32BE(at);
      if (length > LIMIT) exit(65);
      if (data.length - at - 4 < length) break;
      onFrame(parse(data.toString('utf8', at + 4, at + 4 + length)));
      at += 4 + length;
    }
    if (at < data.length) kept = at === 0 ? data : data.subarray(at);
  });
  // Without the server there is nobody to run for.
  socket.on('end', () => exit(0));
  socket.on('error', () => exit(0));
  const send = (text) => {
    const size = byteLength(text);
    if (size > LIMIT) return false;
    const frame = allocUnsafe(4 + size);
    frame.writeUInt32BE(size, 0);
    frame.write(text, 4);
    socket.write(frame);
    return true;
  };
  return { send: (frame) => send(stringify(frame)) };
}

module.exports = { open, LIMIT };
