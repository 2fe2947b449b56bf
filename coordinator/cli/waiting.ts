// Waits for submitted work with a progress display, then prints what came out. Answers with the reasons of what failed.

import type { Snapshot, SubmitResponse } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from './client.ts';
import { print, printJson, say } from './output.ts';
import { createProgress } from './progress.ts';
import { gatherResults, resultLines } from './results.ts';
import { type Selection, watch } from './watching.ts';

/** One sentence for each plan, sweep or run that did not end well; none when all did. */
export async function waitFor(
  client: FleetClient,
  submitted: SubmitResponse,
  options: { signal: AbortSignal; json: boolean },
): Promise<string[]> {
  const failures: string[] = [];
  // Documents of one file go on side by side in the fleet; their displays follow one another.
  for (const selection of selectionsOf(submitted)) {
    const last = await showUntilFinished(client, selection, options.signal);
    if (options.signal.aborted) {
      say('no longer watching; the work goes on (pocketfleet watch shows it, cancel ends it)');
      return ['interrupted'];
    }
    const results = await gatherResults(client, selection);
    if (options.json) printJson(results);
    else for (const line of resultLines(results)) print(line);
    failures.push(...failuresOf(last, selection));
  }
  return failures;
}

function selectionsOf(submitted: SubmitResponse): Selection[] {
  return [
    ...submitted.planIds.map((id) => ({ kind: 'plan' as const, id })),
    ...submitted.sweepIds.map((id) => ({ kind: 'sweep' as const, id })),
    ...submitted.runIds.map((id) => ({ kind: 'run' as const, id })),
  ];
}

/** Where talk goes; for as long as a progress display is on the screen it goes through that. */
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
  const progress = createProgress();
  const before = talk.say;
  talk.say = progress.say;
  let last: Snapshot | undefined;
  try {
    for await (const snapshot of watch(client, selection, {
      signal,
      untilFinished: true,
      onInterruption: say,
    })) {
      last = snapshot;
      progress.show(snapshot);
    }
    return last;
  } finally {
    progress.close();
    talk.say = before;
  }
}

export function failuresOf(snapshot: Snapshot | undefined, selection: Selection): string[] {
  if (snapshot === undefined) return ['nothing was heard of it'];
  const all = { fleet: [], plan: snapshot.plans, sweep: snapshot.sweeps, run: snapshot.runs }[selection.kind];
  return all
    .filter((one) => one.state !== 'done')
    .map((one) => `${selection.kind} ${one.name} ${one.state}${one.reason === '' ? '' : `: ${one.reason}`}`);
}
