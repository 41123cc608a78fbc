/**
 * What runs of the verifier found, over time: each fact is open once, from the run that first saw it to
 * the run that looked again and did not. Pure.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';

/** `archive`: the evidence, by whole and incremental runs alike. `posture`: what protects the bucket. */
export const SUBJECTS = ['archive', 'posture'] as const;
export type Subject = (typeof SUBJECTS)[number];
export const FACT_CLASSES = ['tampered', 'widened', 'incomplete'] as const;

export interface Fact {
  code: string;
  class: (typeof FACT_CLASSES)[number];
  /** What the code means, in words. */
  meaning: string;
  /** Object of the archive, or part of the bucket's configuration. */
  key: string;
  /** Empty where it is not about one version. */
  versionId: string;
  expected: string;
  found: string;
}

export const openFact = z.strictObject({
  id: z.string(),
  subject: z.enum(SUBJECTS),
  code: z.string(),
  class: z.enum(FACT_CLASSES),
  meaning: z.string(),
  key: z.string(),
  versionId: z.string(),
  expected: z.string(),
  found: z.string(),
  /** Epoch ms. */
  openedMs: z.int(),
});

export type OpenFact = z.output<typeof openFact>;

export interface Judged {
  /** All that is open after the run. */
  open: OpenFact[];
  opened: OpenFact[];
  recovered: OpenFact[];
  /** Facts that there was no room for; a later run opens them. */
  left: number;
}

/** Most facts open at once: whoever has more of them looks at the archive, not at a list. */
export const OPEN_MAX = 10_000;

/** The same for the same fact, in whichever run. */
export function factId(subject: Subject, { code, key, versionId, found }: Fact): string {
  const text = JSON.stringify([subject, code, key, versionId, found]);
  return createHash('sha256').update(text).digest('base64url');
}

/**
 * After a run that came to its end. Every run judges all of its subject that was open: an incremental
 * one goes back to where nothing was found.
 */
export function judgeRun(
  before: readonly OpenFact[],
  subject: Subject,
  facts: readonly Fact[],
  atMs: number,
  openMax: number = OPEN_MAX,
): Judged {
  const seen = new Map(facts.map((fact) => [factId(subject, fact), fact]));
  const stays = (one: OpenFact): boolean => one.subject !== subject || seen.has(one.id);
  const open = before.filter(stays);
  const known = new Set(open.map(({ id }) => id));
  const fresh = [...seen]
    .filter(([id]) => !known.has(id))
    .map(([id, fact]): OpenFact => ({ id, subject, ...fact, openedMs: atMs }));
  const opened = fresh.slice(0, Math.max(0, openMax - open.length));
  const recovered = before.filter((one) => !stays(one));
  return { open: [...open, ...opened], opened, recovered, left: fresh.length - opened.length };
}
