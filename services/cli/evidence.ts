/**
 * The commands that make and check proofs, and look after the keys that sign: names, options and
 * help. What a command does is imported when it runs.
 */
import type { Command } from 'commander';
import type { CommandContext } from './command-context.ts';
import type { CopyFlags } from './copy.ts';
import {
  countOption,
  jsonOption,
  repeatable,
  stampsSinceOption,
  timeOption,
  trustedKeyOptions,
  unwrapOption,
} from './options.ts';
import type { PostureFlags } from './posture.ts';
import type { ProveFlags } from './prove.ts';
import type { RewrapFlags } from './rewrap.ts';
import type { VerifyFlags } from './verify.ts';

export function addEvidence(program: Command, context: CommandContext): void {
  addVerify(program, context);
  addCopy(program, context);
  addProve(program, context);
  addPosture(program, context);
  addVerifier(program, context);
  addKeys(program, context);
}

function addVerify(
  program: Command,
  { terminal, finish, config, examples, judges }: CommandContext,
): void {
  const command = trustedKeyOptions(
    program
      .command('verify')
      .description('check an archive against its evidence, wherever it lies')
      .argument('[place]', 's3://BUCKET/PREFIX or a copy in a folder; else the configured bucket'),
  )
    .addOption(
      repeatable(
        '--from <note>',
        'a checkpoint kept elsewhere, or a folder of them: it must still hold',
      ),
    )
    .option(
      '--state <file>',
      'read only what is new since the run that left this file, and renew it',
    )
    .option('--whole', 'with --state: read everything, and make the state anew')
    .addOption(repeatable('--tsa-ca <file>', 'PEM root of an authority whose time stamps count'))
    .addOption(repeatable('--witness <vkey>', 'public key of a witness'))
    .option('--expect-stamps', 'a root that no time stamp covers within a day is a finding')
    .option(
      '--stamps-since <time>',
      'the same of roots from that time on (ISO 8601), or from the `first` that is stamped',
      stampsSinceOption,
    )
    .option('--deep', 'read every record, not only the stored bytes')
    .addOption(unwrapOption())
    .option('--root-max-age <seconds>', 'oldest that the newest root may be', countOption)
    .option('--max-findings <n>', 'findings to print', countOption, 100)
    .option('--quiet', 'no progress')
    .addOption(jsonOption())
    .addHelpText('after', VERIFY_HELP)
    .action(async (place: string | undefined, flags: VerifyFlags) => {
      const { runVerify } = await import('./verify.ts');
      finish(await runVerify(place, flags, config, Date.now(), terminal));
    });
  judges(command);
  examples(command, [
    'lakeseal verify --deep',
    'lakeseal verify s3://audit/sealed/ --key audit.example.com+1a2b3c4d+AT… --from last-root.note',
    'lakeseal verify --state /var/lib/lakeseal/verify.json',
    'lakeseal verify /mnt/copy --key-file keys.txt --tsa-ca tsa-root.pem --expect-stamps --json',
  ]);
}

const VERIFY_HELP = `
Every version of every object is looked at: chains, trees, signatures, bytes, tiling of offsets, and
retention where the place tells of it. A copy in a folder may have a versions.jsonl beside it.
The public key must come by another way than the archive, and so must what --tsa-ca and --witness
name; without these the configuration's (anchors.*) count, and without any, time stamps are only
counted.
Where stamping was switched on later, --stamps-since says when. With first it is taken from the
archive: whoever could take away the first stamps moves it, and cannot be told from a late beginning.
--state keeps where each log ended, on this machine and for its owner only: the next run begins there
and makes sure that the end is still the same. What was changed before it is found by --whole, so run
that now and then too. A log with findings of class tampered stays where it was.
Exit code 0 verified, 1 tampered with, 2 incomplete or nothing to verify, 3 could not run.`;

function addCopy(program: Command, { terminal, finish, config, examples }: CommandContext): void {
  const command = program
    .command('copy')
    .description('copy an archive into a folder, every version of it, to be checked elsewhere')
    .argument('<folder>', 'where to; what is there already in full is not read again')
    .option('--archive <place>', 's3://BUCKET/PREFIX; else the bucket of the configuration')
    .option('--dry-run', 'say what would be copied, and write nothing')
    .addOption(jsonOption())
    .addHelpText('after', COPY_HELP)
    .action(async (folder: string, flags: CopyFlags) => {
      const { runCopy } = await import('./copy.ts');
      finish(await runCopy(folder, flags, config, terminal));
    });
  examples(command, [
    'lakeseal copy /mnt/copy',
    'lakeseal copy /mnt/copy --archive s3://audit/sealed/ --dry-run',
  ]);
}

const COPY_HELP = `
The store's listing is written too, as versions.jsonl: with it \`verify\` judges versions, delete
markers, retention and encryption of the copy as if it were the bucket. The copy is as good as the
key that checks it: take the public key by another way.
Exit code 0 copied, 1 not.`;

function addProve(program: Command, { terminal, finish, config, examples }: CommandContext): void {
  const command = trustedKeyOptions(
    program
      .command('prove')
      .description('write an offline proof of a record, or check one')
      .argument('[record]', 'TOPIC/PARTITION/OFFSET')
      .option('--alert <id>', 'the records that an alert counted, by its id in OpenSearch')
      .option('--event <id>', 'the record of an event, by its id; see --since')
      .option(
        '--since <time>',
        'with --event: look in segments from this event time on',
        timeOption,
      )
      .option('--until <time>', 'with --event: … and up to this one', timeOption)
      .option('--consistency <note>', 'prove that the log of this checkpoint was only appended to')
      .option('--check <file>', 'check a proof; needs nothing but the file and a public key')
      .option('--topic-id <id>', 'Kafka topic id, where a name was used for several topics')
      .option('--archive <place>', 'a copy in a folder; else the bucket of the configuration'),
  )
    .addOption(repeatable('--tsa-ca <file>', 'with --check: PEM root of a time stamp authority'))
    .addOption(repeatable('--witness <vkey>', 'with --check: public key of a witness'))
    .addOption(unwrapOption())
    .option('--out <folder>', 'folder for the proofs', '.')
    .addOption(jsonOption())
    .addHelpText('after', PROVE_HELP)
    .action(async (record: string | undefined, flags: ProveFlags) => {
      const { runProve } = await import('./prove.ts');
      finish(await runProve(record, flags, config, terminal));
    });
  examples(command, [
    'lakeseal prove databricks.audit/3/18044 --out case-7',
    'lakeseal prove --alert 3q2-7wAx…',
    'lakeseal prove --check databricks.audit-3-18044.proof.json --key audit.example.com+1a2b3c4d+AT…',
  ]);
}

const PROVE_HELP = `
A proof holds the record as Kafka had it, its place in its segment, the segment's manifest, the
signed checkpoint of its partition and, once an hour has passed, the signed (and stamped) root over
all partitions. Without --key the key in evidence.keyFile is trusted, or evidence.publicKeys.
Exit code 0 proved or the proof holds, 1 it does not hold or could not be made.`;

function addPosture(
  program: Command,
  { terminal, finish, config, examples, judges }: CommandContext,
): void {
  const command = trustedKeyOptions(
    program
      .command('posture')
      .description('compare what protects the bucket with the signed baseline'),
  )
    .option('--no-rights', 'do not try what the credential of storage.* may do')
    .addOption(jsonOption())
    .addHelpText('after', POSTURE_HELP)
    .action(async (flags: PostureFlags) => {
      const { runPosture } = await import('./posture.ts');
      finish(await runPosture(flags, config, terminal));
    });
  judges(command);
  examples(command, [
    'lakeseal posture',
    'lakeseal posture --key audit.example.com+1a2b3c4d+AT… --no-rights --json',
  ]);
}

const POSTURE_HELP = `
The bucket's settings are read with the administrator's credential (setup.*) where it is given, else
with that of storage.*, whose rights are then tried too: with requests that change nothing. What the
store does not tell is said to be unknown, never fine. The bucket policy is judged as a document;
policies of the store's users and roles are not seen.
\`lakeseal preflight --record-baseline\` makes the baseline. Without --key the key in evidence.keyFile
is trusted, or evidence.publicKeys.
Exit code 0 as recorded, 1 something protects less, 2 something cannot be checked or there is no
baseline, 3 could not run.`;

function addVerifier(program: Command, { finish, config, examples }: CommandContext): void {
  const command = program
    .command('verifier')
    .description('verify the archive and what protects it now and then, until told to stop')
    .addHelpText('after', VERIFIER_HELP)
    .action(async () => {
      const settings = config();
      const { runVerifier } = await import('./verifier.ts');
      const { runService } = await import('../runtime/lifecycle.ts');
      finish(await runService('verifier', settings, runVerifier, { http: true }));
    });
  examples(command, ['lakeseal verifier --config lakeseal.yaml']);
}

const VERIFIER_HELP = `
What is new is verified each verifier.incrementalEveryMs, everything each verifier.wholeEveryMs, and the
bucket compared with its signed baseline each verifier.postureEveryMs. Each fact is told once to
OpenSearch (opensearch.findingIndex), and once more when it is no longer so. Keys are trusted as by
\`verify\`: evidence.publicKeys, else that of evidence.keyFile. It only reads the archive: give it a
credential (storage.*) that can do no more.`;

function addKeys(program: Command, context: CommandContext): void {
  const { terminal, finish, config, examples } = context;
  const keys = program.command('keys').description('the key that signs the evidence');
  const made = keys
    .command('new')
    .description('make a signing key (Ed25519) and print its public key')
    .requiredOption('--name <name>', 'what the key stands for, like audit.example.com/lakeseal')
    .requiredOption('--out <file>', 'where the key goes; made with rights for its owner only')
    .action(async ({ name, out }: { name: string; out: string }) => {
      const { newKey } = await import('./keys.ts');
      finish(newKey(name, out, terminal));
    });
  examples(made, ['lakeseal keys new --name audit.example.com --out /etc/lakeseal/signing.key']);
  const envelope = keys
    .command('envelope')
    .description('make a key that encrypts segments before they are stored')
    .requiredOption('--out <file>', 'where the key goes; made with rights for its owner only')
    .option('--kms <id>', 'let this symmetric key of AWS KMS keep the secret: key id, ARN or alias')
    .addHelpText('after', ENVELOPE_HELP)
    .action(async ({ out, kms }: { out: string; kms?: string }) => {
      const { newEnvelopeKey, newKmsEnvelopeKey } = await import('./keys.ts');
      const making =
        kms === undefined
          ? newEnvelopeKey(out, terminal)
          : newKmsEnvelopeKey(config(), { out, kms }, terminal);
      finish(await making);
    });
  examples(envelope, [
    'lakeseal keys envelope --out /etc/lakeseal/envelope.key',
    'lakeseal keys envelope --kms alias/audit-segments --out /etc/lakeseal/envelope.kms',
  ]);
  const rewrapped = keys
    .command('rewrap')
    .description('let another key open what is encrypted already; segments stay as they are')
    .requiredOption('--to <file>', 'the key that is to open them, as made by `keys envelope`')
    .addOption(repeatable('--unwrap-key <file>', 'keys that open them now; else the configured'))
    .option('--dry-run', 'only say what would be written')
    .addHelpText('after', REWRAP_HELP)
    .action(async (flags: RewrapFlags) => {
      const { rewrap } = await import('./rewrap.ts');
      finish(await rewrap(config(), flags, Date.now(), terminal));
    });
  examples(rewrapped, ['lakeseal keys rewrap --to next-envelope.key --dry-run']);
  const show = keys
    .command('show')
    .description('print the public key, to be given to whoever verifies')
    .option('--key-file <file>', 'a signing key; else the one of the configuration')
    .addOption(jsonOption())
    .action(async (flags: { keyFile?: string; json?: true }) => {
      const { showKey } = await import('./keys.ts');
      finish(await showKey(config(), flags, terminal));
    });
  examples(show, ['lakeseal keys show', 'lakeseal keys show --key-file next.key']);
  const rotate = keys
    .command('rotate')
    .description('hand over to another key, by a statement that the present key signs')
    .option('--to <file>', 'the key that takes over, as made by `keys new`')
    .option('--to-kms <id>', 'or one in AWS KMS: its key id or ARN')
    .option('--dry-run', 'only say what would be written')
    .addHelpText('after', ROTATE_HELP)
    .action(async (flags: { to?: string; toKms?: string; dryRun?: true }) => {
      const { rotateKey } = await import('./keys.ts');
      finish(await rotateKey(config(), flags, Date.now(), terminal));
    });
  examples(rotate, [
    'lakeseal keys rotate --to next.key --dry-run',
    'lakeseal keys rotate --to-kms 1234abcd-12ab-34cd-56ef-1234567890ab',
  ]);
  examples(keys, ['lakeseal keys show', 'lakeseal keys rotate --to next.key']);
}

const ENVELOPE_HELP = `
With --kms the file holds what kms:GenerateDataKey made for this archive (storage.bucket and prefix), and
no secret: archivers and readers ask kms:Decrypt when they start, and each segment says in its header
what to ask. All archivers need the same file. Keys are rotated with \`keys rewrap\`.`;

const REWRAP_HELP = `
For \`verify\` and \`prove\` the new key is then enough. A running archiver opens its last segments with
the keys in archive.envelopeKeys, so the old one stays there until the new one has sealed. What the old
key opened, it opens for ever: whoever has a copy of it and of the bucket reads what was sealed with it.
Exit code 0 done, 2 some segments are of a key that was not given, 1 could not run.`;

const ROTATE_HELP = `
Both keys have the same name. The statement goes into the archive, signed by the key of the
configuration; then set evidence.keyFile (or evidence.kmsKeyId) to the new key and restart the archivers.
Whoever trusts the old public key then trusts the new one too.`;
