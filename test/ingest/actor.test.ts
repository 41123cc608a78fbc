import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { actorName, actorType } from '../../services/ingest/actor.ts';

const nobody = { runBy: null, email: null, subjectName: null };

describe('an actor', () => {
  it('is named by the best identity that is there', () => {
    const all = { runBy: 'by', email: 'mail', subjectName: 'subject' };
    assert.equal(actorName(all, 'user', 'recipient'), 'by');
    assert.equal(actorName({ ...all, runBy: null }, 'user', 'recipient'), 'mail');
    assert.equal(actorName({ ...all, runBy: '', email: '' }, 'user', 'recipient'), 'subject');
    assert.equal(actorName(nobody, 'user', 'recipient'), 'user');
    assert.equal(actorName(nobody, undefined, 'recipient'), 'recipient');
    assert.equal(actorName(nobody, '', ''), 'unknown');
    assert.equal(actorName(nobody, undefined, undefined), 'unknown');
  });

  it('is of the kind its name tells', () => {
    const kinds = {
      'ada@example.com': 'user',
      'ddb92362-0000-4000-8000-e5a747e0b2f5': 'service_principal',
      'DDB92362-0000-4000-8000-E5A747E0B2F5': 'service_principal',
      'System-User': 'system',
      unknown: 'unknown',
      __REDACTED__: 'unknown',
      partner: 'unknown',
      'ddb92362-0000-4000-8000-e5a747e0b2f': 'unknown',
      '': 'unknown',
    };
    for (const [name, kind] of Object.entries(kinds)) assert.equal(actorType(name), kind, name);
  });
});
