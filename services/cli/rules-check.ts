/** `lakeseal rules check`: every problem with its place, then what there is in all. */
import { DEFAULT_LIMITS } from '../detector/correlate/limits.ts';
import { openEnrichment } from '../detector/enrich/enrichment.ts';
import { doubtsOf } from '../detector/sigma/doubts.ts';
import { loadRules, SHIPPED_RULES } from '../detector/sigma/rules.ts';
import { planProblems } from '../detector/stream/engine.ts';
import { type Check, checkExitCode, checkOf, type Finding } from '../detector/workbench/check.ts';
import type { Config } from '../runtime/config.ts';
import { counted } from '../runtime/wording.ts';
import { isUnder, type LayerFlags, layersOf } from './rules-load.ts';
import { paint, printable, type Terminal, type Tone, toJson } from './terminal.ts';

export function checkRules(
  terminal: Terminal,
  paths: readonly string[],
  flags: LayerFlags & { strict?: true; json?: true },
  config: () => Config,
  nowMs: number,
): number {
  const { layers, lists, own } = layersOf(paths, flags, config);
  const loaded = loadRules({ layers, lists, nowMs });
  const { detect, enrich } = config();
  const limits = { ...DEFAULT_LIMITS, groupEntriesMax: detect.groupEntriesMax };
  const doubts = loaded.ok ? [...planProblems(loaded.set, limits), ...doubtsOf(loaded.set)] : [];
  const enrichment = openEnrichment(enrich).enrichmentStatus();
  const noted = {
    isOwn: (file: string) => own.some((path) => isUnder(file, path)),
    others: paths.length === 0 ? SHIPPED_RULES : null,
  };
  const check = checkOf(loaded, doubts, enrichment, noted);
  const code = checkExitCode(check, flags.strict === true);
  if (flags.json === true) terminal.out(toJson({ ok: code === 0, ...check }));
  else tellCheck(terminal, check);
  return code;
}

const TONES: Record<Finding['severity'], Tone> = {
  error: 'bad',
  warning: 'attention',
  note: 'quiet',
};

function tellCheck(terminal: Terminal, { findings, errors, warnings, rules }: Check): void {
  for (const { severity, file, line, column, message, hint } of findings) {
    const place = line === 0 ? file : `${file}:${line}:${column}`;
    const what = paint(terminal, TONES[severity], severity);
    terminal.out(`${printable(place)}: ${what}: ${printable(`${message}; ${hint}`)}`);
  }
  const found = `${counted(errors, 'error')}, ${counted(warnings, 'warning')}`;
  if (rules === null) {
    terminal.out(`${found}: no rule is loaded until the errors are mended`);
    return;
  }
  const { single, stateful, exceptions, disabled } = rules;
  const sizes = [
    `${counted(single, 'rule')} of single events`,
    `${counted(stateful, 'rule')} over many`,
    counted(exceptions, 'exception'),
    ...(disabled === 0 ? [] : [`${disabled} switched off`]),
  ];
  terminal.out(`${found}: ${sizes.join(', ')}`);
}
