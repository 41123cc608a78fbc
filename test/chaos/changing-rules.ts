/**
 * Rules that an operator changes while events flow, beside those of `stream.ts`, which stay: four
 * states of one file, and a broken one. Of every kind of change there is one: a threshold, a window,
 * a condition, the order of a sequence, an exception, a new rule, one that is switched off.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** States of the file that load. */
export const STAGES = 4;
export const CHANGING_FILE = 'changing.yml';

const ID = '57a7ef02-0000-4000-8000-';
export const idOf = (number: number): string => `${ID}${String(number).padStart(12, '0')}`;

export const SINGLE = idOf(1);
/** Of which neither the rule nor what it selects ever changes. */
export const STEADY = idOf(8);
export const STATEFUL = [2, 3, 4, 5, 6, 7].map(idOf);

function head(number: number, name: string, isDetection: boolean): string {
  return `title: Changing ${name}
id: ${idOf(number)}
name: changing_${name}
status: experimental
level: low
${isDetection ? 'logsource:\n  product: databricks\n' : ''}`;
}

function selection(action: string, more = ''): string {
  return `detection:
  selection:
    serviceName: stream
    actionName: ${action}
${more}  condition: selection
`;
}

function correlation(type: string, rules: string, timespan: string, condition = ''): string {
  return `correlation:
  type: ${type}
  rules: [${rules}]
  group-by: [actor.name]
  timespan: ${timespan}
${condition === '' ? '' : `  condition: { ${condition} }\n`}`;
}

function firstSeen(field: string, timespan: string): string {
  return `lakeseal:
  suppress: { period: 30m }
  first_seen: { fields: [${field}], group-by: [actor.name], timespan: ${timespan}, learn: 20m }
`;
}

const EXCEPTION = `title: Changing exception
logsource: { product: databricks }
filter:
  rules: [changing_single, changing_excepted]
  them:
    actor.name: actor1@example.com
  condition: not them
lakeseal: { owner: somebody@example.com, reason: it is a test }
`;

const SWITCH_OFF = `title: Changing switch
lakeseal:
  override: { rule: changing_gone, enabled: false }
`;

/** The file's text at a stage, from 0. */
export function changingRules(stage: number): string {
  const since = <Value>(first: number, after: Value, before: Value): Value =>
    stage >= first ? after : before;
  const object = `    requestParams.object: object-${since(2, 2, 1)}\n`;
  const values = (count: number): string => `field: requestParams.object, gte: ${count}`;
  const order = since(
    2,
    'stream_grant, stream_download, stream_revoke',
    'stream_grant, stream_revoke',
  );
  return [
    head(1, 'single', true) + selection('read', object),
    head(2, 'threshold', false) +
      correlation('event_count', 'stream_write', '10m', `gte: ${since(1, 4, 6)}`),
    head(3, 'window', false) +
      correlation('value_count', 'stream_read', since(1, '10m', '15m'), values(5)),
    head(4, 'order', false) + correlation('temporal_ordered', order, '20m'),
    head(5, 'habit', true) + selection('login') + firstSeen('sourceIp', since(3, '1h', '2h')),
    head(6, 'gone', false) + correlation('event_count', 'stream_login', '20m', 'gte: 5'),
    ...since(
      2,
      [
        head(7, 'new', false) +
          correlation('value_count', 'stream_login', '30m', 'field: sourceIp, gte: 4'),
      ],
      [],
    ),
    head(8, 'steady', true) + selection('write') + firstSeen('requestParams.object', '3h'),
    head(9, 'excepted', true) + selection('download') + firstSeen('requestParams.object', '3h'),
    ...since(2, [EXCEPTION], []),
    ...since(3, [SWITCH_OFF], []),
  ].join('---\n');
}

export const EXCEPTED = idOf(9);

/** The file as somebody left it in the middle of a change, and where that is told. */
export function brokenRules(): { text: string; line: number } {
  const text = changingRules(2).replace('condition: selection', 'condition: selectoin');
  const line = text.split('\n').findIndex((one) => one.includes('selectoin')) + 1;
  return { text, line };
}

export async function writeChanging(folder: string, text: string): Promise<void> {
  await writeFile(join(folder, CHANGING_FILE), text);
}
