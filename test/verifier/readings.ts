/** `lakeseal verify` and `schemas/verify.py` on the same copy of an archive. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exitCodeOf, type Finding } from '../../services/verifier/findings.ts';
import { folderSource } from '../../services/verifier/folder-source.ts';
import type { VerifyOptions } from '../../services/verifier/verify.ts';
import { findingsIn } from './findings-in.ts';
import { PREFIX, type SmallArchive, signer } from './proof-archive.ts';
import { writeFolder } from './write-folder.ts';

const SCRIPT = join(import.meta.dirname, '..', '..', 'schemas', 'verify.py');
export const KEY = signer.verifier.vkey;

export const hasPython = spawnSync('python3', ['--version']).status === 0;

export function python(...args: string[]) {
  const { status, stdout, stderr } = spawnSync('python3', [SCRIPT, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** Code and key of each finding, sorted: of lakeseal, and of the script with the same settings as `args`. */
export async function both(
  archive: SmallArchive,
  changes: Partial<VerifyOptions>,
  args: readonly string[],
): Promise<[ours: string[], theirs: string[]]> {
  const folder = mkdtempSync(join(tmpdir(), 'lakeseal-verify-'));
  try {
    await writeFolder(archive.bucket, folder);
    const found = await findingsIn(folderSource(folder), changes);
    const { status, stdout, stderr } = python(
      ...[folder, '--prefix', PREFIX, '--key', KEY, '--json', ...args],
    );
    assert.equal(stderr, '');
    assert.equal(status, exitCodeOf(found), stdout);
    const report = JSON.parse(stdout) as { findings: Finding[] };
    return [facts(found), facts(report.findings)];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function facts(findings: readonly Finding[]): string[] {
  return [...new Set(findings.map(({ code, key }) => `${code} ${key}`))].sort();
}
