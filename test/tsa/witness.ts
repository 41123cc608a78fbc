/** A witness that does what C2SP tlog-witness and tlog-cosignature demand of it, without HTTP. */
import { openCheckpoint, parseCheckpoint } from '../../schemas/evidence/checkpoint.ts';
import { verifyConsistency } from '../../schemas/evidence/merkle.ts';
import {
  COSIGNATURE,
  ed25519Signer,
  formatSignature,
  keyIdOf,
  parseNote,
  parseVkey,
  type Verifier,
} from '../../schemas/evidence/note.ts';
import type { HttpAnswer } from '../../services/archiver/anchors/http.ts';
import { Failure } from '../../services/runtime/errors.ts';
import { NAME, signer } from '../verifier/proof-archive.ts';

const answerOf = (status: number, text = '', contentType = 'text/plain'): HttpAnswer => {
  return { status, contentType, body: Buffer.from(text) };
};

/** Keeps one checkpoint, as the specification demands, and says what it was asked. */
export class TestWitness {
  readonly key: Verifier;
  readonly #sign: (text: Buffer) => Promise<Buffer>;
  seen: { size: number; root: Buffer } = { size: 0, root: Buffer.alloc(0) };
  readonly asked: number[] = [];
  away = false;
  forge = false;

  constructor(name: string, seed: number) {
    const { verifier, sign } = ed25519Signer(name, Buffer.alloc(32, seed));
    const body = verifier.key.export({ format: 'der', type: 'spki' }).subarray(-32);
    const id = keyIdOf(name, COSIGNATURE, body).toString('hex');
    const material = Buffer.concat([Buffer.of(COSIGNATURE), body]).toString('base64');
    this.key = parseVkey(`${name}+${id}+${material}`);
    this.#sign = sign;
  }

  async add(body: Buffer): Promise<HttpAnswer> {
    if (this.away) throw new Failure('it is away', { code: 'TEST' });
    const text = body.toString();
    const end = text.indexOf('\n\n');
    const [first, ...lines] = text.slice(0, end).split('\n');
    const old = Number(/^old (0|[1-9]\d*)$/.exec(first!)![1]);
    this.asked.push(old);
    const note = Buffer.from(text.slice(end + 2));
    const { size, root, origin } = parseCheckpoint(parseNote(note));
    if (origin !== `${NAME}/root`) return answerOf(404);
    try {
      openCheckpoint(note, [signer.verifier]);
    } catch {
      return answerOf(403);
    }
    if (old > size) return answerOf(400);
    if (old !== this.seen.size) return answerOf(409, `${this.seen.size}\n`, 'text/x.tlog.size');
    const proof = lines.map((line) => Buffer.from(line, 'base64'));
    if (old === size && !root.equals(this.seen.root)) return answerOf(409);
    if (old > 0 && !verifyConsistency(old, size, this.seen.root, root, proof)) return answerOf(422);
    if (old === 0 && proof.length > 0) return answerOf(422);
    this.seen = { size, root };
    return answerOf(200, await this.line(note));
  }

  async line(note: Buffer): Promise<string> {
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(1_795_000_000n);
    const message = Buffer.from(`cosignature/v1\ntime 1795000000\n${parseNote(note).text}`);
    const signature = Buffer.concat([time, await this.#sign(message)]);
    if (this.forge) signature[20]! ^= 1;
    return formatSignature({ name: this.key.name, keyId: this.key.keyId, signature });
  }
}
