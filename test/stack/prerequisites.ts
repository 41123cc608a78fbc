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
/** From 1.21 on, Go fetches the newer toolchain that a module asks for. */
const GO_MINOR_MIN = 21;

export interface Jdk {
  home: string;
  version: number;
}

export type Tool = 'java' | 'mvn' | 'go' | 'tar';

export interface Prerequisites {
  jdk: Jdk;
}

/** Throws one `Failure` that names every missing tool of those asked for. */
export function findPrerequisites(tools: ReadonlySet<Tool>): Prerequisites {
  const missing: string[] = [];
  const jdk = tools.has('java') ? findJdk(process.env) : undefined;
  if (jdk === null) {
    missing.push(
      `a JDK of version ${JAVA_VERSION_MIN} or later (package openjdk-${JAVA_VERSION_MIN}-jdk-headless, or Temurin; ` +
        'or set LAKESEAL_JAVA_HOME to one)',
    );
  }
  if (tools.has('mvn') && !runs('mvn', ['-v'])) missing.push('Maven 3.6 or later (package maven)');
  if (tools.has('go') && !hasGo()) {
    missing.push(`Go 1.${GO_MINOR_MIN} or later (package golang-go, or https://go.dev/dl)`);
  }
  if (tools.has('tar') && !runs('tar', ['--version'])) missing.push('tar (package tar)');
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
export function findJdk(env: NodeJS.ProcessEnv): Jdk | null {
  for (const home of javaHomes(env)) {
    const version = javaVersion(home);
    if (version !== null && version >= JAVA_VERSION_MIN) return { home, version };
  }
  return null;
}

function* javaHomes(env: NodeJS.ProcessEnv): Generator<string> {
  if (env.LAKESEAL_JAVA_HOME) yield env.LAKESEAL_JAVA_HOME;
  if (env.JAVA_HOME) yield env.JAVA_HOME;
  const onPath = javaHomeOf('java');
  if (onPath !== null) yield onPath;
  for (const folder of ['/usr/lib/jvm', '/Library/Java/JavaVirtualMachines']) {
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
  const version = javaProperty(join(home, 'bin', 'java'), 'java.specification.version');
  return version === null ? null : Number.parseInt(version, 10);
}

function javaHomeOf(command: string): string | null {
  return javaProperty(command, 'java.home');
}

function javaProperty(java: string, name: string): string | null {
  const { stdout, stderr } = spawnSync(java, ['-XshowSettings:properties', '-version'], {
    encoding: 'utf8',
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

function hasGo(): boolean {
  const { stdout } = spawnSync('go', ['version'], { encoding: 'utf8' });
  const minor = /go1\.(\d+)/.exec(stdout ?? '')?.[1];
  return minor !== undefined && Number(minor) >= GO_MINOR_MIN;
}

function runs(command: string, args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** `bin` of the chosen JDK first, so that tools that look for `java` find that one. */
export function withJdk(env: NodeJS.ProcessEnv, jdk: Jdk): NodeJS.ProcessEnv {
  if (jdk.home === '') return env;
  const path = env.PATH ?? dirname(process.execPath);
  return { ...env, JAVA_HOME: jdk.home, PATH: `${join(jdk.home, 'bin')}:${path}` };
}
