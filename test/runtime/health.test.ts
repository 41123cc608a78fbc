import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Failure } from '../../services/runtime/errors.ts';
import { HealthState } from '../../services/runtime/health.ts';
import { startHttp } from '../../services/runtime/http.ts';
import { lateWindows } from '../../services/runtime/lifecycle.ts';
import { createMetrics } from '../../services/runtime/metrics.ts';

async function served(health: HealthState) {
  const server = await startHttp({
    host: '127.0.0.1',
    port: 0,
    metrics: createMetrics('test'),
    health,
  });
  const get = async (path: string, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
    return { status: response.status, text: await response.text() };
  };
  return { server, get };
}

describe('probes', () => {
  test('name the checks that fail, and only those', async (context) => {
    const health = new HealthState();
    const { server, get } = await served(health);
    context.after(() => server.close());
    assert.match((await get('/readyz')).text, /"failing".*the process is starting/);
    assert.equal((await get('/livez')).status, 200);
    health.ready('store', true);
    assert.deepEqual(await get('/readyz'), { status: 200, text: '{"status":"ok"}' });
    health.ready('kafka', false, 'not joined');
    health.live('fetch', false, 'no fetch for 200 s');
    assert.deepEqual(await get('/readyz'), {
      status: 503,
      text: '{"status":"failing","failing":[{"check":"kafka","reason":"not joined"}]}',
    });
    assert.equal((await get('/livez')).status, 503);
    health.ready('kafka', true);
    health.live('fetch', true);
    assert.equal((await get('/readyz?verbose')).status, 200);
    assert.equal((await get('/livez')).status, 200);
    health.stopping();
    assert.match((await get('/readyz')).text, /stopping/);
    assert.equal((await get('/livez')).status, 200, 'a stopping process is alive');
  });

  test('metrics carry the service, the build and the event loop', async (context) => {
    const { server, get } = await served(new HealthState());
    context.after(() => server.close());
    const { status, text } = await get('/metrics');
    assert.equal(status, 200);
    assert.match(
      text,
      /lakeseal_build_info\{version="\d+\.\d+\.\d+",node="\d+[^"]*",service="test"\} 1/,
    );
    assert.match(text, /lakeseal_event_loop_utilization_ratio\{service="test"\} [01]/);
    assert.match(text, /process_cpu_seconds_total/);
  });

  test('nothing else is served', async (context) => {
    const { server, get } = await served(new HealthState());
    context.after(() => server.close());
    assert.equal((await get('/')).status, 404);
    assert.equal((await get('/livez', 'POST')).status, 405);
  });

  test('a taken port is a failure with a hint', async (context) => {
    const health = new HealthState();
    const { server } = await served(health);
    context.after(() => server.close());
    const again = startHttp({
      host: '127.0.0.1',
      port: server.port,
      metrics: createMetrics('test'),
      health,
    });
    await assert.rejects(
      again,
      (error) =>
        error instanceof Failure && error.code === 'HTTP_LISTEN' && /http.port/.test(error.hint!),
    );
  });
});

test('one stall of the event loop is forgiven, three windows of stalls are not', () => {
  let late = 0;
  for (const [meanMs, expected] of [
    [5_000, 1],
    [3, 0],
    [Number.NaN, 0],
    [2_500, 1],
    [2_500, 2],
    [2_500, 3],
  ] as const) {
    late = lateWindows(late, meanMs);
    assert.equal(late, expected);
  }
});
