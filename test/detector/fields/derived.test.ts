/** Fields that are worked out of others, and the sets of fields that stateful rules read. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { auditEventType, encodeAuditEvent, frame } from '../../../schemas/audit-event.ts';
import {
  addressClass,
  agentClass,
  agentFamily,
  workspaceOf,
} from '../../../services/detector/fields/derived.ts';
import { FieldSet } from '../../../services/detector/fields/field-set.ts';
import type { PlaceSource } from '../../../services/detector/fields/place.ts';
import { Matcher } from '../../../services/detector/match/match.ts';
import { decodeJson } from '../../../services/ingest/decode.ts';
import { RecordViewer } from '../../../services/ingest/record-view.ts';
import { auditEvent, rulesOf, ruleText, withParams } from '../events.ts';

describe('the class of an address', () => {
  const classes: Array<[address: string, expected: string | null]> = [
    ['8.8.8.8', 'public'],
    ['203.0.113.7', 'public'],
    ['192.0.2.1', 'public'],
    ['198.51.100.1', 'public'],
    ['2001:db8::1', 'public'],
    ['10.0.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.168.1.1', 'private'],
    ['100.64.0.1', 'private'],
    ['fd00::1', 'private'],
    ['127.0.0.1', 'loopback'],
    ['0:0:0:0:0:0:0:1', 'loopback'],
    ['169.254.169.254', 'link_local'],
    ['fe80::1', 'link_local'],
    ['0.0.0.0', 'unspecified'],
    ['::', 'unspecified'],
    ['224.0.0.1', 'reserved'],
    ['255.255.255.255', 'reserved'],
    ['198.18.0.1', 'reserved'],
    ['::ffff:10.0.0.1', 'private'],
    ['::ffff:203.0.113.7', 'public'],
    ['not an address', null],
    ['', null],
  ];
  for (const [address, expected] of classes) {
    it(`of ${address || 'nothing'} is ${expected}`, () => {
      assert.equal(addressClass(address), expected);
      assert.equal(addressClass(address), expected, 'asked again');
    });
  }
});

describe('the workspace', () => {
  const resource =
    '/SUBSCRIPTIONS/00000000-0000-4000-8000-000000000001/RESOURCEGROUPS/DATA/PROVIDERS/MICROSOFT.DATABRICKS/WORKSPACES/PROD';
  const of = (workspaceId: string | null, resourceId: string | null): string | null =>
    workspaceOf(auditEvent({ workspaceId, resourceId }));

  it('is its id, and 0 for the account', () => {
    assert.equal(of('1234567890123456', null), '1234567890123456');
    assert.equal(of('0', null), '0');
    assert.equal(of('1234567890123456', resource), '1234567890123456');
  });

  it('is the resource id in lower case where there is no id', () => {
    assert.equal(of(null, resource), resource.toLowerCase());
    assert.equal(of('', resource), resource.toLowerCase());
    assert.equal(of(null, `${resource}/child/x`), resource.toLowerCase());
    const elsewhere = resource.replace('/DATA/', '/TEST/');
    assert.notEqual(of(null, elsewhere), of(null, resource), 'the same name in another group');
  });

  it('is absent where neither is given', () => {
    assert.equal(of(null, null), null);
    assert.equal(of('', ''), null);
    assert.equal(of(null, '/SUBSCRIPTIONS/X/RESOURCEGROUPS/DATA'), null);
    assert.equal(of(null, '/PROVIDERS/MICROSOFT.DATABRICKS/WORKSPACES/'), null);
  });

  it('is read from an Azure event as from a view of its record', () => {
    const record = {
      resourceId: resource,
      time: '2026-11-24T09:30:15Z',
      category: 'workspace',
      identity: '{"email":"alice@example.com","subjectName":null}',
      properties: {
        logId: '3dd93080-f90f-3ea4-8a51-000000000001',
        serviceName: 'workspace',
        actionName: 'workspaceConfEdit',
        requestParams: '{}',
        response: '{"statusCode":200}',
      },
    };
    const decoded = decodeJson(JSON.stringify(record));
    const [event] = decoded.ok ? decoded.events : [];
    const view = new RecordViewer().record(
      frame(1, encodeAuditEvent(event!)),
      () => auditEventType,
    );
    assert.equal(event!.workspaceId, null);
    const fields = new FieldSet(['lakeseal.workspace']);
    assert.deepEqual(fields.read(event!), [resource.toLowerCase()]);
    assert.deepEqual(fields.read(view!), [resource.toLowerCase()]);
    assert.ok(!view!.isDoubtful);
  });
});

it('tells services, scanners and clients by what they say of themselves', () => {
  assert.equal(agentClass('Apache-HttpClient/4.5 Databricks-Service/driver x'), 'service');
  assert.equal(agentClass('DATABRICKS-RUNTIME/15.4'), 'service');
  assert.equal(agentClass('TruffleHog'), 'scanner');
  assert.equal(agentClass('mlflow-python gitleaks'), 'scanner');
  assert.equal(agentClass('Mozilla/5.0'), 'client');
  assert.equal(agentClass(''), null);
  assert.equal(agentClass(null), null);
  assert.equal(agentFamily('Mozilla/5.0 (X11)'), 'mozilla');
  assert.equal(agentFamily('curl 8'), 'curl');
  assert.equal(agentFamily('TruffleHog'), 'trufflehog');
  assert.equal(agentFamily('/x'), null);
  assert.equal(agentFamily(null), null);
});

describe('the life of a token', () => {
  const fires = (params: Record<string, string>, actionName = 'generateDbToken'): boolean => {
    const [rule] = rulesOf(ruleText('s: { lakeseal.tokenLifetimeHours|gt: 72 }\ncondition: s'));
    const event = { ...withParams(params), actionName, eventTime: 1_000 * 3_600_000 };
    return new Matcher([rule!]).match(event).length > 0;
  };

  it('is counted from the event, and absent where it has no end', () => {
    assert.ok(fires({ tokenExpirationTime: String(1_073 * 3_600_000) }));
    assert.ok(fires({ token_expiration_time: String(1_073 * 3_600_000) }));
    assert.ok(!fires({ tokenExpirationTime: String(1_072 * 3_600_000) }));
    assert.ok(!fires({ tokenExpirationTime: '-1' }));
    assert.ok(!fires({ tokenExpirationTime: '0' }));
    assert.ok(!fires({ tokenExpirationTime: 'never' }));
    assert.ok(!fires({}));
  });

  it('is that of new tokens alone', () => {
    assert.ok(!fires({ tokenExpirationTime: String(1_073 * 3_600_000) }, 'revokeDbToken'));
    assert.ok(fires({ tokenExpirationTime: String(1_073 * 3_600_000) }, 'GENERATEDBTOKEN'));
  });
});

describe('places', () => {
  const paris = { country: 'FR', city: 'Paris', latitude: 48.86, longitude: 2.35 };
  const places: PlaceSource = {
    place: (ip) =>
      ip === '203.0.113.7' ? { ...paris, asn: 64_500, asOrganisation: 'Example' } : null,
  };

  it('are fields of rules', () => {
    const [rule] = rulesOf(
      ruleText('s: { lakeseal.source.country: fr, lakeseal.source.asn: 64500 }\ncondition: s'),
    );
    const matcher = new Matcher([rule!], places);
    assert.equal(matcher.match(auditEvent({ sourceIp: '203.0.113.7' })).length, 1);
    assert.equal(matcher.match(auditEvent({ sourceIp: '203.0.113.8' })).length, 0);
    assert.equal(new Matcher([rule!]).match(auditEvent({ sourceIp: '203.0.113.7' })).length, 0);
  });

  it('are read with other fields for stateful rules, in order', () => {
    const set = new FieldSet(
      ['lakeseal.source.latitude', 'actor.name', 'requestParams.list.a', 'requestParams.none'],
      places,
    );
    const event = {
      ...withParams({ list: '[{"a":1},{"a":"b"}]' }),
      sourceIp: '203.0.113.7',
    };
    assert.deepEqual(set.read(event), ['48.86', 'alice@example.com', '["1","b"]', null]);
  });
});
