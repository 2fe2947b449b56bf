// Waits for submitted work with a progress display, then prints the results. Returns the reasons of what
// failed.

import { stateText } from '../../../core/text/state-text.ts';
import type { Snapshot, SubmitResponse } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { persist } from '../absence.ts';
import type { FleetClient } from '../client.ts';
import { listLimit } from '../screen/lists.ts';
import { print, printJson, say } from '../screen/output.ts';
import { createProgress } from '../screen/plan-progress.ts';
import { gatherResults, resultLines } from '../screen/results.ts';
import { type Selection, watch } from '../watching.ts';

/**
 * One sentence for each plan, sweep or run that did not end well; none when all did. Throws the signal's
 * reason when aborted.
 */
export async function waitFor(
  client: FleetClient,
  submitted: SubmitResponse,
  options: { signal: AbortSignal; json: boolean },
): Promise<string[]> {
  const { signal } = options;
  const selections = selectionsOf(submitted);
  const failures: string[] = [];
  try {
    const last = await showAllUntilFinished(client, selections, { signal, talk: { say } });
    for (const [i, selection] of selections.entries()) {
      signal.throwIfAborted();
      await printResults(client, selection, options);
      failures.push(...failuresOf(last[i], selection));
    }
    return failures;
  } catch (caught) {
    if (signal.aborted) say(interruptionHint(selections));
    throw caught;
  }
}

/** The results of what has ended, as tables or as JSON. */
export async function printResults(
  client: FleetClient,
  selection: Selection,
  { signal, json }: { readonly signal: AbortSignal; readonly json: boolean },
): Promise<void> {
  const results = await persist(() => gatherResults(client, selection), { signal, say });
  if (json) printJson(results);
  else for (const line of resultLines(results, listLimit({}, process.stdout.isTTY))) print(line);
}

function interruptionHint(selections: readonly Selected[]): string {
  const [first] = selections;
  if (first === undefined) return 'nothing was submitted';
  const ids = selections.map(({ id }) => id).join(', ');
  return `no longer watching ${ids}; the work goes on: \`pocketfleet watch ${first.id}\` shows it, \`pocketfleet cancel ${first.id}\` ends it`;
}

type Selected = Exclude<Selection, { kind: 'fleet' }>;

function selectionsOf(submitted: SubmitResponse): Selected[] {
  return [
    ...submitted.planIds.map((id) => ({ kind: 'plan' as const, id })),
    ...submitted.sweepIds.map((id) => ({ kind: 'sweep' as const, id })),
    ...submitted.runIds.map((id) => ({ kind: 'run' as const, id })),
  ];
}

/** Where messages go: through the progress display while it is on the screen, else to stderr. */
export interface Talk {
  say(text: string): void;
}

/** The last snapshot; undefined when interrupted before the first. */
export async function showUntilFinished(
  client: FleetClient,
  selection: Selection,
  signal: AbortSignal,
  talk: Talk = { say },
): Promise<Snapshot | undefined> {
  const [last] = await showAllUntilFinished(client, [selection], { signal, talk });
  return last;
}

/**
 * Follows all documents of a file at once, as the fleet works on them side by side. Returns the last snapshot
 * of each.
 */
async function showAllUntilFinished(
  client: FleetClient,
  selections: readonly Selection[],
  options: { signal: AbortSignal; talk: Talk },
): Promise<(Snapshot | undefined)[]> {
  const { talk } = options;
  const progress = createProgress();
  const before = talk.say;
  talk.say = progress.say;
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  // All of them lose the same coordinator, and one sentence about it is enough.
  const sayOnce = (text: string) => {
    if (text !== said) talk.say(text);
    said = text;
  };
  let said = '';
  const follow = async (selection: Selection) => {
    let last: Snapshot | undefined;
    for await (const snapshot of watch(client, selection, { signal, untilFinished: true, say: sayOnce })) {
      last = snapshot;
      progress.show(snapshot);
    }
    return last;
  };
  try {
    return await Promise.all(selections.map(follow));
  } finally {
    failed.abort();
    progress.close();
    talk.say = before;
  }
}

export function failuresOf(snapshot: Snapshot | undefined, selection: Selection): string[] {
  if (snapshot === undefined) return ['nothing was heard of it'];
  const all = { fleet: [], plan: snapshot.plans, sweep: snapshot.sweeps, run: snapshot.runs }[selection.kind];
  return all
    .filter((one) => one.state !== 'done')
    .map((one) => `${selection.kind} ${one.name} ${stateText(one.state, one.reason)}`);
}
