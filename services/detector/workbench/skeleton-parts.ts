/** The parts that the texts of new rules are put together of. Pure. */

export interface Heading {
  /** Title of the rule. */
  title: string;
  /** A new UUID each time it is asked. */
  newId: () => string;
  /** YYYY-MM-DD. */
  date: string;
}

/** `secrets_read_at_night` for `Secrets read at night`: a file's name and a rule's. */
export function snakeCase(title: string): string {
  const plain = title.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase();
  const name = (plain.match(/[a-z0-9]+/g) ?? ['rule']).join('_');
  return /^[a-z]/.test(name) ? name : `rule_${name}`;
}

export interface Subject {
  service: string;
  action: string;
  /** YAML lines under `requestParams` of the test event. */
  parameters: string;
  tags: readonly string[];
}

export const SECRET_READ: Subject = {
  service: 'secrets',
  action: 'getSecret',
  parameters: '{ scope: production, key: warehouse }',
  tags: ['attack.credential-access', 'attack.t1555'],
};
export const CLUSTER_MADE: Subject = {
  service: 'clusters',
  action: 'create',
  parameters: '{ cluster_name: example, num_workers: "10" }',
  tags: ['attack.impact', 'attack.t1496'],
};
export const LOGIN: Subject = {
  service: 'accounts',
  action: 'samlLogin',
  parameters: '{ user: alice@example.com }',
  tags: ['attack.initial-access', 'attack.t1078'],
};
export const TOKEN_MADE: Subject = {
  service: 'accounts',
  action: 'generateDbToken',
  parameters: '{ userId: "7" }',
  tags: ['attack.persistence', 'attack.t1098'],
};
export const TOKEN_REVOKED: Subject = { ...TOKEN_MADE, action: 'revokeDbToken' };

/** 2026-11-24T09:30:00Z, inside one hour and one day of UTC. */
const BASE_TIME = 'timestamp: 1795512600000 # 2026-11-24T09:30:00Z';

export function header({ title, newId, date }: Heading, name: string | null): string {
  return lines(
    `title: ${yamlText(title)}`,
    `id: ${newId()}`,
    ...(name === null ? [] : [`name: ${name}`]),
    'status: experimental',
    'description: >-',
    '  What happened when this fires, and why it matters.',
    'references:',
    '  - https://docs.databricks.com/aws/en/admin/account-settings/audit-logs',
    `date: ${date}`,
  );
}

export function footer(tags: readonly string[]): string {
  return lines(
    'tags:',
    ...tags.map((tag) => `  - ${tag}`),
    'falsepositives:',
    '  - What is harmless and looks the same',
    'level: medium',
  );
}

export function detection({ service, action }: Subject): string {
  return lines(
    'logsource:',
    '  product: databricks',
    '  service: audit',
    'detection:',
    '  selection:',
    `    serviceName: ${service}`,
    `    actionName: ${action}`,
    '  refused:',
    '    outcome: failure',
    '  condition: selection and not refused',
  );
}

/** The steps, and the event that each test starts from. */
export function own(subject: Subject, kind: string, tests: string): string {
  return lines(
    'lakeseal:',
    '  runbook:',
    '    - What to look at first.',
    '    - Whom to ask.',
    '    - What to stop or undo.',
    ...(kind === '' ? [] : [indent(kind)]),
    '  base: # each test starts from this event',
    '    version: "2.0"',
    '    auditLevel: WORKSPACE_LEVEL',
    `    ${BASE_TIME}`,
    '    workspaceId: "1234567890123456"',
    '    sourceIPAddress: 203.0.113.10',
    '    userAgent: Mozilla/5.0',
    '    userIdentity: { email: alice@example.com }',
    `    serviceName: ${subject.service}`,
    `    actionName: ${subject.action}`,
    '    requestId: example-1',
    `    requestParams: ${subject.parameters}`,
    '    response: { statusCode: 200 }',
    '  tests:',
    indent(indent(tests)),
  );
}

/** A detection that only serves: few keys, no level cases, its tests are the correlation's. */
export function served(options: Heading, name: string, title: string, subject: Subject): string {
  return document(
    lines(
      `title: ${yamlText(title)}`,
      `id: ${options.newId()}`,
      `name: ${name}`,
      'status: experimental',
    ),
    detection(subject),
    'level: informational',
  );
}

export function document(...parts: string[]): string {
  return `${parts.join('\n')}\n`;
}

export function lines(...parts: string[]): string {
  return parts.join('\n');
}

export function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
}

/** Words that YAML reads as something else than text. */
const NOT_TEXT = /^(?:true|false|yes|no|on|off|null|y|n)$/i;

/** JSON is YAML; plain words need no quotes. */
function yamlText(text: string): string {
  const plain = /^[A-Za-z][A-Za-z0-9 ,()/-]*$/.test(text) && !NOT_TEXT.test(text);
  return plain ? text.trim() : JSON.stringify(text);
}
