// Start the runtime of a Node.js function: `node bootstrap.mjs`.
//
// One invocation runs at a time. While it does, the channel does not keep the event loop
// alive, so that a loop with nothing left to do is noticed (`beforeExit`); between
// invocations it does, or the process would end. User timers run all the time.

import { awaitFunction } from './awaiting.mjs';
import { Channel } from './channel.mjs';
import { patchConsole, writeError } from './console.mjs';
import { RuntimeError, unhandledRejection } from './errors.mjs';
import { loadHandler } from './handler.mjs';
import { Invocation } from './invocation.mjs';
import { prepareModulePaths } from './paths.mjs';
import { isStreaming, offerStreaming, StreamedInvocation } from './streaming.mjs';

const INIT_FAILED = 1;
const UNHANDLED_REJECTION = 128;
const UNCAUGHT_EXCEPTION = 129;

class Runtime {
  #channel;
  #handler;
  #legacy;
  #invocation;
  #ending = false;
  #state = { requestId: undefined, tenantId: undefined };

  constructor(descriptor, environment) {
    this.#legacy = runtimeVersion(environment.AWS_EXECUTION_ENV) < 24;
    this.#channel = new Channel(descriptor, {
      onInvocation: (head, payload) => this.#run(head, payload),
      onClose: () => process.exit(0),
    });
    patchConsole(this.#state, environment);
    offerStreaming();
  }

  async start(environment) {
    process.on('beforeExit', () => this.#drained());
    process.on('uncaughtException', (error) => {
      this.#die('Uncaught Exception', error, UNCAUGHT_EXCEPTION);
    });
    process.on('unhandledRejection', (reason, promise) => {
      const error = unhandledRejection(reason, promise);
      this.#die('Unhandled Promise Rejection', error, UNHANDLED_REJECTION);
    });
    try {
      const root = environment.LAMBDA_TASK_ROOT || process.cwd();
      const handler = await loadHandler(root, environment._HANDLER ?? '', this.#legacy);
      if (this.#ending) return;
      this.#handler = handler;
      this.#channel.next();
    } catch (error) {
      this.#die('Uncaught Exception', error, INIT_FAILED);
    }
  }

  #run(head, payload) {
    this.#state.requestId = head.requestId;
    this.#state.tenantId = head.tenantId;
    if (head.traceHeader) process.env._X_AMZN_TRACE_ID = head.traceHeader;
    else delete process.env._X_AMZN_TRACE_ID;
    this.#channel.unref();
    this.#invocation = isStreaming(this.#handler) ? this.#streamed(head) : this.#plain(head);
    this.#invocation.run(this.#handler, payload);
  }

  #plain(head) {
    return new Invocation(head, this.#legacy, {
      onResult: (body) => this.#answer(() => this.#channel.result(body)),
      onError: (error) => {
        writeError('Invoke Error', error);
        this.#answer(() => this.#channel.error('E', error));
      },
    });
  }

  #streamed(head) {
    return new StreamedInvocation(head, this.#handler, this.#channel, {
      onDone: () => this.#answer(() => {}),
      onFailed: (error, kind, whenSent) => {
        writeError('Invoke Error', error);
        whenSent(() => this.#answer(() => kind && this.#channel.error(kind, error)));
      },
    });
  }

  #answer(send) {
    this.#invocation = undefined;
    if (this.#ending) return;
    send();
    this.#channel.next();
  }

  #drained() {
    if (this.#ending) return;
    if (this.#invocation) this.#invocation.drained();
    else if (!this.#handler) {
      const reason = 'The event loop ended before the module had loaded';
      this.#die('Uncaught Exception', new RuntimeError('NodejsExit', reason), INIT_FAILED);
    }
  }

  #die(title, error, status) {
    if (this.#ending) return;
    this.#ending = true;
    writeError(title, error);
    const end = () => process.exit(this.#handler ? status : INIT_FAILED);
    if (!this.#handler) this.#channel.error('X', error, end);
    else if (this.#invocation?.errorKind) this.#channel.error(this.#invocation.errorKind, error, end);
    else end();
  }
}

// The runtime that the function chose: its rules are those of its major version.
function runtimeVersion(executionEnvironment) {
  const named = /nodejs(\d+)/.exec(executionEnvironment ?? '');
  return Number(named ? named[1] : process.versions.node.split('.')[0]);
}

function takeSettings(environment) {
  const settings = {};
  for (const name of Object.keys(environment)) {
    if (!name.startsWith('LAMBDABOX_')) continue;
    settings[name] = environment[name];
    delete environment[name];
  }
  return settings;
}

if (process.env.LAMBDABOX_AWAITS_FUNCTION) awaitFunction(Number(process.env.LAMBDABOX_CHANNEL_FD));
const settings = takeSettings(process.env);
prepareModulePaths(settings, process.env);
await new Runtime(Number(settings.LAMBDABOX_CHANNEL_FD), { ...process.env }).start(process.env);
