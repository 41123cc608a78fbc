/**
 * The three runs of the verifier, as facts. Archive and bucket come as sources that can only read;
 * the state of the verification is a file beside the ledger.
 */
import type { Unwrap } from '../../schemas/envelope.ts';
import { classOfPosture, meaningOfPosture } from '../posture/findings.ts';
import { type JudgePostureOptions, judgePosture } from '../posture/judge.ts';
import { classOf, meaningOf } from '../verifier/findings.ts';
import { parseState, stateText } from '../verifier/kept-state.ts';
import { type VerifyOptions, verify } from '../verifier/verify.ts';
import type { Fact } from './facts.ts';
import type { RunKind } from './schedule.ts';
import type { RunResult } from './watch.ts';

export interface RunsOptions {
  /** What all runs over the archive share. */
  verify: Omit<VerifyOptions, 'state' | 'nowMs' | 'unwrap'>;
  /** What opens encrypted segments, as the archive says when a run begins. */
  unwrap: () => Promise<Unwrap>;
  posture: JudgePostureOptions;
  /** The file of the verification's state. */
  state: { path: string; read(): string | null; write(text: string): void };
  nowMs: () => number;
}

export function verifierRuns(options: RunsOptions): (kind: RunKind) => Promise<RunResult> {
  return (kind) =>
    kind === 'posture' ? comparePosture(options) : verifyArchive(options, kind === 'whole');
}

async function verifyArchive(options: RunsOptions, whole: boolean): Promise<RunResult> {
  const { state: file, nowMs } = options;
  const text = whole ? null : file.read();
  const { findings, state, partitions } = await verify({
    ...options.verify,
    unwrap: await options.unwrap(),
    state: text === null ? null : parseState(text, file.path, options.verify.source.name),
    nowMs: nowMs(),
  });
  const facts = findings.map(
    (finding): Fact => ({
      ...finding,
      class: classOf(finding.code),
      meaning: meaningOf(finding.code),
    }),
  );
  const unopened = partitions.reduce((sum, one) => sum + one.unopened, 0);
  return { facts, unopened, keep: () => file.write(stateText(state)) };
}

async function comparePosture({ posture }: RunsOptions): Promise<RunResult> {
  const { findings } = await judgePosture(posture);
  const facts = findings.map(
    ({ code, item, expected, found }): Fact => ({
      code,
      class: classOfPosture(code),
      meaning: meaningOfPosture(code),
      key: item,
      versionId: '',
      expected,
      found,
    }),
  );
  return { facts, keep: () => {} };
}
