// A real small run on a real fleet while faults happen to it, one after the other, each asserted to have happened. One
// run follows the other until the deck is used up; each must end with the bytes of the undisturbed run and a ledger that
// holds. Decides how a fault is done and what proves it; which come when is deck.ts'.

import assert from 'node:assert/strict';
import { setTimeout as pass } from 'node:timers/promises';
import { proveLedger } from '../../coordinator/cli/proof/ledger-proof.ts';
import { unary } from '../../core/net/grpc-client.ts';
import type { Run } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { startFleet, type TestFleet } from '../support/fleet.ts';
import { isRunning, until } from '../support/processes.ts';
import { dealDeck, type Fault } from './deck.ts';
import type { Disturbed } from './disturbed.ts';
import { type Lookout, startLookout } from './lookout.ts';

export interface Outcome {
  readonly faults: Readonly<Record<Fault['kind'], number>>;
  readonly total: number;
  /** Runs that went through it, the undisturbed one left out. */
  readonly runs: number;
  readonly steps: number;
  readonly generations: number;
  readonly seconds: number;
}

const WORKERS = ['w1', 'w2', 'w3'];
const FAULT_MS_MAX = 90_000;
const RUN_MS_MAX = 240_000;

interface Battle {
  readonly fleet: TestFleet;
  readonly lookout: Lookout;
  readonly alive: Set<string>;
  readonly down: string[];
  readonly done: Record<Fault['kind'], number>;
}

/** Throws when a fault did not happen, a run did not end, or ended with other bytes or a ledger that does not hold. */
export async function fight(options: {
  readonly seed: number;
  readonly faults: number;
  /** The disturbed runs, by turns; each is first run undisturbed. */
  readonly kinds: readonly Disturbed[];
  readonly log: (line: string) => void;
}): Promise<Outcome> {
  const { log, kinds } = options;
  const startedAt = performance.now();
  const deck = dealDeck(options.seed, options.faults);
  const fleet = await startFleet({
    workers: WORKERS,
    damageable: true,
    // A frozen worker is taken for lost after a second.
    coordinator: { POCKETFLEET_HEARTBEAT_INTERVAL_MS: '100', POCKETFLEET_HEARTBEATS_MISSED_MAX: '10' },
  });
  const lookout = startLookout(fleet);
  const done = Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Battle['done'];
  const battle: Battle = { fleet, lookout, alive: new Set(WORKERS), down: [], done };
  try {
    const references: Run[] = [];
    for (const [i, kind] of kinds.entries()) {
      const run = await finishRun(battle, await submit(fleet, kind.yaml(`undisturbed-${i + 1}`, 1)));
      log(`undisturbed, ${kind.said}: weights ${run.weightsDigest} after ${run.step} steps`);
      references.push(run);
    }
    const peace = new AbortController();
    const totals = { runs: 0, steps: 0, generations: 0 };
    const runs = (async () => {
      while (!peace.signal.aborted) {
        const turn = totals.runs % kinds.length;
        const yaml = kinds[turn]!.yaml(`disturbed-${totals.runs + 1}`, WORKERS.length);
        const run = await finishRun(battle, await submit(fleet, yaml));
        const reference = references[turn]!;
        assert.equal(run.weightsDigest, reference.weightsDigest, `weights of ${run.id}`);
        assert.deepEqual(run.evaluation, reference.evaluation, `evaluation of ${run.id}`);
        assert.deepEqual(run.found, reference.found, `cells of ${run.id}`);
        totals.runs += 1;
        totals.steps += run.step;
        totals.generations += run.generation;
        log(`${run.id}: the same bytes after ${run.generation} generations`);
      }
    })();
    const faults = performAll(battle, deck, log).finally(() => peace.abort());
    // Whichever fails first is what went wrong; the other is only a consequence.
    await Promise.all([faults, runs]);
    assert.deepEqual(battle.down, [], 'everybody is back');
    assert.equal(sum(done), deck.length, 'every fault has happened');
    return { faults: done, total: sum(done), ...totals, seconds: (performance.now() - startedAt) / 1000 };
  } catch (cause) {
    throw new Error(`seed ${options.seed}: ${(cause as Error).message}\n${fleet.tails(40)}`, { cause });
  } finally {
    lookout.close();
    await fleet.stop();
  }
}

const KINDS: readonly Fault['kind'][] = [
  ...(['drop', 'duplicate', 'slow', 'cut', 'deaf', 'pause', 'freeze'] as const),
  ...(['kill', 'leave', 'join', 'broker', 'coordinator'] as const),
];
const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);

async function submit(fleet: TestFleet, yaml: string): Promise<string> {
  // The coordinator may be the one that is down; nothing of a submit that was not answered is repeated by itself.
  return until(
    'a run is submitted',
    async () => (await fleet.submit(yaml).catch(() => undefined))?.runIds[0],
    FAULT_MS_MAX,
  );
}

async function finishRun({ fleet, lookout }: Battle, id: string): Promise<Run> {
  const run = await lookout.run(id, (r) => ['done', 'failed', 'cancelled'].includes(r.state), RUN_MS_MAX);
  assert.equal(run.state, 'done', run.reason);
  assert.equal(run.step, run.stepsTotal);
  const ledger = await until(
    `the ledger of ${id}`,
    () =>
      unary(fleet.client, fleet.client.getLedger, { runId: id }, { deadlineMs: 10_000 }).catch(
        () => undefined,
      ),
    FAULT_MS_MAX,
  );
  const proof = await proveLedger(ledger);
  assert.equal(proof.steps, run.stepsTotal);
  return run;
}

async function performAll(
  battle: Battle,
  deck: readonly Fault[],
  log: (line: string) => void,
): Promise<void> {
  for (const [i, fault] of deck.entries()) {
    try {
      await perform(battle, fault);
    } catch (cause) {
      throw new Error(
        `fault ${i + 1} of ${deck.length}, ${JSON.stringify(fault)}: ${(cause as Error).message}`,
        {
          cause,
        },
      );
    }
    // Who comes back is counted where that is done: it may be needed before its card comes up.
    if (fault.kind !== 'join') battle.done[fault.kind] += 1;
    if ((i + 1) % 50 === 0) log(`${i + 1} faults: ${JSON.stringify(battle.done)}`);
  }
}

async function perform(battle: Battle, fault: Fault): Promise<void> {
  const { fleet, lookout, alive } = battle;
  switch (fault.kind) {
    case 'drop':
    case 'duplicate': {
      const { messages } = fleet.wire(await memberOf(battle, fault.pick));
      const before = messages.done[fault.kind];
      void messages.arm(fault.kind);
      await until(
        `a message meets its ${fault.kind}`,
        () => messages.done[fault.kind] > before,
        FAULT_MS_MAX,
      );
      return;
    }
    case 'slow': {
      const { broker, messages } = fleet.wire(await memberOf(battle, fault.pick));
      const first = messages.passed;
      await until('something passes on the wire', () => messages.passed > first, FAULT_MS_MAX);
      // A little longer than is looked at, so that what waited does not come before the look.
      assert.ok(broker.hold(fault.ms + 50) > 0, 'there was a connection to hold');
      const before = messages.passed;
      await pass(fault.ms);
      assert.equal(messages.passed, before, 'nothing passed meanwhile');
      return;
    }
    case 'cut':
    case 'deaf': {
      const id = pickOf([...alive], fault.pick);
      const proxy = fault.kind === 'cut' ? fleet.wire(id).broker : fleet.wire(id).coordinator;
      // One that was cut just now has to come back before it can be cut again.
      await until(`${id} has a connection to cut`, () => proxy.cut() > 0, FAULT_MS_MAX);
      return;
    }
    case 'pause':
    case 'freeze':
      return freeze(battle, pickOf([...alive], fault.pick), fault);
    case 'kill':
    case 'leave':
      return takeAway(battle, pickOf([...alive], fault.pick), fault.kind);
    case 'join':
      return bringBack(battle);
    case 'broker': {
      const { pid } = fleet.nats;
      await fleet.nats.kill('SIGKILL');
      assert.ok(!isRunning(pid), 'the broker is gone');
      await pass(fault.ms);
      await fleet.nats.restart();
      return lookout.progress();
    }
    case 'coordinator': {
      assert.equal((await fleet.killCoordinator('SIGKILL'))?.signal, 'SIGKILL');
      await pass(fault.ms);
      await fleet.startCoordinator();
      return lookout.progress();
    }
  }
}

/** A member of a gang that exchanges something now; brings workers back if there are too few for one. */
async function memberOf(battle: Battle, pick: number): Promise<string> {
  while (battle.alive.size < 2) await bringBack(battle);
  const run = await battle.lookout.any(
    (r) => r.state === 'running' && r.workerIds.length > 1,
    'a gang of several',
    FAULT_MS_MAX,
  );
  const members = run.workerIds.filter((id) => battle.alive.has(id));
  return pickOf(members.length > 0 ? members : [...battle.alive], pick);
}

async function freeze(
  { fleet, lookout }: Battle,
  id: string,
  fault: { readonly kind: 'pause' | 'freeze'; readonly ms: number },
): Promise<void> {
  await fleet.killWorker(id, 'SIGSTOP');
  try {
    if (fault.kind === 'freeze') await lookout.worker(id, (worker) => worker.state === 'lost', FAULT_MS_MAX);
    await pass(fault.ms);
  } finally {
    await fleet.killWorker(id, 'SIGCONT');
  }
  if (fault.kind === 'freeze') await lookout.worker(id, (worker) => worker.state !== 'lost', FAULT_MS_MAX);
  await lookout.progress();
}

async function takeAway(battle: Battle, id: string, kind: 'kill' | 'leave'): Promise<void> {
  const { fleet, lookout, alive, down } = battle;
  const ending = await fleet.killWorker(id, kind === 'kill' ? 'SIGKILL' : 'SIGTERM', FAULT_MS_MAX);
  if (kind === 'kill') assert.equal(ending?.signal, 'SIGKILL');
  else assert.equal(ending?.code, 0, `${id} left in order`);
  alive.delete(id);
  down.push(id);
  await lookout.worker(id, (worker) => worker.state === 'lost', FAULT_MS_MAX);
  if (alive.size === 0) await bringBack(battle);
  await lookout.progress();
}

/** Each loss has a card that brings somebody back after it, so none is down when the deck is used up. */
async function bringBack({ fleet, alive, down, done }: Battle): Promise<void> {
  const id = down.shift();
  // Its card came late: the worker was needed before.
  if (id === undefined) return;
  await fleet.startWorker(id);
  alive.add(id);
  done.join += 1;
}

function pickOf<T>(list: readonly T[], pick: number): T {
  return list[Math.floor(pick * list.length)]!;
}
