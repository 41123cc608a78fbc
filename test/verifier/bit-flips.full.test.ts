/** A changed bit at any of a thousand places of an archive is found; `verify.py` finds what it is shown of them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { exitCodeOf } from '../../services/verifier/findings.ts';
import { bitFlips, withFlip } from './bit-flips.ts';
import { bucketSource } from './bucket-source.ts';
import { findingsIn } from './findings-in.ts';
import { both, hasPython } from './readings.ts';
import { scene } from './tamperings.ts';

const PLACES = 1_000;
const PLACES_PYTHON = 100;
const SEED = 20_261_128;

const skip = hasPython ? false : 'python3 is not here: verify.py was NOT tested on changed bits';
if (!hasPython) console.error(`\n*** ${skip} ***\n`);

describe('a changed bit', () => {
  test(`is found at ${PLACES} places, and named`, async () => {
    const archive = await scene();
    const kinds = new Set<string>();
    for (const flip of bitFlips(archive, SEED, PLACES)) {
      await withFlip(archive, flip, async () => {
        const found = await findingsIn(bucketSource(archive.bucket), { deep: false });
        const what = `${flip.key} bit ${flip.bit}: ${JSON.stringify(found)}`;
        assert.equal(exitCodeOf(found), 1, what);
        const folder = flip.key.slice(0, flip.key.lastIndexOf('/'));
        assert.ok(
          found.some(({ key }) => key.startsWith(folder)),
          what,
        );
      });
      kinds.add(flip.key.replace(/^.*\./, ''));
    }
    assert.deepEqual([...kinds].sort(), ['avro', 'json', 'note']);
    assert.deepEqual(await findingsIn(bucketSource(archive.bucket)), [], 'whole again');
  });

  test(`is found at ${PLACES_PYTHON} of them by verify.py too, alike`, { skip }, async () => {
    const archive = await scene();
    for (const flip of bitFlips(archive, SEED, PLACES_PYTHON)) {
      await withFlip(archive, flip, async () => {
        const [ours, theirs] = await both(archive, { deep: false }, []);
        assert.deepEqual(theirs, ours, `${flip.key} bit ${flip.bit}`);
        assert.ok(theirs.length > 0);
      });
    }
  });
});
