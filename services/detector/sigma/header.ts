/**
 * What every Sigma document says of itself. Stricter than the Sigma schema where lakeseal needs it:
 * rules have `id`, `title` and `level`, because alerts are identified and ranked by them.
 */
import type { MapReader } from './map-reader.ts';
import { LEVELS, type RuleHeader, STATUSES } from './rule.ts';
import { lineOf } from './tree.ts';

export const HEADER_KEYS = [
  'title',
  'id',
  'name',
  'related',
  'taxonomy',
  'status',
  'description',
  'license',
  'author',
  'references',
  'date',
  'modified',
  'fields',
  'falsepositives',
  'level',
  'tags',
  'scope',
  'lakeseal',
];

const TITLE_CHARS_MAX = 256;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const DATE = /^\d{4}-\d{2}-\d{2}$/;
const TAG = /^[a-z0-9_-]+\.[a-z0-9._-]+$/;

/** A rule's header; null where something that alerts need is missing. */
export function readHeader(
  root: MapReader,
  file: string,
): Omit<RuleHeader, 'runbook' | 'tests'> | null {
  const title = readTitle(root);
  const id = root.text('id', true);
  const level = root.choice('level', LEVELS, true);
  const status = root.choice('status', STATUSES, false);
  checkForms(root);
  const header = {
    name: root.text('name', false),
    description: root.text('description', false),
    author: root.text('author', false),
    references: root.texts('references'),
    falsepositives: root.texts('falsepositives'),
    tags: readTags(root),
    status,
    file,
    line: lineOf(root.map),
  };
  if (title === null || id === null || level === null) return null;
  return { id: id.toLowerCase(), title, level, ...header };
}

export function readTitle(root: MapReader): string | null {
  const title = root.text('title', true);
  if (title !== null && title.length > TITLE_CHARS_MAX) {
    root.findings.error(
      root.get('title'),
      `the title has ${title.length} characters`,
      `Sigma allows ${TITLE_CHARS_MAX}`,
    );
  }
  return title;
}

/** The forms of what every document may have, filters and overrides too. */
export function checkForms(root: MapReader): void {
  root.form('id', UUID, 'a UUID', 'make one with: uuidgen');
  root.form('date', DATE, 'a date', 'write YYYY-MM-DD');
  root.form('modified', DATE, 'a date', 'write YYYY-MM-DD');
  const taxonomy = root.text('taxonomy', false);
  if (taxonomy !== null && taxonomy !== 'sigma') {
    root.findings.error(
      root.get('taxonomy'),
      `the taxonomy ${JSON.stringify(taxonomy)} is not known`,
      'use the field names of Databricks audit events and leave the key out',
    );
  }
}

function readTags(root: MapReader): string[] {
  const tags = root.texts('tags');
  const list = root.get('tags');
  for (const [index, tag] of tags.entries()) {
    if (TAG.test(tag)) continue;
    root.findings.error(
      list?.kind === 'seq' ? (list.items[index] ?? list) : list,
      `${JSON.stringify(tag)} is not a Sigma tag`,
      'write namespace.value in lower case, as attack.t1098',
    );
  }
  return tags;
}
