// `npm run bench:allreduce`: what the exchange costs, over the broker and in memory that neighbours share, against the
// same all-reduce over direct connections and against raw loopback, measured in the same minutes on this machine. Prints a table; with --json the last
// line has the goals and the rows; --tls measures a broker that encrypts beside one that does not; --quick
// measures less, --members=4 one number of members. Decides what is measured and what the goals are.
//
// All processes and the broker share this machine's processors, so with many members everything is bound by
// them, and the seconds of processor time for a gigabyte tell more about other machines than the milliseconds
// do. Ways take turns, a short round each. Other work on the machine only ever makes a round slower, so times
// are those of the best round; but a comparison is of rounds of the same turn, which had about the same
// company, and the median turn counts.

import { availableParallelism } from 'node:os';
import { NATS_ENVIRONMENT } from '../../core/net/nats-binary.ts';
import { argumentsOf, atLeast, type Goal, median, refuse, say, tell } from '../goals.ts';
import { type Broker, machineMs, startBroker } from './broker.ts';
import { type Gang, startGang } from './gang.ts';
import { MODES, type Mode } from './messages.ts';

interface Row {
  readonly members: number;
  readonly mebibytes: number;
  readonly mode: Mode;
  /** The broker encrypts; the ring never does. */
  readonly encrypted: boolean;
  readonly wallMs: number;
  /** G/t * 2(N-1)/N, as nccl-tests count. */
  readonly busMBps: number;
  /** Speed against the ring's: median over the turns. */
  readonly ofRing: number;
  /** Of one member, for each gigabyte of its vector. */
  readonly memberCpuSecondsPerGB: number;
  readonly brokerCpuSecondsPerGB: number | undefined;
  /** Share of the processors that other programs had meanwhile. */
  readonly othersShare: number | undefined;
}

interface Plan {
  readonly members: readonly number[];
  readonly mebibytes: readonly number[];
  readonly rounds: number;
  readonly roundMs: number;
  /** Rounds are left out, down to ROUNDS_MIN, to keep to it. */
  readonly totalMs: number;
}

const FULL: Plan = { members: [2, 4, 8], mebibytes: [4, 8, 50], rounds: 16, roundMs: 300, totalMs: 300_000 };
const QUICK: Plan = { members: [2, 4], mebibytes: [4, 8], rounds: 8, roundMs: 200, totalMs: 60_000 };
const ROUNDS_MIN = 3;
const ITERATIONS_MIN = 3;
const RAW_MEBIBYTES = 512;
const MIB = 1024 * 1024;
const NAMES: Readonly<Record<Mode, string>> = {
  ring: 'tcp ring',
  none: 'float32',
  bf16: 'bf16',
  int8: 'int8',
  'shared none': 'shm float32',
  'shared bf16': 'shm bf16',
  'shared int8': 'shm int8',
};

async function main(): Promise<void> {
  const { plan, json, gogc, tls } = options();
  const startedAt = performance.now();
  const brokers = [await startBroker({ gogc, tls: false })];
  if (tls) brokers.push(await startBroker({ gogc, tls: true }));
  const rows: Row[] = [];
  let rawMBps = 0;
  try {
    say(
      `${availableParallelism()} processors for members and broker together; nats-server with GOGC=${gogc}`,
    );
    say('');
    say('  N    MiB  way           wall ms  bus MB/s  of ring  CPU-s/GB: member   broker   others');
    const settings = plan.members.flatMap((members) => brokers.map((broker) => ({ members, broker })));
    for (const [i, { members, broker }] of settings.entries()) {
      const gang = await startGang(members, broker);
      try {
        rawMBps = Math.max(rawMBps, await gang.raw(RAW_MEBIBYTES), await gang.raw(RAW_MEBIBYTES));
        for (const [j, mebibytes] of plan.mebibytes.entries()) {
          const done = (i + (j + 1) / plan.mebibytes.length) / settings.length;
          const until = startedAt + plan.totalMs * done;
          const measured = await measure({ gang, mebibytes, broker, plan, until });
          rows.push(...measured);
          for (const row of measured) say(lineOf(row));
        }
      } finally {
        await gang.leave();
      }
    }
  } finally {
    for (const broker of brokers) await broker.stop();
  }
  say('');
  say(`raw loopback, one process to another: ${rawMBps.toFixed(0)} MB/s`);
  say(`${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
  tell(goalsOf(rows), { rows, rawMBps }, json);
}

interface Round {
  readonly wallMs: number;
  /** Of all members together. */
  readonly cpuMs: number;
  readonly brokerMs: number | undefined;
  readonly othersShare: number | undefined;
}

async function measure(setting: {
  readonly gang: Gang;
  readonly mebibytes: number;
  readonly broker: Broker;
  readonly plan: Plan;
  readonly until: number;
}): Promise<Row[]> {
  const { gang, mebibytes, broker, plan, until } = setting;
  await gang.size(mebibytes);
  const rounds = new Map<Mode, Round[]>(MODES.map((mode) => [mode, []]));
  const iterations = new Map<Mode, number>();
  for (const mode of MODES) {
    // The first finds pages and compiles code; the second shows how many fit in a round, which the third runs
    // unmeasured.
    await round(gang, mode, 1, broker);
    const { wallMs } = await round(gang, mode, 2, broker);
    iterations.set(mode, Math.max(ITERATIONS_MIN, Math.round(plan.roundMs / wallMs)));
    await round(gang, mode, iterations.get(mode)!, broker);
  }
  for (let i = 0; i < plan.rounds && (i < ROUNDS_MIN || performance.now() < until); i++) {
    for (const mode of MODES) rounds.get(mode)!.push(await round(gang, mode, iterations.get(mode)!, broker));
  }
  const ring = rounds.get('ring')!;
  return MODES.map((mode) =>
    rowOf({
      ...{ mode, mebibytes, ranks: gang.ranks, own: rounds.get(mode)!, ring },
      encrypted: broker.tls !== undefined,
    }),
  );
}

/**
 * Per all-reduce: wall time of the slowest member, processor time of all members together and of the broker.
 */
async function round(gang: Gang, mode: Mode, iterations: number, broker: Broker): Promise<Round> {
  const before = { broker: broker.cpuMs(), machine: machineMs() };
  const ran = await gang.run(mode, iterations);
  const after = { broker: broker.cpuMs(), machine: machineMs() };
  const digests = new Set(ran.map(({ digest }) => digest));
  if (digests.size !== 1)
    throw new Error(`${NAMES[mode]}: the members' results differ: ${[...digests].join(', ')}`);
  const cpuMs = ran.reduce((sum, member) => sum + member.cpuMs, 0);
  const round = {
    wallMs: Math.max(...ran.map(({ wallMs }) => wallMs)) / iterations,
    cpuMs: cpuMs / iterations,
  };
  if (before.broker === undefined || after.broker === undefined || !before.machine || !after.machine)
    return { ...round, brokerMs: undefined, othersShare: undefined };
  const brokerMs = after.broker - before.broker;
  const busyMs = after.machine.busy - before.machine.busy;
  const totalMs = Math.max(1, after.machine.total - before.machine.total);
  return {
    ...round,
    brokerMs: brokerMs / iterations,
    othersShare: Math.max(0, (busyMs - cpuMs - brokerMs) / totalMs),
  };
}

function rowOf(of: {
  readonly mode: Mode;
  readonly mebibytes: number;
  readonly encrypted: boolean;
  readonly ranks: number;
  readonly own: readonly Round[];
  /** Of the same turns. */
  readonly ring: readonly Round[];
}): Row {
  const { mode, mebibytes, encrypted, ranks, own, ring } = of;
  const best = own.reduce((a, b) => (b.wallMs < a.wallMs ? b : a));
  const { wallMs, cpuMs, brokerMs, othersShare } = best;
  const gigabytes = (mebibytes * MIB) / 1e9;
  return {
    members: ranks,
    mebibytes,
    mode,
    encrypted,
    wallMs,
    busMBps: (gigabytes * 1e6 * 2 * (ranks - 1)) / ranks / wallMs,
    ofRing: median(own.map((round, turn) => ring[turn]!.wallMs / round.wallMs)),
    memberCpuSecondsPerGB: cpuMs / 1000 / ranks / gigabytes,
    brokerCpuSecondsPerGB:
      mode === 'ring' || brokerMs === undefined ? undefined : brokerMs / 1000 / gigabytes,
    othersShare,
  };
}

function lineOf(row: Row): string {
  const cells = [
    String(row.members).padStart(3),
    String(row.mebibytes).padStart(6),
    ` ${`${NAMES[row.mode]}${row.encrypted && row.mode !== 'ring' ? ' tls' : ''}`.padEnd(11)}`,
    row.wallMs.toFixed(1).padStart(9),
    row.busMBps.toFixed(0).padStart(9),
    row.ofRing.toFixed(2).padStart(8),
    row.memberCpuSecondsPerGB.toFixed(2).padStart(17),
    (row.brokerCpuSecondsPerGB?.toFixed(2) ?? '-').padStart(8),
    (row.othersShare === undefined ? '-' : `${(100 * row.othersShare).toFixed(0)} %`).padStart(8),
  ];
  return cells.join(' ');
}

/**
 * The worst case counts: of every number of members from 4 on and every size. Two members alone say nothing
 * of it.
 */
function goalsOf(rows: readonly Row[]): Goal[] {
  const counted = rows.filter(({ members, encrypted }) => members >= 4 && !encrypted);
  if (counted.length === 0) return [];
  const worst = (mode: Mode): number =>
    Math.min(...counted.filter((row) => row.mode === mode).map(({ ofRing }) => ofRing));
  const ring = 'of the speed of the float32 ring over direct TCP at N >= 4';
  return [
    atLeast(`float32 over the broker, ${ring}`, worst('none'), 0.5, 'times'),
    atLeast(`int8 over the broker, ${ring}`, worst('int8'), 1, 'times'),
    ...sharedGoalsOf(counted),
  ];
}

/** Of four neighbours: how much faster than the ring, and that compression costs them nothing. */
function sharedGoalsOf(rows: readonly Row[]): Goal[] {
  const of = (mode: Mode, mebibytes: number): Row | undefined =>
    rows.find((row) => row.mode === mode && row.mebibytes === mebibytes && row.members === 4);
  return [
    [8, 2],
    [50, 1.6],
  ].flatMap(([mebibytes, goal]) => {
    const exact = of('shared none', mebibytes!);
    const int8 = of('shared int8', mebibytes!);
    if (exact === undefined || int8 === undefined) return [];
    const size = `of 4 neighbours at ${mebibytes} MiB`;
    return [
      atLeast(`float32 ${size}, of the speed of the float32 ring`, exact.ofRing, goal!, 'times'),
      atLeast(`int8 ${size}, of the speed of float32`, int8.ofRing / exact.ofRing, 1, 'times'),
    ];
  });
}

/**
 * `--json`, `--quick`, `--members=4` or `--members=2,4` for some of the numbers, `--gogc=N` for the broker's
 * garbage collector.
 */
function options(): {
  readonly plan: Plan;
  readonly json: boolean;
  readonly gogc: string;
  readonly tls: boolean;
} {
  const known = '--json --quick --tls --members=2,4,8 --gogc=N';
  const { values } = argumentsOf(
    {
      options: {
        json: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        tls: { type: 'boolean', default: false },
        members: { type: 'string' },
        gogc: { type: 'string', default: NATS_ENVIRONMENT.GOGC },
      },
    },
    known,
  );
  if (!/^\d+$/.test(values.gogc)) refuse(`--gogc is "${values.gogc}" and no whole number`, known);
  if (values.members !== undefined && !/^[248](,[248])*$/.test(values.members))
    refuse(`--members is "${values.members}" and not some of 2,4,8`, known);
  const plan = values.quick ? QUICK : FULL;
  const chosen = values.members?.split(',').map(Number) ?? plan.members;
  const members = [2, 4, 8].filter((count) => chosen.includes(count));
  return {
    // A part of the numbers takes a part of the time.
    plan: { ...plan, members, totalMs: (plan.totalMs * members.length) / plan.members.length },
    json: values.json,
    gogc: values.gogc,
    tls: values.tls,
  };
}

// An exit takes the members and the broker along; a signal alone would leave them.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
await main();
