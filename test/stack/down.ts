/** `node test/stack/down.ts [--state FILE]`: stops the stack that `up.ts --keep` left running. */
import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { describeFailure } from '../../services/runtime/errors.ts';
import { attachStack, DEFAULT_STATE_FILE } from './stack.ts';

const { values } = parseArgs({ options: { state: { type: 'string' } } });
const stateFile = resolve(values.state ?? DEFAULT_STATE_FILE);

try {
  await attachStack(stateFile).stop();
  rmSync(stateFile, { force: true });
  console.log('stopped');
} catch (error) {
  console.error(describeFailure('stack', error));
  process.exitCode = 1;
}
