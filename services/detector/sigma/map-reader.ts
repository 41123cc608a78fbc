/**
 * The keys of one YAML map, read with their types. Each reader answers the value, or null with a
 * problem told: nothing here throws.
 */
import { nearest } from '../../runtime/nearest.ts';
import { parseDuration } from './duration.ts';
import type { Findings } from './findings.ts';
import type { Severity } from './problem.ts';
import type { MapTree, ScalarTree, Spot, Tree } from './tree.ts';

export interface NumberBounds {
  min: number;
  max: number;
  integer?: boolean;
}

export class MapReader {
  readonly map: MapTree;
  readonly findings: Findings;

  constructor(map: MapTree, findings: Findings) {
    this.map = map;
    this.findings = findings;
  }

  /** The value of a key; null where the key is absent or its value is null. */
  get(key: string): Tree | null {
    const value = this.map.entries.find((entry) => entry.key.text === key)?.value ?? null;
    return value?.kind === 'scalar' && value.value === null ? null : value;
  }

  /** Where a key stands; the map itself where it does not. */
  keyOf(key: string): Spot {
    return this.map.entries.find((entry) => entry.key.text === key)?.key ?? this.map;
  }

  has(key: string): boolean {
    return this.map.entries.some((entry) => entry.key.text === key);
  }

  /** Text or a number as written. */
  text(key: string, required: boolean): string | null {
    const value = this.get(key);
    if (value === null) {
      if (required) this.#error(this.map, `"${key}" is missing`, `add "${key}: …"`);
      return null;
    }
    const isText = value.kind === 'scalar' && typeof value.value !== 'boolean';
    if (isText && value.text.trim() !== '') return value.text;
    this.#error(value, `"${key}" is not text`, `write "${key}: …" on one line`);
    return null;
  }

  /** The texts of a list; none where the key is absent. */
  texts(key: string): string[] {
    const value = this.get(key);
    if (value === null) return [];
    const items = value.kind === 'seq' ? value.items : [];
    const texts = items.filter((one) => one.kind === 'scalar' && typeof one.value === 'string');
    if (value.kind !== 'seq' || texts.length < items.length) {
      this.#error(
        value,
        `"${key}" is not a list of texts`,
        'write "- …" items, in quotes where they hold ": "',
      );
      return [];
    }
    return texts.map((one) => (one as ScalarTree).text);
  }

  /** One text, or a list of them, with their places. Names, so that numbers are taken as text. */
  names(key: string, required: boolean): ScalarTree[] {
    const value = this.get(key);
    if (value === null) {
      if (required) this.#error(this.map, `"${key}" is missing`, `add "${key}: […]"`);
      return [];
    }
    const items = value.kind === 'seq' ? value.items : [value];
    const names = items.filter(
      (one): one is ScalarTree => one.kind === 'scalar' && one.text.trim() !== '',
    );
    if (names.length < items.length) {
      this.#error(value, `"${key}" is not a list of names`, `write "${key}: [a, b]"`);
      return [];
    }
    if (required && names.length === 0) {
      this.#error(value, `"${key}" is empty`, 'name at least one');
    }
    return names;
  }

  flag(key: string, absent: boolean): boolean {
    const value = this.get(key);
    if (value === null) return absent;
    if (value.kind === 'scalar' && typeof value.value === 'boolean') return value.value;
    this.#error(value, `"${key}" is not true or false`, 'write true or false, unquoted');
    return absent;
  }

  number(key: string, bounds: NumberBounds): number | null {
    const value = this.get(key);
    if (value === null) return null;
    const number = value.kind === 'scalar' ? value.value : null;
    if (typeof number !== 'number' || !Number.isFinite(number)) {
      this.#error(value, `"${key}" is not a number`, 'write a plain number without quotes');
      return null;
    }
    if (bounds.integer === true && !Number.isInteger(number)) {
      this.#error(value, `"${key}" is not a whole number`, 'leave the fraction out');
      return null;
    }
    if (number < bounds.min || number > bounds.max) {
      this.#error(value, `"${key}" is ${number}`, `it goes from ${bounds.min} to ${bounds.max}`);
      return null;
    }
    return number;
  }

  /** Milliseconds. `zero` says whether no time at all is allowed. */
  duration(key: string, options: { required?: boolean; zero?: boolean } = {}): number | null {
    const value = this.get(key);
    if (value === null) {
      if (options.required) this.#error(this.map, `"${key}" is missing`, `add "${key}: 1h"`);
      return null;
    }
    const parsed = parseDuration(value.kind === 'scalar' ? value.text : '');
    if (!parsed.ok) {
      this.#error(value, `"${key}": ${parsed.message}`, parsed.hint);
      return null;
    }
    if (parsed.ms === 0 && options.zero !== true) {
      this.#error(value, `"${key}" is no time at all`, 'write at least 1s');
      return null;
    }
    return parsed.ms;
  }

  choice<T extends string>(key: string, choices: readonly T[], required: boolean): T | null {
    const text = this.text(key, required);
    if (text === null) return null;
    const chosen = choices.find((choice) => choice === text);
    if (chosen !== undefined) return chosen;
    const near = nearest(text, choices);
    this.#error(
      this.get(key),
      `${JSON.stringify(text)} is not a ${key}`,
      near === null ? `use one of ${choices.join(', ')}` : `did you mean "${near}"?`,
    );
    return null;
  }

  form(key: string, form: RegExp, what: string, hint: string): void {
    const value = this.get(key);
    if (value === null || (value.kind === 'scalar' && form.test(value.text))) return;
    if (value.kind === 'scalar') this.#error(value, `"${key}" is not ${what}`, hint);
  }

  /** The map under a key; null where there is none. */
  inner(key: string, hint: string): MapReader | null {
    const value = this.get(key);
    if (value === null) return null;
    if (value.kind === 'map') return new MapReader(value, this.findings);
    this.#error(value, `"${key}" is not a map`, hint);
    return null;
  }

  items(key: string, hint: string): readonly Tree[] {
    const value = this.get(key);
    if (value === null) return [];
    if (value.kind === 'seq') return value.items;
    this.#error(value, `"${key}" is not a list`, hint);
    return [];
  }

  /** Where keys of one's own are allowed, only a likely typing error is told (`warning`). */
  unknownKeys(known: readonly string[], severity: Severity): void {
    for (const { key } of this.map.entries) {
      if (known.includes(key.text)) continue;
      const twin = known.find((one) => one.replaceAll('_', '-') === key.text.replaceAll('_', '-'));
      const near = twin ?? nearest(key.text, known);
      if (severity === 'warning' && near === null) continue;
      this.findings.report(
        severity,
        key,
        `unknown key ${JSON.stringify(key.text)}`,
        near === null ? `the keys are ${known.join(', ')}` : `did you mean "${near}"?`,
      );
    }
  }

  #error(spot: Spot | null, message: string, hint: string): void {
    this.findings.error(spot ?? this.map, message, hint);
  }
}
