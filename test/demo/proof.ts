/**
 * From an alert to a proof, as an investigator does it: one command against the archive, and the
 * check of its file with nothing but the public key.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { counted } from '../../services/runtime/wording.ts';
import type { DemoAlert } from './alerts.ts';
import { runLakeseal } from './pipeline.ts';
import type { Story } from './story.ts';

/** Makes the key that signs the evidence, and gives its file and its public half. */
export async function makeKey(
  story: Story,
  folder: string,
): Promise<{ keyFile: string; publicKey: string }> {
  const keyFile = join(folder, 'signing.key');
  let publicKey = '';
  const args = ['keys', 'new', '--name', 'demo.example.com/lakeseal', '--out', keyFile];
  const code = await runLakeseal(args, {}, (line) => {
    publicKey = line;
  });
  if (code !== 0) throw new Error('lakeseal keys new failed, see above');
  story.line(`  public key: ${publicKey}`);
  return { keyFile, publicKey };
}

/** True where every record that the alert counted was proved, and each proof holds by itself. */
export async function proveAlert(
  story: Story,
  env: Record<string, string>,
  folder: string,
  alert: DemoAlert,
  publicKey: string,
): Promise<boolean> {
  const out = join(folder, 'proofs');
  mkdirSync(out);
  story.line(`  ${alert.rule.title}`);
  const tell = (line: string): void => story.line(`  ${line.replace(`${out}/`, '')}`);
  const startedMs = performance.now();
  const proved = await runLakeseal(['prove', '--alert', alert.id, '--out', out], env, tell);
  story.line(`  proved in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  const files = readdirSync(out);
  let holding = 0;
  for (const file of files) {
    // No configuration and no server: only the file and the key.
    const args = ['prove', '--check', join(out, file), '--key', publicKey];
    if ((await runLakeseal(args, {}, () => {})) === 0) holding += 1;
  }
  return proved === 0 && files.length > 0 && holding === files.length;
}

/**
 * What `lakeseal verify` says of the archive: its exit code, the codes of its findings, and how many time
 * stamps of the authority with that root certificate it counted.
 */
export async function verifyArchive(
  story: Story,
  env: Record<string, string>,
  publicKey: string,
  caFile: string | null,
): Promise<{ exitCode: number; codes: Set<string>; stamps: number }> {
  let output = '';
  const authority = caFile === null ? [] : ['--tsa-ca', caFile];
  const args = ['verify', '--deep', '--json', '--key', publicKey, ...authority];
  await runLakeseal(args, env, (line) => {
    output += line;
  });
  const { exitCode, root, partitions, findings } = JSON.parse(output) as {
    exitCode: number;
    root: { size: number; time: string | null; stamps: number };
    partitions: Array<{ segments: number; records: number }>;
    findings: Array<{ code: string; key: string; found: string }>;
  };
  const sum = (of: 'segments' | 'records'): number =>
    partitions.reduce((total, partition) => total + partition[of], 0);
  story.line(`  ${sum('segments')} segments, ${sum('records')} records: exit code ${exitCode}`);
  // Of the hour in which the archiver started: nothing was sealed then.
  const roots = `${counted(root.size, 'root')}, the newest of ${root.time}`;
  story.line(
    `  ${roots}, ${counted(root.stamps, 'time stamp')}; the next covers what was sealed since`,
  );
  for (const { code, key, found } of findings) story.line(`  ${code}: ${key}: ${found}`);
  return { exitCode, codes: new Set(findings.map(({ code }) => code)), stamps: root.stamps };
}
