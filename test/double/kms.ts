/**
 * Enough of AWS KMS over HTTP (JSON 1.1) to sign with keys made here: GetPublicKey and Sign, and the
 * answers of a service that does not want to. No KMS server runs in the tests, so what this answers is
 * what AWS documents.
 */
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export type KmsSpec = 'ECC_NIST_P256' | 'ECC_NIST_P384' | 'ECC_NIST_EDWARDS25519';

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
  /** Not JSON. */
  | 'garbage';

export interface KmsDouble {
  endpoint: string;
  /** Key ids and their keys. */
  keys: Map<string, { spec: KmsSpec; key: KeyObject; enabled: boolean }>;
  /** What becomes of the next calls of an operation, in order. */
  faults: Array<{ operation: 'GetPublicKey' | 'Sign'; fault: KmsFault }>;
  /** Calls so far, also those that failed. */
  calls: Array<{ operation: string; input: Record<string, string> }>;
  add(keyId: string, spec: KmsSpec): void;
  close(): Promise<void>;
}

export const ARN = 'arn:aws:kms:us-east-1:111122223333:key/';

export async function startKms(): Promise<KmsDouble> {
  const double: Pick<KmsDouble, 'keys' | 'faults' | 'calls'> = {
    keys: new Map(),
    faults: [],
    calls: [],
  };
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const target = String(request.headers['x-amz-target']);
    const operation = target.replace(/^TrentService\./, '');
    const input = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, string>;
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
  if (spec === 'ECC_NIST_EDWARDS25519') return generateKeyPairSync('ed25519').privateKey;
  const namedCurve = spec === 'ECC_NIST_P256' ? 'P-256' : 'P-384';
  return generateKeyPairSync('ec', { namedCurve }).privateKey;
}

function answer(
  { keys }: Pick<KmsDouble, 'keys'>,
  operation: string,
  input: Record<string, string>,
  fault: KmsFault | null,
): { status: number; body: object } {
  const refuse = (name: string, status = 400) => ({
    status,
    body: { __type: name, message: name },
  });
  if (typeof fault === 'object' && fault !== null) return refuse(fault.error, fault.status);
  const keyId = input.KeyId!.replace(ARN, '');
  const found = keys.get(keyId);
  if (found === undefined) return refuse('NotFoundException');
  if (!found.enabled) return refuse('DisabledException');
  const KeyId = `${ARN}${keyId}`;
  if (operation === 'GetPublicKey') {
    const der = createPublicKey(found.key).export({ format: 'der', type: 'spki' });
    const common = { KeyId, KeySpec: found.spec, KeyUsage: 'SIGN_VERIFY' };
    return { status: 200, body: { ...common, PublicKey: der.toString('base64') } };
  }
  const { Message, MessageType, SigningAlgorithm } = input;
  const isEd = found.spec === 'ECC_NIST_EDWARDS25519';
  const algorithm = isEd ? 'ED25519_SHA_512' : 'ECDSA_SHA_256';
  if (SigningAlgorithm !== algorithm || MessageType !== 'RAW') {
    return refuse('InvalidKeyUsageException');
  }
  const bytes = fault === 'other_text' ? Buffer.alloc(32, 1) : Buffer.from(Message!, 'base64');
  const signature =
    fault === 'malformed'
      ? Buffer.from('30ff', 'hex')
      : sign(isEd ? null : 'sha256', bytes, found.key);
  return {
    status: 200,
    body: { KeyId, Signature: signature.toString('base64'), SigningAlgorithm },
  };
}
