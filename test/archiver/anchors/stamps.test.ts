/**
 * Time stamps on roots: only what verifies is stored, once; an authority that is away is waited for,
 * and what it missed is covered by the newest root.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { parsePemCertificates } from '../../../schemas/evidence/certificate.ts';
import { HOUR_MS } from '../../../schemas/evidence/root-leaf.ts';
import { judgeStamp } from '../../../schemas/evidence/time-stamp.ts';
import { configuredAnchors } from '../../../services/archiver/anchors/anchors.ts';
import type { Http, HttpAnswer, HttpRequest } from '../../../services/archiver/anchors/http.ts';
import { rootKey, type SignedRoot } from '../../../services/archiver/anchors/root.ts';
import { type Authority, stampAnchor } from '../../../services/archiver/anchors/stamps.ts';
import { configSchema } from '../../../services/runtime/config.ts';
import { Failure } from '../../../services/runtime/errors.ts';
import { silentLog } from '../../../services/runtime/log.ts';
import { hasOpenssl, serveTsa, TestTsa } from '../../tsa/tsa.ts';
import { PREFIX, START_MS } from '../../verifier/proof-archive.ts';
import { AnchorScene } from './scene.ts';

const skip = hasOpenssl ? false : 'openssl is not here: stamping was NOT tested';
if (!hasOpenssl) console.error(`\n*** ${skip} ***\n`);

const NONCE = Buffer.alloc(16, 0x7b);
const REPLY = 'application/timestamp-reply';

describe('time stamps of roots', { skip }, () => {
  const tsa = new TestTsa();
  after(() => tsa.close());
  const { root: ca, signer } = tsa.usual();
  const trusted = parsePemCertificates(readFileSync(ca.certificate, 'utf8'));

  function setting(answers: Record<string, (root: SignedRoot) => Partial<HttpAnswer> | null>) {
    const scene = new AnchorScene();
    const asked: HttpRequest[] = [];
    let current: SignedRoot | null = null;
    const http: Http = async (request) => {
      asked.push(request);
      const answer = answers[request.url]!(current!);
      if (answer === null) throw new Failure('no answer', { code: 'ANCHOR_HTTP' });
      return { status: 200, contentType: REPLY, body: Buffer.alloc(0), ...answer };
    };
    const authorities: Authority[] = Object.keys(answers).map((url) => {
      return { url, trusted: () => trusted, authorization: () => null };
    });
    const anchor = stampAnchor({ ...scene.options, authorities, http, randomBytes: () => NONCE });
    const persistence = scene.persist(anchor);
    const hand = async (root: SignedRoot): Promise<void> => {
      current = root;
      persistence.wake(root);
      await scene.settle();
    };
    return { scene, asked, anchor, hand };
  }

  const now = (scene: AnchorScene): number => Math.floor(scene.clock.now() / 1000);

  test('are stored where they verify, asked for as RFC 3161 has it, and never replaced', async () => {
    const good = ({ note }: SignedRoot) => ({
      body: tsa.forge(note, signer, { time: now(scene), nonce: NONCE }),
    });
    const { scene, asked, hand } = setting({ 'http://tsa.example.com/': good });
    const root = await scene.root();
    await hand(root);
    assert.deepEqual(scene.sizes('tsr'), [1]);
    const [{ method, headers }] = asked as [HttpRequest];
    assert.equal(method, 'POST');
    assert.equal(headers!['content-type'], 'application/timestamp-query');
    const stored = scene.file('tsr', 1)!;
    assert.deepEqual(judgeStamp(root.note, stored, { trusted }), { ok: true, time: now(scene) });
    await hand(root);
    assert.equal(asked.length, 1, 'what is stamped is not asked for again');
    assert.deepEqual(scene.states.at(-1), ['timestamps', false, root.timeMs]);
    scene.close();
  });

  test('that do not verify are not stored, and the next authority is asked', async () => {
    const stranger = tsa.usual();
    const forge =
      (changes: object, by = signer) =>
      ({ note }: SignedRoot) => ({
        body: tsa.forge(note, by, { time: now(scene), nonce: NONCE, ...changes }),
      });
    const wrong = {
      'http://a/': forge({ nonce: Buffer.alloc(16, 1) }),
      'http://b/': forge({ status: 2 }),
      'http://c/': forge({}, stranger.signer),
      'http://d/': () => ({ status: 503 }),
      'http://e/': () => ({ contentType: 'text/html', body: Buffer.from('<p>') }),
      'http://f/': () => ({ body: Buffer.from('junk') }),
      'http://g/': ({ note }: SignedRoot) => ({
        body: tsa.forge(Buffer.from(`${note}x`), signer, { time: now(scene), nonce: NONCE }),
      }),
      'http://h/': ({ note, timeMs }: SignedRoot) => ({
        body: tsa.forge(note, signer, { time: timeMs / 1000 - 1, nonce: NONCE }),
      }),
      'http://i/': () => null,
    };
    const { scene, asked, hand } = setting(wrong);
    await hand(await scene.root());
    assert.deepEqual(scene.sizes('tsr'), []);
    assert.equal(asked.length, 9);
    assert.equal(scene.told.length, 1);
    for (const reason of [
      /a\/: its nonce/,
      /b\/: the authority did not grant it/,
      /c\/: no chain/,
      /d\/: HTTP 503/,
      /e\/: .*, an answer of type text\/html/,
      /f\/: it is cut/,
      /g\/: it is not over/,
      /h\/: its clock/,
      /i\/: no answer/,
    ]) {
      assert.match(scene.told[0]!, reason);
    }
    scene.close();
    const fallback = setting({ ...wrong, 'http://z/': forge({}) });
    await fallback.hand(await fallback.scene.root());
    assert.deepEqual(fallback.scene.sizes('tsr'), [1]);
    assert.deepEqual(fallback.scene.told, []);
    fallback.scene.close();
  });

  test('of an authority that was away: told once, tried again, and the newest root is stamped', async () => {
    let away = true;
    const { scene, asked, hand } = setting({
      'http://tsa.example.com/': ({ note }) =>
        away ? null : { body: tsa.forge(note, signer, { time: now(scene), nonce: NONCE }) },
    });
    await hand(await scene.root());
    await scene.world.advance(40 * 60_000);
    assert.ok(asked.length >= 5 && asked.length <= 20, `${asked.length} attempts`);
    assert.equal(scene.failed.length, asked.length);
    assert.equal(scene.told.length, 1);
    await hand(await scene.root());
    await hand(await scene.root());
    assert.equal(scene.told.length, 1);
    assert.deepEqual(scene.states.at(-1), ['timestamps', true, null]);
    away = false;
    await scene.world.advance(11 * 60_000);
    assert.deepEqual(scene.sizes('tsr'), [3]);
    assert.deepEqual(scene.told.slice(1), ['info roots are anchored again']);
    scene.close();
  });

  test('are not taken a day late', async () => {
    let away = true;
    const { scene, hand } = setting({
      'http://tsa.example.com/': ({ note }) =>
        away ? null : { body: tsa.forge(note, signer, { time: now(scene), nonce: NONCE }) },
    });
    const root = await scene.root();
    await hand(root);
    await scene.world.advance(25 * HOUR_MS);
    away = false;
    await scene.world.advance(HOUR_MS);
    assert.deepEqual(scene.sizes('tsr'), []);
    assert.match(scene.told.at(-1)!, /too old to be stamped/);
    scene.close();
  });

  test('of two processes at once: one is stored', async () => {
    const { scene, anchor } = setting({
      'http://tsa.example.com/': ({ note }) => ({
        body: tsa.forge(note, signer, { time: now(scene), nonce: NONCE }),
      }),
    });
    const root = await scene.root();
    const http: Http = async () => {
      const body = tsa.forge(root.note, signer, { time: now(scene), nonce: NONCE });
      return { status: 200, contentType: REPLY, body };
    };
    const authorities = [{ url: 'http://x/', trusted: () => trusted, authorization: () => null }];
    const other = stampAnchor({ ...scene.options, authorities, http, randomBytes: () => NONCE });
    await Promise.all([other.run(root), other.run(root)]);
    await anchor.run(root);
    const versions = scene.archive.bucket.versions(rootKey(PREFIX, 'tsr', 1));
    assert.equal(versions.length, 1);
    scene.close();
  });

  test('come over HTTP from `openssl ts`, with the settings of the configuration', async () => {
    const scene = new AnchorScene();
    const server = await serveTsa((question) => tsa.reply(question, signer));
    const end = new AbortController();
    const config = configSchema.parse({
      anchors: {
        timestamps: [
          { url: 'http://127.0.0.1:9/' },
          { url: server.url, caFile: '/nowhere/ca.pem' },
          { url: server.url, caFile: ca.certificate },
        ],
      },
    });
    const hourMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
    scene.world.nowMs = Date.now();
    await scene.archive.root((hourMs - START_MS) / HOUR_MS);
    const note = scene.file('note', 1)!;
    const { anchors } = configuredAnchors(config, { ...scene.options, log: silentLog });
    const stamped = new Promise<void>((resolve) => {
      const { store } = scene;
      const put = store.putIfAbsent;
      store.putIfAbsent = async (...args) => put(...args).finally(resolve);
    });
    void anchors.run(end.signal);
    await anchors.onRoot(rootKey(PREFIX, 'note', 1), note);
    await stamped;
    end.abort();
    server.close();
    assert.equal(server.asked.length, 1, 'not asked where its root is not known');
    assert.equal(server.asked[0]!.type, 'application/timestamp-query');
    assert.ok(tsa.accepts(note, scene.file('tsr', 1)!, ca), 'openssl accepts what was stored');
  });
});
