// What a long past costs: the start with a journal of many trials, its bytes, and reads that look into it.
// The journals are written by real decisions and the real journal, group by group, into a real broker.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { findNames } from '../../coordinator/journal/fleet-names.ts';
import { openJournal } from '../../coordinator/journal/journal.ts';
import { systemClock } from '../../core/clock.ts';
import { createFleetClient, streamed, unary } from '../../core/net/grpc-client.ts';
import { streamManager } from '../../core/net/jetstream.ts';
import { connectNats, ensureStreams } from '../../core/net/nats.ts';
import { loaderArguments } from '../../core/system/script-arguments.ts';
import { startNats, type TestNats } from '../../test/support/nats.ts';
import { until } from '../../test/support/processes.ts';
import { atMost, type Goal, say } from '../goals.ts';
import type { Usage } from './coordinator-process.ts';
import { createDecider, sweepOf } from './decider.ts';
import { attachedWorkerFleet } from './worker-fleet.ts';

const PROGRAM = fileURLToPath(new URL('./coordinator-process.ts', import.meta.url));
const FLEET = 'bench';
const EPOCHS = 5;
const WORKERS = 16;
/** Trials whose ends stand in one message: what a busy fleet decides while one append is on its way. */
const TRIALS_A_GROUP = 4;

/** Writes the journal of a sweep with so many ended trials and a few open ones; bytes of the stream. */
async function writeJournal(nats: TestNats, trials: number): Promise<number> {
  const connection = await connectNats({ url: nats.url, token: '', name: 'bench' });
  try {
    const names = await findNames({ connection, fleet: FLEET, clock: systemClock });
    await ensureStreams(connection, names);
    const journal = openJournal({ connection, names, fleet: FLEET, version: 'bench' });
    for await (const _ of journal.replay());
    const decider = createDecider(WORKERS);
    decider.give(sweepOf({ trials: trials + 1_000, epochs: EPOCHS }));
    await journal.append(decider.takeEvents());
    for (let trial = 0; trial < trials; trial++) {
      decider.finish(`w${trial % WORKERS}`, EPOCHS);
      if (trial % TRIALS_A_GROUP === 0) await journal.append(decider.takeEvents());
    }
    await journal.append(decider.takeEvents());
    journal.close();
    const manager = await streamManager(connection);
    return (await manager.streams.info(names.journalStream)).state.bytes;
  } finally {
    await connection.close();
  }
}

/** A coordinator process on this broker. */
async function startProcess(nats: TestNats) {
  const child = fork(PROGRAM, [nats.url, FLEET], { execArgv: [...loaderArguments(), '--expose-gc'] });
  const started = await answerOf(child);
  return {
    started,
    usage: () => {
      child.send('usage');
      return answerOf(child);
    },
    async stop() {
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      child.disconnect();
      await ended;
    },
  };
}

function answerOf(child: ChildProcess): Promise<Usage> {
  return new Promise((resolve, reject) => {
    const gone = () => reject(new Error('the coordinator has ended'));
    child.once('exit', gone);
    child.once('message', (usage: Usage) => {
      child.off('exit', gone);
      resolve(usage);
    });
  });
}

const WHY_CALLS = 10;
const SNAPSHOT_MS = 120_000;

/** The start with a long journal, its size, and `why` of a trial in it. */
export async function benchStart(trials: number): Promise<{ goals: Goal[]; rows: unknown }> {
  const nats = await startNats();
  try {
    const bytes = await writeJournal(nats, trials);
    const empty = await startEmpty();
    const first = await startProcess(nats);
    await snapshotStored(nats);
    await first.stop();
    const second = await startProcess(nats);
    // The one that has read no message before the snapshot.
    const why = await whyMs(second, trials);
    await second.stop();
    const row = {
      ...{ trials, bytesPerTrial: bytes / trials, emptyMs: empty.cpuMs, whyMs: why },
      journalMs: first.started.cpuMs - empty.cpuMs,
      snapshotMs: second.started.cpuMs - empty.cpuMs,
      heapMb: first.started.heapMb - empty.heapMb,
    };
    say(
      `${trials} trials: start ${row.journalMs.toFixed(0)} ms, again ${row.snapshotMs.toFixed(0)} ms, heap ${row.heapMb.toFixed(0)} MB, ${row.bytesPerTrial.toFixed(0)} bytes a trial, why ${why.toFixed(1)} ms`,
    );
    return {
      goals: [
        atMost('start: from the journal', row.journalMs / 1000, 3, 's'),
        atMost('start: from a snapshot', row.snapshotMs / 1000, 1, 's'),
        atMost('start: heap', row.heapMb, 200, 'MB'),
        atMost('start: journal bytes a trial', row.bytesPerTrial, 2_300, 'bytes'),
        atMost('start: why of a trial', why, 50, 'ms'),
      ],
      rows: row,
    };
  } finally {
    await nats.stop();
  }
}

/** The coordinator stores a snapshot in the background. */
async function snapshotStored(nats: TestNats): Promise<void> {
  const connection = await connectNats({ url: nats.url, token: '', name: 'bench' });
  try {
    const names = await findNames({ connection, fleet: FLEET, clock: systemClock });
    const manager = await streamManager(connection);
    // Its head comes after its chunks, of which two may be some seconds apart on a busy machine.
    const query = { subjects_filter: names.snapshotSubject('*', 'head') };
    const stored = () => manager.streams.info(names.snapshotStream, query).catch(() => undefined);
    const isWhole = async () => Object.keys((await stored())?.state.subjects ?? {}).length > 0;
    await until('a snapshot is stored', isWhole, SNAPSHOT_MS);
  } finally {
    await connection.close();
  }
}

async function startEmpty(): Promise<Usage> {
  const nats = await startNats();
  const coordinator = await startProcess(nats);
  await coordinator.stop();
  await nats.stop();
  return coordinator.started;
}

/** Processor time of the coordinator for one call, milliseconds. */
async function whyMs(coordinator: Awaited<ReturnType<typeof startProcess>>, trials: number): Promise<number> {
  const client = createFleetClient({ endpoint: coordinator.started.endpoint, token: '' });
  try {
    const before = await coordinator.usage();
    for (let call = 1; call <= WHY_CALLS; call++) {
      const id = `trial-${Math.floor((trials * call) / (WHY_CALLS + 1))}`;
      await unary(client, client.why, { id }, { deadlineMs: 120_000 });
    }
    const after = await coordinator.usage();
    return (after.cpuMs - before.cpuMs) / WHY_CALLS;
  } finally {
    client.close();
  }
}

const WATCHED_TRIALS = 20_000;
const WATCH_MS = 10_000;

/** One picture of a large sweep in which one trial has changed. */
export async function benchWatch(): Promise<{ goals: Goal[]; rows: unknown }> {
  const nats = await startNats();
  try {
    await writeJournal(nats, WATCHED_TRIALS);
    const coordinator = await startProcess(nats);
    const { endpoint } = coordinator.started;
    const workers = await attachedWorkerFleet({ endpoints: endpoint, token: '', workers: 1, prefix: 'x' });
    workers.pace(200, 200);
    const pass = () => new Promise<void>((resolve) => setTimeout(resolve, WATCH_MS));
    /** Processor time for each trial that ends meanwhile. */
    const measured = async () => {
      await workers.count();
      const before = await coordinator.usage();
      await pass();
      const { finished } = await workers.count();
      return ((await coordinator.usage()).cpuMs - before.cpuMs) / finished;
    };
    // The workers of the journal are awaited for a while, and hold its open trials.
    do await pass();
    while ((await workers.count()).finished === 0);
    const alone = await measured();
    const client = createFleetClient({ endpoint, token: '' });
    const leaving = new AbortController();
    const call = client.watch({
      planId: '',
      sweepId: 'sweep-1',
      runId: '',
      rateHz: 10,
      untilFinished: false,
      changes: true,
    });
    const pictures = streamed(call, leaving.signal);
    await pictures.next();
    const reading = (async () => {
      for await (const _ of pictures);
    })().catch(() => undefined);
    const watched = await measured();
    leaving.abort();
    await reading;
    client.close();
    await workers.stop();
    await coordinator.stop();
    const ms = watched - alone;
    say(`watch of ${WATCHED_TRIALS} trials: ${ms.toFixed(1)} ms for one that has changed`);
    return {
      goals: [atMost('watch: a picture in which one trial changed', ms, 5, 'ms')],
      rows: { ms, alone },
    };
  } finally {
    await nats.stop();
  }
}
