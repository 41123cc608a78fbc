/**
 * Free ports of 127.0.0.1, below the range from which systems take the ports of outgoing
 * connections: a server that is killed and restarted must find its port still free.
 */
import { createServer, type Server } from 'node:net';

const PORT_MIN = 15_000;
const PORT_MAX = 32_000;
const ATTEMPTS_MAX = 500;

/** `count` different ports, all free at the same moment. */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = [];
  try {
    for (let attempt = 0; held.length < count; attempt++) {
      if (attempt > ATTEMPTS_MAX) throw new Error(`no ${count} free ports found`);
      const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
      const server = await tryListen(port);
      if (server !== null) held.push(server);
    }
    return held.map((server) => (server.address() as { port: number }).port);
  } finally {
    await Promise.all(held.map((server) => new Promise((done) => server.close(done))));
  }
}

function tryListen(port: number): Promise<Server | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
