// Responses that a handler streams: what `awslambda` offers to functions, the stream they
// write to, and an invocation that ends when that stream has.
//
// The names and marks are those of AWS's runtime, which libraries rely on.

import { Writable } from 'node:stream';

import { RuntimeError } from './errors.mjs';
import { invocationContext } from './invocation.mjs';

const MODE = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');
const DEFAULT_HIGH_WATER_MARK = 64 * 1024;
const HTTP_CONTENT_TYPE = 'application/vnd.awslambda.http-integration-response';
const PRELUDE_END = new Uint8Array(8);

export function offerStreaming() {
  globalThis.awslambda = { ...globalThis.awslambda, streamifyResponse, HttpResponseStream };
}

export function isStreaming(handler) {
  return handler[MODE] === 'response';
}

function streamifyResponse(handler, options) {
  handler[MODE] = 'response';
  const mark = Number.parseInt(options?.highWaterMark, 10);
  if (mark > 0) handler[HIGH_WATER_MARK] = mark;
  return handler;
}

class HttpResponseStream {
  // Have status, headers and cookies sent ahead of the body.
  static from(stream, metadata) {
    stream.setContentType(HTTP_CONTENT_TYPE);
    const prelude = JSON.stringify(metadata);
    stream._onBeforeFirstWrite = (write) => {
      write(prelude);
      write(PRELUDE_END);
    };
    return stream;
  }
}

class ResponseStream extends Writable {
  #channel;
  #contentType = 'application/octet-stream';
  #isUsed = false;
  #hasBegun = false;
  #endOtherwise;

  constructor(channel, highWaterMark) {
    super({ highWaterMark });
    this.#channel = channel;
  }

  // Whether anything has been sent.
  get hasBegun() {
    return this.#hasBegun;
  }

  setContentType(contentType) {
    if (this.#isUsed) {
      const error = new Error('Cannot set content-type, too late.');
      error.name = 'InvalidStreamingOperation';
      throw error;
    }
    this.#contentType = String(contentType);
  }

  write(chunk, encoding, callback) {
    this.#prepare();
    return super.write(plain(chunk), encoding, callback);
  }

  end(chunk, encoding, callback) {
    this.#prepare();
    const isData = chunk !== undefined && chunk !== null && typeof chunk !== 'function';
    return super.end(isData ? plain(chunk) : chunk, encoding, callback);
  }

  // Once all that was written has been sent, call `finish` in place of the regular end.
  endWith(finish) {
    this.#endOtherwise = finish;
    if (!this.writableEnded) super.end();
  }

  _write(chunk, _encoding, callback) {
    this.#begin();
    this.#channel.stream('C', chunk, callback);
  }

  _writev(entries, callback) {
    this._write(Buffer.concat(entries.map(({ chunk }) => chunk)), 'buffer', callback);
  }

  _final(callback) {
    if (this.#endOtherwise) {
      this.#endOtherwise();
      callback();
      return;
    }
    this.#begin();
    this.#channel.stream('F', Buffer.alloc(0), callback);
  }

  #prepare() {
    if (this.#isUsed) return;
    this.#isUsed = true;
    this._onBeforeFirstWrite?.((chunk) => super.write(chunk));
  }

  #begin() {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    this.#channel.stream('B', Buffer.from(this.#contentType, 'latin1'));
  }
}

function plain(chunk) {
  return typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk : JSON.stringify(chunk);
}

// Ends when the stream has ended and the handler's promise is settled, whichever is later.
export class StreamedInvocation {
  #head;
  #stream;
  #onDone;
  #onFailed;
  #waits = true;
  #hasReturned = false;
  #settled = false;
  #held;

  // `onFailed(error, kind, whenSent)`: the function failed; the error goes out in a frame of
  // `kind`, if any, when `whenSent` calls back, which is after what was written before.
  constructor(head, handler, channel, { onDone, onFailed }) {
    this.#head = head;
    this.#onDone = onDone;
    this.#onFailed = onFailed;
    this.#stream = new ResponseStream(channel, handler[HIGH_WATER_MARK] ?? DEFAULT_HIGH_WATER_MARK);
    this.#stream.on('finish', () => this.#settle());
    this.#stream.on('error', (error) => this.#fail(error));
    this.#stream.on('close', () => {
      if (!this.#stream.writableFinished) this.#fail('Response stream is not finished.');
    });
  }

  // The frame that would report a failure now; none once the response is complete.
  get errorKind() {
    if (this.#stream.writableFinished) return undefined;
    return this.#stream.hasBegun ? 'L' : 'E';
  }

  run(handler, payload) {
    try {
      const event = JSON.parse(payload.toString());
      const returned = handler(event, this.#stream, this.#context());
      if (typeof returned?.then === 'function') {
        Promise.resolve(returned).then((value) => this.#return(value), (error) => this.#fail(error));
      } else this.#fail('Streaming does not support non-async handlers.');
    } catch (error) {
      this.#fail(error);
    }
  }

  // The event loop has nothing left to do.
  drained() {
    if (this.#held) this.#held();
    else {
      this.#fail(new RuntimeError('NodejsExit', 'The event loop ended before the response stream did'));
    }
  }

  #return(value) {
    if (value !== undefined) console.warn('Streaming handlers ignore return values.');
    this.#hasReturned = true;
    this.#settle();
  }

  #settle() {
    if (this.#settled || !this.#hasReturned || !this.#stream.writableFinished) return;
    this.#settled = true;
    if (this.#waits) this.#held = this.#onDone;
    else this.#onDone();
  }

  #fail(error) {
    if (this.#settled) return;
    this.#settled = true;
    const stream = this.#stream;
    if (stream.hasBegun && !stream.destroyed && !stream.writableFinished) {
      this.#onFailed(error, 'L', (send) => stream.endWith(send));
    } else {
      this.#onFailed(error, this.errorKind, (send) => send());
      stream.destroy();
    }
  }

  #context() {
    return Object.defineProperty(invocationContext(this.#head), 'callbackWaitsForEmptyEventLoop', {
      enumerable: true,
      get: () => this.#waits,
      set: (value) => {
        this.#waits = Boolean(value);
      },
    });
  }
}
