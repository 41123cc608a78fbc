/**
 * How fast events are decoded, against floors measured in the same run. Run by hand:
 * `node test/bench/decode.ts`. Prints JSON: records per second of processor time of this thread,
 * the median of several rounds that take turns, and the ratio to the floor.
 */
import {
  type AuditEventDatum,
  auditEventType,
  encodeAuditEvent,
  frame,
  readAuditEvent,
} from '../../schemas/audit-event.ts';
import { datumValidator } from '../../schemas/avro.ts';
import { decodeJson, decodeRecord } from '../../services/ingest/decode.ts';
import { median } from './rounds.ts';

const ROUNDS = 15;
const RECORDS_PER_ROUND = 20_000;
const VARIANTS = 500;

/** A delivery line of a usual size. */
function deliveryLine(index: number): string {
  return JSON.stringify({
    version: '2.0',
    auditLevel: 'WORKSPACE_LEVEL',
    timestamp: 1_767_225_600_000 + index,
    orgId: 6_051_921_418_418_893,
    workspaceId: '6051921418418893',
    shardName: 'shard-example',
    accountId: '0a1b2c3d-0000-4000-8000-00000000aaaa',
    sourceIPAddress: `192.0.2.${index % 256}`,
    userAgent:
      'Apache-HttpClient/4.5.14 (Java/17.0.13) Databricks-Service/driver DBHttpClient/v2RawClient',
    sessionId: `ephemeral-${index}`,
    userIdentity: { email: `user${index % 40}@example.com`, subjectName: null },
    serviceName: 'clusters',
    actionName: 'create',
    requestId: `ServiceMain-${index.toString(16).padStart(16, '0')}`,
    requestParams: {
      cluster_name: `analysis-${index}`,
      spark_version: '15.4.x-scala2.12',
      node_type_id: 'i3.xlarge',
      aws_attributes: '{"zone_id":"auto","availability":"SPOT_WITH_FALLBACK"}',
      num_workers: '2',
    },
    response: { statusCode: 200, result: `{"cluster_id":"0101-000000-${index}"}` },
  });
}

/** The same event as a row of the system table; `isText` as the SQL API gives it. */
function systemTableLine(index: number, isText: boolean): string {
  const row = JSON.parse(deliveryLine(index));
  const nested = (value: unknown): unknown => (isText ? JSON.stringify(value) : value);
  return JSON.stringify({
    account_id: row.accountId,
    workspace_id: row.workspaceId,
    version: '2.0',
    event_time: new Date(row.timestamp).toISOString(),
    event_date: '2026-01-01',
    source_ip_address: row.sourceIPAddress,
    user_agent: row.userAgent,
    session_id: row.sessionId,
    user_identity: nested({ email: row.userIdentity.email, subject_name: null }),
    service_name: row.serviceName,
    action_name: row.actionName,
    request_id: row.requestId,
    request_params: nested(row.requestParams),
    response: nested({ status_code: '200', error_message: null, result: row.response.result }),
    audit_level: row.auditLevel,
    event_id: `3dd93080-f90f-3ea4-8870-${index.toString(16).padStart(12, '0')}`,
    identity_metadata: nested({ run_by: null, run_as: null, acting_resource: null }),
  });
}

/** The same event as one record of Azure diagnostic settings. */
function azureLine(index: number): string {
  const row = JSON.parse(deliveryLine(index));
  return JSON.stringify({
    resourceId: '/SUBSCRIPTIONS/0/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.DATABRICKS/WORKSPACES/W',
    operationVersion: '1.0.0',
    identity: JSON.stringify(row.userIdentity),
    operationName: 'Microsoft.Databricks/clusters/create',
    time: '2026-01-01T00:00:05Z',
    category: 'clusters',
    properties: {
      sourceIPAddress: row.sourceIPAddress,
      logId: `3dd93080-f90f-3ea4-8870-${index.toString(16).padStart(12, '0')}`,
      serviceName: row.serviceName,
      userAgent: row.userAgent,
      response: JSON.stringify(row.response),
      sessionId: row.sessionId,
      actionName: row.actionName,
      requestId: row.requestId,
      requestParams: JSON.stringify(row.requestParams),
    },
    Host: '0101-000000-abcdefgh',
  });
}

const indices = Array.from({ length: VARIANTS }, (_, index) => index);
const sets: Record<string, string[]> = {
  delivery: indices.map(deliveryLine),
  'system table': indices.map((index) => systemTableLine(index, false)),
  'system table through SQL': indices.map((index) => systemTableLine(index, true)),
  'azure record': indices.map(azureLine),
};

let sink: unknown;

/** Records per second of processor time, one number a round. */
function round<T>(items: readonly T[], work: (item: T) => unknown): number {
  const before = process.threadCpuUsage();
  for (let count = 0; count < RECORDS_PER_ROUND; count++) sink = work(items[count % items.length]!);
  const { user, system } = process.threadCpuUsage(before);
  return RECORDS_PER_ROUND / ((user + system) / 1e6);
}

/** Lets floor and work take turns, so that a noisy neighbour troubles both. */
function compare<T>(items: readonly T[], floor: (item: T) => unknown, work: (item: T) => unknown) {
  const floors: number[] = [];
  const works: number[] = [];
  for (let count = 0; count < ROUNDS; count++) {
    floors.push(round(items, floor));
    works.push(round(items, work));
  }
  const [floorPerSecond, perSecond] = [median(floors), median(works)].map(Math.round);
  return {
    floorPerSecond,
    perSecond,
    ratio: Number((perSecond! / floorPerSecond!).toFixed(2)),
  };
}

const lookUp = () => auditEventType;
const report: Record<string, unknown> = { node: process.version, unit: 'records per CPU second' };
for (const [name, lines] of Object.entries(sets)) {
  const events = lines.flatMap((line) => {
    const decoded = decodeJson(line);
    return decoded.ok ? decoded.events : [];
  });
  const data = events.map((event) => encodeAuditEvent(event));
  const values = data.map((datum) => frame(1, datum));
  const bytes = lines.map((line) => Buffer.from(line));
  const isDatum = datumValidator(auditEventType);
  report[name] = {
    lineBytes: Math.round(bytes.reduce((sum, one) => sum + one.length, 0) / bytes.length),
    datumBytes: Math.round(data.reduce((sum, one) => sum + one.length, 0) / data.length),
    'decodeJson(text) to JSON.parse': compare(lines, JSON.parse, (line) => decodeJson(line)),
    'decodeRecord(JSON) to JSON.parse': compare(
      bytes,
      (one) => JSON.parse(one.toString()),
      (one) => decodeRecord(one, lookUp),
    ),
    'decodeRecord(Avro) to avsc': compare(
      values,
      (value) => auditEventType.fromBuffer(value.subarray(5)),
      (value) => decodeRecord(value, lookUp),
    ),
    'readAuditEvent to avsc': compare(
      data,
      (datum) => auditEventType.fromBuffer(datum),
      readAuditEvent,
    ),
    'encodeAuditEvent to avsc': compare(
      events as AuditEventDatum[],
      (event) => auditEventType.toBuffer(event),
      encodeAuditEvent,
    ),
    'datumValidator to avsc': compare(
      data,
      (datum) => auditEventType.fromBuffer(datum),
      (datum) => isDatum(datum, 0),
    ),
  };
}
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
if (sink === undefined) process.exitCode = 1;
