/** `docker-compose.yml` as the tests read it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

export interface ComposeService {
  image: string;
  build?: string;
  entrypoint?: string[];
  command?: string[];
  user?: string;
  read_only?: boolean;
  cap_drop?: string[];
  security_opt?: string[];
  privileged?: boolean;
  ports?: string[];
  volumes?: string[];
  environment?: Record<string, string>;
  healthcheck?: { test?: string[]; disable?: boolean };
  depends_on?: Record<string, { condition: string }>;
  profiles?: string[];
  restart?: string;
}

export interface Compose {
  services: Record<string, ComposeService>;
  volumes: Record<string, unknown>;
}

export const COMPOSE_TEXT = readFileSync(
  join(import.meta.dirname, '..', '..', 'docker-compose.yml'),
  'utf8',
);
export const compose = parse(COMPOSE_TEXT, { merge: true }) as Compose;

/** The policies that `minio-init` gives its users. */
export function composePolicy(name: 'ARCHIVER_POLICY' | 'VERIFIER_POLICY'): {
  Statement: Array<{ Action: string[]; Resource: string[] }>;
} {
  return JSON.parse(compose.services['minio-init']!.environment![name]!);
}

/** `${NAME:-default}` as Compose replaces it. */
export function expanded(text: string, variables: Record<string, string>): string {
  return text.replace(/\$\{(\w+):-([^}]*)\}/g, (_, name: string, otherwise: string) => {
    return variables[name] || otherwise;
  });
}

/** The environment and the command of a service, as its container gets them. */
export function asContainer(name: string, variables: Record<string, string>) {
  const { environment = {}, command = [], healthcheck } = compose.services[name]!;
  const replaced = (text: string): string => expanded(text, variables);
  return {
    environment: Object.fromEntries(
      Object.entries(environment).map(([key, value]) => [key, replaced(value)]),
    ),
    command: command.map(replaced),
    probe: healthcheck?.test ?? [],
  };
}
