/**
 * A time stamp authority made with openssl: certificates of any shape, answers as `openssl ts` gives
 * them, and answers as it never would. Each in a folder of its own, which `close` removes.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { der, derInteger, derOid, TAG } from '../../schemas/evidence/der.ts';
import { sha256 } from '../../schemas/evidence/merkle.ts';

const SHA256 = '2.16.840.1.101.3.4.2.1';
const SIGN = 'keyUsage=critical,digitalSignature';
const STAMP = 'extendedKeyUsage=critical,timeStamping';

/** Bodies of the extension section of a certificate. */
export const SHAPES = {
  root: 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash',
  ring: 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign',
  middle: 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign',
  narrow: 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign',
  cannotSign: 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature',
  noAuthority: 'basicConstraints=critical,CA:FALSE',
  stamps: `${SIGN}\n${STAMP}`,
  noPurpose: SIGN,
  notCritical: `${SIGN}\nextendedKeyUsage=timeStamping`,
  otherPurpose: `${SIGN}\nextendedKeyUsage=critical,codeSigning`,
  twoPurposes: `${SIGN}\nextendedKeyUsage=critical,timeStamping,emailProtection`,
  unknownPurpose: `${SIGN}\nextendedKeyUsage=critical,timeStamping,1.2.3.4`,
  encipherment: `keyUsage=critical,digitalSignature,keyEncipherment\n${STAMP}`,
  criticalStranger: `${SIGN}\n${STAMP}\n1.2.3.4=critical,DER:0500`,
} as const;

export interface Made {
  name: string;
  certificate: string;
  key: string;
}

export interface MakeOptions {
  shape: keyof typeof SHAPES;
  /** Left out, it signs itself. */
  by?: Made;
  /** `YYYYMMDDHHMMSSZ` */
  from?: string;
  to?: string;
  /** Has the key of this one, and no key of its own. */
  sameKey?: Made;
  /** As openssl's `-newkey` takes them. */
  key?: string[];
}

const P256 = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
export const RSA = ['rsa:2048'];

export class TestTsa {
  readonly folder = mkdtempSync(join(tmpdir(), 'lakeseal-tsa-'));
  #made = 0;

  close(): void {
    rmSync(this.folder, { recursive: true });
  }

  make(name: string, { shape, by, from, to, key = P256, sameKey }: MakeOptions): Made {
    this.#made += 1;
    const path = (suffix: string): string => join(this.folder, `${this.#made}.${suffix}`);
    writeFileSync(path('index'), '');
    writeFileSync(path('serial'), `${randomBytes(8).toString('hex')}\n`);
    writeFileSync(
      path('cnf'),
      `[req]\ndistinguished_name=dn\n[dn]\n[ca]\ndefault_ca=own\n[own]\ndatabase=${path('index')}\nserial=${path('serial')}\n` +
        `policy=any\nunique_subject=no\ndefault_md=sha256\n[any]\ncommonName=supplied\n[shape]\n${SHAPES[shape]}\n`,
    );
    const made = { name, certificate: path('pem'), key: sameKey?.key ?? path('key') };
    openssl(
      'req',
      ...(sameKey === undefined
        ? ['-newkey', ...key, '-nodes', '-keyout', made.key]
        : ['-new', '-key', made.key]),
      '-out',
      path('csr'),
      '-subj',
      `/CN=${name}`,
      '-config',
      path('cnf'),
    );
    const issuer =
      by === undefined
        ? ['-selfsign', '-keyfile', made.key]
        : ['-cert', by.certificate, '-keyfile', by.key];
    openssl(
      'ca',
      '-batch',
      '-notext',
      '-config',
      path('cnf'),
      '-in',
      path('csr'),
      '-out',
      made.certificate,
      '-outdir',
      this.folder,
      '-extensions',
      'shape',
      ...issuer,
      '-startdate',
      from ?? '20200101000000Z',
      '-enddate',
      to ?? '20991231235959Z',
    );
    return made;
  }

  /** A root and a signer of stamps below it. */
  usual(key?: string[]): { root: Made; signer: Made } {
    const options = key === undefined ? {} : { key };
    const root = this.make('root', { shape: 'root', ...options });
    return { root, signer: this.make('authority', { shape: 'stamps', by: root, ...options }) };
  }

  /** The answer of `openssl ts` to a question, stamped with the machine's time. */
  reply(
    question: Buffer,
    { certificate, key }: Made,
    chain: readonly Made[] = [],
    essDigest = 'sha256',
  ): Buffer {
    const path = (name: string): string => join(this.folder, name);
    writeFileSync(path('question'), question);
    writeFileSync(path('serial'), '01\n');
    writeFileSync(path('chain'), pemOf(chain));
    writeFileSync(
      path('tsa.cnf'),
      `[tsa]\ndefault_tsa=own\n[own]\nserial=${path('serial')}\ndefault_policy=1.2.3.4\n` +
        `digests=sha256\naccuracy=secs:1\ntsa_name=yes\nsigner_digest=sha256\ness_cert_id_alg=${essDigest}\n`,
    );
    openssl(
      'ts',
      '-reply',
      '-config',
      path('tsa.cnf'),
      '-section',
      'own',
      '-queryfile',
      path('question'),
      '-signer',
      certificate,
      '-inkey',
      key,
      ...(chain.length > 0 ? ['-chain', path('chain')] : []),
      '-out',
      path('answer'),
    );
    return readFileSync(path('answer'));
  }

  /** An answer as this authority would give it, whatever its certificate is good for. */
  forge(note: Buffer, { certificate, key }: Made, changes: Forgery = {}): Buffer {
    const path = (name: string): string => join(this.folder, name);
    const info = stampInfo(note, changes);
    writeFileSync(path('info'), info);
    const chain = changes.chain ?? [];
    writeFileSync(path('chain'), pemOf(chain));
    const attributes = changes.bound === false ? [] : ['-cades'];
    openssl(
      'cms',
      '-sign',
      '-binary',
      '-nodetach',
      '-outform',
      'DER',
      '-md',
      'sha256',
      ...attributes,
      '-econtent_type',
      changes.contentType ?? '1.2.840.113549.1.9.16.1.4',
      '-signer',
      certificate,
      '-inkey',
      key,
      ...(chain.length > 0 ? ['-certfile', path('chain')] : []),
      ...(changes.withoutCertificate === true ? ['-nocerts'] : []),
      '-in',
      path('info'),
      '-out',
      path('token'),
    );
    const status = der(TAG.sequence, der(TAG.integer, Buffer.of(changes.status ?? 0)));
    return der(TAG.sequence, status, readFileSync(path('token')));
  }

  /** What `openssl ts -verify` says of it, at the time given. */
  accepts(note: Buffer, answer: Buffer, root: Made, time?: number): boolean {
    const path = (name: string): string => join(this.folder, name);
    writeFileSync(path('note'), note);
    writeFileSync(path('stamp'), answer);
    const at = time === undefined ? [] : ['-attime', String(time)];
    const args = [
      'ts',
      '-verify',
      '-data',
      path('note'),
      '-in',
      path('stamp'),
      '-CAfile',
      root.certificate,
      ...at,
    ];
    return spawnSync('openssl', args).status === 0;
  }
}

function pemOf(chain: readonly Made[]): string {
  return chain.map((one) => readFileSync(one.certificate, 'utf8')).join('\n');
}

export interface Forgery {
  /** Seconds since the epoch. */
  time?: number;
  nonce?: Buffer;
  status?: number;
  chain?: readonly Made[];
  digest?: string;
  contentType?: string;
  withoutCertificate?: boolean;
  /** False: no certificate is named by the signature. */
  bound?: boolean;
  /** Name of the authority in the stamp. */
  authority?: Buffer;
}

export function generalizedTime(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().replaceAll(/[-:T]|\..*/g, '')}Z`;
}

function stampInfo(note: Buffer, { time, nonce, digest, authority }: Forgery): Buffer {
  const imprint = der(
    TAG.sequence,
    der(TAG.sequence, derOid(digest ?? SHA256), Buffer.of(5, 0)),
    der(TAG.octets, sha256(note)),
  );
  const when = generalizedTime(time ?? Math.floor(Date.now() / 1000));
  return der(
    TAG.sequence,
    derInteger(Buffer.of(1)),
    derOid('1.2.3.4'),
    imprint,
    derInteger(Buffer.of(7)),
    der(TAG.generalizedTime, Buffer.from(when)),
    ...(nonce === undefined ? [] : [derInteger(nonce)]),
    ...(authority === undefined ? [] : [der(0xa0, authority)]),
  );
}

/** Serves answers over HTTP as RFC 3161, section 3.4, wants them. */
export async function serveTsa(answer: (question: Buffer) => Buffer | null) {
  const asked: Array<{ type: string | undefined; question: Buffer }> = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const question = Buffer.concat(chunks);
      asked.push({ type: request.headers['content-type'], question });
      const bytes = answer(question);
      response.writeHead(bytes === null ? 503 : 200, {
        'content-type': 'application/timestamp-reply',
      });
      response.end(bytes ?? undefined);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return { url, asked, close: () => server.close() };
}

export const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

function openssl(...args: string[]): void {
  const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
}
