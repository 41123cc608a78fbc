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
let own: Promise<Stack> | undefined;

// Here and not in `useStack`: a hook belongs to the test or hook that is running when it is made.
after(async () => {
  const stack = await own?.catch(() => undefined);
  await stack?.stop();
});

/** The same stack for every call in one process. */
export function useStack(): Promise<Stack> {
  shared ??= find();
  return shared;
}

function find(): Promise<Stack> {
  const stateFile = process.env.LAKESEAL_STACK;
  if (stateFile) return Promise.resolve(attachStack(stateFile));
  own = startStack();
  return own;
}
