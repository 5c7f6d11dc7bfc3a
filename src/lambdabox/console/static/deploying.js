// Wait for a change of a function to take effect.
import { ask } from "./console.js";

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** `url` is the Code tab's. Resolves to the state when the node is no longer busy with it. */
export async function settled(url, state) {
  const deadline = performance.now() + 300_000;
  while (state.isBusy && performance.now() < deadline) {
    await pause(150);
    state = await ask(`${url}/state`);
  }
  return state;
}
