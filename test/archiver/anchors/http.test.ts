/** The one exchange with servers outside: its limits, and failures that say which server and why. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { exchange } from '../../../services/archiver/anchors/http.ts';

test('answers are values, failures name the server, and nothing endless is read', async () => {
  let got: { type: string | undefined; body: string } | null = null;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      got = { type: request.headers['content-type'], body: Buffer.concat(chunks).toString() };
      if (request.url === '/endless') {
        const more = (): void => {
          while (!response.destroyed && response.write(Buffer.alloc(256 * 1024)));
        };
        response.on('drain', more);
        more();
      } else {
        response.writeHead(409, { 'content-type': 'Text/X.tlog.size; charset=utf-8' });
        response.end('7\n');
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const headers = { 'content-type': 'application/timestamp-query', authorization: 'sesame' };
    const body = Buffer.from('question');
    const answer = await exchange({ method: 'POST', url: `${origin}/x`, headers, body });
    const { status, contentType } = answer;
    assert.deepEqual([status, contentType, String(answer.body)], [409, 'text/x.tlog.size', '7\n']);
    assert.deepEqual(got, { type: 'application/timestamp-query', body: 'question' });
    await assert.rejects(exchange({ method: 'GET', url: `${origin}/endless` }), {
      code: 'ANCHOR_HTTP',
      message: /more than \d+ bytes/,
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
  const gone = `http://127.0.0.1:${await unusedPort()}/?token=sesame`;
  await assert.rejects(exchange({ method: 'GET', url: gone }), (error) => {
    const { message } = error as Error;
    assert.match(message, /^http:\/\/127\.0\.0\.1:\d+ does not answer: .*ECONNREFUSED/);
    assert.doesNotMatch(message, /sesame/);
    return true;
  });
});

async function unusedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
