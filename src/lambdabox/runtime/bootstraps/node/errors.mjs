// Describe a failure the way AWS's Node.js runtime does: to the caller, to X-Ray, to the log.
//
// Anything can be thrown, with getters that throw themselves. The frames of this runtime
// are left out of stack traces.

import { types } from 'node:util';

const OWN_FRAMES = import.meta.url.slice(0, import.meta.url.lastIndexOf('/') + 1);

// A failure that the runtime itself finds; `name` is its `Runtime.` type.
export class RuntimeError extends Error {
  constructor(kind, message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    Object.defineProperty(this, 'name', { value: `Runtime.${kind}` });
    Object.defineProperty(this, 'cause', { enumerable: false });
    if (cause?.stack) this.stack = `${this.name}: ${message}\n${framesOf(cause).join('\n')}`;
  }
}

export function unhandledRejection(reason, promise) {
  const error = new RuntimeError('UnhandledPromiseRejection', textOf(reason));
  error.reason = reason;
  error.promise = promise;
  return error;
}

export function errorBody(error) {
  if (!isError(error)) {
    return { errorType: typeof error, errorMessage: textOf(error), trace: [] };
  }
  return attempt(() => ({
    errorType: String(error.name),
    errorMessage: String(error.message),
    trace: stackOf(error),
  })) ?? { errorType: 'Error', errorMessage: textOf(error), trace: [] };
}

export function errorCause(error, { errorType, errorMessage, trace }) {
  const stack = trace.map(parseFrame).filter((frame) => frame !== null);
  return {
    working_directory: attempt(() => process.cwd()) ?? '',
    exceptions: [{ type: errorType, message: errorMessage, stack }],
    paths: [...new Set(stack.map(({ path }) => path))],
  };
}

// The error as the JSON that the log shows, with all that the user has attached to it.
export function errorDetails(error) {
  if (!isError(error)) return JSON.stringify(errorBody(error));
  return attempt(() => JSON.stringify(error, revealErrors)) ?? JSON.stringify(errorBody(error));
}

export function isError(value) {
  return types.isNativeError(value) || value instanceof Error;
}

export function stackOf(error) {
  if (typeof error.stack !== 'string') return [];
  return error.stack.split('\n').filter((line) => !line.includes(OWN_FRAMES));
}

function revealErrors(_key, value) {
  if (!isError(value)) return value;
  const { name, message, code } = value;
  return { errorType: name, errorMessage: message, code, ...value, stack: stackOf(value) };
}

function framesOf(error) {
  return stackOf(error).filter((line) => /^\s+at /.test(line));
}

function parseFrame(line) {
  const found = /^\s+at (?:(.+) \()?(.+?):(\d+)(?::\d+)?\)?$/.exec(line);
  if (!found) return null;
  return { path: found[2], line: Number(found[3]), label: found[1] ?? 'anonymous' };
}

function textOf(value) {
  return attempt(() => String(value)) ?? `an unprintable ${typeof value}`;
}

function attempt(compute) {
  try {
    return compute();
  } catch {
    return undefined; // user code (a getter, toString, toJSON) threw
  }
}
