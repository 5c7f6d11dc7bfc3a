// Wait for a function, in a process that was started before there was one.
//
// The node sends one frame `A`, with JSON {environment, directory, command}, and nothing more
// until the runtime is ready. Reading blocks: a process that waits has nothing else to do.

import { readSync } from 'node:fs';

const HEAD_BYTES = 5;
const LONGEST = 1024 * 1024;

// Become the process that would have been started for the function.
export function awaitFunction(descriptor) {
  const head = read(descriptor, HEAD_BYTES);
  const length = head.readUInt32BE(0);
  if (head[4] !== 0x41 || length > LONGEST) throw new Error('expected frame A');
  const { environment, directory } = JSON.parse(read(descriptor, length).toString());
  process.chdir(directory);
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, environment);
}

// Return the next `length` bytes; end the process if there are no more, for nobody needs it.
function read(descriptor, length) {
  const data = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const count = readSync(descriptor, data, filled, length - filled, null);
    if (count === 0) process.exit(0);
    filled += count;
  }
  return data;
}
