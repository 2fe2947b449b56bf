// The HTTP server of a program's metrics and probes. Decides how an answer looks, how long a caller may take
// to send its request, and how many callers there may be. Registry and probes come from the program.

import { createServer } from 'node:http';
import type { Registry } from 'prom-client';
import { toFleetError } from '../errors.ts';
import { listenOn } from './listening.ts';

/** A server that listens. */
export interface MetricsServer {
  /** host:port where it listens; the port is the one that was taken when 0 was asked for. */
  readonly endpoint: string;
  close(): Promise<void>;
}

/** Returns undefined when all is well, else the reason as a sentence. */
export type Probe = () => string | undefined;

/** Bounds on what callers may take of the server. */
export interface MetricsServerLimits {
  /** How long a connection may take to send a request, milliseconds. */
  readonly requestMs: number;
  readonly connectionsMax: number;
}

const LIMITS: MetricsServerLimits = { requestMs: 5_000, connectionsMax: 512 };

/** Serves GET /metrics, and a path for each probe: 200 `ok`, or 503 with the reason. */
export async function serveMetrics(options: {
  readonly listen: string;
  readonly registry: Registry;
  readonly probes: Readonly<Record<`/${string}`, Probe>>;
  readonly limits?: MetricsServerLimits;
}): Promise<MetricsServer> {
  const { listen, registry, limits = LIMITS } = options;
  const probes = new Map<string, Probe>(Object.entries(options.probes));
  const timeouts = {
    headersTimeout: limits.requestMs,
    requestTimeout: limits.requestMs,
    connectionsCheckingInterval: Math.ceil(limits.requestMs / 4),
  };
  const server = createServer(timeouts, (request, response) => {
    const path = request.url?.split('?')[0] ?? '';
    const probe = probes.get(path);
    if (probe !== undefined) {
      const reason = probe();
      response.writeHead(reason === undefined ? 200 : 503, { 'content-type': 'text/plain' });
      response.end(`${reason ?? 'ok'}\n`);
    } else if (path === '/metrics') {
      registry.metrics().then(
        (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
        (caught: unknown) => response.writeHead(500).end(`${toFleetError(caught).message}\n`),
      );
    } else response.writeHead(404).end(`${['/metrics', ...probes.keys()].join(', ')} are here\n`);
  });
  server.maxConnections = limits.connectionsMax;
  const endpoint = await listenOn(server, listen);
  return {
    endpoint,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
