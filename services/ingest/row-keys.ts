/**
 * The keys of JSON rows, and which field of an event each one is: for the shapes that are read
 * where they lie, log delivery and rows of the system table.
 */
import { strict as assert } from 'node:assert';
import * as layout from './row-layout.ts';

interface RowKey {
  name: string;
  field: number;
  shapes: number;
}

function keys(shapes: number, fields: Record<string, number>): RowKey[] {
  return Object.entries(fields).map(([name, field]) => ({ name, field, shapes }));
}

const ROW_KEYS = [
  ...keys(layout.BOTH_SHAPES, { version: layout.VERSION, response: layout.RESPONSE }),
  ...keys(layout.DELIVERY, {
    timestamp: layout.TIME,
    serviceName: layout.SERVICE,
    actionName: layout.ACTION,
    auditLevel: layout.AUDIT_LEVEL,
    accountId: layout.ACCOUNT_ID,
    workspaceId: layout.WORKSPACE_ID,
    orgId: layout.ORG_ID,
    shardName: layout.SHARD_NAME,
    requestId: layout.REQUEST_ID,
    sessionId: layout.SESSION_ID,
    userAgent: layout.USER_AGENT,
    sourceIPAddress: layout.SOURCE,
    userIdentity: layout.IDENTITY,
    requestParams: layout.PARAMS,
  }),
  ...keys(layout.SYSTEM_TABLE, {
    event_time: layout.TIME,
    service_name: layout.SERVICE,
    action_name: layout.ACTION,
    audit_level: layout.AUDIT_LEVEL,
    account_id: layout.ACCOUNT_ID,
    workspace_id: layout.WORKSPACE_ID,
    request_id: layout.REQUEST_ID,
    session_id: layout.SESSION_ID,
    user_agent: layout.USER_AGENT,
    source_ip_address: layout.SOURCE,
    event_id: layout.EVENT_ID,
    user_identity: layout.IDENTITY,
    identity_metadata: layout.METADATA,
    request_params: layout.PARAMS,
  }),
  // Envelopes, and shapes that `shapeOf` would prefer or that hold their fields deeper.
  ...keys(layout.BOTH_SHAPES, {
    records: layout.OTHER_SHAPE,
    jsonPayload: layout.OTHER_SHAPE,
    properties: layout.OTHER_SHAPE,
    ServiceName: layout.OTHER_SHAPE,
  }),
];

const IDENTITY_KEYS = keys(layout.BOTH_SHAPES, {
  email: layout.EMAIL,
  subjectName: layout.SUBJECT_NAME,
  subject_name: layout.SUBJECT_NAME,
});

const METADATA_KEYS = keys(layout.BOTH_SHAPES, {
  run_by: layout.RUN_BY,
  runBy: layout.RUN_BY,
  run_as: layout.RUN_AS,
  runAs: layout.RUN_AS,
  run_by_display_name: layout.RUN_BY_DISPLAY_NAME,
  runByDisplayName: layout.RUN_BY_DISPLAY_NAME,
  run_as_display_name: layout.RUN_AS_DISPLAY_NAME,
  runAsDisplayName: layout.RUN_AS_DISPLAY_NAME,
  acting_resource: layout.ACTING_RESOURCE,
  actingResource: layout.ACTING_RESOURCE,
});

const RESPONSE_KEYS = keys(layout.BOTH_SHAPES, {
  statusCode: layout.STATUS_CODE,
  status_code: layout.STATUS_CODE,
  errorMessage: layout.ERROR_MESSAGE,
  error_message: layout.ERROR_MESSAGE,
  result: layout.RESULT,
});

/** Writes the tables of keys into a scanner's memory; `slotOf` is the scanner's, of a name at `ROW`. */
export function writeKeys(
  memory: ArrayBuffer,
  slotOf: (name: number, size: number) => number,
): void {
  const view = new DataView(memory);
  const bytes = new Uint8Array(memory);
  let place = layout.KEYS;

  function writeKey(table: number, { name, field, shapes }: RowKey): void {
    const word = Buffer.from(`"${name}":`);
    assert(word.length <= layout.KEY_WORD_BYTES, `the key ${name} is too long for its place`);
    view.setInt32(place + layout.KEY_SIZE, word.length, true);
    view.setInt32(place + layout.KEY_FIELD, field, true);
    view.setInt32(place + layout.KEY_SHAPES, shapes, true);
    bytes.set(word, place + layout.KEY_WORD);
    bytes.fill(0xff, place + layout.KEY_MASK, place + layout.KEY_MASK + word.length);
    bytes.set(Buffer.from(name), layout.ROW);
    let slot = slotOf(layout.ROW, name.length);
    const slots = table + layout.TABLE_SLOTS;
    while (view.getInt32(slots + slot * 4, true) !== 0) slot = (slot + 1) % layout.TABLE_SLOT_COUNT;
    view.setInt32(slots + slot * 4, place, true);
    place += layout.KEY_BYTES;
  }

  function writeTable(table: number, keys: readonly RowKey[]): void {
    for (const key of keys) writeKey(layout.TABLES + table * layout.TABLE_BYTES, key);
  }
  writeTable(layout.ROW_TABLE, ROW_KEYS);
  writeTable(layout.IDENTITY_TABLE, IDENTITY_KEYS);
  writeTable(layout.METADATA_TABLE, METADATA_KEYS);
  writeTable(layout.RESPONSE_TABLE, RESPONSE_KEYS);
}
