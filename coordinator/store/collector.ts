// Takes out of the store what decisions have let go. It decides nothing about runs: the journal says what goes
// (held.ts), and this brings the store there, again after every start, so that a collection that was cut off
// is finished by whoever leads next. What somebody reads at the moment waits until that has ended.

import { type ArtefactId, artefactOfKey, manifestFilters } from '../../core/checkpoint/artefact-names.ts';
import type { ArtefactRemoval } from '../../core/checkpoint/artefact-removal.ts';
import { HEAD, OPTIMIZER } from '../../core/checkpoint/checkpoint-layout.ts';
import type { ArtefactStore } from '../../core/checkpoint/store.ts';
import type { Clock } from '../../core/clock.ts';
import { createDeferred, type Deferred } from '../../core/deferred.ts';
import { toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { Names } from '../../core/net/subjects.ts';
import type { Event } from '../model/events.ts';
import type { State } from '../model/state.ts';
import { type HeldOfRun, heldOfRun } from './held.ts';

/** The collector of one coordinator. */
export interface Collector {
  /** Called for each event that is on disk. */
  note(event: Event): void;
  /** This coordinator leads from now on: the store is compared with the journal once. */
  begin(): void;
  /** Somebody reads artefacts of these runs until the returned function is called. */
  read(runIds: readonly string[]): () => void;
  /** Resolves when nothing is in hand. */
  stop(): Promise<void>;
}

/** What one round has done. */
export interface Collected {
  readonly manifests: number;
  readonly chunks: number;
  readonly bytes: number;
}

/** Between two sweeps for chunks that belong to nothing, milliseconds. */
const SWEEP_MS = 3_600_000;
/** Before what failed is tried again, milliseconds. */
const AGAIN_MS = 5_000;

/** Waits for what `note` and `begin` tell it. */
export function startCollector(options: {
  readonly store: Pick<ArtefactStore, 'listKeys'>;
  readonly removal: ArtefactRemoval;
  readonly names: Names;
  readonly clock: Clock;
  readonly log: Logger;
  readonly state: () => State;
  readonly leads: () => boolean;
  /** Journals what a round has done. */
  readonly onCollected: (collected: Collected) => Promise<unknown>;
}): Collector {
  const { store, removal, names, clock, log } = options;
  const stopping = new AbortController();
  /** Runs that have to be looked at. */
  let due = new Set<string>();
  const reading = new Map<string, number>();
  let compareAll = false;
  let sweepAt = Number.POSITIVE_INFINITY;
  let wake: Deferred<void> = createDeferred();

  const take = (runId: string) => {
    due.add(runId);
    wake.resolve();
  };

  const compare = () => {
    compareAll = true;
    wake.resolve();
  };

  /** Keys by run, of these runs or of all. */
  async function keysByRun(runIds: ReadonlySet<string> | undefined): Promise<Map<string, ArtefactId[]>> {
    const found = new Map<string, ArtefactId[]>();
    for (const filter of manifestFilters(names, runIds))
      for (const key of await store.listKeys(filter)) {
        const artefact = artefactOfKey(key);
        if (artefact === undefined || (runIds !== undefined && !runIds.has(artefact.runId))) continue;
        const known = found.get(artefact.runId);
        if (known === undefined) found.set(artefact.runId, [artefact]);
        else known.push(artefact);
      }
    return found;
  }

  /** Lets go of what a run should not have; returns how many manifests went. */
  async function letGo(runId: string, artefacts: readonly ArtefactId[]): Promise<number> {
    const held = heldOfRun(options.state(), runId);
    let manifests = 0;
    for (const artefact of artefacts) {
      const { key, keep } = keyAndHeld(names, held, artefact);
      if (keep === 'all') continue;
      const gone = await removal.letGo(key, keep === 'nothing' ? 'all' : [OPTIMIZER, HEAD]);
      if (gone && keep === 'nothing') manifests += 1;
    }
    return manifests;
  }

  async function collect(runIds: ReadonlySet<string>, isComparison: boolean): Promise<Collected> {
    const byRun = await keysByRun(isComparison ? undefined : runIds);
    const total = { manifests: 0, chunks: 0, bytes: 0 };
    const add = ({ chunks, bytes }: { chunks: number; bytes: number }) => {
      total.chunks += chunks;
      total.bytes += bytes;
    };
    for (const [runId, artefacts] of byRun) {
      if (stopping.signal.aborted || !options.leads()) break;
      if (reading.has(runId)) {
        due.add(runId);
        continue;
      }
      try {
        total.manifests += await letGo(runId, artefacts);
      } catch (caught) {
        const error = toFleetError(caught, `taking what ${runId} does not keep out of the store`);
        // One manifest that cannot be read stays, and holds up no other run.
        if (error.retryable) throw error;
        log.warn({ run: runId, code: error.code }, error.message);
      }
      if (!isComparison) add(await removal.freeRun(runId, heldOfRun(options.state(), runId).hasEnded));
    }
    if (isComparison) {
      add(await removal.sweep((runId) => heldOfRun(options.state(), runId).hasEnded && !reading.has(runId)));
      sweepAt = clock.monotonic() + SWEEP_MS;
    }
    return total;
  }

  async function round(): Promise<void> {
    const runIds = due;
    due = new Set();
    const isComparison = compareAll || clock.monotonic() >= sweepAt;
    compareAll = false;
    try {
      const collected = await collect(runIds, isComparison);
      if (collected.manifests + collected.chunks > 0) await options.onCollected(collected);
    } catch (caught) {
      if (stopping.signal.aborted) return;
      for (const runId of runIds) due.add(runId);
      compareAll ||= isComparison;
      const error = toFleetError(caught, 'taking out of the store what is not kept');
      log.debug({ code: error.code }, error.message);
      await clock.sleep(AGAIN_MS, stopping.signal).catch(() => undefined);
    }
  }

  const collecting = (async () => {
    const { signal } = stopping;
    while (!signal.aborted) {
      const isIdle = [...due].every((runId) => reading.has(runId)) && !compareAll;
      if (isIdle || !options.leads()) {
        wake = createDeferred();
        const stop = new AbortController();
        const pause = clock.sleep(AGAIN_MS, AbortSignal.any([signal, stop.signal])).catch(() => undefined);
        await Promise.race([wake.promise, pause]);
        stop.abort();
        if (clock.monotonic() < sweepAt) continue;
      }
      if (!signal.aborted && options.leads()) await round();
    }
  })();

  return {
    note(event) {
      const { kind } = event;
      if (kind === 'stage.dropped' || kind === 'stage.released' || kind === 'step.dropped') take(event.runId);
      if (event.kind === 'run.checkpointed' && event.isOnlyStage) take(event.runId);
      // An earlier pause of the same stage is behind it.
      if (event.kind === 'run.paused' && event.stored !== undefined) take(event.runId);
      // The runs of what was removed are in no table any more.
      if (event.kind === 'work.removed') compare();
      // Nothing that has halted in it goes on.
      if (event.kind === 'sweep.ended') compare();
    },
    begin: compare,
    read(runIds) {
      for (const id of runIds) reading.set(id, (reading.get(id) ?? 0) + 1);
      return () => {
        for (const id of runIds) {
          const others = (reading.get(id) ?? 1) - 1;
          if (others > 0) reading.set(id, others);
          else reading.delete(id);
        }
        wake.resolve();
      };
    },
    async stop() {
      stopping.abort();
      wake.resolve();
      await collecting;
    },
  };
}

/** The key of an artefact, and what stays of it. */
function keyAndHeld(names: Names, held: HeldOfRun, { runId, stage, step }: ArtefactId) {
  if (step !== undefined)
    return { key: names.pausedKey(runId, step), keep: held.ofStep(step) ? 'all' : 'nothing' } as const;
  if (stage !== undefined) return { key: names.checkpointKey(runId, stage), keep: held.of(stage) };
  return { key: names.evaluationKey(runId), keep: held.evaluation ? 'all' : 'nothing' } as const;
}
