/** A server that takes copies of roots over HTTP, each name once, and can be away. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export class Receiver {
  readonly files = new Map<string, Buffer>();
  readonly authorization: string;
  away = false;
  /** Requests that were answered while it was away. */
  refused = 0;
  url = '';
  readonly #server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { status, body } = this.#answer(
      request.method ?? '',
      request.url!.slice(1),
      request.headers,
      Buffer.concat(chunks),
    );
    response.writeHead(status).end(body);
  });

  constructor(authorization: string) {
    this.authorization = authorization;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #answer(
    method: string,
    name: string,
    headers: NodeJS.Dict<string | string[]>,
    bytes: Buffer,
  ): { status: number; body?: Buffer } {
    if (this.away) {
      this.refused += 1;
      return { status: 503 };
    }
    if (headers.authorization !== this.authorization) return { status: 401 };
    const there = this.files.get(name);
    if (method === 'GET')
      return there === undefined ? { status: 404 } : { status: 200, body: there };
    // A server that replaces would hold two truths one after the other.
    if (there !== undefined) return { status: headers['if-none-match'] === '*' ? 412 : 500 };
    this.files.set(name, bytes);
    return { status: 201 };
  }
}
