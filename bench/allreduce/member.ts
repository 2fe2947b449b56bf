// One member of the gangs that main.ts measures, a process of its own: joins the ring and the exchange, runs
// what the main process requests, and reports how long it took.

import type { Exchange } from '../../core/allreduce/exchange.ts';
import { createDataPlane, type DataPlane } from '../../core/allreduce/plane.ts';
import { digest64 } from '../../core/digest.ts';
import { createLogger } from '../../core/log.ts';
import { prefixesOf } from '../../core/net/subjects.ts';
import type { Command, Mode, Report } from './messages.ts';
import { receiveRaw, sendRaw } from './raw.ts';
import { createRing, openRingPort, type Ring, type Sockets } from './ring.ts';

const MIB = 1024 * 1024;
const log = createLogger({ program: 'bench', level: 'warn' });
const tell = (report: Report): void => void process.send?.(report);

const ringPort = await openRingPort();
let sockets: Sockets | undefined;
const planes = new Map<'' | 'shared ', DataPlane>();
let rank = 0;
let ranks = 0;
let ring: Ring | undefined;
let generation = 0;
const exchanges = new Map<Exclude<Mode, 'ring'>, { readonly exchange: Exchange; step: number }>();

async function perform(command: Command): Promise<void> {
  switch (command.kind) {
    case 'join': {
      ({ rank, ranks } = command);
      sockets = await ringPort.join({ rank, ranks, next: command.ringPorts[(rank + 1) % ranks]! });
      const { url, token, tls } = command;
      const common = {
        url,
        token,
        ...tls,
        name: `member ${rank}`,
        log,
        prefixes: prefixesOf('bench', 'bench'),
      };
      planes.set('', await createDataPlane(common));
      planes.set('shared ', await createDataPlane({ ...common, sharing: { folder: '/dev/shm' } }));
      return tell({ kind: 'joined' });
    }
    case 'size':
      await prepare(command.mebibytes);
      return tell({ kind: 'ready' });
    case 'run':
      return tell({ kind: 'ran', ...(await run(command.mode, command.iterations)) });
    case 'raw-receive':
      return tell({
        kind: 'listening',
        port: await receiveRaw((seconds) => tell({ kind: 'received', seconds })),
      });
    case 'raw-send':
      await sendRaw(command.port, command.bytes);
      return tell({ kind: 'sent' });
    case 'leave':
      sockets?.close();
      ringPort.close();
      for (const plane of planes.values()) await plane.close();
      process.disconnect();
  }
}

/** A vector for each way, of magnitudes like those of gradients, different on each member. */
async function prepare(mebibytes: number): Promise<void> {
  const elements = (mebibytes * MIB) / 4;
  ring?.close();
  ring = createRing(sockets!, elements);
  fill(ring.vector);
  for (const { exchange } of exchanges.values()) exchange.close();
  generation++;
  for (const way of ['', 'shared '] as const)
    for (const compression of ['none', 'bf16', 'int8'] as const) {
      const exchange = planes.get(way)!.createExchange({
        runId: `bench-${way.trim()}${compression}`,
        generation,
        rank,
        members: Array.from({ length: ranks }, (_, i) => ({
          workerId: `member-${i}`,
          shardFirst: i,
          shardCount: 1,
        })),
        shards: ranks,
        elements,
        compression,
        factor: 1 / ranks,
        provideState: () => {
          throw new Error('nobody is behind here');
        },
      });
      await exchange.sync({ step: 0, digest: '0'.repeat(16) });
      exchanges.set(`${way}${compression}`, { exchange, step: 0 });
    }
}

function fill(vector: Float32Array): void {
  let state = rank + 1;
  for (let i = 0; i < vector.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    vector[i] = state / 2 ** 40;
  }
}

async function run(mode: Mode, iterations: number) {
  const before = process.cpuUsage();
  const startedAt = performance.now();
  const result = await runMode(mode, iterations);
  const wallMs = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(before);
  return { wallMs, cpuMs: (user + system) / 1000, digest: digest64(result) };
}

async function runMode(mode: Mode, iterations: number): Promise<Float32Array> {
  if (mode === 'ring') {
    // In place: from the second time on all vectors are equal, and their mean is what they were.
    for (let i = 0; i < iterations; i++) await ring!.reduce();
    return ring!.vector;
  }
  const open = exchanges.get(mode)!;
  const vector = open.exchange.vector(rank);
  if (open.step === 0) fill(vector);
  let result: Float32Array = vector;
  for (let i = 0; i < iterations; i++) {
    result = await open.exchange.reduce(open.step++, new Map([[rank, vector]]), {
      digest: '0'.repeat(16),
      fresh: open.step === 1,
    });
  }
  return result;
}

process.on('message', (command: Command) => {
  perform(command).catch((caught: unknown) => {
    process.stderr.write(`member ${rank}: ${caught instanceof Error ? caught.stack : String(caught)}\n`);
    process.exit(1);
  });
});
// Nobody is left to measure for.
process.on('disconnect', () => process.exit());
tell({ kind: 'started', ringPort: ringPort.port });
