// A real Kubernetes API server with its etcd, for one test: loopback, a store of its own, RBAC on, no
// kubelet, scheduler or controllers, so that objects change only by what the test does. Both programs must be
// on PATH; they are too large to fetch for every `npm test`.

import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { programSearch } from '../../core/config.ts';
import { freePort, type Program, startProgram, until } from './processes.ts';

export interface TestApiServer {
  readonly pids: number[];
  readonly ports: readonly number[];
  /** As a member of system:masters. */
  readonly admin: KubeConfig;
  /** Its configuration file. */
  readonly adminFile: string;
  /**
   * A configuration file for the bearer of a token, as in a pod with a service account; at another port
   * nobody answers.
   */
  kubeConfigFile(name: string, token: string, namespace: string, at?: number): string;
  /** The server dies, its store does not. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

const ADMIN_TOKEN = 'admin-of-this-test';

export async function startApiServer(): Promise<TestApiServer> {
  const [etcdProgram, serverProgram] = [programOnPath('etcd'), programOnPath('kube-apiserver')];
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-kubernetes-'));
  const [client, peer, port] = [await freePort(), await freePort(), await freePort()];
  const pids: number[] = [];
  writeFileSync(join(folder, 'tokens.csv'), `${ADMIN_TOKEN},admin,admin,system:masters\n`);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(join(folder, 'accounts.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const etcd = startProgram(etcdProgram, [
    ...['--data-dir', join(folder, 'etcd')],
    ...[
      '--listen-client-urls',
      `http://127.0.0.1:${client}`,
      '--advertise-client-urls',
      `http://127.0.0.1:${client}`,
    ],
    ...[
      '--listen-peer-urls',
      `http://127.0.0.1:${peer}`,
      '--initial-advertise-peer-urls',
      `http://127.0.0.1:${peer}`,
    ],
    ...['--initial-cluster', `default=http://127.0.0.1:${peer}`],
  ]);
  pids.push(etcd.pid);
  const certificate = join(folder, 'apiserver.crt');
  const fileFor = (name: string, token: string, namespace: string, at = port) => {
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'test',
      clusters: [
        {
          name: 'test',
          cluster: { server: `https://127.0.0.1:${at}`, 'certificate-authority': certificate },
        },
      ],
      users: [{ name: 'test', user: { token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test', namespace } }],
    };
    const file = join(folder, `${name}.kubeconfig`);
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
    return file;
  };
  let server: Program | undefined;
  const start = async () => {
    const started = startProgram(serverProgram, [
      `--etcd-servers=http://127.0.0.1:${client}`,
      ...['--bind-address=127.0.0.1', '--advertise-address=127.0.0.1', `--secure-port=${port}`],
      ...[
        `--cert-dir=${folder}`,
        `--token-auth-file=${join(folder, 'tokens.csv')}`,
        '--authorization-mode=RBAC',
      ],
      ...[
        '--service-account-issuer=https://kubernetes.default.svc',
        '--service-cluster-ip-range=10.0.0.0/24',
      ],
      ...['key', 'signing-key'].map((use) => `--service-account-${use}-file=${join(folder, 'accounts.pem')}`),
      // It would wait for the controller that makes each namespace's default account.
      '--disable-admission-plugins=ServiceAccount',
    ]);
    server = started;
    pids.push(started.pid);
    await until(
      'the API server is ready',
      () => {
        if (started.child.exitCode !== null) throw new Error(`kube-apiserver ended:\n${started.output()}`);
        return existsSync(certificate) && ready(port, readFileSync(certificate));
      },
      60_000,
    );
  };
  await start();
  const admin = new KubeConfig();
  const adminFile = fileFor('admin', ADMIN_TOKEN, 'default');
  admin.loadFromFile(adminFile);
  return {
    pids,
    ports: [client, peer, port],
    admin,
    adminFile,
    kubeConfigFile: fileFor,
    kill: async () => void (await server?.stop('SIGKILL')),
    start,
    async stop() {
      await server?.stop('SIGKILL');
      await etcd.stop('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function ready(port: number, ca: Buffer): Promise<boolean> {
  const { request } = await import('node:https');
  return new Promise((resolve) => {
    const options = { host: '127.0.0.1', port, path: '/readyz', ca, agent: false };
    const asked = request({ ...options, headers: { authorization: `Bearer ${ADMIN_TOKEN}` } }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.on('error', () => resolve(false));
    asked.end();
  });
}

function programOnPath(name: string): string {
  const found = programSearch()
    .path.map((folder) => join(folder, name))
    .find((program) => existsSync(program));
  if (found === undefined)
    throw new Error(
      `${name} is not on PATH; etcd is in Debian's etcd-server, kube-apiserver in any Kubernetes release or built from k8s.io/kubernetes`,
    );
  return found;
}
