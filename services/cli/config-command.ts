/** `lakeseal config`: the reference of every key, or the values in force. Never prints a secret. */
import { stringify } from 'yaml';
import { type Config, configKeys, type LoadedConfig } from '../runtime/config.ts';
import type { ConfigKey } from '../runtime/config-keys.ts';
import { paint, type Terminal, toJson } from './terminal.ts';

export function printReference(terminal: Terminal, json: boolean): void {
  if (json) {
    terminal.out(toJson(configKeys.map(({ section: _, name: __, ...key }) => key)));
    return;
  }
  const sections = new Set(configKeys.map((key) => key.section));
  const blocks = [...sections].map((section) => {
    const keys = configKeys.filter((key) => key.section === section);
    const lines = keys.map((key) => describeKey(terminal, key));
    return [paint(terminal, 'strong', `${section}:`), ...lines].join('\n');
  });
  terminal.out(`${INTRODUCTION}\n\n${blocks.join('\n\n')}`);
}

const INTRODUCTION = `\
Every key, its environment name, its default and what it means. The file is YAML (--config FILE,
else LAKESEAL_CONFIG, else ./lakeseal.yaml); a variable of the environment wins over the file.
Lists take commas in a variable. For a secret, NAME_FILE names a file that holds it.`;

function describeKey(terminal: Terminal, key: ConfigKey): string {
  const facts = [key.secret ? 'secret' : (key.allowed?.join(' | ') ?? key.kind)];
  facts.push(key.default === undefined ? 'optional' : `default ${shown(key.default)}`);
  const name = key.secret ? `${key.env} or ${key.env}_FILE` : key.env;
  return [
    `  ${paint(terminal, 'strong', key.name)}  ${paint(terminal, 'quiet', `(${facts.join(', ')})`)}`,
    `      ${key.description}`,
    `      ${paint(terminal, 'quiet', name)}`,
  ].join('\n');
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(',');
  return value === '' ? 'empty' : String(value);
}

export function printEffective(terminal: Terminal, loaded: LoadedConfig, json: boolean): void {
  const config = redacted(loaded.config);
  if (json) {
    const sources = Object.fromEntries(loaded.places);
    terminal.out(toJson({ file: loaded.file ?? null, config, sources }));
    return;
  }
  const lines = [`# file: ${loaded.file ?? 'none'}`];
  for (const [section, values] of Object.entries(config)) {
    lines.push(`${section}:`);
    for (const [name, value] of Object.entries(values)) {
      const source = loaded.places.get(`${section}.${name}`);
      const comment = source === undefined ? '' : paint(terminal, 'quiet', `  # ${source}`);
      lines.push(`  ${name}: ${inline(value)}${comment}`);
    }
  }
  terminal.out(lines.join('\n'));
}

/** A value as YAML on one line, so that the output is itself a configuration file. */
function inline(value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trimEnd();
}

/** What stands for a secret that is set. */
export const REDACTED = '[set]';

/** Secrets, and passwords inside URLs, replaced; keys without a value left out. */
export function redacted(config: Config): Record<string, Record<string, unknown>> {
  const secrets = new Set(configKeys.filter((key) => key.secret).map((key) => key.path));
  const sections = Object.entries(config).map(([section, values]) => {
    const kept = Object.entries(values as Record<string, unknown>)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [
        name,
        secrets.has(`${section}.${name}`) ? REDACTED : withoutUserInfo(value),
      ]);
    return [section, Object.fromEntries(kept)];
  });
  return Object.fromEntries(sections);
}

function withoutUserInfo(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUserInfo);
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([name, one]) => [name, withoutUserInfo(one)]);
    return Object.fromEntries(entries);
  }
  if (typeof value !== 'string') return value;
  return value.replace(/^(https?:\/\/)[^/@]*@/, `$1${REDACTED}@`);
}
