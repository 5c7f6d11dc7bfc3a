// Speak the frames of the private channel to the node.
//
// A frame is a body length (4 bytes, big-endian), a type (1 byte) and the body. An answer
// is held until the runtime is ready for more, so that both leave in one write.

import net from 'node:net';

import { errorCause, errorBody } from './errors.mjs';

const MAX_CAUSE = 65536;
const MAX_ERROR_TYPE = 256;

export class Channel {
  #socket;
  #chunks = [];
  #size = 0;
  #held = [];
  #onInvocation;

  constructor(descriptor, { onInvocation, onClose }) {
    this.#onInvocation = onInvocation;
    this.#socket = new net.Socket({ fd: descriptor, readable: true, writable: true });
    this.#socket.on('data', (chunk) => this.#receive(chunk));
    this.#socket.on('error', onClose);
    this.#socket.on('close', onClose);
    // Nothing is expected before init has ended, which a hanging module must not hide.
    this.#socket.unref();
  }

  next() {
    this.#held.push(frame('N'));
    this.#socket.write(Buffer.concat(this.#held));
    this.#held = [];
    this.#socket.ref();
  }

  result(body) {
    this.#held.push(frame('R', body));
  }

  // Send some of a streamed result: its beginning (`B`), a piece (`C`) or its end (`F`).
  stream(kind, body, then) {
    this.#socket.cork();
    this.#socket.write(frameHead(kind, body.length), body.length > 0 ? undefined : then);
    if (body.length > 0) this.#socket.write(body, then);
    this.#socket.uncork();
  }

  // Report a failed invocation (`E`, `L` within its stream) or init (`X`). With `then`, send now, as the last frame.
  error(kind, error, then) {
    const body = errorBody(error);
    const cause = JSON.stringify(errorCause(error, body));
    const name = body.errorType.replaceAll('\0', '').slice(0, MAX_ERROR_TYPE);
    const head = Buffer.from(`${name}\0${Buffer.byteLength(cause) <= MAX_CAUSE ? cause : ''}`);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(head.length);
    this.#held.push(frame(kind, length, head, Buffer.from(JSON.stringify(body))));
    if (!then) return;
    this.#socket.ref();
    this.#socket.write(Buffer.concat(this.#held), then);
  }

  unref() {
    this.#socket.unref();
  }

  #receive(chunk) {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size < 5) return;
    if (this.#chunks[0].length < 5) this.#chunks = [Buffer.concat(this.#chunks)];
    const length = this.#chunks[0].readUInt32BE(0);
    if (this.#size < 5 + length) return;
    const data = Buffer.concat(this.#chunks);
    this.#chunks = [];
    this.#size = 0;
    if (data.length > 5 + length || data[4] !== 0x49) {
      throw new Error('the node sent a frame that is not legal now');
    }
    const end = 9 + data.readUInt32BE(5);
    this.#onInvocation(parseHead(data.toString('utf8', 9, end)), data.subarray(end));
  }
}

function frame(kind, ...parts) {
  const size = parts.reduce((total, part) => total + part.length, 0);
  return Buffer.concat([frameHead(kind, size), ...parts]);
}

function frameHead(kind, size) {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(size);
  head.write(kind, 4, 'latin1');
  return head;
}

function parseHead(text) {
  const fields = text.split('\0');
  return {
    requestId: fields[0],
    deadlineMs: Number(fields[1]),
    invokedArn: fields[2],
    traceHeader: fields[3],
    clientContext: fields[4],
    identity: fields[5],
    tenantId: fields[6] || undefined,
  };
}
