// A real Prometheus with the repository's own scrape configuration, for one test: loopback, a store of its
// own, one scrape each second. The caller gives the targets and reads the result.

import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import { freePort, startProgram, until } from './processes.ts';
import { prometheusProgram } from './tools.ts';

export interface TestPrometheus {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** The result of an instant query: one entry a series. */
  query(expression: string): Promise<readonly { metric: Record<string, string>; value: number }[]>;
  stop(): Promise<void>;
}

export async function startPrometheus(options: {
  /** host:port lists by the name of the target file, as in deploy/targets/. */
  readonly targets: { readonly coordinator: readonly string[]; readonly worker: readonly string[] };
  /** Folder with prometheus.yml. */
  readonly configDir?: string;
}): Promise<TestPrometheus> {
  const program = await prometheusProgram();
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-prometheus-'));
  const source = options.configDir ?? fileURLToPath(new URL('../../deploy', import.meta.url));
  const config = parse(readFileSync(join(source, 'prometheus.yml'), 'utf8')) as { global: object };
  // Only the pace differs from what a user runs.
  config.global = { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' };
  writeFileSync(join(folder, 'prometheus.yml'), stringify(config));
  copyFileSync(join(source, 'rules.yaml'), join(folder, 'rules.yaml'));
  mkdirSync(join(folder, 'targets'));
  for (const [name, targets] of Object.entries(options.targets))
    writeFileSync(join(folder, `targets/${name}.json`), JSON.stringify([{ targets }]));

  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const server = startProgram(program, [
    `--config.file=${join(folder, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(folder, 'store')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--log.level=warn',
  ]);
  const ready = (): Promise<boolean> =>
    fetch(`${url}/-/ready`).then(
      (answer) => answer.ok,
      () => {
        if (server.child.exitCode !== null) throw new Error(`Prometheus ended:\n${server.output()}`);
        return false;
      },
    );
  await until('Prometheus is ready', ready, 20_000);
  return {
    url,
    port,
    pid: server.pid,
    async query(expression) {
      const answer = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(expression)}`);
      const body = (await answer.json()) as {
        error?: string;
        data?: { result: { metric: Record<string, string>; value: [number, string] }[] };
      };
      if (body.data === undefined) throw new Error(`${expression}: ${body.error}`);
      return body.data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
    },
    async stop() {
      await server.stop('SIGTERM');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
