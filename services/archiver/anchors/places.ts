/**
 * The three kinds of places that copies of roots go to. Nothing is overwritten at any of them, as far
 * as they let one say so. Edge: files, HTTP, S3.
 */
import { link, mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../runtime/clock.ts';
import type { Config } from '../../runtime/config.ts';
import { Failure, reasonOf } from '../../runtime/errors.ts';
import { createS3Store } from '../../store/s3.ts';
import type { CopyPlace } from './copies.ts';
import { type Http, shownUrl } from './http.ts';

type CopyConfig = Config['anchors']['copies'][number];
type Kind<K extends CopyConfig['kind']> = Extract<CopyConfig, { kind: K }>;

/** `secret`: what a file holds, without the line feed behind it. */
export function placeOf(
  copy: CopyConfig,
  http: Http,
  secret: (path: string) => string,
): CopyPlace & { close(): void } {
  switch (copy.kind) {
    case 'file':
      return filePlace(copy);
    case 'http':
      return httpPlace(copy, http, secret);
    case 's3':
      return s3Place(copy, secret);
  }
}

/** What `filePlace` writes before the file has its name. */
const PARTIAL = /^\d{20}\.[a-z]+\.\d+\.partial$/;

/**
 * What processes that were killed have left. Another one that writes just now loses its file too, is
 * told so by `link`, and tries again.
 */
async function sweep(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((one) => PARTIAL.test(one))) {
    await rm(join(folder, name), { force: true }).catch(() => {});
  }
}

function filePlace({ path: folder }: Kind<'file'>): CopyPlace & { close(): void } {
  const failed = (cause: unknown): Failure =>
    new Failure(`${folder}: ${reasonOf(cause)}`, {
      code: 'COPY_FILE',
      hint: 'May this user write there?',
      retryable: true,
      cause,
    });
  let swept: Promise<void> | null = null;
  return {
    where: folder,
    close: () => {},
    async get(name) {
      swept ??= sweep(folder);
      await swept;
      try {
        return await readFile(join(folder, name));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw failed(error);
      }
    },
    async putIfAbsent(name, bytes) {
      const path = join(folder, name);
      const partial = `${path}.${process.pid}.partial`;
      try {
        await mkdir(folder, { recursive: true });
        const file = await open(partial, 'w', 0o644);
        try {
          await file.writeFile(bytes);
          await file.sync();
        } finally {
          await file.close();
        }
        // Whole or not at all, and never over what is there.
        await link(partial, path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw failed(error);
      } finally {
        // Where the place is no folder, that was told already.
        await rm(partial, { force: true }).catch(() => {});
      }
    },
  };
}

const NOT_THERE = new Set([404, 410]);
/** A server that takes files but shows none. */
const NOT_SHOWN = new Set([405, 501]);
/** There is one already. Not 409, which some servers answer where the folder is missing. */
const HELD = 412;

export function fileAddress({ url }: Kind<'http'>, name: string): string {
  return `${url.replace(/\/+$/, '')}/${name}`;
}

/** @throws Failure where the file of the credential cannot be read. */
export function httpLogin(
  { authorizationFile }: Kind<'http'>,
  secret: (path: string) => string,
): Record<string, string> {
  return authorizationFile === undefined ? {} : { authorization: secret(authorizationFile) };
}

function httpPlace(
  copy: Kind<'http'>,
  http: Http,
  secret: (path: string) => string,
): CopyPlace & { close(): void } {
  const where = shownUrl(copy.url);
  const at = (name: string): string => fileAddress(copy, name);
  const login = (): Record<string, string> => httpLogin(copy, secret);
  const refused = (status: number): Failure =>
    new Failure(`${where} answers HTTP ${status}`, {
      code: 'COPY_HTTP',
      hint: 'It must take PUT, and should answer GET, below the address of the copy.',
      retryable: true,
    });
  return {
    where,
    close: () => {},
    async get(name) {
      const { status, body } = await http({ method: 'GET', url: at(name), headers: login() });
      if (status === 200) return body;
      if (NOT_THERE.has(status) || NOT_SHOWN.has(status)) return null;
      throw refused(status);
    },
    async putIfAbsent(name, bytes) {
      const headers = {
        ...login(),
        'content-type': 'application/octet-stream',
        'if-none-match': '*',
      };
      const { status } = await http({ method: 'PUT', url: at(name), headers, body: bytes });
      if ((status < 200 || status > 299) && status !== HELD) throw refused(status);
    },
  };
}

/** The bucket's own default encrypts and retains. */
const AS_THE_BUCKET_SAYS = {
  encryption: 'none',
  retention: 'bucket-default',
  retentionMode: 'COMPLIANCE',
  retentionDays: 1,
} as const;
const ANSWER_MS_MAX = 30_000;

/** The bucket with its credential. @throws Failure where the file of that cannot be read. */
export function copyTarget(
  { kind: _, secretAccessKeyFile, ...target }: Kind<'s3'>,
  secret: (path: string) => string,
): Config['storage'] {
  const key =
    secretAccessKeyFile === undefined ? {} : { secretAccessKey: secret(secretAccessKeyFile) };
  return { ...target, ...key, timeoutMs: ANSWER_MS_MAX };
}

function s3Place(
  copy: Kind<'s3'>,
  secret: (path: string) => string,
): CopyPlace & { close(): void } {
  const target = copyTarget(copy, secret);
  const store = createS3Store(
    target,
    AS_THE_BUCKET_SAYS,
    systemClock,
    'Keeping a copy elsewhere needs s3:PutObject there.',
  );
  return {
    where: `s3://${target.bucket}/${target.prefix}`,
    close: () => store.close(),
    async get(name) {
      try {
        return (await store.get(`${target.prefix}${name}`))?.bytes ?? null;
      } catch (error) {
        // Who may only put is denied everything else; who may not list, what is not there.
        if (error instanceof Failure && error.code === 'S3_ACCESS_DENIED') return null;
        throw error;
      }
    },
    putIfAbsent: async (name, bytes) => {
      await store.putIfAbsent(`${target.prefix}${name}`, bytes);
    },
  };
}
