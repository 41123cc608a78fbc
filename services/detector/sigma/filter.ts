/**
 * Sigma filters: exceptions to rules. A filter's condition is joined to a rule's with "and", as
 * written, so that one that is to leave events out has a "not" in it.
 */
import { type Detection, readDetection } from './detection.ts';
import type { RuleDocument } from './documents.ts';
import type { Findings } from './findings.ts';
import { checkForms, HEADER_KEYS, readTitle } from './header.ts';
import { type Logsource, readLogsource } from './logsource.ts';
import { MapReader } from './map-reader.ts';
import type { Lists } from './placeholder.ts';
import type { Expression } from './rule.ts';
import { lineOf, type ScalarTree, type Spot } from './tree.ts';

export interface FilterDraft {
  title: string;
  id: string | null;
  logsource: Logsource;
  detection: Detection;
  /** As written; null for all rules of the log source. */
  rules: ScalarTree[] | null;
  owner: string | null;
  reason: string | null;
  expiresMs: number | null;
  file: string;
  line: number;
  spot: Spot;
}

const FILTER_KEYS = [...HEADER_KEYS, 'logsource', 'filter'];
const DATE = /^(\d{4})-(\d{2})-(\d{2})$/;

export function readFilter(
  document: RuleDocument,
  findings: Findings,
  lists: Lists,
): FilterDraft | null {
  const before = findings.errors;
  const root = new MapReader(document.tree, findings);
  root.unknownKeys(FILTER_KEYS, 'warning');
  const title = readTitle(root);
  const id = root.text('id', false);
  checkForms(root);
  const logsource = readLogsource(root, 'filter');
  const body = root.inner('filter', 'write "rules:", a selection and a condition below it');
  if (body === null) {
    if (root.get('filter') === null) {
      findings.error(root.keyOf('filter'), 'the filter is empty', 'give it a selection');
    }
    return null;
  }
  const rules = readRules(body);
  const options = { what: 'filter', otherKeys: ['rules'], lists };
  const detection = readDetection(body.map, findings, options);
  if (detection !== null && !holdsNot(detection.condition)) {
    findings.warning(
      body.get('condition'),
      'the filter narrows its rules to the events it selects',
      'an exception is written "condition: not selection"',
    );
  }
  const own = readOwn(root);
  if (findings.errors > before || title === null || logsource === null || detection === null) {
    return null;
  }
  const { file } = document;
  const place = { file, line: lineOf(document.tree), spot: document.tree };
  return { title, id: id?.toLowerCase() ?? null, logsource, detection, rules, ...own, ...place };
}

function readRules(body: MapReader): ScalarTree[] | null {
  const value = body.get('rules');
  if (value?.kind === 'scalar' && value.text === 'any') return null;
  if (value === null) {
    body.findings.error(
      body.map,
      'the filter does not say which rules it is for',
      'add "rules:" with a list of ids or names, or "rules: any"',
    );
    return [];
  }
  return body.names('rules', true);
}

function holdsNot(expression: Expression): boolean {
  if (expression.kind === 'not') return true;
  return 'terms' in expression && expression.terms.some(holdsNot);
}

function readOwn(root: MapReader): Pick<FilterDraft, 'owner' | 'reason' | 'expiresMs'> {
  const own = root.inner('lakeseal', 'write "owner", "reason" and "expires" below it');
  own?.unknownKeys(['owner', 'reason', 'expires'], 'error');
  return {
    owner: own?.text('owner', false) ?? null,
    reason: own?.text('reason', false) ?? null,
    expiresMs: own === null ? null : readExpiry(own),
  };
}

/** From the first moment of the day on (UTC), the filter is not applied. */
function readExpiry(own: MapReader): number | null {
  const text = own.text('expires', false);
  if (text === null) return null;
  const match = DATE.exec(text);
  const ms = match === null ? Number.NaN : Date.parse(`${text}T00:00:00Z`);
  // The day of a month that is too short for it would be one of the next month.
  if (!Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text)) return ms;
  own.findings.error(own.get('expires'), `"${text}" is no day`, 'write YYYY-MM-DD');
  return null;
}
