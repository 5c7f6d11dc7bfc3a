// One invocation: its context object, and the first result that its handler produces.
//
// A promise answers at once. A callback's result waits until the event loop is empty unless
// the function says otherwise. A loop that empties without any result ends the invocation.

import { RuntimeError } from './errors.mjs';

export class Invocation {
  #head;
  #legacy;
  #onResult;
  #onError;
  #settled = false;
  #held;
  #isPromise = false;
  #waits = true;

  constructor(head, legacy, { onResult, onError }) {
    this.#head = head;
    this.#legacy = legacy;
    this.#onResult = onResult;
    this.#onError = onError;
  }

  run(handler, payload) {
    try {
      const event = JSON.parse(payload.toString());
      const context = this.#context();
      const callback = (error, result) => this.#callBack(error, result);
      this.#follow(this.#legacy ? handler(event, context, callback) : handler(event, context));
    } catch (error) {
      this.#fail(error);
    }
  }

  get errorKind() {
    return 'E';
  }

  // The event loop has nothing left to do.
  drained() {
    if (this.#held) this.#held();
    else if (this.#isPromise) {
      this.#fail(new RuntimeError('NodejsExit', 'The event loop ended before the handler\'s promise was settled'));
    } else this.#succeed(null); // a callback that was never called: AWS answers null
  }

  #follow(returned) {
    this.#isPromise = typeof returned?.then === 'function';
    if (this.#isPromise) {
      Promise.resolve(returned).then((result) => this.#succeed(result), (error) => this.#fail(error));
    } else if (!this.#legacy) this.#succeed(returned);
  }

  #callBack(error, result) {
    if (this.#settled || this.#held) return;
    this.#held = () => {
      if (error === null || error === undefined) this.#succeed(result);
      else this.#fail(error);
    };
    if (!this.#waits) setImmediate(this.#held);
  }

  #succeed(result) {
    if (this.#settled) return;
    let body;
    try {
      body = Buffer.from(JSON.stringify(result) ?? 'null');
    } catch {
      this.#fail(new Error('Unable to stringify response body'));
      return;
    }
    this.#settled = true;
    this.#onResult(body);
  }

  #fail(error) {
    if (this.#settled) return;
    this.#settled = true;
    this.#onError(error);
  }

  #context() {
    const context = invocationContext(this.#head);
    return this.#legacy ? this.#withCallbacks(context) : context;
  }

  #withCallbacks(context) {
    const done = (error, result) => {
      this.#waits = false;
      this.#callBack(error, result);
    };
    Object.defineProperty(context, 'callbackWaitsForEmptyEventLoop', {
      enumerable: true,
      get: () => this.#waits,
      set: (value) => {
        this.#waits = Boolean(value);
      },
    });
    context.succeed = (result) => done(null, result);
    context.fail = (error) => done(error ?? new Error('handled'));
    context.done = done;
    return context;
  }
}

// What every handler may ask about its invocation.
export function invocationContext(head) {
  const { env } = process;
  return {
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parseJson(head.clientContext, 'Client Context'),
    identity: parseJson(head.identity, 'Cognito Identity'),
    invokedFunctionArn: head.invokedArn,
    awsRequestId: head.requestId,
    tenantId: head.tenantId,
    getRemainingTimeInMillis: () => Math.max(0, head.deadlineMs - Date.now()),
  };
}

function parseJson(text, name) {
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RuntimeError('LambdaContextUnmarshalError', `Unable to parse ${name} JSON: ${error.message}`);
  }
}
