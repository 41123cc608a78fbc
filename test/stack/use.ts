/**
 * How a test gets the real servers: those that LAKESEAL_STACK names (the state file of a running
 * stack; `npm test` sets it), else ones of its own that end with the test file.
 *
 * A test that cannot have its servers fails; it is never skipped.
 */
import { after } from 'node:test';
import { attachStack, type Stack, startStack } from './stack.ts';

export type { Stack } from './stack.ts';

let shared: Promise<Stack> | undefined;

/** The same stack for every call in one process. Call it at the top level or in `before`. */
export function useStack(): Promise<Stack> {
  shared ??= find();
  return shared;
}

async function find(): Promise<Stack> {
  const stateFile = process.env.LAKESEAL_STACK;
  if (stateFile) return attachStack(stateFile);
  const starting = startStack();
  after(async () => {
    const stack = await starting.catch(() => undefined);
    await stack?.stop();
  });
  return starting;
}
