/** Audit events as a generator sees them: every field, any Unicode, hostile keys. */
import fc from 'fast-check';
import type { AuditEvent } from '../../services/ingest/event.ts';

const EVENT_TIME_MS_MAX = 253_402_300_799_999;

/** Short and long, ASCII and not, on both sides of the sizes where codecs change their way. */
export const anyText: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary-ascii', maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.string({ unit: 'binary', minLength: 20, maxLength: 30 }),
  fc.string({ unit: 'binary-ascii', minLength: 60, maxLength: 70 }),
  fc.string({ unit: 'binary', minLength: 60, maxLength: 140 }),
  fc.constantFrom('', '\ufffd', '\u{1f600}', 'é', '\u0000', '__proto__', 'null'),
);

const PLAIN = { noNullPrototype: true } as const;
const optionalText = fc.option(anyText, { nil: null, freq: 3 });
const optionalInt = fc.option(fc.integer(), { nil: null, freq: 3 });
const key = fc.oneof(anyText, fc.constantFrom('__proto__', 'constructor', 'toString', '0', '10'));

function textMap(maxLength: number): fc.Arbitrary<Record<string, string>> {
  return fc.array(fc.tuple(key, anyText), { maxLength }).map((entries) => {
    const map: Record<string, string> = Object.create(null);
    for (const [name, value] of entries) map[name] = value;
    return map;
  });
}

export const auditEvents: fc.Arbitrary<AuditEvent> = fc.record(
  {
    eventId: anyText,
    eventIdSource: fc.constantFrom('event_id', 'log_id', 'content_hash'),
    eventTime: fc.integer({ min: 1, max: EVENT_TIME_MS_MAX }),
    eventTimeText: optionalText,
    shape: fc.constantFrom('delivery', 'system_table', 'azure_record', 'log_analytics'),
    version: optionalText,
    auditLevel: optionalText,
    accountId: optionalText,
    workspaceId: optionalText,
    orgId: optionalText,
    shardName: optionalText,
    resourceId: optionalText,
    category: optionalText,
    serviceName: anyText.filter((text) => text !== ''),
    actionName: anyText.filter((text) => text !== ''),
    requestId: optionalText,
    sessionId: optionalText,
    userAgent: optionalText,
    sourceIp: optionalText,
    sourcePort: optionalInt,
    sourceAddressText: optionalText,
    actor: fc.record(
      {
        name: anyText,
        type: fc.constantFrom('user', 'service_principal', 'system', 'unknown'),
        email: optionalText,
        subjectName: optionalText,
        runBy: optionalText,
        runAs: optionalText,
        runByDisplayName: optionalText,
        runAsDisplayName: optionalText,
        actingResource: optionalText,
      },
      PLAIN,
    ),
    requestParams: textMap(12),
    requestParamsTruncated: fc.boolean(),
    response: fc.option(
      fc.record(
        { statusCode: optionalInt, errorMessage: optionalText, result: optionalText },
        PLAIN,
      ),
      { nil: null },
    ),
    outcome: fc.constantFrom('success', 'failure', 'unknown'),
    decodeErrors: fc.array(anyText, { maxLength: 4 }),
    extra: textMap(4),
    raw: fc.tuple(anyText, fc.constantFrom(1, 1, 100)).map(([text, times]) => text.repeat(times)),
  },
  PLAIN,
);
