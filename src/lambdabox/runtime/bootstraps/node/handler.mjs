// Find the handler that `_HANDLER` names (`directory/module.nested.function`), or say what
// is wrong in AWS's words.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { RuntimeError } from './errors.mjs';
import { isStreaming } from './streaming.mjs';

const NOT_FOUND = new Set(['MODULE_NOT_FOUND', 'ERR_MODULE_NOT_FOUND']);

export async function loadHandler(root, name, legacy) {
  const [directory, module, nested] = parseName(name);
  const exported = await loadModule(root, path.join(directory, module));
  const handler = lookUp(exported, nested);
  if (handler === undefined || handler === null) {
    throw new RuntimeError('HandlerNotFound', `${name} is undefined or not exported`);
  }
  if (typeof handler !== 'function') {
    throw new RuntimeError('HandlerNotFound', `${name} is not a function`);
  }
  if (!legacy && handler.length >= 3 && !isStreaming(handler)) {
    throw new RuntimeError(
      'CallbackHandlerDeprecated',
      `${name} takes a callback, which Node.js 24 and later do not support: `
        + 'make it an async function, or return a promise, and take two parameters',
    );
  }
  return handler;
}

function parseName(name) {
  const file = path.posix.basename(name);
  const found = /^([^.]+)\.(.+)$/.exec(file);
  if (!found || name.includes('..')) {
    throw new RuntimeError('MalformedHandlerName', `Bad handler '${name}': expected module.function`);
  }
  return [name.slice(0, name.length - file.length), found[1], found[2].split('.')];
}

async function loadModule(root, name) {
  const require = createRequire(path.join(root, path.sep));
  try {
    const file = locate(root, name) ?? resolve(require, name);
    return isEsModule(file) ? await import(pathToFileURL(file).href) : require(file);
  } catch (error) {
    throw explain(error, root);
  }
}

// A directory of the function's, or else a package.
function resolve(require, name) {
  try {
    return require.resolve(`./${name}`);
  } catch {
    return require.resolve(name);
  }
}

function locate(root, name) {
  const base = path.resolve(root, name);
  return [`${base}.js`, `${base}.mjs`, `${base}.cjs`].find((file) => existsSync(file));
}

function isEsModule(file) {
  if (file.endsWith('.mjs')) return true;
  return file.endsWith('.js') && packageType(path.dirname(file)) === 'module';
}

// The `type` of the nearest package.json, which decides what a .js file is.
function packageType(directory) {
  const file = path.join(directory, 'package.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')).type;
  const parent = path.dirname(directory);
  return parent === directory ? undefined : packageType(parent);
}

function lookUp(exported, names) {
  const found = names.reduce((value, name) => value?.[name], exported);
  return found ?? names.reduce((value, name) => value?.[name], exported?.default);
}

function explain(error, root) {
  if (error instanceof SyntaxError) {
    return new RuntimeError('UserCodeSyntaxError', String(error), error);
  }
  if (NOT_FOUND.has(error?.code)) {
    // Node names the module that asked. For the handler's own that is no file of the user's.
    const asker = `- ${path.join(root, 'noop.js')}`;
    const text = String(error).split('\n').filter((line) => line !== asker).join('\n');
    return new RuntimeError('ImportModuleError', text.replace(/\nRequire stack:$/, ''), error);
  }
  return error;
}
