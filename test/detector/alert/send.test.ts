/** The alert sender against a server that fails in every way a real one can (promise D4). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import type { BulkAnswer, BulkItem } from '../../../services/detector/alert/bulk.ts';
import { verdictOf } from '../../../services/detector/alert/bulk.ts';
import {
  openSearchClient,
  readBulk,
  sendBulk,
} from '../../../services/detector/alert/opensearch.ts';
import {
  AlertSender,
  type OutgoingAlert,
  type SenderOptions,
} from '../../../services/detector/alert/send.ts';
import type { KafkaRecord } from '../../../services/ingest/record.ts';
import type { Clock } from '../../../services/runtime/clock.ts';
import { configSchema } from '../../../services/runtime/config.ts';
import { silentLog } from '../../../services/runtime/log.ts';

/** Every sleep is over at the next turn and moves the time: waits and backoff cost nothing. */
let time = 0;
const hastyClock: Clock = {
  now: () => time,
  sleep: (ms) => {
    time += ms;
    return new Promise((resolve) => setImmediate(resolve));
  },
};

const RECORD: KafkaRecord = {
  topic: 'events',
  partition: 0,
  offset: 0n,
  timestamp: 0n,
  key: null,
  value: null,
  headers: [],
};

interface Outcome {
  settled: string[];
  rejected: Array<{ id: string; item: BulkItem }>;
  counts: Record<string, number>;
}

function senderOf(
  bulk: SenderOptions['bulk'],
  changes: Partial<SenderOptions> = {},
): { sender: AlertSender; outcome: Outcome; add: (id: string, json?: string) => Promise<void> } {
  const outcome: Outcome = { settled: [], rejected: [], counts: {} };
  const sender = new AlertSender({
    bulk,
    reject: async (alert, item) => {
      outcome.rejected.push({ id: alert.id, item });
    },
    clock: hastyClock,
    random: () => 0.5,
    log: silentLog,
    bytesMax: 1_000_000,
    ageMsMax: 1,
    unsentMax: 1_000,
    counted: (what, count) => {
      outcome.counts[what] = (outcome.counts[what] ?? 0) + count;
    },
    reachable: () => {},
    ...changes,
  });
  const add = (id: string, json = `{"id":"${id}"}`): Promise<void> => {
    const alert: OutgoingAlert = {
      index: 'alerts-2026.11',
      id,
      json,
      revision: null,
      record: { ...RECORD },
      settled: () => outcome.settled.push(id),
    };
    return sender.add(alert);
  };
  return { sender, outcome, add };
}

const created: BulkItem = { status: 201, errorType: null, errorReason: null };

/** The ids of a bulk body. */
function idsOf(lines: string[]): string[] {
  return lines.filter((_, index) => index % 2 === 0).map((line) => JSON.parse(line).create._id);
}

function items(lines: string[], of: (id: string) => BulkItem): BulkAnswer {
  return { kind: 'items', items: idsOf(lines).map(of) };
}

describe('verdict on a document', () => {
  const vectors: Array<[number, string | null, string]> = [
    [201, null, 'stored'],
    [200, null, 'stored'],
    [409, 'version_conflict_engine_exception', 'duplicate'],
    [429, 'rejected_execution_exception', 'retry'],
    [429, 'circuit_breaking_exception', 'retry'],
    [503, 'unavailable_shards_exception', 'retry'],
    [500, null, 'retry'],
    [403, 'cluster_block_exception', 'retry'],
    [403, 'security_exception', 'retry'],
    [404, 'index_not_found_exception', 'retry'],
    [400, 'index_closed_exception', 'retry'],
    [400, 'validation_exception', 'retry'],
    [400, 'mapper_parsing_exception', 'rejected'],
    [400, 'strict_dynamic_mapping_exception', 'rejected'],
    [400, 'illegal_argument_exception', 'rejected'],
    [400, null, 'rejected'],
    [413, null, 'rejected'],
    [0, null, 'retry'],
  ];
  for (const [status, errorType, verdict] of vectors) {
    it(`${status} ${errorType ?? ''}: ${verdict}`, () => {
      assert.equal(verdictOf({ status, errorType, errorReason: null }), verdict);
    });
  }
});

describe('answers', () => {
  it('takes nothing for an answer that is none', () => {
    for (const body of [null, undefined, '', '<html>', {}, { items: 3 }, []]) {
      assert.equal(readBulk(body).kind, 'failed');
    }
  });
  it('reads status and error', () => {
    const error = { type: 'mapper_parsing_exception', reason: 'no' };
    assert.deepEqual(readBulk({ items: [{ create: { status: 400, error } }, null] }), {
      kind: 'items',
      items: [
        { status: 400, errorType: 'mapper_parsing_exception', errorReason: 'no' },
        { status: 0, errorType: null, errorReason: null },
      ],
    });
  });
});

describe('sender', () => {
  it('sends each alert once and settles it', async () => {
    const bodies: string[][] = [];
    const { sender, outcome, add } = senderOf(async (lines) => {
      bodies.push(lines);
      return items(lines, () => created);
    });
    for (const id of ['a', 'b', 'c']) await add(id);
    await sender.drain();
    assert.deepEqual(outcome.settled, ['a', 'b', 'c']);
    assert.deepEqual(bodies.flat().slice(0, 2), [
      '{"create":{"_index":"alerts-2026.11","_id":"a"}}',
      '{"id":"a"}',
    ]);
    assert.deepEqual(outcome.counts, { stored: 3 });
    await sender.stop();
  });

  it('retries only the documents that were not taken', async () => {
    const asked: string[][] = [];
    const { sender, outcome, add } = senderOf(async (lines) => {
      asked.push(idsOf(lines));
      const busy = { status: 429, errorType: 'rejected_execution_exception', errorReason: null };
      return items(lines, (id) => (id === 'b' && asked.length < 4 ? busy : created));
    });
    for (const id of ['a', 'b', 'c']) void add(id);
    await sender.drain();
    assert.deepEqual(asked, [['a', 'b', 'c'], ['b'], ['b'], ['b']]);
    assert.deepEqual(outcome.settled, ['a', 'c', 'b']);
    assert.equal(outcome.counts.retried, 3);
    await sender.stop();
  });

  it('takes 409 for stored, and counts it apart', async () => {
    const there = {
      status: 409,
      errorType: 'version_conflict_engine_exception',
      errorReason: null,
    };
    const { sender, outcome, add } = senderOf(async (lines) => items(lines, () => there));
    void add('a');
    await sender.drain();
    assert.deepEqual(outcome, { settled: ['a'], rejected: [], counts: { duplicate: 1 } });
    await sender.stop();
  });

  it('dead-letters a document that is at fault, and goes on', async () => {
    const bad = { status: 400, errorType: 'mapper_parsing_exception', errorReason: 'no' };
    const { sender, outcome, add } = senderOf(async (lines) =>
      items(lines, (id) => (id === 'b' ? bad : created)),
    );
    for (const id of ['a', 'b', 'c']) void add(id);
    await sender.drain();
    assert.deepEqual(outcome.settled, ['a', 'b', 'c']);
    assert.deepEqual(outcome.rejected, [{ id: 'b', item: bad }]);
    await sender.stop();
  });

  it('does not settle a rejected alert before its dead letter is durable', async () => {
    const bad = { status: 400, errorType: 'mapper_parsing_exception', errorReason: 'no' };
    let attempts = 0;
    const { sender, outcome, add } = senderOf(async (lines) => items(lines, () => bad), {
      reject: async () => {
        attempts += 1;
        if (attempts < 3) throw new Error('Kafka is away');
        assert.deepEqual(outcome.settled, []);
      },
    });
    void add('a');
    await sender.drain();
    assert.equal(attempts, 3);
    assert.deepEqual(outcome.settled, ['a']);
    await sender.stop();
  });

  it('splits a request that is too large, down to the one document that is', async () => {
    const { sender, outcome, add } = senderOf(async (lines) => {
      const tooLarge = idsOf(lines).includes('big');
      if (tooLarge) return { kind: 'failed', status: 413, reason: 'too large' };
      return items(lines, () => created);
    });
    for (const id of ['a', 'b', 'c', 'big', 'd', 'e', 'f']) void add(id);
    await sender.drain();
    assert.deepEqual(outcome.settled.toSorted(), ['a', 'b', 'big', 'c', 'd', 'e', 'f']);
    assert.deepEqual(
      outcome.rejected.map(({ id }) => id),
      ['big'],
    );
    await sender.stop();
  });

  it('makes the reader wait while too many alerts wait', async () => {
    let open: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const { sender, add } = senderOf(
      async (lines) => {
        await gate;
        return items(lines, () => created);
      },
      { unsentMax: 2 },
    );
    await add('a');
    let passed = false;
    const second = add('b').then(() => {
      passed = true;
    });
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(passed, false);
    assert.equal(sender.unsent, 2);
    open!();
    await second;
    assert.ok(sender.unsent < 2);
    await sender.stop();
  });

  it('keeps requests under the byte limit', async () => {
    const sizes: number[] = [];
    const { sender, add } = senderOf(
      async (lines) => {
        sizes.push(Buffer.byteLength(`${lines.join('\n')}\n`));
        return items(lines, () => created);
      },
      { bytesMax: 1_000 },
    );
    for (let n = 0; n < 50; n += 1) void add(`id-${n}`, `{"x":"${'é'.repeat(60)}"}`);
    await sender.drain();
    assert.ok(sizes.length > 5);
    assert.ok(Math.max(...sizes) <= 1_000);
    await sender.stop();
  });

  it('gives up unsettled what is unsent when it is stopped', async () => {
    const { sender, outcome, add } = senderOf(async () => ({
      kind: 'failed',
      status: null,
      reason: 'away',
    }));
    void add('a');
    await sender.stop();
    assert.deepEqual(outcome.settled, []);
    assert.equal(sender.unsent, 1);
  });

  it('loses and repeats no alert, whatever the answers', async () => {
    const answer = fc.constantFrom('ok', 'busy', 'dup', 'bad', 'down', 'huge', 'short');
    await fc.assert(
      fc.asyncProperty(
        fc.array(answer, { maxLength: 30 }),
        fc.integer({ min: 1, max: 40 }),
        async (answers, count) => {
          let turn = 0;
          const { sender, outcome, add } = senderOf(async (lines): Promise<BulkAnswer> => {
            const what = answers[turn] ?? 'ok';
            turn += 1;
            if (what === 'down') return { kind: 'failed', status: 503, reason: '' };
            if (what === 'huge') return { kind: 'failed', status: 413, reason: '' };
            if (what === 'short') return { kind: 'items', items: [] };
            const status = { ok: 201, busy: 429, dup: 409, bad: 400 }[what];
            const one = { status, errorType: null, errorReason: null };
            return items(lines, (id) => (Number(id) % 2 === 0 ? one : created));
          });
          for (let n = 0; n < count; n += 1) void add(String(n));
          await sender.drain();
          const all = Array.from({ length: count }, (_, n) => n);
          assert.deepEqual(
            outcome.settled.map(Number).toSorted((a, b) => a - b),
            all,
          );
          assert.equal(sender.unsent, 0);
          await sender.stop();
        },
      ),
      { numRuns: 300, seed: 11 },
    );
  });
});

describe('sender over HTTP', () => {
  type Answer = (request: IncomingMessage, response: ServerResponse, ids: string[]) => void;
  const stored = new Set<string>();
  let script: Answer[] = [];

  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const lines = Buffer.concat(chunks).toString().trimEnd().split('\n');
      (script.shift() ?? take)(request, response, idsOf(lines));
    });
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  const json = (response: ServerResponse, status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  const take: Answer = (_, response, ids) => {
    const list = ids.map((id) => {
      const there = stored.has(id);
      stored.add(id);
      const error = { type: 'version_conflict_engine_exception', reason: 'there' };
      return there ? { create: { status: 409, error } } : { create: { status: 201 } };
    });
    json(response, 200, { took: 1, errors: false, items: list });
  };
  const faults: Record<string, Answer> = {
    'a reset before the answer, after the write': (request, _, ids) => {
      for (const id of ids) stored.add(id);
      request.socket.destroy();
    },
    'a reset in the middle of the answer': (request, response, ids) => {
      for (const id of ids) stored.add(id);
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
      response.write('{"items":[');
      setImmediate(() => request.socket.destroy());
    },
    '429': (_, response) => json(response, 429, { error: { type: 'x' }, status: 429 }),
    '503 with HTML': (_, response) => {
      response.writeHead(503, { 'content-type': 'text/html' });
      response.end('<html>');
    },
    '200 with HTML': (_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end('<html>');
    },
    '200 with broken JSON': (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end('{"items":[');
    },
    '401': (_, response) => json(response, 401, {}),
    'no answer until the timeout': (_, __, ids) => {
      for (const id of ids) stored.add(id);
    },
  };

  for (const [name, fault] of Object.entries(faults)) {
    it(`stores every alert once after ${name}`, async () => {
      if (!server.listening) {
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
      }
      stored.clear();
      script = [fault, fault];
      const { port } = server.address() as AddressInfo;
      const config = configSchema.parse({
        opensearch: { nodes: [`http://127.0.0.1:${port}`], timeoutMs: 150 },
      });
      const client = openSearchClient(config.opensearch);
      const { sender, outcome, add } = senderOf((lines) => sendBulk(client, lines));
      for (const id of ['a', 'b', 'c']) void add(id);
      await sender.drain();
      assert.deepEqual(outcome.settled.toSorted(), ['a', 'b', 'c']);
      assert.deepEqual([...stored].toSorted(), ['a', 'b', 'c']);
      assert.deepEqual(outcome.rejected, []);
      assert.equal(script.length, 0, 'both faults happened');
      await sender.stop();
      await client.close();
    });
  }

  it('goes on when the server comes back', async () => {
    const away = createServer();
    away.listen(0, '127.0.0.1');
    await once(away, 'listening');
    const { port } = away.address() as AddressInfo;
    away.close();
    await once(away, 'close');
    const config = configSchema.parse({ opensearch: { nodes: [`http://127.0.0.1:${port}`] } });
    const client = openSearchClient(config.opensearch);
    let failures = 0;
    const { sender, outcome, add } = senderOf(async (lines) => {
      const answer = await sendBulk(client, lines);
      if (answer.kind === 'failed') failures += 1;
      return answer;
    });
    void add('late');
    while (failures < 3) await new Promise((resolve) => setImmediate(resolve));
    const back = createServer((request, response) => {
      request.resume();
      request.on('end', () => take(request, response, ['late']));
    });
    back.listen(port, '127.0.0.1');
    await sender.drain();
    assert.deepEqual(outcome.settled, ['late']);
    await sender.stop();
    await client.close();
    back.closeAllConnections();
    back.close();
  });
});
