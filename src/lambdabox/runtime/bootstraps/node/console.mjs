// Write console output as AWS does, one log event a call, in text or JSON.
//
// Written synchronously: what was logged is in the log before the answer is sent, and in
// the order in which it was logged. Line feeds inside an event become carriage returns.

import { writeSync } from 'node:fs';
import { format } from 'node:util';

import { errorDetails, isError, stackOf } from './errors.mjs';

const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
const METHODS = {
  trace: 'TRACE',
  debug: 'DEBUG',
  log: 'INFO',
  info: 'INFO',
  warn: 'WARN',
  error: 'ERROR',
  fatal: 'FATAL',
};

let logError = () => {};

export function patchConsole(state, environment) {
  const json = environment.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === 'JSON';
  const render = json ? renderJson : renderText;
  const lowest = LEVELS.indexOf(environment.AWS_LAMBDA_LOG_LEVEL?.toUpperCase());
  for (const [method, level] of Object.entries(METHODS)) {
    const isWanted = LEVELS.indexOf(level) >= lowest;
    console[method] = isWanted ? (...values) => emit(render(state, level, values)) : () => {};
  }
  logError = (title, error) => {
    const values = json ? [title, error] : [title, `\t${errorDetails(error)}`];
    emit(render(state, 'ERROR', values));
  };
}

// Log an error that nobody in the function caught.
export function writeError(title, error) {
  logError(title, error);
}

function renderText({ requestId }, level, values) {
  return `${new Date().toISOString()}\t${requestId}\t${level}\t${format(...values)}`;
}

function renderJson({ requestId, tenantId }, level, values) {
  const entry = { timestamp: new Date().toISOString(), level, requestId, tenantId };
  if (values.length === 1) {
    try {
      return JSON.stringify({ ...entry, message: values[0] }, describeErrors);
    } catch {
      // Circular, or a BigInt: its text will do.
    }
  }
  const error = values.find(isError);
  return JSON.stringify({ ...entry, message: format(...values), ...(error && describe(error)) });
}

function describeErrors(_key, value) {
  return isError(value) ? describe(value) : value;
}

function describe(error) {
  return {
    errorType: error.constructor?.name ?? 'UnknownError',
    errorMessage: error.message,
    stackTrace: stackOf(error),
  };
}

function emit(event) {
  let left = Buffer.from(`${event.replaceAll('\n', '\r')}\n`);
  while (left.length > 0) {
    try {
      left = left.subarray(writeSync(1, left));
    } catch (error) {
      if (error.code !== 'EAGAIN') return; // the function has closed its output
      // process.stdout has made the pipe non-blocking, and it is full.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
