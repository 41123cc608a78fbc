/** The LAKESEAL_* environment that points a lakeseal process at a stack. Pure. */
import { envName } from '../../services/runtime/config-keys.ts';
import type { StackState } from './state.ts';

export type Setting = string | number | boolean | readonly string[];

/**
 * `overrides` are settings by their path in the configuration (`archive.segmentAgeMsMax`); they win.
 * The store is given the archiver's credentials, as in production.
 */
export function configEnv(
  state: StackState,
  overrides: Record<string, Setting> = {},
): Record<string, string> {
  const settings: Record<string, Setting> = {
    'kafka.brokers': state.kafka.brokers,
    'registry.url': state.registry.url,
    'storage.endpoint': state.s3.endpoint,
    'storage.region': state.s3.region,
    'storage.pathStyle': true,
    'storage.accessKeyId': state.s3.archiver.accessKeyId,
    'storage.secretAccessKey': state.s3.archiver.secretAccessKey,
    'opensearch.nodes': [state.opensearch.url],
    // One node holds no replica.
    'opensearch.replicas': 0,
    ...overrides,
  };
  return Object.fromEntries(
    Object.entries(settings).map(([path, value]) => [envName(path), String(value)]),
  );
}

/** The administrator's credentials for `lakeseal setup`: to be merged into the overrides. */
export function rootSettings(state: StackState): Record<string, Setting> {
  return {
    'setup.accessKeyId': state.s3.root.accessKeyId,
    'setup.secretAccessKey': state.s3.root.secretAccessKey,
  };
}
