/** The status as a person reads it. */
import { compareText } from '../runtime/order.ts';
import { counted } from '../runtime/wording.ts';
import type { GroupPosition, PartitionStatus, Status } from './status.ts';
import type { RootStatus } from './status-evidence.ts';
import { type Cell, formatTable, paint, printable, type Terminal, toJson } from './terminal.ts';

/** Problems of rules listed; the count is always told. */
const PROBLEMS_SHOWN_MAX = 10;
/** A root speaks of a whole hour and is written soon after it; an older one is told. */
const ROOT_AGE_MS_MAX = 2 * 3_600_000;

/** Prints the status; exit code 1 where a server could not be asked or a partition is broken. */
export function tellStatus(terminal: Terminal, status: Status, json: boolean): number {
  const broken =
    status.partitions.some(
      ({ sealed, evidence }) => sealed?.state === 'broken' || evidence?.state === 'broken',
    ) || status.evidence.root?.state === 'broken';
  const code = status.servers.every(({ ok }) => ok) && !broken ? 0 : 1;
  if (json) {
    terminal.out(toJson({ ok: code === 0, ...status }));
    return code;
  }
  const blocks = [
    describeServers(terminal, status),
    describePartitions(terminal, status),
    describeEvidence(terminal, status),
    describeCorrelation(terminal, status),
    describeRules(terminal, status),
    describeAlerts(terminal, status),
  ];
  terminal.out(blocks.filter((block) => block !== '').join('\n\n'));
  return code;
}

function describeServers(terminal: Terminal, { servers }: Status): string {
  const rows = servers.map(({ server, ok, detail }): Cell[] => [
    server,
    ok ? ['good', 'up'] : ['bad', 'DOWN'],
    detail,
  ]);
  const table = formatTable(terminal, ['SERVER', '', 'DETAIL'], rows);
  const hints = servers.flatMap(({ server, hint }) =>
    hint === undefined ? [] : [`${paint(terminal, 'bad', `${server}:`)} ${printable(hint)}`],
  );
  return [table, ...hints].join('\n');
}

function describePartitions(terminal: Terminal, { partitions }: Status): string {
  if (partitions.length === 0) return '';
  const head = [
    'TOPIC',
    'PARTITION',
    'OFFSETS',
    'SEALED UP TO',
    'UNSEALED',
    'MANIFESTS UP TO',
    'UNSIGNED',
    'ARCHIVER LAG',
    'DETECTOR LAG',
  ];
  const rows = partitions.map((partition): Cell[] => [
    partition.topic,
    String(partition.partition),
    `${partition.logStart}-${partition.logEnd}`,
    ...describeSealed(partition),
    ...describeManifests(partition),
    describeLag(partition.archiver),
    partition.detector === null ? '' : describeLag(partition.detector),
  ]);
  const broken = partitions.flatMap(({ sealed }) =>
    sealed?.state === 'broken'
      ? [`${paint(terminal, 'bad', 'broken:')} ${printable(`${sealed.key}: ${sealed.detail}`)}`]
      : [],
  );
  return [formatTable(terminal, head, rows), ...broken].join('\n');
}

function describeSealed({ sealed, logStart, logEnd }: PartitionStatus): [Cell, Cell] {
  if (sealed === null) return ['?', '?'];
  if (sealed.state === 'broken') return [['bad', 'BROKEN'], '?'];
  if (sealed.state === 'empty') return ['nothing yet', String(logEnd - logStart)];
  return [String(sealed.nextOffset), String(sealed.unsealed)];
}

function describeManifests({ evidence }: PartitionStatus): [Cell, Cell] {
  if (evidence === null) return ['?', '?'];
  if (evidence.state === 'broken') return [['bad', 'BROKEN'], '?'];
  const { nextOffset, behind, manifests, unsigned, anomaly } = evidence;
  if (manifests === 0) return ['nothing yet', '0'];
  const text = String(nextOffset);
  const isWell = anomaly === null && (behind === null || behind === 0n);
  return [isWell ? text : ['attention', text], String(unsigned)];
}

/** The key, the newest root, and what is wrong with the logs. */
function describeEvidence(terminal: Terminal, { partitions, evidence }: Status): string {
  const { key, root } = evidence;
  const title = paint(terminal, 'strong', 'Evidence:');
  const lines: string[] = [];
  const add = (tone: 'attention' | 'bad', text: string): void => {
    lines.push(paint(terminal, tone, `  ${printable(text)}`));
  };
  if (key.state === 'missing') {
    add('attention', 'no key (evidence.keyFile): manifests and roots are written unsigned');
  }
  if (key.state === 'unusable') {
    add('attention', `${key.detail}; where the archiver runs too, nothing is signed`);
  }
  for (const { topic, partition, evidence: one } of partitions) {
    const name = `${topic}/${partition}`;
    if (one?.state === 'broken') add('bad', `${name}: ${one.key ?? 'log'}: ${one.detail}`);
    if (one?.state !== 'at') continue;
    if (one.anomaly !== null) {
      const { reason, key: object, detail } = one.anomaly;
      add('bad', `${name} halted: ${reason} at ${object}: ${detail}`);
    } else if (one.behind !== null && one.behind > 0n) {
      add('attention', `${name}: ${one.behind} sealed offsets have no manifest yet`);
    }
  }
  if (root?.state === 'broken') add('bad', `root: ${root.key ?? 'log'}: ${root.detail}`);
  return [`${title} ${describeRoot(terminal, root)}`, ...lines].join('\n');
}

function describeRoot(terminal: Terminal, root: RootStatus | null): string {
  if (root === null) return 'the newest root is not known';
  if (root.state === 'broken') return paint(terminal, 'bad', 'the log of roots is BROKEN');
  if (root.time === null) return 'no root yet';
  const unsigned = root.unsigned === 0 ? 'all signed' : `${root.unsigned} unsigned`;
  const text =
    `newest root ${root.time}, ${counted(root.roots, 'root')}, ${unsigned}` +
    vouched(terminal, 'time-stamped', root.stamped, root.roots, root.wanted.stamps) +
    vouched(terminal, 'cosigned', root.cosigned, root.roots, root.wanted.witnesses);
  const isOld = root.ageMs !== null && root.ageMs > ROOT_AGE_MS_MAX;
  return isOld ? paint(terminal, 'attention', `${text}; there should be one an hour`) : text;
}

/** Up to which root others vouch for them. */
function vouched(
  terminal: Terminal,
  what: string,
  size: number,
  roots: number,
  isWanted: boolean,
): string {
  if (size === roots) return `, ${what}`;
  if (size === 0 && !isWanted) return '';
  const told = size === 0 ? `, none of the last days is ${what}` : `, ${what} up to ${size}`;
  return paint(terminal, 'attention', told);
}

function describeCorrelation(terminal: Terminal, { correlation }: Status): string {
  if (correlation === null || correlation.length === 0) return '';
  const lag = correlation.reduce((sum, { correlator }) => sum + (correlator.lag ?? 0n), 0n);
  const unread = correlation.filter(({ correlator }) => correlator.lag === null);
  const never = unread.length === 0 ? '' : `, ${unread.length} of them never read`;
  const state = correlation.reduce((sum, { stateRecords }) => sum + (stateRecords ?? 0n), 0n);
  const title = paint(terminal, 'strong', 'Correlation:');
  return `${title} ${correlation.length} partitions${never}, ${lag} records behind, ${state} records of state`;
}

function describeLag({ lag }: GroupPosition): Cell {
  return lag === null ? '-' : String(lag);
}

function describeRules(terminal: Terminal, { rules }: Status): string {
  const { shipped, own, stateful, problems, exceptions, expired, enrichment, needs, blind } = rules;
  const lines = [
    `Rules: ${shipped} shipped, ${own} own (${stateful} over many events), ${exceptions} exceptions, ${problems.length} problems`,
  ];
  const add = (text: string): void => {
    lines.push(paint(terminal, 'attention', `  ${printable(text)}`));
  };
  for (const problem of problems.slice(0, PROBLEMS_SHOWN_MAX)) add(problem);
  for (const title of expired.slice(0, PROBLEMS_SHOWN_MAX)) add(`exception has expired: ${title}`);
  for (const { what, file, ok, detail } of enrichment) {
    if (ok) lines.push(`  enrich.${what}: ${printable(`${file}: ${detail}`)}`);
    else add(`enrich.${what}: ${file}: ${detail}`);
  }
  const lists = countedBy(needs.flatMap((need) => need.lists.map((name) => `${name}.txt`)));
  const files = countedBy(
    needs.flatMap(({ fields }) => [...new Set(fields.map(({ anyOf }) => anyOf.join('/')))]),
  );
  if (lists !== '') lines.push(`  lists, and how many rules read each: ${printable(lists)}`);
  if (files !== '') lines.push(`  files of places, and how many rules read each: ${files}`);
  if (blind.length > 0) {
    const names = blind.slice(0, PROBLEMS_SHOWN_MAX).join(', ');
    const more = blind.length > PROBLEMS_SHOWN_MAX ? ', …' : '';
    add(`without places (enrich.city, enrich.asn) these say nothing: ${names}${more}`);
  }
  return lines.join('\n');
}

/** `a 2, b 1`: each name once, with how often it comes. */
function countedBy(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts]
    .sort(([a], [b]) => compareText(a, b))
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}

function describeAlerts(terminal: Terminal, { alerts }: Status): string {
  if (alerts === null) return '';
  const levels = Object.entries(alerts.byLevel)
    .filter(([, count]) => count > 0)
    .reverse();
  const split = levels.map(([level, count]) => `${count} ${level}`).join(', ');
  const title = paint(terminal, 'strong', 'Alerts of the last day:');
  return `${title} ${alerts.total}${split === '' ? '' : ` (${split})`}`;
}
