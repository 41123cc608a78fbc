/** The demo's time stamp authority (RFC 3161): certificates and stamps of openssl, answered over HTTP. */
import { hasOpenssl, serveTsa, TestTsa } from '../tsa/tsa.ts';

export interface DemoAuthority {
  url: string;
  /** Its root certificate, PEM. */
  caFile: string;
  close(): void;
}

/** Null where openssl is not here. It answers for as long as this process runs. */
export async function startAuthority(): Promise<DemoAuthority | null> {
  if (!hasOpenssl) return null;
  const tsa = new TestTsa();
  const { root, signer } = tsa.usual();
  const server = await serveTsa((question) => tsa.reply(question, signer));
  const close = (): void => {
    server.close();
    tsa.close();
  };
  return { url: server.url, caFile: root.certificate, close };
}
