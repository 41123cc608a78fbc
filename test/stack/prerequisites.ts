/**
 * What a machine must have before servers can be had and started without Docker: found first, and
 * what is missing is named all at once, with what to install, before anything is downloaded.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Failure } from '../../services/runtime/errors.ts';

/** OpenSearch 3 and Apicurio Registry 3 need this Java. */
export const JAVA_VERSION_MIN = 21;
/** What MinIO asks for. From 1.21 on Go fetches that by itself, unless it is told not to. */
const GO_MINOR_MIN = 24;
const GO_MINOR_MIN_FETCHING = 21;

export interface Jdk {
  home: string;
  version: number;
}

export type Tool = 'java' | 'mvn' | 'go' | 'tar';

export interface Prerequisites {
  jdk: Jdk;
}

/** Where to look; the tests look elsewhere. */
export interface Machine {
  env: NodeJS.ProcessEnv;
  /** Folders that hold one JDK in each of their folders. */
  jdkFolders: string[];
}

const THIS_MACHINE: Machine = {
  env: process.env,
  jdkFolders: ['/usr/lib/jvm', '/Library/Java/JavaVirtualMachines'],
};

/** Throws one `Failure` that names every missing tool of those asked for. */
export function findPrerequisites(
  tools: ReadonlySet<Tool>,
  machine: Machine = THIS_MACHINE,
): Prerequisites {
  const { env } = machine;
  const missing: string[] = [];
  const jdk = tools.has('java') ? findJdk(machine) : undefined;
  if (jdk === null) {
    missing.push(
      `a JDK of version ${JAVA_VERSION_MIN} or later (package openjdk-${JAVA_VERSION_MIN}-jdk-headless, or Temurin; ` +
        'or set LAKESEAL_JAVA_HOME to one)',
    );
  }
  if (tools.has('mvn') && !runs('mvn', ['-v'], env))
    missing.push('Maven 3.6 or later (package maven)');
  if (tools.has('go') && !hasGo(env)) {
    missing.push(`Go 1.${GO_MINOR_MIN} or later (package golang-go, where it is as new as that)`);
  }
  if (tools.has('tar') && !runs('tar', ['--version'], env)) missing.push('tar (package tar)');
  if (missing.length > 0) {
    throw new Failure(
      `the servers need what is not installed here:\n  - ${missing.join('\n  - ')}`,
      {
        code: 'STACK_PREREQUISITES_MISSING',
        hint: 'Install these, or start a Docker engine with Compose, which needs none of them.',
      },
    );
  }
  return { jdk: jdk ?? { home: '', version: 0 } };
}

/** The first of the places, in the order of preference, that holds a JDK recent enough. */
export function findJdk(machine: Machine = THIS_MACHINE): Jdk | null {
  for (const home of javaHomes(machine)) {
    const version = javaVersion(home);
    if (version !== null && version >= JAVA_VERSION_MIN) return { home, version };
  }
  return null;
}

function* javaHomes({ env, jdkFolders }: Machine): Generator<string> {
  if (env.LAKESEAL_JAVA_HOME) yield env.LAKESEAL_JAVA_HOME;
  if (env.JAVA_HOME) yield env.JAVA_HOME;
  const onPath = javaProperty('java', 'java.home', env);
  if (onPath !== null) yield onPath;
  for (const folder of jdkFolders) {
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder).sort()) {
      yield join(folder, name);
      yield join(folder, name, 'Contents', 'Home');
    }
  }
}

/** The version of a JDK (it must have `jar`, which unpacks zip files), or null. */
function javaVersion(home: string): number | null {
  if (!existsSync(join(home, 'bin', 'java')) || !existsSync(join(home, 'bin', 'jar'))) return null;
  const version = javaProperty(
    join(home, 'bin', 'java'),
    'java.specification.version',
    process.env,
  );
  return version === null ? null : Number.parseInt(version, 10);
}

function javaProperty(java: string, name: string, env: NodeJS.ProcessEnv): string | null {
  const { stdout, stderr } = spawnSync(java, ['-XshowSettings:properties', '-version'], {
    encoding: 'utf8',
    env,
  });
  return propertyIn(`${stdout ?? ''}\n${stderr ?? ''}`, name);
}

function propertyIn(text: string, name: string): string | null {
  for (const line of text.split('\n')) {
    const [key, value] = line.split(' = ');
    if (key?.trim() === name && value !== undefined) return value.trim();
  }
  return null;
}

function hasGo(env: NodeJS.ProcessEnv): boolean {
  const go = (...args: string[]): string =>
    spawnSync('go', args, { encoding: 'utf8', env }).stdout ?? '';
  const minor = /go1\.(\d+)/.exec(go('version'))?.[1];
  if (minor === undefined) return false;
  const fetches = go('env', 'GOTOOLCHAIN').trim() !== 'local';
  return Number(minor) >= (fetches ? GO_MINOR_MIN_FETCHING : GO_MINOR_MIN);
}

function runs(command: string, args: string[], env: NodeJS.ProcessEnv): boolean {
  return spawnSync(command, args, { stdio: 'ignore', env }).status === 0;
}

/** `bin` of the chosen JDK first, so that tools that look for `java` find that one. */
export function withJdk(env: NodeJS.ProcessEnv, jdk: Jdk): NodeJS.ProcessEnv {
  if (jdk.home === '') return env;
  const path = env.PATH ?? dirname(process.execPath);
  return { ...env, JAVA_HOME: jdk.home, PATH: `${join(jdk.home, 'bin')}:${path}` };
}
