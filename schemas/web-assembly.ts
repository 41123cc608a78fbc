/**
 * Modules of WebAssembly that stand beside the code that calls them. TypeScript knows WebAssembly only
 * where there is a browser; this is as much of it as is needed here.
 */
import { readFileSync } from 'node:fs';

declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { exports: unknown };
};

/** Compiled, with no memory yet. */
export type WasmModule = object;

export function readModule(place: URL): WasmModule {
  return new WebAssembly.Module(readFileSync(place));
}

/** One with a memory of its own. `Exports` is what its source says. */
export function instantiate<Exports>(module: WasmModule): Exports {
  return new WebAssembly.Instance(module).exports as Exports;
}
