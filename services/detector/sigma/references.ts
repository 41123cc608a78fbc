/** Rules by id and by name, and what is said of a name that no rule has. */
import { nearest } from '../../runtime/nearest.ts';
import type { Findings } from './findings.ts';
import type { ScalarTree } from './tree.ts';

export interface Named {
  id: string;
  name: string | null;
}

export class References<T extends Named> {
  readonly #byKey = new Map<string, T>();

  constructor(all: Iterable<T>) {
    for (const one of all) {
      if (one.name !== null && !this.#byKey.has(one.name)) this.#byKey.set(one.name, one);
    }
    // An id wins over a name that looks like it.
    for (const one of all) this.#byKey.set(one.id, one);
  }

  get(key: string): T | undefined {
    return this.#byKey.get(key) ?? this.#byKey.get(key.toLowerCase());
  }

  /** The rule of that id or name, or null and an error. */
  find(key: ScalarTree, findings: Findings): T | null {
    const found = this.get(key.text);
    if (found !== undefined) return found;
    const near = nearest(key.text, this.keys());
    findings.error(
      key,
      `no rule has the id or name ${JSON.stringify(key.text)}`,
      near === null
        ? 'name a rule of the rule folders by its id or name'
        : `did you mean "${near}"?`,
    );
    return null;
  }

  keys(): Iterable<string> {
    return this.#byKey.keys();
  }
}
