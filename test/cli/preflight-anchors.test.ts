/**
 * What preflight says of anchors: of ones that do their part, with nothing left behind, and of each way in
 * which they would not.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { ed25519Signer } from '../../schemas/evidence/note.ts';
import { exchange, type Http, type HttpAnswer } from '../../services/archiver/anchors/http.ts';
import { rootKey } from '../../services/archiver/anchors/root.ts';
import { checkAnchors, judgeReply } from '../../services/cli/preflight-anchors.ts';
import { systemClock } from '../../services/runtime/clock.ts';
import { configSchema } from '../../services/runtime/config.ts';
import type { ObjectStore } from '../../services/store/store.ts';
import { Bucket } from '../double/bucket.ts';
import { startDouble } from '../double/server.ts';
import { hasOpenssl, serveTsa, TestTsa } from '../tsa/tsa.ts';
import { TestWitness } from '../tsa/witness.ts';
import { NAME, PREFIX, signer, smallArchive } from '../verifier/proof-archive.ts';

const skip = hasOpenssl ? false : 'openssl is not here: NOT tested';
const folder = mkdtempSync(join(tmpdir(), 'lakeseal-preflight-'));
after(() => rmSync(folder, { recursive: true }));

const tsa = new TestTsa();
after(() => tsa.close());
const { root: ca, signer: authority } = tsa.usual();
const stranger = tsa.usual();
const tsaServer = async (reply: (question: Buffer) => Buffer | null): Promise<string> => {
  const server = await serveTsa(reply);
  after(() => server.close());
  return server.url;
};

const archive = smallArchive();
const empty = smallArchive();
const witness = new TestWitness('witness.example.com/w1', 1);
const WITNESS = { url: 'https://witness.example.com/submit', key: witness.key.vkey };

/** A server of files behind a login, and the witness; all else is asked over the network. */
const files = new Map<string, Buffer>();
const statuses: Record<string, number> = {};
const http: Http = async (request) => {
  const { method, url, headers, body } = request;
  const answer = (status: number, bytes: Buffer = Buffer.alloc(0)): HttpAnswer => {
    return { status, contentType: '', body: bytes };
  };
  if (url === `${WITNESS.url}/add-checkpoint`) return witness.add(body!);
  if (!url.startsWith('https://notary.example.com/')) return exchange(request);
  if (headers?.authorization !== 'sesame') return answer(401);
  if (statuses[method] !== undefined) return answer(statuses[method]);
  const found = files.get(url);
  if (method === 'PUT') files.set(url, found ?? body!);
  else if (method === 'DELETE') files.delete(url);
  else return found === undefined ? answer(404) : answer(200, found);
  return answer(204);
};

const LOGIN = join(folder, 'login');
writeFileSync(LOGIN, 'sesame\n');
const NOTARY = {
  kind: 'http',
  url: 'https://notary.example.com/roots/',
  authorizationFile: LOGIN,
};

interface Changes {
  lateMs?: number;
  keys?: string[];
  store?: ObjectStore;
}

async function preflight(anchors: object, changes: Changes = {}) {
  const { lateMs = 0, keys = [signer.verifier.vkey], store = archive.store } = changes;
  const config = configSchema.parse({
    anchors,
    storage: { bucket: 'audit', prefix: PREFIX },
    evidence: { publicKeys: keys },
  });
  const checks = await checkAnchors(config, {
    http,
    clock: { ...systemClock, now: () => Date.now() + lateMs },
    randomBytes: (count) => Buffer.alloc(count, 7),
    store,
    random: '1',
  });
  for (const { part } of checks) assert.equal(part, 'anchors');
  return checks;
}

/** Of one anchor: `ok DETAIL`, with the hint where it needs one. */
async function told(anchors: object, changes = {}): Promise<string> {
  const [one, ...more] = await preflight(anchors, changes);
  assert.deepEqual(more, []);
  const { outcome, detail, hint } = one!;
  assert.equal(outcome === 'ok', hint === undefined, detail);
  return `${outcome} ${detail} (${hint ?? ''})`;
}

describe('preflight of anchors', { skip }, () => {
  const open = new Bucket({ nowMs: Date.now });
  const locked = new Bucket({
    nowMs: Date.now,
    defaultRetention: { mode: 'COMPLIANCE', days: 1 },
  });
  const place = { kind: 's3', prefix: 'roots/', pathStyle: true, accessKeyId: 'copies' };
  const logins = new Set<string>();
  const s3 = async (bucket: string) => {
    const buckets = new Map([
      ['copies', open],
      ['locked', locked],
    ]);
    const double = await startDouble({ buckets, asked: (login) => void logins.add(login) });
    after(() => double.close());
    return { ...place, bucket, endpoint: double.endpoint, secretAccessKeyFile: LOGIN };
  };

  test('without any there is nothing to try', async () => {
    assert.deepEqual(await preflight({}), []);
  });

  test('that would do their part: each is tried with its own credential, and nothing is left', async () => {
    for (let hour = 0; hour < 3; hour++) await archive.root(hour);
    const url = await tsaServer((question) => tsa.reply(question, authority));
    const path = join(folder, 'not', 'yet', 'there');
    const checks = await preflight({
      timestamps: [{ url, caFile: ca.certificate }],
      copies: [{ kind: 'file', path }, NOTARY, await s3('copies')],
      witnesses: [WITNESS],
    });
    assert.deepEqual(
      checks.map(({ check, outcome, detail }) => [check, outcome, detail]),
      [
        ['timestamps.0 stamps', 'ok', `${url}; clocks within 1 s`],
        ['copies.0 takes files', 'ok', `${path} took a file and gave it back`],
        ['copies.1 takes files', 'ok', `${NOTARY.url} took a file and gave it back`],
        ['copies.2 takes files', 'ok', 's3://copies/roots/ took a file and gave it back'],
        [
          'witnesses.0 knows this log',
          'ok',
          `witness.example.com/w1 at ${WITNESS.url}: it knows the log, and cosigned 0 of 3 roots`,
        ],
      ],
    );
    assert.equal(existsSync(join(folder, 'not')), false);
    assert.equal(files.size, 0);
    assert.deepEqual(open.versions(''), []);
    assert.deepEqual([...logins], ['copies']);
    assert.equal(witness.seen.size, 0);
  });

  test('authorities that do not answer, are another’s, of another time, or anybody’s', async () => {
    const url = await tsaServer((question) => tsa.reply(question, authority));
    const other = await tsaServer((question) => tsa.reply(question, stranger.signer));
    const down = await tsaServer(() => null);
    const caFile = ca.certificate;
    const of = (one: object, changes = {}) => told({ timestamps: [one] }, changes);
    assert.match(await of({ url: down, caFile }), /^failed http:.*: HTTP 503 \(.*RFC 3161/);
    assert.match(await of({ url: other, caFile }), /^failed .*: no chain leads to a trusted/);
    assert.match(await of({ url, caFile: join(folder, 'none') }), /^failed .*none cannot be read/);
    assert.match(
      await of({ url, caFile, authorizationFile: 'none' }),
      /^failed .*cannot read none/,
    );
    assert.match(
      await of({ url, caFile }, { lateMs: 600_000 }),
      /^failed .* differ by (599|600) s/,
    );
    assert.match(await of({ url }), /^unknown .*any stranger’s would do \(name the root cert/);
  });

  test('places that take no files, give none back, or keep what was tried', async () => {
    const of = (one: object) => told({ copies: [one] });
    assert.match(await of({ kind: 'file', path: LOGIN }), /^failed .*login: .* \(May this user/);
    const path = join(folder, 'roots');
    mkdirSync(path);
    writeFileSync(join(path, '1.note'), 'root');
    assert.match(await of({ kind: 'file', path }), /^ok/);
    assert.deepEqual(readdirSync(path), ['1.note']);

    const wrong = { ...NOTARY, authorizationFile: LOGIN.replace('login', 'none') };
    assert.match(await of(wrong), /^failed .*cannot read .*none/);
    assert.match(
      await of({ kind: 'http', url: NOTARY.url }),
      /^failed .* HTTP 401 .*\(It must take/,
    );
    Object.assign(statuses, { DELETE: 405 });
    assert.match(await of(NOTARY), /^ok .*gave it back; preflight-1 stays there/);
    Object.assign(statuses, { GET: 405 });
    assert.match(await of(NOTARY), /^unknown .*took a file, and shows none; preflight-1 stays/);
    delete statuses.GET;
    files.set(`${NOTARY.url}preflight-1`, Buffer.from('another'));
    assert.match(await of(NOTARY), /^failed .*gives another back/);

    assert.match(await of(await s3('locked')), /^ok .*gave it back; preflight-1 stays there/);
    assert.equal(locked.versions('').length, 1, 'and there is no marker over it');
    assert.match(await of(await s3('none')), /^failed .*bucket/i);
  });

  test('witnesses that are away, know neither log nor key, or have seen more than there is', async () => {
    const of = (changes = {}) => told({ witnesses: [WITNESS] }, changes);
    const note = archive.bucket.current(rootKey(PREFIX, 'note', 3))!.bytes!;
    witness.seen = { size: 4, root: Buffer.alloc(32) };
    assert.match(await of(), /^failed .*it cosigned 4 roots, and here are 3 \(.*verify\)/);
    witness.seen = { size: 3, root: Buffer.alloc(32) };
    assert.match(await of(), /^failed .*another root of this size \(.*verify\)/);
    witness.seen = { size: 0, root: Buffer.alloc(0) };
    await witness.add(Buffer.concat([Buffer.from('old 0\n\n'), note]));
    assert.match(await of(), /^ok .*it cosigned 3 roots, which is all/);
    witness.forge = true;
    assert.match(await of(), /^failed .*does not verify/);
    witness.forge = false;
    witness.away = true;
    assert.match(await of(), /^failed .*it is away \(are its address/);
    witness.away = false;
    assert.match(await of({ keys: [] }), /^unknown .*not asked: no public key/);
  });

  test('a witness of an archive without a root is shown an empty log that nobody signed', async () => {
    witness.seen = { size: 0, root: Buffer.alloc(0) };
    const of = (changes = {}) => told({ witnesses: [WITNESS] }, { store: empty.store, ...changes });
    const known = `^unknown .*it knows ${NAME}/root; .*\\(run preflight again once there is a root`;
    assert.match(await of(), new RegExp(known));
    const other = ed25519Signer('other.example.com', Buffer.alloc(32, 5)).verifier.vkey;
    const missing =
      /^failed .*does not know this log \(tell .* the origin other\.example\.com\/root/;
    assert.match(await of({ keys: [other] }), missing);
    assert.equal(
      judgeReply({ kind: 'size', size: 3 }, { size: 0, origin: '', signed: false }).outcome,
      'failed',
    );
    const credulous = judgeReply(
      { kind: 'cosigned', lines: '' },
      { size: 0, origin: '', signed: false },
    );
    assert.match(credulous.detail, /did not sign/);
  });
});
