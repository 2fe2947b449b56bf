// Where snapshots are shown: on the whole of a terminal, as lines where a terminal takes no pictures, or as
// JSON.

import { systemClock } from '../../../core/clock.ts';
import type { Snapshot } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { print, say, toJson } from './output.ts';
import { drawsOn, openScreen } from './screen.ts';
import { createStatusChanges } from './status-changes.ts';
import { statusLines } from './status-view.ts';

export interface StatusDisplay {
  show(snapshot: Snapshot): void;
  /** Prints a line without damaging what is on the screen. */
  say(text: string): void;
  close(): void;
}

export function statusDisplay(options: { readonly isFleet: boolean }): StatusDisplay {
  return drawsOn(process.stdout) ? drawnDisplay() : plainDisplay(options.isFleet);
}

/** A snapshot a line. */
export function jsonDisplay(): StatusDisplay {
  return { show: (snapshot) => print(toJson(snapshot)), say, close: () => undefined };
}

function drawnDisplay(): StatusDisplay {
  const screen = openScreen(process.stdout);
  return {
    show: (snapshot) => screen.show((size) => statusLines(snapshot, size)),
    say: screen.say,
    close: screen.close,
  };
}

function plainDisplay(isFleet: boolean): StatusDisplay {
  const changes = createStatusChanges({ skipEnded: isFleet });
  const printAll = (lines: readonly string[]) => {
    for (const line of lines) print(line);
  };
  return {
    show: (snapshot) => printAll(changes.next(snapshot, systemClock.monotonic())),
    say,
    close: () => printAll(changes.rest()),
  };
}
