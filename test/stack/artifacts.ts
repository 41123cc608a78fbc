/**
 * The server programs, each fetched or built once by the ordinary client of its registry (Maven,
 * Go) and kept in a cache folder outside the checkout, under its name and version.
 *
 * A folder in the cache is complete: it is made under a temporary name and renamed, so an
 * interrupted download is never used. Two checkouts that need the same artifact at once make it
 * once: the second waits. When all are there, no client is called at all.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { chmod, readdir, rename } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Failure } from '../../services/runtime/errors.ts';
import { findPrerequisites, type Jdk, type Tool, withJdk } from './prerequisites.ts';
import { identify, isAlive, type ProcessIdentity, readIdentity } from './process.ts';
import type { Progress } from './progress.ts';
import { type ServerName, writeJson } from './state.ts';

const run = promisify(execFile);

const MAVEN_DEPENDENCY = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1';
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
const PARTIAL = '.partial.';
const LOCK_POLL_MS = 300;

export interface ArtifactTools {
  /** Environment for Maven, Go and jar, with the chosen JDK first on the path. */
  env: NodeJS.ProcessEnv;
  jdk: Jdk;
}

export interface Artifact {
  name: string;
  version: string;
  /** What making it needs; the JDK that runs it is asked for by `neededBy`. */
  tools: Tool[];
  /** Shown while it is made. */
  label: string;
  /** Fills the empty folder. */
  make(folder: string, tools: ArtifactTools): Promise<void>;
}

/** The compose file pins the same versions; `test/compose.test.ts` compares them. */
export const KAFKA_VERSION = '4.4.0';
export const REGISTRY_VERSION = '3.3.3';
export const OPENSEARCH_VERSION = '3.8.0';
const LOG4J_VERSION = '2.25.3';

const kafka: Artifact = {
  name: 'kafka',
  version: KAFKA_VERSION,
  tools: ['java', 'mvn'],
  label: `Kafka ${KAFKA_VERSION}: fetching, 43 MB`,
  async make(folder, tools) {
    const pom = join(folder, 'pom.xml');
    writeFileSync(pom, kafkaPom());
    await mavenCopyDependencies(pom, join(folder, 'lib'), tools);
  },
};

const registry: Artifact = {
  name: 'apicurio-registry',
  version: REGISTRY_VERSION,
  tools: ['java', 'mvn', 'tar'],
  label: `Apicurio Registry ${REGISTRY_VERSION}: fetching, 158 MB`,
  async make(folder, tools) {
    const coordinates = `io.apicurio:apicurio-registry-app:${REGISTRY_VERSION}:tar.gz:all`;
    const archive = await mavenCopy(coordinates, folder, tools);
    await command('tar', ['-xzf', archive, '-C', folder], tools);
    rmSync(archive);
  },
};

const opensearch: Artifact = {
  name: 'opensearch',
  version: OPENSEARCH_VERSION,
  tools: ['java', 'mvn'],
  label: `OpenSearch ${OPENSEARCH_VERSION}: fetching, 160 MB`,
  async make(folder, tools) {
    const group = 'org.opensearch.distribution.integ-test-zip';
    const archive = await mavenCopy(`${group}:opensearch:${OPENSEARCH_VERSION}:zip`, folder, tools);
    // jar comes with the JDK, unzip does not come with everything; jar drops the executable bits.
    await command(join(tools.jdk.home, 'bin', 'jar'), ['xf', archive], tools, folder);
    rmSync(archive);
    const bin = join(folder, `opensearch-${OPENSEARCH_VERSION}`, 'bin');
    for (const name of await readdir(bin)) await chmod(join(bin, name), 0o755);
  },
};

/** The last community source release; MinIO publishes no binary in a registry. */
const minio = goProgram('minio', 'v0.0.0-20260212201848-7aac2a2c5b7c', 'building, some minutes');
/** MinIO's admin API takes encrypted bodies, which its own client knows how to write. */
const mc = goProgram('mc', 'v0.0.0-20250313080218-cf909e1063a9', 'building, under a minute');

function goProgram(name: string, version: string, doing: string): Artifact {
  return {
    name,
    version,
    tools: ['go'],
    label: `${name === 'mc' ? 'MinIO client' : 'MinIO'}: ${doing}`,
    async make(folder, tools) {
      const env = { ...tools.env, GOBIN: folder };
      // Without symbol tables: half the size, and the compiled packages stay reusable.
      const args = ['install', '-ldflags=-s -w', `github.com/minio/${name}@${version}`];
      await command('go', args, { ...tools, env });
    },
  };
}

const NEEDED: Record<ServerName, Artifact[]> = {
  kafka: [kafka],
  registry: [registry],
  minio: [minio, mc],
  opensearch: [opensearch],
};

export interface Programs {
  jdk: Jdk;
  /** Folder of jars. */
  kafkaLib: string;
  registryHome: string;
  opensearchHome: string;
  minio: string;
  mc: string;
}

export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env.LAKESEAL_CACHE) return resolve(env.LAKESEAL_CACHE);
  const base = env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return resolve(base, 'lakeseal');
}

/**
 * Makes what is not in the cache yet, then says where everything is. Throws
 * `STACK_PREREQUISITES_MISSING` before the first download, `STACK_ARTIFACT_FAILED` with the last
 * lines of the client that failed.
 */
export async function fetchPrograms(
  servers: readonly ServerName[],
  progress: Progress,
): Promise<Programs> {
  const cache = cacheFolder();
  const wanted = servers.flatMap((server) => NEEDED[server]);
  const absent = wanted.filter((artifact) => !existsSync(pathOf(cache, artifact)));
  const tools = new Set<Tool>(absent.flatMap((artifact) => artifact.tools));
  if (servers.some((server) => server !== 'minio')) tools.add('java');
  const { jdk } = findPrerequisites(tools);
  if (absent.length > 0) {
    const env = withJdk(process.env, jdk);
    progress.note(`  fetching what is not in ${cache} yet; the next start needs none of it`);
    await makeAll(absent, cache, { env, jdk }, progress);
  }
  return {
    jdk,
    kafkaLib: join(pathOf(cache, kafka), 'lib'),
    registryHome: pathOf(cache, registry),
    opensearchHome: join(pathOf(cache, opensearch), `opensearch-${OPENSEARCH_VERSION}`),
    minio: join(pathOf(cache, minio), 'minio'),
    mc: join(pathOf(cache, mc), 'mc'),
  };
}

/**
 * One client at a time of each kind: two Mavens share a local repository they do not lock, two Go
 * builds want the same processors.
 */
async function makeAll(
  absent: Artifact[],
  cache: string,
  tools: ArtifactTools,
  progress: Progress,
): Promise<void> {
  const lanes = [
    absent.filter((artifact) => artifact.tools.includes('mvn')),
    absent.filter((artifact) => !artifact.tools.includes('mvn')),
  ];
  const results = await Promise.allSettled(
    lanes.map(async (lane) => {
      for (const artifact of lane) await makeOnce(artifact, cache, tools, progress);
    }),
  );
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

function pathOf(cache: string, artifact: Artifact): string {
  return join(cache, `${artifact.name}-${artifact.version}`);
}

/** Makes the artifact in the cache unless it is there, waiting for whoever makes it already. */
export async function makeOnce(
  artifact: Artifact,
  cache: string,
  tools: ArtifactTools,
  progress: Progress,
): Promise<void> {
  const path = pathOf(cache, artifact);
  await progress.step(artifact.label, async () => {
    const release = await lock(`${path}.lock`);
    try {
      if (existsSync(path)) return;
      await removeLeftovers(path);
      const temporary = mkdtempSync(`${path}${PARTIAL}`);
      await artifact.make(temporary, tools);
      await rename(temporary, path);
    } finally {
      release();
    }
  });
}

/** What an interrupted make left, whose client may even write there still: hence the new names. */
async function removeLeftovers(path: string): Promise<void> {
  const folder = dirname(path);
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${basename(path)}${PARTIAL}`)) continue;
    rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/**
 * A lock is a folder that holds who took it; one whose holder is dead is taken over. The folder it
 * is in is made where there is none: on a new machine the first to lock finds no cache.
 */
export async function lock(path: string): Promise<() => void> {
  mkdirSync(dirname(path), { recursive: true });
  for (;;) {
    const own = mkdtempSync(`${path}.`);
    writeJson(join(own, 'holder.json'), identify(process.pid));
    try {
      await rename(own, path);
      return () => removeLock(path, () => true);
    } catch {
      rmSync(own, { recursive: true, force: true });
    }
    const holder = readIdentity(join(path, 'holder.json'));
    if (holder !== null && !isAlive(holder)) removeLock(path, (found) => !isAlive(found));
    else await sleep(LOCK_POLL_MS);
  }
}

/** Moves the lock away in one step, then removes it; puts it back when it was another's by then. */
function removeLock(path: string, mayRemove: (holder: ProcessIdentity) => boolean): void {
  const aside = mkdtempSync(`${path}.gone.`);
  try {
    renameSync(path, aside);
  } catch {
    rmSync(aside, { recursive: true, force: true });
    return;
  }
  const holder = readIdentity(join(aside, 'holder.json'));
  if (holder !== null && !mayRemove(holder)) renameSync(aside, path);
  else rmSync(aside, { recursive: true, force: true });
}

async function mavenCopy(
  coordinates: string,
  folder: string,
  tools: ArtifactTools,
): Promise<string> {
  const goal = `${MAVEN_DEPENDENCY}:copy`;
  const args = [
    '-q',
    '-B',
    '-ntp',
    goal,
    `-Dartifact=${coordinates}`,
    `-DoutputDirectory=${folder}`,
  ];
  await command('mvn', args, tools, folder);
  const names = await readdir(folder);
  const name = names.find((candidate) => /\.(zip|tar\.gz)$/.test(candidate));
  if (name === undefined) throw new Error(`Maven copied no ${coordinates}`);
  return join(folder, name);
}

async function mavenCopyDependencies(
  pom: string,
  folder: string,
  tools: ArtifactTools,
): Promise<void> {
  const goal = `${MAVEN_DEPENDENCY}:copy-dependencies`;
  const args = ['-q', '-B', '-ntp', '-f', pom, goal, `-DoutputDirectory=${folder}`];
  await command('mvn', args, tools);
}

function kafkaPom(): string {
  const dependency = (group: string, name: string, version: string): string =>
    `    <dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version></dependency>`;
  const log4j = 'org.apache.logging.log4j';
  return [
    '<project xmlns="http://maven.apache.org/POM/4.0.0">',
    '  <modelVersion>4.0.0</modelVersion>',
    '  <groupId>lakeseal</groupId><artifactId>kafka-server</artifactId><version>1</version>',
    '  <dependencies>',
    dependency('org.apache.kafka', 'kafka_2.13', KAFKA_VERSION),
    dependency(log4j, 'log4j-slf4j-impl', LOG4J_VERSION),
    dependency(log4j, 'log4j-core', LOG4J_VERSION),
    dependency(log4j, 'log4j-1.2-api', LOG4J_VERSION),
    '  </dependencies>',
    '</project>',
    '',
  ].join('\n');
}

async function command(
  program: string,
  args: string[],
  tools: ArtifactTools,
  cwd?: string,
): Promise<void> {
  try {
    await run(program, args, {
      env: tools.env,
      maxBuffer: OUTPUT_BYTES_MAX,
      ...(cwd === undefined ? {} : { cwd }),
    });
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    const tail = `${stdout}\n${stderr}`.trim().split('\n').slice(-15).join('\n    ');
    throw new Failure(`${program} failed:\n    ${tail}`, {
      code: 'STACK_ARTIFACT_FAILED',
      hint: `Does ${program} reach its registry? A second try goes on where this one ended.`,
      cause: error,
    });
  }
}
