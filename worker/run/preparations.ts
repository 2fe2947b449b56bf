// What a worker is likely to train next, prepared while it trains something else: the data set is open, and the graphs are
// in the cache on disk. Decides how much is prepared (one, the newest) and how long it is kept. It belongs to no run: one
// that is assigned finds the data open and the graphs recorded, whoever prepared them. What fails here fails again, and is
// reported, when the run is assigned.

import { after } from '../../core/clock.ts';
import { samplingsOf } from '../../core/data/loading/samplings.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Prepare } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { chooseProcedure, trainedNetwork } from '../training/choose-procedure.ts';
import { evaluationGraph } from '../verification/evaluate.ts';
import { aborted } from './generation.ts';
import { parseSpec } from './run-spec.ts';
import type { Services } from './services.ts';

/** The data stays open for so long after the next assignment, which has opened it by then, milliseconds. */
const KEPT_MS = 60_000;
/** Without any assignment it stays open for so long, milliseconds. */
const UNUSED_MS = 600_000;

export interface Preparations {
  /** Prepares for a run with this spec, in place of what was prepared before. */
  begin(next: NextRun): void;
  /** A run was assigned: what is prepared will not be needed much longer. */
  assigned(): void;
  /** Ends what is being prepared, and lets go of what is. */
  close(): void;
}

/** What is likely to be trained next. */
type NextRun = Pick<Prepare, 'specJson' | 'dataDigest'>;

interface Preparation {
  readonly next: NextRun;
  readonly life: AbortController;
  /** Resolves when nothing of it is left. */
  readonly ended: Promise<void>;
}

type Needed = Pick<Services, 'datasets' | 'compute' | 'recorder' | 'log'>;

/** Nothing is prepared yet. */
export function createPreparations(services: Needed): Preparations {
  let current: Preparation | undefined;
  let stopKeeping: (() => void) | undefined;

  const drop = (reason: string) => {
    stopKeeping?.();
    current?.life.abort(new FleetError('cancelled', reason));
    const ended = current?.ended;
    current = undefined;
    return ended ?? Promise.resolve();
  };
  const keepFor = (ms: number) => {
    stopKeeping?.();
    stopKeeping = after(ms, () => void drop('it was not used'), { holdsProcess: false });
  };

  return {
    begin(next) {
      if (current !== undefined && isSame(current.next, next)) return;
      const before = drop('something else is next');
      const life = new AbortController();
      const { signal } = life;
      const ended = before
        .then(() => prepare(services, next, signal))
        .catch((caught: unknown) => {
          if (!signal.aborted) services.log.info(toFleetError(caught, 'preparing what may be next').message);
        });
      current = { next, life, ended };
      keepFor(UNUSED_MS);
    },
    assigned() {
      if (current !== undefined) keepFor(KEPT_MS);
    },
    close: () => void drop('this worker stops'),
  };
}

const isSame = (a: NextRun, b: NextRun): boolean =>
  a.specJson === b.specJson && a.dataDigest === b.dataDigest;

/** Ends when the signal does, with nothing left. */
async function prepare(services: Needed, next: NextRun, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const spec = parseSpec(next.specJson);
  const { compute, recorder } = services;
  // Its graphs are those of all candidates of its sweep.
  if (spec.inherits !== undefined) return aborted(signal);
  const data = await services.datasets.acquire({ data: spec.data, digest: next.dataDigest });
  try {
    const { trainingImages, classes } = data.loader.facts;
    const network = trainedNetwork(spec, classes);
    const { schedule } = samplingsOf(spec, trainingImages).own;
    const procedure = chooseProcedure({ runId: 'ahead', spec, network, classes, schedule, compute });
    const isEmbedding = spec.kind === 'embedding';
    const { batch, shards } = spec.training;
    const graphs = isEmbedding
      ? [{ kind: 'embed' as const, network: spec.network, batch: batch / shards }]
      : [...procedure.graphs, ...(spec.search === undefined ? [evaluationGraph(spec.network)] : [])];
    procedure.dispose();
    signal.throwIfAborted();
    await recorder.record(graphs, signal);
    services.log.debug({ graphs: graphs.length }, 'what may be next is prepared');
    await aborted(signal);
  } finally {
    await data.release();
  }
}
