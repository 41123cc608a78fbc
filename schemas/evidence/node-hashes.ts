/**
 * Roots of perfect trees (RFC 6962, section 2.1), the nodes hashed four at a time in WebAssembly
 * (`assembly/node-hashes.ts`): a third of what a call into OpenSSL for each costs, most of which is
 * the call. Pure.
 */
import { instantiate, readModule } from '../web-assembly.ts';
import { HASH_BYTES } from './merkle.ts';
import { HASHES, LEAVES_MAX } from './node-layout.ts';

/** What the module gives: see there. */
interface Hasher {
  memory: { buffer: ArrayBuffer };
  reduce: (count: number) => void;
}

const { memory, reduce } = instantiate<Hasher>(
  readModule(new URL('./node-hashes.wasm', import.meta.url)),
);
const hashes = Buffer.from(memory.buffer, HASHES, LEAVES_MAX * HASH_BYTES);

/** `leaves`: hashes one behind the other, as many as a power of two, `LEAVES_MAX` at most. */
export function perfectRoot(leaves: Uint8Array): Buffer {
  hashes.set(leaves);
  reduce(leaves.length / HASH_BYTES);
  return Buffer.from(hashes.subarray(0, HASH_BYTES));
}
