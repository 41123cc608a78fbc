/**
 * Rule documents (detections and correlations) into drafts: all that can be known from the one
 * document. References to other rules stay names until `resolve.ts` looks them up.
 *
 * What lakeseal adds lives under one top-level key, `lakeseal`, which other Sigma tools pass over.
 */
import { type CorrelationDraft, readCorrelation } from './correlation.ts';
import { type Detection, readDetection } from './detection.ts';
import type { RuleDocument } from './documents.ts';
import type { ReadOptions } from './drafts.ts';
import type { Findings } from './findings.ts';
import { HEADER_KEYS, readHeader } from './header.ts';
import { type Logsource, readLogsource } from './logsource.ts';
import { MapReader } from './map-reader.ts';
import { KINDS, type OwnKind, readOwnKind } from './own-kinds.ts';
import type { Lists } from './placeholder.ts';
import { LEVELS, type LevelCase, type RuleHeader } from './rule.ts';
import { readTests } from './test-cases.ts';
import type { MapTree, ScalarTree, Spot } from './tree.ts';

export interface DetectionDraft {
  kind: 'detection';
  header: RuleHeader;
  logsource: Logsource;
  detection: Detection;
  levels: LevelCase[];
  /** The kind that alerts in its place, or null. */
  own: OwnKind | null;
  layer: number;
  spot: Spot;
}

export interface CorrelationRuleDraft {
  kind: 'correlation';
  header: RuleHeader;
  correlation: CorrelationDraft;
  suppressMs: number;
  layer: number;
  spot: Spot;
}

export type RuleDraft = DetectionDraft | CorrelationRuleDraft;

const DETECTION_KEYS = [...HEADER_KEYS, 'logsource', 'detection'];
const CORRELATION_KEYS = [...HEADER_KEYS, 'correlation', 'generate'];
const OWN_KEYS = ['runbook', 'base', 'levels', 'suppress', ...KINDS, 'tests'];
const OWN_CORRELATION_KEYS = ['runbook', 'base', 'suppress', 'tests'];

/** null where the document has an error. */
export function readDetectionRule(
  document: RuleDocument,
  findings: Findings,
  { lists, tests }: ReadOptions,
): DetectionDraft | null {
  const before = findings.errors;
  const { root, own } = open(document, findings, DETECTION_KEYS, OWN_KEYS);
  const header = readHeader(root, document.file);
  const logsource = readLogsource(root, 'rule');
  const levels: LevelCase[] = [];
  const detection = readDetectionOf(root, lists, (parse) => {
    if (own !== null) levels.push(...readLevels(own, parse));
  });
  const kind = own === null ? null : readOwnKind(own);
  const rest = readRest(own, tests);
  if (findings.errors > before || header === null || logsource === null || detection === null) {
    return null;
  }
  const place = { layer: document.layer, spot: document.tree };
  const whole = { ...header, ...rest };
  return { kind: 'detection', header: whole, logsource, detection, levels, own: kind, ...place };
}

/** null where the document has an error. */
export function readCorrelationRule(
  document: RuleDocument,
  findings: Findings,
  { tests }: ReadOptions,
): CorrelationRuleDraft | null {
  const before = findings.errors;
  const { root, own } = open(document, findings, CORRELATION_KEYS, OWN_CORRELATION_KEYS);
  const header = readHeader(root, document.file);
  const correlation = readCorrelation(root);
  const suppress = own?.inner('suppress', 'write { period: 24h }') ?? null;
  suppress?.unknownKeys(['period'], 'error');
  const period = suppress?.duration('period', { required: true }) ?? null;
  const rest = readRest(own, tests);
  if (findings.errors > before || header === null || correlation === null) return null;
  return {
    kind: 'correlation',
    header: { ...header, ...rest },
    correlation,
    suppressMs: period ?? correlation.timespanMs,
    layer: document.layer,
    spot: document.tree,
  };
}

function open(
  document: RuleDocument,
  findings: Findings,
  keys: readonly string[],
  ownKeys: readonly string[],
): { root: MapReader; own: MapReader | null } {
  const root = new MapReader(document.tree, findings);
  root.unknownKeys(keys, 'warning');
  const own = root.inner('lakeseal', 'give it "runbook" and "tests"');
  own?.unknownKeys(ownKeys, 'error');
  return { root, own };
}

function readRest(own: MapReader | null, tests: boolean): Pick<RuleHeader, 'runbook' | 'tests'> {
  if (own === null) return { runbook: [], tests: [] };
  return { runbook: own.texts('runbook'), tests: tests ? readTests(own) : [] };
}

function readDetectionOf(
  root: MapReader,
  lists: Lists,
  further: (parse: ParseCondition) => void,
): Detection | null {
  const body = root.inner('detection', 'write a selection and a condition below it');
  if (body !== null) {
    const options = { what: 'detection', otherKeys: [], lists, further };
    return readDetection(body.map, root.findings, options);
  }
  if (root.get('detection') === null) {
    root.findings.error(
      root.map,
      'the rule has no detection',
      'add "detection:" with a selection and a condition',
    );
  }
  return null;
}

type ParseCondition = (text: ScalarTree) => LevelCase['when'] | null;

function readLevels(own: MapReader, parse: ParseCondition): LevelCase[] {
  const items = own.items('levels', 'write "- { level: low, when: failed }" items');
  return items.flatMap((item): LevelCase[] => {
    if (item.kind !== 'map') {
      own.findings.error(item, 'a level is a map', 'write { level: low, when: failed }');
      return [];
    }
    const one = readLevel(item, own.findings, parse);
    return one === null ? [] : [one];
  });
}

function readLevel(map: MapTree, findings: Findings, parse: ParseCondition): LevelCase | null {
  const reader = new MapReader(map, findings);
  reader.unknownKeys(['level', 'when'], 'error');
  const level = reader.choice('level', LEVELS, true);
  const when = reader.get('when');
  if (when?.kind !== 'scalar' || when.text.trim() === '') {
    findings.error(when ?? map, 'the level has no condition', 'add "when: selection"');
    return null;
  }
  const expression = parse(when);
  return level === null || expression === null ? null : { level, when: expression };
}
