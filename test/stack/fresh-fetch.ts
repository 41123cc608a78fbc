/**
 * HTTP requests to the servers and services of a test, each on a connection of its own: a kept one may
 * have been closed by the other side while this process was too busy to notice, and the next request
 * on it would fail for a reason that is none of the test's.
 */
export function freshFetch(url: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('connection', 'close');
  return fetch(url, { ...init, headers });
}
