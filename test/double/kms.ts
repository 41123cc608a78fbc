/**
 * Enough of AWS KMS over HTTP (JSON 1.1) to sign with keys made here (GetPublicKey, Sign) and to keep
 * secrets (GenerateDataKey, Decrypt), and the answers of a service that does not want to. No KMS server
 * runs in the tests, so what this answers is what AWS documents.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export type KmsSpec =
  | 'ECC_NIST_P256'
  | 'ECC_NIST_P384'
  | 'ECC_NIST_EDWARDS25519'
  | 'SYMMETRIC_DEFAULT';

export type KmsOperation = 'GetPublicKey' | 'Sign' | 'GenerateDataKey' | 'Decrypt';

export type KmsFault =
  /** The name of an error, with its status. */
  | { error: string; status: number }
  /** No answer at all. */
  | 'silence'
  | 'reset'
  /** A signature that is no DER. */
  | 'malformed'
  /** A good signature over something else. */
  | 'other_text'
  /** A secret that is another one. */
  | 'other_secret'
  /** Not JSON. */
  | 'garbage';

interface KmsKey {
  spec: KmsSpec;
  key: KeyObject;
  enabled: boolean;
}

export interface KmsInput {
  KeyId?: string;
  EncryptionContext?: Record<string, string>;
  [name: string]: unknown;
}

export interface KmsDouble {
  endpoint: string;
  /** Key ids and their keys. */
  keys: Map<string, KmsKey>;
  /** Key ids by alias. */
  aliases: Map<string, string>;
  /** What becomes of the next calls of an operation, in order. */
  faults: Array<{ operation: KmsOperation; fault: KmsFault }>;
  /** Calls so far, also those that failed. */
  calls: Array<{ operation: string; input: KmsInput }>;
  add(keyId: string, spec: KmsSpec): void;
  close(): Promise<void>;
}

export const ARN = 'arn:aws:kms:us-east-1:111122223333:key/';

export async function startKms(): Promise<KmsDouble> {
  const double: Pick<KmsDouble, 'keys' | 'aliases' | 'faults' | 'calls'> = {
    keys: new Map(),
    aliases: new Map(),
    faults: [],
    calls: [],
  };
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const target = String(request.headers['x-amz-target']);
    const operation = target.replace(/^TrentService\./, '');
    const input = JSON.parse(Buffer.concat(chunks).toString()) as KmsInput;
    double.calls.push({ operation, input });
    const at = double.faults.findIndex((one) => one.operation === operation);
    const fault = at < 0 ? null : double.faults.splice(at, 1)[0]!.fault;
    if (fault === 'silence') return;
    if (fault === 'reset') {
      request.socket.destroy();
      return;
    }
    const { status, body } = answer(double, operation, input, fault);
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' });
    response.end(fault === 'garbage' ? '<html>' : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    ...double,
    endpoint: `http://127.0.0.1:${port}`,
    add: (keyId, spec) => void double.keys.set(keyId, { spec, key: make(spec), enabled: true }),
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function make(spec: KmsSpec): KeyObject {
  if (spec === 'SYMMETRIC_DEFAULT') return createSecretKey(randomBytes(32));
  if (spec === 'ECC_NIST_EDWARDS25519') return generateKeyPairSync('ed25519').privateKey;
  const namedCurve = spec === 'ECC_NIST_P256' ? 'P-256' : 'P-384';
  return generateKeyPairSync('ec', { namedCurve }).privateKey;
}

interface Answer {
  status: number;
  body: object;
}

function refuse(name: string, status = 400): Answer {
  return { status, body: { __type: name, message: name } };
}

function answer(
  double: Pick<KmsDouble, 'keys' | 'aliases'>,
  operation: string,
  input: KmsInput,
  fault: KmsFault | null,
): Answer {
  if (typeof fault === 'object' && fault !== null) return refuse(fault.error, fault.status);
  const named = input.KeyId!.replace(ARN, '');
  const keyId = double.aliases.get(named) ?? named;
  const found = double.keys.get(keyId);
  if (found === undefined) return refuse('NotFoundException');
  if (!found.enabled) return refuse('DisabledException');
  const isForSecrets = operation === 'GenerateDataKey' || operation === 'Decrypt';
  if (isForSecrets !== (found.spec === 'SYMMETRIC_DEFAULT')) {
    return refuse(isForSecrets ? 'InvalidKeyUsageException' : 'UnsupportedOperationException');
  }
  const KeyId = `${ARN}${keyId}`;
  if (operation === 'GenerateDataKey') return dataKey(KeyId, found.key, input);
  if (operation === 'Decrypt') return decrypted(KeyId, found.key, input, fault);
  return operation === 'GetPublicKey'
    ? publicKey(KeyId, found)
    : signed(KeyId, found, input, fault);
}

function publicKey(KeyId: string, { key, spec }: KmsKey): Answer {
  const der = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const common = { KeyId, KeySpec: spec, KeyUsage: 'SIGN_VERIFY' };
  return { status: 200, body: { ...common, PublicKey: der.toString('base64') } };
}

function signed(
  KeyId: string,
  { key, spec }: KmsKey,
  { Message, MessageType, SigningAlgorithm }: KmsInput,
  fault: KmsFault | null,
): Answer {
  const isEd = spec === 'ECC_NIST_EDWARDS25519';
  const algorithm = isEd ? 'ED25519_SHA_512' : 'ECDSA_SHA_256';
  if (SigningAlgorithm !== algorithm || MessageType !== 'RAW') {
    return refuse('InvalidKeyUsageException');
  }
  const bytes =
    fault === 'other_text' ? Buffer.alloc(32, 1) : Buffer.from(Message as string, 'base64');
  const signature =
    fault === 'malformed' ? Buffer.from('30ff', 'hex') : sign(isEd ? null : 'sha256', bytes, key);
  return {
    status: 200,
    body: { KeyId, Signature: signature.toString('base64'), SigningAlgorithm },
  };
}

// --- secrets: a ciphertext is the key's ARN, a nonce and AES-256-GCM, which is how AWS's behave --------

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** The order of its pairs does not count. */
function additional({ EncryptionContext = {} }: KmsInput): Buffer {
  return Buffer.from(JSON.stringify(Object.entries(EncryptionContext).sort()));
}

function dataKey(KeyId: string, key: KeyObject, input: KmsInput): Answer {
  const { NumberOfBytes, KeySpec } = input;
  // One of the two, and not both.
  if ((NumberOfBytes === undefined) === (KeySpec === undefined)) {
    return refuse('ValidationException');
  }
  const secret = randomBytes(KeySpec === 'AES_128' ? 16 : ((NumberOfBytes as number) ?? 32));
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(additional(input));
  const parts = [Buffer.from(`${KeyId}\n`), nonce, cipher.update(secret), cipher.final()];
  const blob = Buffer.concat([...parts, cipher.getAuthTag()]);
  const CiphertextBlob = blob.toString('base64');
  return { status: 200, body: { KeyId, CiphertextBlob, Plaintext: secret.toString('base64') } };
}

function decrypted(KeyId: string, key: KeyObject, input: KmsInput, fault: KmsFault | null): Answer {
  const blob = Buffer.from(input.CiphertextBlob as string, 'base64');
  const start = blob.indexOf('\n') + 1;
  const madeWith = blob.toString('utf8', 0, Math.max(0, start - 1));
  if (!madeWith.startsWith(ARN)) return refuse('InvalidCiphertextException');
  if (madeWith !== KeyId) return refuse('IncorrectKeyException');
  const nonce = blob.subarray(start, start + NONCE_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(additional(input));
  decipher.setAuthTag(blob.subarray(-TAG_BYTES));
  try {
    const text = blob.subarray(start + NONCE_BYTES, -TAG_BYTES);
    const secret = Buffer.concat([decipher.update(text), decipher.final()]);
    const Plaintext = (fault === 'other_secret' ? randomBytes(32) : secret).toString('base64');
    return { status: 200, body: { KeyId, Plaintext, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' } };
  } catch {
    return refuse('InvalidCiphertextException');
  }
}
