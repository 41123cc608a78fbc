/**
 * Matching alone, by hand: `node test/bench/match.ts [SECONDS]`. Events are decoded before the
 * clock starts; what is timed is `Matcher.match`. Prints JSON: events per second with the shipped
 * rules, and with these and a growing number of made-up rules of the same make, and how much
 * slower the largest set is than the shipped one.
 */
import { performance } from 'node:perf_hooks';
import { Matcher } from '../../services/detector/match/match.ts';
import type { Rule } from '../../services/detector/sigma/rule.ts';
import { parseRuleFile } from '../../services/detector/sigma/rule-file.ts';
import { loadRules, SHIPPED_RULES } from '../../services/detector/sigma/rules.ts';
import { decodeJson } from '../../services/ingest/decode.ts';
import type { AuditEvent } from '../../services/ingest/event.ts';

const EVENTS = 20_000;
const MADE_UP = [0, 100, 1_000, 5_000];

/** Shares of one real estate (`databricks-audit-events.md` 1j and `detections.md` 1E), per 1,000. */
const TRAFFIC: Array<[weight: number, service: string, action: string]> = [
  [480, 'accounts', 'oidcTokenAuthorization'],
  [250, 'accounts', 'tokenLogin'],
  [60, 'filesystem', 'filesGet'],
  [50, 'unityCatalog', 'generateTemporaryTableCredential'],
  [40, 'unityCatalog', 'getTable'],
  [30, 'secrets', 'getSecret'],
  [30, 'jobs', 'runCommand'],
  [20, 'databrickssql', 'commandSubmit'],
  [20, 'jobs', 'runNow'],
  [10, 'clusters', 'create'],
  [8, 'workspace', 'workspaceExport'],
  [1, 'accounts', 'IpAccessDenied'],
  [1, 'workspace', 'workspaceConfEdit'],
];

function events(): AuditEvent[] {
  const pool = TRAFFIC.flatMap(([weight, service, action]) =>
    Array.from({ length: weight }, () => ({ service, action })),
  );
  return Array.from({ length: EVENTS }, (_, n) => {
    const { service, action } = pool[(n * 7_919) % pool.length]!;
    const decoded = decodeJson(
      JSON.stringify({
        version: '2.0',
        auditLevel: 'WORKSPACE_LEVEL',
        timestamp: 1_795_512_600_000 + n,
        workspaceId: '1234567890123456',
        sourceIPAddress: `203.0.113.${n % 250}`,
        userAgent: 'Databricks-Runtime/15.4 python-requests/2.31',
        userIdentity: { email: `user${n % 500}@example.com` },
        serviceName: service,
        actionName: action,
        requestId: `ServiceMain-${n}`,
        requestParams: {
          commandText: `SELECT * FROM main.sales.orders WHERE day = ${n}`,
          workspaceExportFormat: 'SOURCE',
          user: `user${n % 500}@example.com`,
          path: `/Users/user${n % 500}/x`,
        },
        response: { statusCode: 200 },
      }),
    );
    if (!decoded.ok) throw new Error(decoded.detail);
    return decoded.events[0]!;
  });
}

/** Rules over actions that occur and that do not, with string, list and regular expression items. */
function madeUp(count: number): Rule[] {
  const texts = Array.from({ length: count }, (_, n) => {
    const [, service] = TRAFFIC[n % TRAFFIC.length]!;
    const action = n % 20 === 0 ? TRAFFIC[n % TRAFFIC.length]![2] : `action${n}`;
    return JSON.stringify({
      title: `made up ${n}`,
      id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
      level: 'low',
      logsource: { product: 'databricks' },
      detection: {
        selection: { serviceName: service, actionName: [action, `other${n}`] },
        detail: [
          { 'requestParams.path|contains': `/secret${n}/` },
          { 'requestParams.user|startswith': `nobody${n}` },
          { 'userAgent|re': `^tool${n}/[0-9]+` },
        ],
        noise: { 'sourceIPAddress|cidr': '10.0.0.0/8' },
        condition: 'selection and detail and not noise',
      },
    });
  });
  return texts.flatMap((text) => parseRuleFile('made-up.yml', text).rules);
}

function rate(matcher: Matcher, list: AuditEvent[], seconds: number): number {
  const round = (): number => list.reduce((sum, event) => sum + matcher.match(event).length, 0);
  for (let n = 0; n < 3; n += 1) round();
  const started = performance.now();
  let rounds = 0;
  while (performance.now() - started < seconds * 1_000) {
    round();
    rounds += 1;
  }
  return Math.round((rounds * list.length * 1_000) / (performance.now() - started));
}

const seconds = Number(process.argv[2] ?? 3);
const shipped = loadRules([SHIPPED_RULES]);
if (!shipped.ok) throw new Error('the shipped rules do not load');
const list = events();
const results = MADE_UP.map((count) => {
  const rules = [...shipped.rules, ...madeUp(count)];
  return { rules: rules.length, eventsPerSecond: rate(new Matcher(rules), list, seconds) };
});
const ratio = results[0]!.eventsPerSecond / results.at(-1)!.eventsPerSecond;
process.stdout.write(
  `${JSON.stringify({ bench: 'match', node: process.version, events: EVENTS, results, slowdown: Number(ratio.toFixed(2)) })}\n`,
);
