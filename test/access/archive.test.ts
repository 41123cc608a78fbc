/** Reading an archive's events: all of them, in order, and what is said where it cannot be read. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { evidenceKey, partitionLog } from '../../schemas/evidence/log-layout.ts';
import { slotKey } from '../../schemas/layout.ts';
import {
  type ArchiveReading,
  type ReadableStore,
  readArchive,
} from '../../services/access/archive.ts';
import { ADDRESSES, PREFIX, smallArchive } from '../verifier/proof-archive.ts';

/** More than are read ahead. */
const SEGMENTS = 40;
const RECORDS = 3;
const [ADDRESS] = ADDRESSES;
const LOG = partitionLog(ADDRESS!);
const manifestKey = (number: number): string =>
  evidenceKey(PREFIX, { log: LOG, kind: 'leaf', number });
const segmentKey = (at: number): string =>
  slotKey(PREFIX, { ...ADDRESS!, firstOffset: BigInt(at * RECORDS) });

const archive = smallArchive();
for (let at = 0; at < SEGMENTS; at += 1) await archive.seal(RECORDS);

interface Reading extends ArchiveReading {
  /** Sequences of manifests whose events were heard, in order. */
  heard: Array<[log: string, sequence: number]>;
}

/** The archive, whose store answers otherwise for some keys. */
async function read(
  get: (key: string) => ReturnType<ReadableStore['get']> | undefined = () => undefined,
  open: (stored: Buffer) => Promise<Buffer> = async (stored) => stored,
): Promise<Reading> {
  const { store } = archive;
  const heard: Reading['heard'] = [];
  const reading = await readArchive(
    {
      store: {
        list: (...asked) => store.list(...asked),
        versions: (...asked) => store.versions(...asked),
        get: (key) => get(key) ?? store.get(key),
      },
      prefix: PREFIX,
      withoutTopics: [],
      open,
    },
    {
      heard: ({ log, sequence }) => ({
        event: () => void heard.push([log, sequence]),
        access: () => assert.fail('there are none'),
        undecodable: (_, reason) => assert.fail(reason),
      }),
    },
  );
  return { ...reading, heard };
}

describe('the events of an archive', () => {
  test('are all heard, in its order', async () => {
    const { heard, ...reading } = await read();
    const logs = ADDRESSES.map(partitionLog);
    assert.deepEqual(reading, {
      read: logs.map((log) => [log, SEGMENTS]),
      segments: 2 * SEGMENTS,
      all: 2 * SEGMENTS,
      gaps: 0,
    });
    const expected = logs.flatMap((log) =>
      Array.from({ length: SEGMENTS * RECORDS }, (_, at) => [log, Math.floor(at / RECORDS)]),
    );
    assert.deepEqual(heard, expected);
  });

  const missing = { code: 'DOES_NOT_VERIFY' };
  for (const at of [0, 15, 16, SEGMENTS - 2]) {
    test(`are not given where manifest ${at} is not there, or is another`, async () => {
      const key = manifestKey(at);
      const without = (asked: string) => (asked === key ? Promise.resolve(null) : undefined);
      await assert.rejects(read(without), missing);
      const swapped = (asked: string) =>
        asked === key ? archive.store.get(manifestKey(at + 1)) : undefined;
      await assert.rejects(read(swapped), { ...missing, message: /does not follow/ });
    });

    test(`are not given where segment ${at} is not there, or is another`, async () => {
      const key = segmentKey(at);
      const without = (asked: string) => (asked === key ? Promise.resolve(null) : undefined);
      await assert.rejects(read(without), { ...missing, message: `${key} is not there` });
      const swapped = (asked: string) =>
        asked === key ? archive.store.get(segmentKey(at + 1)) : undefined;
      await assert.rejects(read(swapped), { ...missing, message: /not what its manifest says/ });
    });
  }

  test('are not there while the store is down: that is said, and nothing of tampering', async () => {
    for (const key of [manifestKey(17), segmentKey(0), segmentKey(17)]) {
      const down = new Error('connect ECONNREFUSED');
      const refused = (asked: string) => (asked === key ? Promise.reject(down) : undefined);
      await assert.rejects(read(refused), down);
    }
  });

  test('where a segment fails that is fetched ahead, the one before is read to its end first', async () => {
    const down = new Error('connect ECONNREFUSED');
    const refused = (asked: string) => (asked === segmentKey(1) ? Promise.reject(down) : undefined);
    const opened: number[] = [];
    const slowly = async (stored: Buffer): Promise<Buffer> => {
      await setImmediate();
      opened.push(stored.length);
      return stored;
    };
    await assert.rejects(read(refused, slowly), down);
    assert.equal(opened.length, 1);
  });
});
