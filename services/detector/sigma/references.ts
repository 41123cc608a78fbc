/** Rules by id and by name, and what is said of a name that no rule has. */
import { nearest } from '../../runtime/nearest.ts';
import type { Findings } from './findings.ts';
import type { ScalarTree } from './tree.ts';

export interface Named {
  /** Lower case. */
  id: string;
  name: string | null;
}

export class References<T extends Named> {
  readonly #byId = new Map<string, T>();
  readonly #byName = new Map<string, T>();
  readonly #unread = new Set<string>();

  /** `unread`: rules whose documents have errors; who refers to them is not to blame. */
  constructor(
    all: readonly T[],
    unread: readonly { id: string | null; name: string | null }[] = [],
  ) {
    for (const one of all) {
      this.#byId.set(one.id, one);
      if (one.name !== null && !this.#byName.has(one.name)) this.#byName.set(one.name, one);
    }
    for (const { id, name } of unread) {
      if (id !== null) this.#unread.add(id);
      if (name !== null) this.#unread.add(name);
    }
  }

  get(key: string): T | undefined {
    return this.#byId.get(key.toLowerCase()) ?? this.#byName.get(key);
  }

  /** The rule of that id or name, or null; an error is told where there is none. */
  find(key: ScalarTree, findings: Findings): T | null {
    const found = this.get(key.text);
    if (found !== undefined) return found;
    if (this.isUnread(key.text)) return null;
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

  isUnread(key: string): boolean {
    return this.#unread.has(key) || this.#unread.has(key.toLowerCase());
  }

  /** All ids and names, those of unread rules included. */
  keys(): string[] {
    return [...this.#byId.keys(), ...this.#byName.keys(), ...this.#unread];
  }
}
