/**
 * Notes, keys, checkpoints and proofs that others have published, with the keys that they published:
 * what their tools accept and refuse, ours does. The specifications' own examples, of which no key
 * is public, are taken for their form.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  checkpointText,
  openCheckpoint,
  parseCheckpoint,
} from '../../../schemas/evidence/checkpoint.ts';
import { sha256 } from '../../../schemas/evidence/merkle.ts';
import {
  NoteError,
  parseNote,
  parsePrivateKey,
  parseVkey,
  signNote,
  verifyNote,
} from '../../../schemas/evidence/note.ts';
import { formatTlogProof, parseTlogProof } from '../../../schemas/evidence/tlog-proof.ts';

/** The example of Go's package `golang.org/x/mod/sumdb/note`. */
const GO = {
  skey: 'PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz',
  vkey: 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
  text: "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n",
  line: '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n',
};

interface Published {
  of: string;
  vkey: string;
  note: string;
  origin: string;
  size: number;
}

const CHECKPOINTS: Published[] = [
  {
    of: 'the checksum database of Go (Ed25519)',
    vkey: 'sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8',
    note: 'go.sum database tree\n6476701\nmb8QLQIs0Z0yP5Cstq6guj87oXWeC9gEM8oVikmm9Wk=\n\n— sum.golang.org Az3grsLX85Gz+s1SiTbgkuqxgItqFq7gsMUEyVnrsa9LM7Us9S+1xbFIGu95949rj4nPRYfvimWEPWL+o3GeoWwOoAw=\n',
    origin: 'go.sum database tree',
    size: 6_476_701,
  },
  {
    of: 'Sigstore (ECDSA)',
    vkey: 'rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc=',
    note: 'Rekor\n798034\nf+7CoKgXKE/tNys9TTXcr/ad6U/K3xvznmzew9y6SP0=\n\n— rekor.sigstore.dev wNI9ajBEAiARInWIWyCdyG27CO6LPnPekyw20qO0YJfoaPaowGp/XgIgc+qEHS3+GKVClgqq20uDLet7MCoTURUCRdxwWBHHufk=\n',
    origin: 'Rekor',
    size: 798_034,
  },
  {
    of: 'the firmware log of Pixel (ECDSA)',
    vkey: 'pixel6_transparency_log+91c16e30+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABN+4x0Jk1yTwvLFI9A4NDdGZcX0aiWVdWM5XJVy0M4VWD3AvyW5Q6Hs9A0mcDkpUoYgn+KKPNzFC0H3nN3q6JQ8=',
    note: 'DEFAULT\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n\n— pixel6_transparency_log kcFuMDBFAiEAhqMAP8P6qf6QxtUJhzMhbN+MbZ9dwfUHzGQJmffJHtoCIGD0cNe47dHWBoPwYdgBCepB06/+g5O1FmYjXl06owL4\n',
    origin: 'DEFAULT',
    size: 10,
  },
];

describe('the published note of Go', () => {
  test('is verified with its key, and signed to the same bytes', async () => {
    const verifier = parseVkey(GO.vkey);
    const note = Buffer.from(`${GO.text}\n${GO.line}`);
    assert.deepEqual(verifyNote(parseNote(note), [verifier]), { signed: [verifier], forged: [] });
    const signer = parsePrivateKey(GO.skey);
    assert.equal(signer.verifier.vkey, GO.vkey);
    assert.deepEqual(await signNote(GO.text, signer), note);
  });

  test('keys that its authors say are bad are refused', () => {
    for (const bad of [
      // A key of another length and one of an unknown type, each with the id that fits it.
      'PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==',
      'PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
      GO.vkey.replace('c74f20a3', 'c74f20a4'),
    ]) {
      assert.throws(() => parseVkey(bad), NoteError, bad);
    }
  });
});

describe('a published checkpoint', () => {
  for (const { of, vkey, note, origin, size } of CHECKPOINTS) {
    test(`of ${of} is read and verified with its published key`, () => {
      const parsed = parseNote(Buffer.from(note));
      const key = parseVkey(vkey);
      assert.deepEqual(verifyNote(parsed, [key]).signed, [key]);
      const checkpoint = parseCheckpoint(parsed);
      assert.deepEqual([checkpoint.origin, checkpoint.size], [origin, size]);
      assert.equal(checkpointText(checkpoint), parsed.text);
      const changed = parseNote(Buffer.from(note.replace(`\n${size}\n`, `\n${size + 1}\n`)));
      assert.deepEqual(verifyNote(changed, [key]).forged, [key]);
      // An origin that is not of the key's name is not one of an archive.
      assert.throws(() => openCheckpoint(Buffer.from(note), [key]), NoteError);
    });
  }

  test('is not verified by the key of another of them', () => {
    for (const [at, { note }] of CHECKPOINTS.entries()) {
      const others = CHECKPOINTS.filter((_, index) => index !== at).map(({ vkey }) => vkey);
      const { signed } = verifyNote(parseNote(Buffer.from(note)), others.map(parseVkey));
      assert.deepEqual(signed, []);
    }
  });
});

describe('the form of a signed note in the specification', () => {
  test('its example is read, empty lines and all', () => {
    const text =
      'Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n';
    const line =
      '— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n';
    const note = parseNote(Buffer.from(`${text}\n${line}`));
    assert.equal(note.text, text);
    const [{ name, keyId, signature }] = note.signatures as [(typeof note.signatures)[0]];
    assert.deepEqual(
      [name, keyId.toString('hex'), signature.length],
      ['quasimodo.example/salvatore', '367ba04b', 64],
    );
  });
});

describe('published proofs of a log (tlog-proof)', () => {
  const [one, other] = ['hash1', 'hash2'].map((text) => sha256(Buffer.from(text)));
  const text = (hash: Buffer): string => hash.toString('base64');

  test('are read and written as their authors do', () => {
    const written = `c2sp.org/tlog-proof@v1\nindex 5\n${text(one!)}\n${text(other!)}\n\ntest checkpoint\n`;
    const proof = {
      index: 5,
      hashes: [one!, other!],
      checkpoint: Buffer.from('test checkpoint\n'),
    };
    assert.equal(formatTlogProof(proof), written);
    assert.deepEqual(parseTlogProof(written), proof);
    const extra = `c2sp.org/tlog-proof@v1\nextra ZXh0cmE=\nindex 10\n${text(one!)}\n\ncheckpoint data\n`;
    assert.deepEqual(parseTlogProof(extra).hashes, [one]);
    const empty = 'c2sp.org/tlog-proof@v1\nindex 0\n\ncheckpoint\n';
    assert.deepEqual(parseTlogProof(empty).hashes, []);
  });

  test('those that their authors refuse are refused', () => {
    const long = Buffer.alloc(64).toString('base64');
    for (const bad of [
      'wrong-header\nindex 0\n\ncheckpoint\n',
      'c2sp.org/tlog-proof@v1\nextra !!notbase64!!\nindex 0\n\ncheckpoint\n',
      'c2sp.org/tlog-proof@v1\n\n\ncheckpoint\n',
      'c2sp.org/tlog-proof@v1\nindex notanumber\n\ncheckpoint\n',
      'c2sp.org/tlog-proof@v1\nindex -5\n\ncheckpoint\n',
      'c2sp.org/tlog-proof@v1\nindex 0\n!!notbase64!!\n\ncheckpoint\n',
      `c2sp.org/tlog-proof@v1\nindex 0\n${long}\n\ncheckpoint\n`,
    ]) {
      assert.throws(() => parseTlogProof(bad), NoteError, bad);
    }
  });
});
