// `npm run bench:allreduce`: what the exchange costs against the same all-reduce over direct connections and against raw loopback,
// measured in the same minutes on this machine. Prints a table; with --json its last line is the goals and the rows as
// JSON. Decides what is measured and what the goals are.
//
// All processes and the broker share this machine's processors, so with many members everything is bound by them, and the
// seconds of processor time for a gigabyte tell more about other machines than the milliseconds do. Ways take turns, a
// round each, and the best round of each counts: other work on the machine only ever makes a round slower.

import { availableParallelism } from 'node:os';
import { type Broker, machineMs, startBroker } from './broker.ts';
import { type Gang, startGang } from './gang.ts';
import { MODES, type Mode } from './words.ts';

interface Row {
  readonly members: number;
  readonly mebibytes: number;
  readonly mode: Mode;
  readonly wallMs: number;
  /** G/t * 2(N-1)/N, as nccl-tests count. */
  readonly busMBps: number;
  /** Of one member, for each gigabyte of its vector. */
  readonly memberCpuSecondsPerGB: number;
  readonly brokerCpuSecondsPerGB: number | undefined;
  /** Time of the ring divided by this one's, in this run. */
  readonly ofRing: number;
}

interface Goal {
  readonly name: string;
  readonly value: number;
  readonly target: number;
  readonly holds: boolean;
}

const argv = process.argv.slice(2);
const unknown = argv.find((flag) => !/^--(json|quick|gogc=\d+)$/.test(flag));
if (unknown !== undefined) {
  process.stderr.write(`unknown option ${unknown}; known: --json --quick --gogc=N\n`);
  process.exit(1);
}
const json = argv.includes('--json');
const quick = argv.includes('--quick');
const gogc = argv.find((flag) => flag.startsWith('--gogc='))?.slice('--gogc='.length) ?? '400';
const plan = quick
  ? { members: [2, 4], mebibytes: [4, 8], rounds: 3, roundMs: 400 }
  : { members: [2, 4, 8], mebibytes: [4, 8, 50], rounds: 5, roundMs: 1_000 };
const MIB = 1024 * 1024;
const ITERATIONS_MIN = 3;
const NAMES: Readonly<Record<Mode, string>> = {
  ring: 'tcp ring',
  none: 'float32',
  bf16: 'bf16',
  int8: 'int8',
};

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<void> {
  const startedAt = performance.now();
  const broker = await startBroker({ gogc });
  const rows: Row[] = [];
  let rawMBps = 0;
  try {
    say(`${availableParallelism()} processors for all members and the broker; nats-server with GOGC=${gogc}`);
    say('');
    say('  N    MiB   way        wall ms   bus MB/s   of ring   CPU-s/GB member   broker');
    for (const members of plan.members) {
      const gang = await startGang(members, broker);
      try {
        for (let i = 0; i < 3; i++) rawMBps = Math.max(rawMBps, await gang.raw(512));
        for (const mebibytes of plan.mebibytes) {
          const measured = await measure(gang, mebibytes, broker);
          rows.push(...measured);
          for (const row of measured) say(lineOf(row));
        }
      } finally {
        await gang.leave();
      }
    }
  } finally {
    await broker.stop();
  }
  const goals = goalsOf(rows);
  say('');
  say(`raw loopback, one process to another: ${rawMBps.toFixed(0)} MB/s`);
  for (const { name, value, target, holds } of goals)
    say(`${holds ? 'holds   ' : 'FALLS SHORT'} ${name}: ${value.toFixed(2)} (goal ${target.toFixed(2)})`);
  say(`${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
  if (json) say(JSON.stringify({ goals, rows, rawMBps }));
}

interface Best {
  wallMs: number;
  cpuMs: number;
  brokerMs: number | undefined;
}

async function measure(gang: Gang, mebibytes: number, broker: Broker): Promise<Row[]> {
  await gang.size(mebibytes);
  const best = new Map<Mode, Best>();
  const iterations = new Map<Mode, number>();
  for (const mode of MODES) {
    // The first is warm-up and tells how many fit in a round.
    await round(gang, mode, 1, broker);
    const { wallMs } = await round(gang, mode, 2, broker);
    iterations.set(mode, Math.max(ITERATIONS_MIN, Math.round(plan.roundMs / wallMs)));
  }
  const before = machineMs();
  for (let i = 0; i < plan.rounds; i++) {
    for (const mode of MODES) {
      const measured = await round(gang, mode, iterations.get(mode)!, broker);
      const known = best.get(mode);
      if (known === undefined || measured.wallMs < known.wallMs) best.set(mode, measured);
    }
  }
  void before;
  const gigabytes = (mebibytes * MIB) / 1e9;
  const { ranks } = gang;
  return MODES.map((mode) => {
    const { wallMs, cpuMs, brokerMs } = best.get(mode)!;
    return {
      members: ranks,
      mebibytes,
      mode,
      wallMs,
      busMBps: (gigabytes * 1e6 * 2 * (ranks - 1)) / ranks / wallMs,
      memberCpuSecondsPerGB: cpuMs / 1000 / ranks / gigabytes,
      brokerCpuSecondsPerGB:
        mode === 'ring' || brokerMs === undefined ? undefined : brokerMs / 1000 / gigabytes,
      ofRing: best.get('ring')!.wallMs / wallMs,
    };
  });
}

/** Per all-reduce: wall time of the slowest member, processor time of all members together and of the broker. */
async function round(gang: Gang, mode: Mode, iterations: number, broker: Broker): Promise<Best> {
  const brokerBefore = broker.cpuMs();
  const ran = await gang.run(mode, iterations);
  const brokerAfter = broker.cpuMs();
  const digests = new Set(ran.map(({ digest }) => digest));
  if (digests.size !== 1)
    throw new Error(`${NAMES[mode]}: the members' results differ: ${[...digests].join(', ')}`);
  return {
    wallMs: Math.max(...ran.map(({ wallMs }) => wallMs)) / iterations,
    cpuMs: ran.reduce((sum, { cpuMs }) => sum + cpuMs, 0) / iterations,
    brokerMs:
      brokerBefore === undefined || brokerAfter === undefined
        ? undefined
        : (brokerAfter - brokerBefore) / iterations,
  };
}

function lineOf(row: Row): string {
  const cells = [
    String(row.members).padStart(3),
    String(row.mebibytes).padStart(6),
    `  ${NAMES[row.mode].padEnd(8)}`,
    row.wallMs.toFixed(1).padStart(9),
    row.busMBps.toFixed(0).padStart(10),
    row.ofRing.toFixed(2).padStart(9),
    row.memberCpuSecondsPerGB.toFixed(2).padStart(17),
    (row.brokerCpuSecondsPerGB?.toFixed(2) ?? '-').padStart(8),
  ];
  return cells.join(' ');
}

/** The worst case counts: every number of members from 4 on, every size. */
function goalsOf(rows: readonly Row[]): Goal[] {
  const worst = (mode: Mode): number =>
    Math.min(...rows.filter((row) => row.mode === mode && row.members >= 4).map(({ ofRing }) => ofRing));
  const goal = (name: string, value: number, target: number): Goal => ({
    name,
    value: Number(value.toFixed(3)),
    target,
    holds: value >= target,
  });
  return [
    goal('float32 over the broker, speed of the direct TCP ring at N >= 4', worst('none'), 0.5),
    goal('int8 over the broker, speed of the float32 direct TCP ring at N >= 4', worst('int8'), 1),
  ];
}

await main();
