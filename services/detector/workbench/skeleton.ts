/**
 * The text of a new rule that loads and whose tests pass, to be changed into what is wanted. Pure:
 * the ids and the date are arguments.
 */
import {
  CLUSTER_MADE,
  detection,
  document,
  footer,
  type Heading,
  header,
  LOGIN,
  lines,
  own,
  SECRET_READ,
  type Subject,
  served,
  snakeCase,
  TOKEN_MADE,
  TOKEN_REVOKED,
} from './skeleton-parts.ts';

export const SKELETON_KINDS = [
  'event_count',
  'value_count',
  'value_sum',
  'value_avg',
  'value_percentile',
  'temporal',
  'temporal_ordered',
  'first_seen',
  'baseline',
  'travel',
  'absence',
  'silence',
] as const;
export type SkeletonKind = (typeof SKELETON_KINDS)[number];

export interface SkeletonOptions extends Heading {
  /** null: a rule of single events. */
  kind: SkeletonKind | null;
}

/** YAML, one or more documents. */
export function skeleton(options: SkeletonOptions): string {
  const { kind } = options;
  switch (kind) {
    case null:
      return single(options);
    case 'event_count':
    case 'value_count':
    case 'value_sum':
    case 'value_avg':
    case 'value_percentile':
      return aggregate(options, kind);
    case 'temporal':
    case 'temporal_ordered':
      return temporal(options, kind);
    case 'absence':
      return absence(options);
    default:
      return OWN_KINDS[kind](options);
  }
}

function single(options: SkeletonOptions): string {
  const subject = SECRET_READ;
  const tests = lines(
    '- name: a secret is read',
    '  hit: true',
    '  event: {}',
    '- name: the reading is refused',
    '  hit: false',
    '  event: { response: { statusCode: 403 } }',
    '- name: another action',
    '  hit: false',
    '  event: { actionName: listSecrets }',
  );
  return document(
    header(options, null),
    detection(subject),
    footer(subject.tags),
    own(subject, '', tests),
  );
}

type Aggregate = 'event_count' | 'value_count' | 'value_sum' | 'value_avg' | 'value_percentile';

interface AggregateText {
  subject: Subject;
  condition: string;
  tests: string;
}

const AGGREGATES: Record<Aggregate, AggregateText> = {
  event_count: {
    subject: SECRET_READ,
    condition: '{ gte: 5 }',
    tests: lines(
      '- name: five within the hour',
      '  alerts: 1',
      '  hit: true',
      '  events:',
      '    - { at: 0m, repeat: 5, every: 10m, event: {} }',
      '- name: four within the hour',
      '  hit: false',
      '  events:',
      '    - { at: 0m, repeat: 4, every: 10m, event: {} }',
      '- name: five, but over more than an hour',
      '  hit: false',
      '  events:',
      '    - { at: 0m, repeat: 5, every: 16m, event: {} }',
    ),
  },
  value_count: {
    subject: SECRET_READ,
    condition: '{ field: requestParams.key, gte: 5 }',
    tests: lines(
      '- name: five secrets within the hour',
      '  hit: true',
      '  events:',
      '    - { at: 0m, repeat: 5, every: 1m, each: requestParams.key, event: {} }',
      '- name: one secret five times',
      '  hit: false',
      '  events:',
      '    - { at: 0m, repeat: 5, every: 1m, event: {} }',
    ),
  },
  value_sum: {
    subject: CLUSTER_MADE,
    condition: '{ field: requestParams.num_workers, gt: 100 }',
    tests: sizes('eleven clusters of ten', 11, 'ten clusters of ten', 10),
  },
  value_avg: {
    subject: CLUSTER_MADE,
    condition: '{ field: requestParams.num_workers, gt: 50 }',
    tests: large(),
  },
  value_percentile: {
    subject: CLUSTER_MADE,
    condition: '{ field: requestParams.num_workers, percentile: 95, gt: 50 }',
    tests: large(),
  },
};

function sizes(hit: string, hits: number, miss: string, misses: number): string {
  return lines(
    `- name: ${hit}`,
    '  hit: true',
    '  events:',
    `    - { at: 0m, repeat: ${hits}, every: 1m, event: {} }`,
    `- name: ${miss}`,
    '  hit: false',
    '  events:',
    `    - { at: 0m, repeat: ${misses}, every: 1m, event: {} }`,
  );
}

function large(): string {
  return lines(
    '- name: large clusters',
    '  hit: true',
    '  events:',
    '    - { at: 0m, repeat: 3, every: 1m, event: { requestParams: { num_workers: "80" } } }',
    '- name: small clusters',
    '  hit: false',
    '  events:',
    '    - { at: 0m, repeat: 3, every: 1m, event: {} }',
  );
}

function aggregate(options: SkeletonOptions, kind: Aggregate): string {
  const { subject, condition, tests } = AGGREGATES[kind];
  const name = snakeCase(options.title);
  const leaf = `${name}_event`;
  const correlation = lines(
    'correlation:',
    `  type: ${kind}`,
    '  rules:',
    `    - ${leaf}`,
    '  group-by:',
    '    - actor.name',
    '  timespan: 1h',
    `  condition: ${condition}`,
  );
  return [
    document(header(options, name), correlation, footer(subject.tags), own(subject, '', tests)),
    served(options, leaf, `${options.title}: the event`, subject),
  ].join('---\n');
}

function temporal(options: SkeletonOptions, kind: 'temporal' | 'temporal_ordered'): string {
  const name = snakeCase(options.title);
  const [first, second] = [`${name}_first`, `${name}_second`];
  const correlation = lines(
    'correlation:',
    `  type: ${kind}`,
    '  rules:',
    `    - ${first}`,
    `    - ${second}`,
    '  group-by:',
    '    - actor.name',
    '  timespan: 1h',
  );
  const turned =
    kind === 'temporal'
      ? []
      : [
          '- name: the other way round',
          '  hit: false',
          '  events:',
          '    - { at: 0m, event: { actionName: revokeDbToken } }',
          '    - { at: 30m, event: {} }',
        ];
  const tests = lines(
    '- name: both within the hour',
    '  hit: true',
    '  events:',
    '    - { at: 0m, event: {} }',
    '    - { at: 30m, event: { actionName: revokeDbToken } }',
    '- name: both, but more than an hour apart',
    '  hit: false',
    '  events:',
    '    - { at: 0m, event: {} }',
    '    - { at: 61m, event: { actionName: revokeDbToken } }',
    ...turned,
  );
  return [
    document(
      header(options, name),
      correlation,
      footer(TOKEN_MADE.tags),
      own(TOKEN_MADE, '', tests),
    ),
    served(options, first, `${options.title}: the first event`, TOKEN_MADE),
    served(options, second, `${options.title}: the second event`, TOKEN_REVOKED),
  ].join('---\n');
}

function absence(options: SkeletonOptions): string {
  const name = snakeCase(options.title);
  const after = `${name}_after`;
  const kind = lines(
    'absence:',
    `  followed_by: ${after}`,
    '  group-by: [actor.name]',
    '  within: 1h',
  );
  const tests = lines(
    '- name: a token stays',
    '  hit: true',
    '  until: 3h',
    '  event: {}',
    '- name: the token is revoked in time',
    '  hit: false',
    '  until: 3h',
    '  events:',
    '    - { at: 0m, event: {} }',
    '    - { at: 30m, event: { actionName: revokeDbToken } }',
  );
  return [
    document(
      header(options, name),
      detection(TOKEN_MADE),
      footer(TOKEN_MADE.tags),
      own(TOKEN_MADE, kind, tests),
    ),
    served(options, after, `${options.title}: what should follow`, TOKEN_REVOKED),
  ].join('---\n');
}

function ownKind(options: SkeletonOptions, subject: Subject, kind: string, tests: string): string {
  return document(
    header(options, null),
    detection(subject),
    footer(subject.tags),
    own(subject, kind, tests),
  );
}

type OwnKind = 'first_seen' | 'baseline' | 'travel' | 'silence';

const OWN_KINDS: Record<OwnKind, (options: SkeletonOptions) => string> = {
  first_seen: (options) =>
    ownKind(
      options,
      LOGIN,
      lines(
        'first_seen:',
        '  fields: [sourceIPAddress]',
        '  group-by: [actor.name]',
        '  timespan: 30d # what was seen within it is not new',
        '  learn: 7d # nothing is said of an actor who is known for less',
      ),
      lines(
        '- name: a new address of a known actor',
        '  hit: true',
        '  events:',
        '    - { at: 0m, event: {} }',
        '    - { at: 8d, event: { sourceIPAddress: 198.51.100.7 } }',
        '- name: the same address again',
        '  hit: false',
        '  events:',
        '    - { at: 0m, event: {} }',
        '    - { at: 8d, event: {} }',
        '- name: a new address while the actor is new too',
        '  hit: false',
        '  events:',
        '    - { at: 0m, event: {} }',
        '    - { at: 1h, event: { sourceIPAddress: 198.51.100.7 } }',
      ),
    ),
  baseline: (options) =>
    ownKind(
      options,
      SECRET_READ,
      lines(
        'baseline:',
        '  measure: event_count',
        '  group-by: [actor.name]',
        '  period: 1d',
        '  history: 30d',
        '  exclude: 7d # the newest days are no baseline, or an attack would become its own',
        '  periods: 3',
        '  method: zscore',
        '  factor: 3',
        '  floor: 20',
        '  cold_start: 100',
      ),
      lines(
        '- name: far more than on other days',
        '  hit: true',
        '  until: 14d',
        '  events:',
        '    - { at: 0d, repeat: 3, every: 1d, event: {} }',
        '    - { at: 12d, repeat: 30, every: 1m, event: {} }',
        '- name: as on other days',
        '  hit: false',
        '  until: 14d',
        '  events:',
        '    - { at: 0d, repeat: 3, every: 1d, event: {} }',
        '    - { at: 12d, event: {} }',
      ),
    ),
  travel: (options) =>
    ownKind(
      options,
      LOGIN,
      lines(
        'travel:',
        '  group-by: [actor.name]',
        '  timespan: 24h',
        '  speed: 900 # km/h',
        '  distance: 500 # km; GeoIP is not exact',
      ),
      lines(
        '- name: Paris, and an hour later Sydney',
        '  hit: true',
        '  events:',
        '    - { at: 0m, event: {} }',
        '    - { at: 1h, event: { sourceIPAddress: 198.51.100.7 } }',
        '  places: &places',
        '    203.0.113.10: { country: FR, city: Paris, latitude: 48.86, longitude: 2.35 }',
        '    198.51.100.7: { country: AU, city: Sydney, latitude: -33.87, longitude: 151.21 }',
        '- name: Paris twice',
        '  hit: false',
        '  events:',
        '    - { at: 0m, event: {} }',
        '    - { at: 1h, event: {} }',
        '  places: *places',
      ),
    ),
  silence: (options) =>
    ownKind(
      options,
      LOGIN,
      lines('silence:', '  group-by: [workspaceId]', '  for: 2h'),
      lines(
        '- name: nothing for more than two hours',
        '  hit: true',
        '  until: 3h',
        '  event: {}',
        '- name: something every hour',
        '  hit: false',
        '  until: 3h',
        '  events:',
        '    - { at: 0m, repeat: 4, every: 1h, event: {} }',
      ),
    ),
};
