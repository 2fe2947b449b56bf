// Damaged stages that are computed again: one replay for each, by a worker of the class that computed the run,
// which stores what is missing. Decides when that is given up: when no replay can give those bits. A worker that
// is not there, or is lost, is waited for.

import type { Clock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { isDeterministic } from '../../core/system/device-class.ts';
import type { Input } from '../decisions/inputs.ts';
import { valuesOf } from '../model/persistent-map.ts';
import { withSpec } from '../model/spec-of.ts';
import { type State, wholeRunWith } from '../model/state.ts';
import type { Replayer } from './replayer.ts';

/** The mending of one coordinator. */
export interface Mender {
  /** Ends what is in hand; another coordinator goes on with it. */
  stop(): Promise<void>;
}

/** Between two looks for damaged stages, milliseconds. */
const LOOK_MS = 1_000;
/** Before a replay that found no worker is tried again, milliseconds. */
const AGAIN_MS = 5_000;

/** Looks for damaged stages as long as this coordinator leads. */
export function startMender(options: {
  readonly replayer: Pick<Replayer, 'mend'>;
  readonly state: () => State | undefined;
  readonly leads: () => boolean;
  readonly clock: Clock;
  readonly log: Logger;
  /** Holds what the replay reads in the store until the returned function is called. */
  readonly read: (runIds: readonly string[]) => () => void;
  readonly onMended: (verdict: Extract<Input, { kind: 'mended' }>) => Promise<unknown>;
}): Mender {
  const { replayer, clock, log } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const inHand = new Map<string, Promise<void>>();

  async function mend(state: State, runId: string, stage: number): Promise<void> {
    const run = wholeRunWith(state, runId);
    if (run === undefined) return;
    const verdict = (ok: boolean, reason: string) =>
      options.onMended({ kind: 'mended', runId, stage, ok, reason });
    if (run.job.imported !== undefined) {
      await verdict(
        false,
        `its stages come from files; submitting ${run.job.imported.from} again stores them anew`,
      );
      return;
    }
    if (run.deviceClass !== undefined && !isDeterministic(run.deviceClass)) {
      await verdict(false, `${run.deviceClass} gives other bits each time`);
      return;
    }
    const release = options.read(run.teacherRunId === undefined ? [runId] : [runId, run.teacherRunId]);
    try {
      const { fromStage } = await replayer.mend(withSpec(state, run), stage, signal);
      const from = fromStage === 0 ? 'its seed' : `stage ${fromStage}`;
      await verdict(true, `it was computed again from ${from} to the same digest`);
    } catch (caught) {
      if (signal.aborted) return;
      const error = toFleetError(caught);
      log.warn({ run: runId, stage, code: error.code }, `computing stage ${stage} again: ${error.message}`);
      if (mayPass(error)) await clock.sleep(AGAIN_MS, signal).catch(() => undefined);
      else await verdict(false, error.message);
    } finally {
      release();
    }
  }

  const watching = (async () => {
    while (!signal.aborted) {
      const state = options.state();
      if (state !== undefined && options.leads())
        for (const { runId, stage } of valuesOf(state.damaged)) {
          const key = `${runId}/${stage}`;
          if (inHand.has(key)) continue;
          const work = mend(state, runId, stage).catch((caught: unknown) => {
            log.warn({ run: runId, stage }, `mending: ${toFleetError(caught).message}`);
          });
          inHand.set(
            key,
            work.finally(() => inHand.delete(key)),
          );
        }
      await clock.sleep(LOOK_MS, signal).catch(() => undefined);
    }
    await Promise.all(inHand.values());
  })();

  return {
    async stop() {
      stopping.abort(new FleetError('cancelled', 'the coordinator is stopping'));
      await watching;
    },
  };
}

/** No worker of the class is there, or those that were have gone: that may change. */
const mayPass = (error: FleetError): boolean => error.retryable || error.details.missing === 'worker';
