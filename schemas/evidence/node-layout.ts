/**
 * Where the hashes stand in the memory of `node-hashes.wasm`. Read by TypeScript and by AssemblyScript
 * (`assembly/node-hashes.ts`), so it holds numbers and nothing else.
 */

/** The first of them; constants lie before. */
export const HASHES = 4096;
/** How many leaves are made one hash at a time, at most. A power of two. */
export const LEAVES_MAX = 256;
/** Of 64 KiB. */
export const MEMORY_PAGES = 1;
