// The status of a fleet for a log or a pipe. Decides what is worth a line: each change of a state at once,
// and changes of numbers every few seconds. The lines have no terminal escapes, and none is printed twice.

import { formatTime } from '../../../core/report/format.ts';
import { hasEnded, progressItems, progressLine } from '../../../core/report/progress-model.ts';
import { printable } from '../../../core/text/printable.ts';
import { stateText } from '../../../core/text/state-text.ts';
import type { Snapshot } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { headline, planLine, storeTroubles } from './status-view.ts';

export interface StatusChanges {
  /** Lines to print for this snapshot; `now` in milliseconds. */
  next(snapshot: Snapshot, now: number): string[];
  /** Lines that were held back. A reader needs the last state, so these are printed in the end. */
  rest(): string[];
}

interface Item {
  readonly key: string;
  readonly line: string;
  /** A change of this text is printed at once. */
  readonly state: string;
}

/** Shortest time between two lines of one thing whose numbers alone change, milliseconds. */
const EVERY_MS = 5_000;
const WIDTH = 160;

export function createStatusChanges(options: { readonly skipEnded: boolean }): StatusChanges {
  let trouble = '';
  const told = new Map<string, { at: number; line: string; state: string }>();
  const held = new Map<string, string>();
  let isFirst = true;
  return {
    next(snapshot, now) {
      const time = formatTime(snapshot.atMs);
      const lines: string[] = isFirst ? [headline(snapshot)] : [];
      const found = storeTroubles(snapshot).join('; ');
      // The bytes in the sentence grow while it stays the same trouble.
      if (wordsOf(found) !== wordsOf(trouble))
        lines.push(`${time} ${found === '' ? 'decisions are made and stored again' : printable(found)}`);
      trouble = found;
      for (const item of itemsOf(snapshot)) {
        const before = told.get(item.key);
        if (before?.line === item.line) continue;
        const text = `${time} ${printable(item.line)}`;
        if (before?.state === item.state && now - before.at < EVERY_MS) {
          held.set(item.key, text);
          continue;
        }
        told.set(item.key, { at: now, line: item.line, state: item.state });
        held.delete(item.key);
        // A thing that had ended before the first snapshot has not changed.
        const isPast = hasEnded(item.state) || item.state === 'lost';
        if (!(isFirst && options.skipEnded && isPast)) lines.push(text);
      }
      isFirst = false;
      return lines;
    },
    rest: () => [...held.values()],
  };
}

const wordsOf = (sentence: string): string => sentence.replace(/[\d.,:]+/g, '');

function itemsOf(snapshot: Snapshot): Item[] {
  const states = new Map([...snapshot.sweeps, ...snapshot.runs].map(({ id, state }) => [id, state]));
  return [
    ...snapshot.plans.map((plan) => ({ key: plan.id, line: planLine(plan), state: plan.state })),
    ...progressItems(snapshot).map((item) => ({
      key: item.key,
      line: `${item.key} ${progressLine(item, WIDTH)}`,
      state: states.get(item.key) ?? '',
    })),
    ...snapshot.workers.map(({ id, state, reason }) => {
      // Between two runs of a search a worker is idle for a moment.
      const there = state === 'busy' || state === 'idle' ? 'attached' : state;
      const line = `${id} ${there === 'attached' ? there : stateText(there, reason)}`;
      return { key: `worker ${id}`, line, state: there };
    }),
  ];
}
