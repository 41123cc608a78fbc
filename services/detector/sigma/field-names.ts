/** Lists of event fields, as group-by and the fields of aggregates are. */
import { fieldDoubt } from '../fields/fields.ts';
import type { Findings } from './findings.ts';
import type { MapReader } from './map-reader.ts';
import type { ScalarTree } from './tree.ts';

/** One field or a list of them, each once; one that no event has is a warning. */
export function fieldNames(reader: MapReader, key: string, required: boolean): string[] {
  const names = reader.names(key, required);
  checkFieldNames(reader.findings, names, () => false);
  return names.map(({ text }) => text);
}

/** `isAlias`: names that stand for fields of the rules and are none themselves. */
export function checkFieldNames(
  findings: Findings,
  names: readonly ScalarTree[],
  isAlias: (name: string) => boolean,
): void {
  for (const [index, name] of names.entries()) {
    const doubt = isAlias(name.text) ? null : fieldDoubt(name.text);
    if (doubt !== null) findings.warning(name, doubt.message, doubt.hint);
    if (names.findIndex(({ text }) => text === name.text) !== index) {
      findings.error(name, `the field "${name.text}" is given twice`, 'remove one');
    }
  }
}
