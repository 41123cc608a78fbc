/**
 * Cosignatures of witnesses, asked of one that does what C2SP tlog-witness demands of it: and of ones
 * that are away, that lie, or that have seen another history.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseNote } from '../../../schemas/evidence/note.ts';
import { cosignaturesIn, judgeWitness } from '../../../schemas/evidence/witness.ts';
import type { Http } from '../../../services/archiver/anchors/http.ts';
import { witnessAnchor } from '../../../services/archiver/anchors/witnesses.ts';
import { namedWitnesses } from '../../../services/evidence/trust.ts';
import { TestWitness } from '../../tsa/witness.ts';
import { signer } from '../../verifier/proof-archive.ts';
import { AnchorScene } from './scene.ts';

function setting(witnesses: TestWitness[], scene = new AnchorScene()) {
  const urls = witnesses.map((_, at) => `https://w${at}.example.com/submit`);
  const http: Http = ({ url, body, method }) => {
    const at = urls.findIndex((one) => url === `${one}/add-checkpoint`);
    assert.ok(at >= 0 && method === 'POST', url);
    return witnesses[at]!.add(body!);
  };
  const named = witnesses.map(({ key }, at) => ({ url: `${urls[at]}/`, key }));
  return { scene, anchor: witnessAnchor({ ...scene.options, witnesses: named, http }) };
}

describe('witnesses of roots', () => {
  test('cosign each root, shown that it continues what they saw', async () => {
    const witness = new TestWitness('witness.example.com/w1', 1);
    const { scene, anchor } = setting([witness]);
    for (let hour = 0; hour < 7; hour++) {
      const root = await scene.root();
      // Some roots are missed, so that proofs are over more than one leaf.
      if (hour % 3 === 1) continue;
      await anchor.run(root);
      const lines = scene.file('witness', root.size)!;
      assert.equal(judgeWitness(root.note, lines, [witness.key]), null);
      const [cosigned] = cosignaturesIn(parseNote(root.note), lines, [witness.key]);
      assert.equal(cosigned!.time, 1_795_000_000);
    }
    assert.deepEqual(witness.asked, [0, 1, 3, 4, 6]);
    assert.deepEqual(scene.sizes('witness'), [1, 3, 4, 6, 7]);
  });

  test('tell a new process what they saw last', async () => {
    const witness = new TestWitness('witness.example.com/w1', 1);
    const { scene, anchor } = setting([witness]);
    await anchor.run(await scene.root());
    await scene.root();
    const again = setting([witness], scene);
    await again.anchor.run(await scene.root());
    assert.deepEqual(witness.asked, [0, 0, 1]);
    assert.deepEqual(scene.sizes('witness'), [1, 3]);
    await again.anchor.run({ size: 3, note: scene.file('note', 3)!, timeMs: 0 });
    assert.equal(witness.asked.length, 3, 'what is cosigned is not asked for again');
  });

  test('that answer wait a while for those that do not', async () => {
    const here = new TestWitness('witness.example.com/w1', 1);
    const away = new TestWitness('witness.example.com/w2', 2);
    away.away = true;
    const { scene, anchor } = setting([here, away]);
    const persistence = scene.persist(anchor);
    persistence.wake(await scene.root());
    await scene.settle();
    assert.deepEqual(scene.sizes('witness'), []);
    assert.match(scene.told[0]!, /witness\.example\.com\/w2: it is away/);
    await scene.world.advance(30 * 60_000);
    assert.deepEqual(scene.sizes('witness'), [1]);
    assert.equal(here.asked.length, 1);
    away.away = false;
    persistence.wake(await scene.root());
    await scene.settle();
    const lines = scene.file('witness', 2)!;
    const both = cosignaturesIn(parseNote(scene.file('note', 2)!), lines, [here.key, away.key]);
    assert.equal(both.length, 2);
    scene.close();
  });

  test('of which one lies, or has seen another history, are told and not stored', async () => {
    const witness = new TestWitness('witness.example.com/w1', 1);
    const { scene, anchor } = setting([witness]);
    const root = await scene.root();
    witness.forge = true;
    await assert.rejects(anchor.run(root), { code: 'WITNESS_REFUSED', message: /does not verify/ });
    witness.forge = false;
    witness.seen = { size: 1, root: Buffer.alloc(32, 9) };
    await assert.rejects(anchor.run(root), { message: /another root of this size/ });
    const next = await scene.root();
    await assert.rejects(anchor.run(next), { message: /another history/ });
    witness.seen = { size: 5, root: Buffer.alloc(32, 9) };
    await assert.rejects(anchor.run(next), { message: /cosigned 5 roots, and here are 2/ });
    assert.deepEqual(scene.sizes('witness'), []);
  });

  test('are judged by their keys: what is wrong is told, what is unknown passed over', async () => {
    const [one, other] = [new TestWitness('w.example.com', 1), new TestWitness('w.example.com', 2)];
    const scene = new AnchorScene();
    const { note } = await scene.root();
    const { note: later } = await scene.root();
    const good = await one.line(note);
    const judged = (lines: string, keys = [one.key]): string | null =>
      judgeWitness(note, Buffer.from(lines), keys);
    assert.equal(judged(good), null);
    assert.equal(judged(good + (await other.line(note))), null);
    assert.equal(judged(await other.line(later)), null);
    assert.match(judged(await one.line(later))!, /does not verify/);
    one.forge = true;
    assert.match(judged(good + (await one.line(note)))!, /does not verify/);
    for (const junk of ['', 'x', `${good}x\n`, good.slice(0, -1), `${good}\n`, `\n${good}`]) {
      assert.notEqual(judged(junk), null, JSON.stringify(junk));
    }
    assert.throws(() => namedWitnesses([signer.verifier.vkey]), { code: 'WITNESS_KEY' });
    assert.deepEqual(namedWitnesses([one.key.vkey])[0]!.keyId, one.key.keyId);
  });
});
