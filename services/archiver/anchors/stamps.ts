/**
 * The time stamp of the newest root (RFC 3161): authorities are asked in their order until one gives
 * a stamp that verifies, and only that is stored, once. What would be found wrong later must not be
 * stored, because nothing that is stored can be taken back.
 */
import type { Certificate } from '../../../schemas/evidence/certificate.ts';
import { timeOf } from '../../../schemas/evidence/leaf.ts';
import {
  isTimely,
  judgeStamp,
  NONCE_BYTES,
  STAMP_DELAY_S,
  stampRequest,
} from '../../../schemas/evidence/time-stamp.ts';
import type { Clock } from '../../runtime/clock.ts';
import { Failure } from '../../runtime/errors.ts';
import type { ObjectStore } from '../../store/store.ts';
import { type Http, shownUrl } from './http.ts';
import { type Anchor, rootKey, type SignedRoot } from './root.ts';

export interface Authority {
  url: string;
  /** Null: any chain will do. @throws Failure where the file cannot be used. */
  trusted: () => Certificate[] | null;
  /** Value of the header; null where none is needed. @throws Failure */
  authorization: () => string | null;
}

export interface StampOptions {
  prefix: string;
  store: Pick<ObjectStore, 'get' | 'putIfAbsent'>;
  authorities: readonly Authority[];
  http: Http;
  randomBytes: (count: number) => Buffer;
  clock: Clock;
}

const QUERY = 'application/timestamp-query';
const REPLY = 'application/timestamp-reply';

export function stampAnchor(options: StampOptions): Anchor {
  return { name: 'timestamps', run: (root) => stamp(root, options) };
}

async function stamp(root: SignedRoot, options: StampOptions): Promise<void> {
  const { store, prefix, authorities, clock } = options;
  const key = rootKey(prefix, 'tsr', root.size);
  if ((await store.get(key)) !== null) return;
  if (clock.now() > root.timeMs + STAMP_DELAY_S * 1000) {
    throw new Failure(`the root of ${timeOf(root.timeMs)} is too old to be stamped`, {
      code: 'STAMP_LATE',
      hint: 'The next root is stamped: does the archiver have its signing key?',
    });
  }
  const refused: string[] = [];
  for (const authority of authorities) {
    const stamped = await requestStamp(root.note, authority, options);
    if (typeof stamped === 'string') refused.push(`${shownUrl(authority.url)}: ${stamped}`);
    else if (isTimely(stamped.time, root.timeMs / 1000)) {
      await store.putIfAbsent(key, stamped.answer);
      return;
    } else {
      // Its time is left out: a reason that changes each time would be told each time.
      refused.push(`${shownUrl(authority.url)}: its clock does not fit the hour of the root`);
    }
  }
  throw new Failure(refused.join('; '), {
    code: 'STAMP_REFUSED',
    hint: 'Is the address that of an RFC 3161 authority, and caFile the root that it publishes?',
    retryable: true,
  });
}

export interface Stamped {
  /** TimeStampResp, DER. */
  answer: Buffer;
  /** Seconds since the epoch. */
  time: number;
}

/** One question to one authority (RFC 3161, section 3.4): a stamp that verifies, or why there is none. */
export async function requestStamp(
  note: Buffer,
  { url, trusted, authorization }: Authority,
  { http, randomBytes }: Pick<StampOptions, 'http' | 'randomBytes'>,
): Promise<Stamped | string> {
  const nonce = randomBytes(NONCE_BYTES);
  try {
    const login = authorization();
    const headers = {
      'content-type': QUERY,
      accept: REPLY,
      ...(login === null ? {} : { authorization: login }),
    };
    const rules = { trusted: trusted(), nonce };
    const body = stampRequest(note, nonce);
    const answer = await http({ method: 'POST', url, headers, body });
    if (answer.status !== 200) return `HTTP ${answer.status}`;
    const verdict = judgeStamp(note, answer.body, rules);
    if (verdict.ok) return { answer: answer.body, time: verdict.time };
    const type = answer.contentType === REPLY ? '' : `, an answer of type ${answer.contentType}`;
    return `${verdict.detail}${type}`;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return error.message;
  }
}
