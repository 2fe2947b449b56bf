// Scores of candidates that wait for them: of each open group of a sweep, some networks a request, by whichever workers
// have the least to do. Decides how many a request has, that a worker that was lost or refused is followed by another,
// and when a score is given up. What was scored is an input of the core, and lasts; a coordinator that takes the lead
// asks for what is missing.

import type { Clock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { genotypeOfKey } from '../../core/nn/genotype-code.ts';
import { candidateNetwork } from '../../core/nn/space.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import { scoresIn } from '../../core/spec/screening.ts';
import { boundedText } from '../../core/text/wire-text.ts';
import type { NetworkScores } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { Input } from '../decisions/inputs.ts';
import { optional } from '../model/folding.ts';
import { isPaused } from '../model/holds.ts';
import { attachedWorkers, type State, type SweepState } from '../model/state.ts';
import { rowAt, rowsOf } from '../model/table.ts';
import type { Score, ScoredCandidate } from '../strategies/screening.ts';
import type { Requests } from './requests.ts';

type ScoredInput = Extract<Input, { kind: 'scored' }>;

/** The scoring of one coordinator. */
export interface Screener {
  /** Takes a part of a worker's answer; what nobody waits for any more is dropped. */
  answered(
    requestId: string,
    part: { readonly networks: readonly NetworkScores[]; readonly ended: boolean; readonly error: string },
  ): void;
  /** Ends what is in hand; another coordinator goes on with it. */
  stop(): Promise<void>;
}

/** Between two looks for candidates without scores, milliseconds. */
const LOOK_MS = 200;
/** Before candidates whose request failed are asked for again, milliseconds. */
const AGAIN_MS = 2_000;
/** Candidates of a request: few, so that workers share a group, and one that is lost takes little with it. */
const REQUEST_MAX = 4;
/** Requests of one candidate that fail before it goes without scores. */
const FAILURES_MAX = 3;

/** Looks for candidates without scores as long as this coordinator leads. */
export function startScreener(options: {
  readonly requests: Requests;
  readonly state: () => State | undefined;
  readonly leads: () => boolean;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onScored: (scored: ScoredInput) => Promise<unknown>;
}): Screener {
  const { clock, log } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const scorings = options.requests.kind<NetworkScores>({
    lost: (workerId) => `${workerId} was lost over the scoring of candidates`,
    tooSlow: 'the scores of candidates are not read',
  });
  /** Candidates that a request is about, as `sweep/group/place`, and how often one has failed. */
  const inHand = new Map<string, Promise<void>>();
  const failures = new Map<string, number>();
  /** Workers that have refused a candidate: others are asked first. */
  const refused = new Map<string, Set<string>>();
  let open = 0;

  async function score(sweep: SweepState, group: number, places: readonly number[]): Promise<void> {
    let workerId = '';
    const done = new Set<number>();
    const left = () => places.filter((place) => !done.has(place));
    const keyOf = (place: number) => `${sweep.id}/${group}/${place}`;
    const took = async (one: ScoredCandidate, by: string) => {
      done.add(one.place);
      await options.onScored({ kind: 'scored', sweepId: sweep.id, group, workerId: by, scores: [one] });
    };
    const candidates = sweep.screening!.group!.candidates;
    const names = scoresIn(sweep.spec.screening!);
    let asked: readonly number[] = [];
    try {
      const answers = scorings.ask({
        choose(free) {
          const hasRefused = (id: string) => left().some((place) => refused.get(keyOf(place))?.has(id));
          const worker = free.find(({ id }) => !hasRefused(id)) ?? free[0];
          workerId = worker?.id ?? '';
          return worker;
        },
        command() {
          asked = left();
          return {
            kind: 'score',
            networksJson: asked.map((place) => {
              const genotype = genotypeOfKey(candidates[place]!.genotype);
              return canonicalJson(candidateNetwork(sweep.spec, genotype));
            }),
            scores: names,
            dataJson: canonicalJson(sweep.spec.data),
            trainingJson: canonicalJson(sweep.spec.evaluation.training),
            ...optional('dataDigest', sweep.facts.digest),
          };
        },
        signal,
      });
      for await (const { place: at, values, reason } of answers) {
        const place = asked[at];
        if (place === undefined) continue;
        const scores = names.flatMap((name, i): Score[] =>
          Number.isFinite(values[i]) ? [{ name, value: values[i]! }] : [],
        );
        await took({ place, scores, ...(reason === '' ? {} : { reason: boundedText(reason) }) }, workerId);
      }
    } catch (caught) {
      if (signal.aborted) return;
      const error = toFleetError(caught);
      log.warn({ sweep: sweep.id, group, code: error.code }, `scoring candidates: ${error.message}`);
      for (const place of left()) {
        const key = keyOf(place);
        const count = (failures.get(key) ?? 0) + 1;
        failures.set(key, count);
        refused.set(key, (refused.get(key) ?? new Set()).add(workerId));
        if (count >= FAILURES_MAX) await took({ place, scores: [], reason: boundedText(error.message) }, '');
      }
      await clock.sleep(AGAIN_MS, signal).catch(() => undefined);
    }
  }

  function look(state: State): void {
    for (const [number] of rowsOf(state.openSweeps)) {
      const sweep = rowAt(state.sweeps, number)!;
      const group = sweep.screening?.group;
      if (group === undefined || isPaused(state, sweep.id) || isPaused(state, sweep.planId)) continue;
      const keyOf = (place: number) => `${sweep.id}/${group.number}/${place}`;
      const missing = group.candidates.flatMap((one, place) =>
        one.scored === undefined && !inHand.has(keyOf(place)) ? [place] : [],
      );
      while (missing.length > 0 && open < Math.max(1, attachedWorkers(state))) {
        const places = missing.splice(0, REQUEST_MAX);
        open += 1;
        const work = score(sweep, group.number, places)
          .catch((caught: unknown) => {
            log.warn({ sweep: sweep.id }, `scoring candidates: ${toFleetError(caught).message}`);
          })
          .finally(() => {
            open -= 1;
            for (const place of places) inHand.delete(keyOf(place));
          });
        for (const place of places) inHand.set(keyOf(place), work);
      }
    }
    if (inHand.size === 0 && failures.size > 1_000) {
      failures.clear();
      refused.clear();
    }
  }

  const watching = (async () => {
    while (!signal.aborted) {
      const state = options.state();
      if (state !== undefined && options.leads()) look(state);
      await clock.sleep(LOOK_MS, signal).catch(() => undefined);
    }
    await Promise.all(inHand.values());
  })();

  return {
    answered: (requestId, { networks, ended, error }) =>
      scorings.answered(requestId, { items: networks, ended, error: boundedText(error) }),
    async stop() {
      stopping.abort(new FleetError('cancelled', 'the coordinator is stopping'));
      await watching;
    },
  };
}
