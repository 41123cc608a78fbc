/** What commands that read records do with encrypted segments. */
import { setImmediate } from 'node:timers/promises';
import {
  MissingKeyError,
  openEnvelope,
  readEnvelopeHeader,
  type Unwrap,
} from '../../schemas/envelope.ts';
import type { ManifestBody } from '../../schemas/evidence/manifest.ts';
import { EnvelopeError } from '../../schemas/wrapping-key.ts';
import { Failure } from '../runtime/errors.ts';

/** Of a segment as it is stored, what was sealed: the same bytes, or decrypted. */
export type OpenSegment = (stored: Buffer, manifest: ManifestBody) => Promise<Buffer>;

/** Opens segments that are encrypted. @throws Failure `ENVELOPE_KEY`, `DOES_NOT_VERIFY` */
export function opener(unwrap: Unwrap): OpenSegment {
  return async (stored, { encryption }) => {
    if (encryption?.kind !== 'envelope') return stored;
    try {
      const { slot } = readEnvelopeHeader(stored).header;
      return await openEnvelope(stored, slot, unwrap, () => setImmediate());
    } catch (error) {
      if (error instanceof MissingKeyError) {
        throw new Failure(error.message, {
          code: 'ENVELOPE_KEY',
          hint: 'Name its file in archive.envelopeKeys; `verify` and `prove` also take --unwrap-key.',
        });
      }
      if (!(error instanceof EnvelopeError)) throw error;
      throw new Failure(`a segment cannot be opened: ${error.message}`, {
        code: 'DOES_NOT_VERIFY',
        hint: 'Run `lakeseal verify`.',
      });
    }
  };
}
