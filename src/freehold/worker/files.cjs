'use strict';
// `fs` as a script gets it: the files of its npm packages, read-only, and nothing else. The process could not open more.

function refused(call, name) {
  return Object.assign(new Error(`EACCES: permission denied, ${call} '${name}'`), { code: 'EACCES', errno: -13, syscall: call, path: name });
}

function missing(call, name) {
  return Object.assign(new Error(`ENOENT: no such file or directory, ${call} '${name}'`), { code: 'ENOENT', errno: -2, syscall: call, path: name });
}

function forSet(set) {
  const inside = (name) => {
    const text = name instanceof URL ? name.pathname : String(name);
    return text.replace(/^\/+/, '').replace(/\/+$/, '');
  };
  const ours = (name) => inside(name) === 'node_modules' || inside(name).startsWith('node_modules/');
  const fs = {
    constants: require('node:fs').constants,
    readFileSync(name, options) {
      if (!ours(name)) throw refused('open', name);
      const content = set.files.get(inside(name));
      if (content === undefined) throw missing('open', name);
      const encoding = typeof options === 'string' ? options : options && options.encoding;
      return encoding ? content.toString(encoding) : Buffer.from(content);
    },
    existsSync: (name) => set.files.has(inside(name)) || set.folders.has(inside(name)),
    statSync(name) {
      if (!ours(name)) throw refused('stat', name);
      const content = set.files.get(inside(name));
      const folder = set.folders.has(inside(name));
      if (content === undefined && !folder) throw missing('stat', name);
      const no = () => false;
      return {
        size: content ? content.length : 0, isFile: () => !folder, isDirectory: () => folder, isSymbolicLink: no, isFIFO: no,
        isSocket: no, isBlockDevice: no, isCharacterDevice: no, mtime: new Date(0), ctime: new Date(0), mode: 0o444,
      };
    },
    readdirSync(name) {
      if (!ours(name)) throw refused('scandir', name);
      const start = `${inside(name)}/`;
      if (!set.folders.has(inside(name))) throw missing('scandir', name);
      const found = new Set();
      for (const file of set.files.keys()) if (file.startsWith(start)) found.add(file.slice(start.length).split('/')[0]);
      return [...found].sort();
    },
    accessSync(name) {
      if (!fs.existsSync(name)) throw refused('access', name);
    },
    realpathSync: (name) => String(name),
  };
  fs.lstatSync = fs.statSync;
  fs.realpathSync.native = fs.realpathSync;
  fs.promises = {};
  for (const name of ['readFile', 'stat', 'lstat', 'readdir', 'access', 'realpath']) {
    const sync = fs[`${name}Sync`];
    fs.promises[name] = async (...given) => sync(...given);
    fs[name] = (...given) => {
      const done = given.pop();
      let value;
      try {
        value = sync(...given);
      } catch (error) {
        process.nextTick(done, error);
        return;
      }
      process.nextTick(done, null, value);
    };
  }
  fs.exists = (name, done) => process.nextTick(done, fs.existsSync(name));
  for (const name of ['writeFile', 'appendFile', 'mkdir', 'rm', 'rmdir', 'unlink', 'rename', 'open', 'chmod', 'copyFile', 'symlink', 'mkdtemp']) {
    fs[`${name}Sync`] = (target) => { throw refused(name, target); };
    fs.promises[name] = async (target) => { throw refused(name, target); };
    fs[name] = (...given) => process.nextTick(given[given.length - 1], refused(name, given[0]));
  }
  fs.createReadStream = (name) => require('node:stream').Readable.from([fs.readFileSync(name)]);
  fs.createWriteStream = (name) => { throw refused('open', name); };
  return fs;
}

module.exports = { forSet };
