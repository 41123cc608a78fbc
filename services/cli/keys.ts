/**
 * `lakeseal keys`: make, show and rotate the key that signs checkpoints. A private key is written
 * once, to a file that only its owner may read, and is never shown.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { KEYS_LOG, rotationBody } from '../../schemas/evidence/key-leaf.ts';
import { leafBytes, timeOf } from '../../schemas/evidence/leaf.ts';
import { formatPrivateKey, NoteError, parsePrivateKey } from '../../schemas/evidence/note.ts';
import {
  formatWrappingKey,
  kmsSecretText,
  parseWrappingKey,
  SECRET_BYTES,
} from '../../schemas/wrapping-key.ts';
import { archiveName, signerFromFile } from '../evidence/keys.ts';
import { LogWriter } from '../evidence/log-writer.ts';
import { configuredSigner, signerFromKms } from '../evidence/signer.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import { Failure, reasonOf } from '../runtime/errors.ts';
import { createS3Store } from '../store/s3.ts';
import type { Terminal } from './terminal.ts';

const SEED_BYTES = 32;
/** A hint for when the store denies something. */
const RIGHTS =
  '`lakeseal keys rotate` needs s3:PutObject, GetObject, ListBucket and ListBucketVersions of the credential in storage.*.';

export function newKey(name: string, out: string, terminal: Terminal): number {
  let text: string;
  try {
    text = formatPrivateKey(name, randomBytes(SEED_BYTES));
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    throw new Failure(error.message, {
      code: 'KEY_NAME',
      hint: 'A name like audit.example.com/lakeseal: nobody else should use it.',
    });
  }
  writeNew(out, `${text}\n`);
  terminal.out(parsePrivateKey(text).verifier.vkey);
  terminal.err(
    [
      `The signing key is in ${out}: set evidence.keyFile to it, and keep a copy where the archive is not.`,
      'On standard output is its public key: give it to whoever verifies, by another way than the bucket.',
    ].join('\n'),
  );
  return 0;
}

export function newEnvelopeKey(out: string, terminal: Terminal): number {
  const text = formatWrappingKey(randomBytes(SECRET_BYTES));
  writeNew(out, `${text}\n`);
  terminal.out(parseWrappingKey(text).id);
  terminal.err(
    [
      `The key is in ${out}: put it first in archive.envelopeKeys, in every archiver.`,
      'Who loses it loses every segment that it encrypts: Object Lock keeps bytes that nobody reads.',
      'Keep a copy where the archive is not, and leave it in the list as long as a segment needs it.',
    ].join('\n'),
  );
  return 0;
}

/** `kms`: key id, ARN or alias of a symmetric key. @throws Failure `KMS_…`, `KEY_FILE` */
export async function newKmsEnvelopeKey(
  { archive, storage }: Pick<Config, 'archive' | 'storage'>,
  { out, kms }: { out: string; kms: string },
  terminal: Terminal,
): Promise<number> {
  // Its client is large, and most keys are files.
  const { newKmsSecret } = await import('../evidence/kms-envelope.ts');
  const made = await newKmsSecret({
    keyId: kms,
    archive: archiveName(storage),
    region: storage.region,
    endpoint: archive.envelopeKmsEndpoint,
  });
  writeNew(out, `${kmsSecretText(made.name)}\n`);
  terminal.out(made.id);
  terminal.err(
    [
      `What KMS made is in ${out}: put it first in archive.envelopeKeys, the same file in every archiver.`,
      `It is no secret: it takes kms:Decrypt, with the encryption context lakeseal-archive = ${made.archive}.`,
      'Who deletes the KMS key loses every segment that it encrypts: deny kms:ScheduleKeyDeletion and',
      'kms:DisableKey to all, as long as a segment is kept.',
    ].join('\n'),
  );
  return 0;
}

function writeNew(path: string, text: string): void {
  try {
    const file = openSync(path, 'wx', 0o600);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === 'EEXIST';
    const reason = exists ? 'a file of that name is there' : reasonOf(error);
    throw new Failure(`cannot write the key to ${path}: ${reason}`, {
      code: 'KEY_FILE',
      hint: exists ? 'A key is never overwritten: choose another name.' : 'Does the folder exist?',
      cause: error,
    });
  }
}

export async function showKey(
  config: Config,
  flags: { keyFile?: string; json?: true },
  terminal: Terminal,
): Promise<number> {
  const { keyFile } = flags;
  const signer = keyFile === undefined ? await configuredSigner(config) : signerFromFile(keyFile);
  if (signer === null) {
    throw new Failure('no signing key is configured', {
      code: 'NO_KEY',
      hint: 'Set evidence.keyFile (`lakeseal keys new` makes a key), or evidence.kmsKeyId.',
    });
  }
  const { name, keyId, vkey } = signer.verifier;
  const json = { name, keyId: keyId.toString('hex'), vkey };
  terminal.out(flags.json === true ? JSON.stringify(json, null, 2) : vkey);
  return 0;
}

export async function rotateKey(
  config: Config,
  flags: { to?: string; toKms?: string; dryRun?: true },
  nowMs: number,
  terminal: Terminal,
): Promise<number> {
  const from = await configuredSigner(config);
  if (from === null) {
    throw new Failure('there is no key to rotate away from', {
      code: 'NO_KEY',
      hint: 'evidence.keyFile or kmsKeyId names the present key; for a first key just set it.',
    });
  }
  const { to: file, toKms } = flags;
  if ((file === undefined) === (toKms === undefined)) {
    throw new Failure('name the key that takes over', {
      code: 'USAGE',
      hint: '--to FILE, or --to-kms KEY_ID.',
    });
  }
  const to =
    file === undefined
      ? await signerFromKms(config, toKms!, from.verifier.name)
      : signerFromFile(file);
  let body: Awaited<ReturnType<typeof rotationBody>>;
  try {
    body = await rotationBody(timeOf(nowMs), from.verifier, to);
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    throw new Failure(`cannot rotate: ${error.message}`, {
      code: 'KEY_ROTATION',
      hint: `Make the next key with \`lakeseal keys new --name ${from.verifier.name}\`.`,
    });
  }
  terminal.err(`from ${body.from}\nto   ${body.to}`);
  if (flags.dryRun === true) {
    terminal.err('dry run: nothing was written');
    return 0;
  }
  const store = createS3Store(config.storage, config.archive, systemClock, RIGHTS);
  try {
    const log = await LogWriter.open(store, config.storage.prefix, KEYS_LOG);
    await log.appendBehind((end) => leafBytes(end, body));
    await log.sign(from);
    terminal.out(`rotation ${log.size} is signed and sealed: ${log.checkpointKey}`);
  } finally {
    store.close();
  }
  const setting =
    file === undefined
      ? `evidence.kmsKeyId to ${toKms}, evidence.kmsKeyName to ${from.verifier.name}`
      : `evidence.keyFile to ${file}`;
  terminal.err(`Now set ${setting} (and no other key), and restart the archivers.`);
  return 0;
}
