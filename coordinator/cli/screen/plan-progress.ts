// Draws progress: bars that are updated in place on a terminal, and elsewhere a line for each item that moved
// every few seconds. Everything goes to stderr.

import { MultiBar, type SingleBar } from 'cli-progress';
import { systemClock } from '../../../core/clock.ts';
import { clip } from '../../../core/report/format.ts';
import { type ProgressItem, progressItems, progressLine } from '../../../core/report/progress-model.ts';
import { printable } from '../../../core/text/printable.ts';
import type { Snapshot } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { drawsOn } from './screen.ts';

export interface ProgressDisplay {
  show(snapshot: Snapshot): void;
  /** Prints a line above the bars. */
  say(text: string): void;
  /** Leaves the last state on the screen. */
  close(): void;
}

export function createProgress(stream: NodeJS.WriteStream = process.stderr, everyMs = 5000): ProgressDisplay {
  return drawsOn(stream) ? barProgress(stream) : lineProgress(stream, everyMs);
}

const LABEL_COLUMNS_MAX = 26;
const BAR_COLUMNS_MAX = 24;
const BAR_COLUMNS_MIN = 8;
/** What a note needs to hold rate and remaining time. */
const NOTE_COLUMNS = 48;
/** Percentage and spaces. */
const OTHER_COLUMNS = 9;

function barProgress(stream: NodeJS.WriteStream): ProgressDisplay {
  const width = stream.columns || 100;
  const barColumns = Math.min(
    BAR_COLUMNS_MAX,
    Math.max(BAR_COLUMNS_MIN, width - LABEL_COLUMNS_MAX - OTHER_COLUMNS - NOTE_COLUMNS),
  );
  const bars = new MultiBar({
    stream,
    format: '{label} {bar} {shown} {note}',
    barsize: barColumns,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    linewrap: false,
    fps: 5,
    // The command handles Ctrl-C: it stops what it started and then closes this display.
    gracefulExit: false,
    forceRedraw: true,
  });
  const drawn = new Map<string, SingleBar>();
  // A command that ends before it closes the display gives the cursor and the wrapping of lines back all the
  // same.
  const restore = () => stream.write('\u001b[?25h\u001b[?7h');
  process.once('exit', restore);
  let labelColumns = 0;
  return {
    show: (snapshot) => {
      const items = progressItems(snapshot);
      for (const { label } of items)
        labelColumns = Math.min(LABEL_COLUMNS_MAX, Math.max(labelColumns, label.length));
      const columns = (stream.columns || width) - labelColumns - barColumns - OTHER_COLUMNS;
      for (const item of items) {
        const payload = {
          label: clip(printable(item.label), labelColumns).padEnd(labelColumns),
          shown: `${Math.floor(item.fraction * 100)} %`.padStart(5),
          note: clip(printable(item.note), Math.max(10, columns)),
        };
        const value = Math.round(item.fraction * 1000);
        const bar = drawn.get(item.key);
        if (bar === undefined) drawn.set(item.key, bars.create(1000, value, payload));
        else bar.update(value, payload);
      }
    },
    say: (text) => {
      // Without a bar there is nothing to tear, and the display would keep the line until there is one.
      if (drawn.size === 0) stream.write(`${text}\n`);
      else bars.log(`${text}\n`);
    },
    close: () => {
      bars.update();
      bars.stop();
      process.removeListener('exit', restore);
    },
  };
}

function lineProgress(stream: NodeJS.WriteStream, everyMs: number): ProgressDisplay {
  const printed = new Map<string, { at: number; line: string }>();
  const printIfDue = (item: ProgressItem) => {
    const line = printable(progressLine(item, 160));
    const last = printed.get(item.key);
    const now = systemClock.monotonic();
    if (last !== undefined && (last.line === line || (!item.ended && now - last.at < everyMs))) return;
    printed.set(item.key, { at: now, line });
    stream.write(`${line}\n`);
  };
  return {
    show: (snapshot) => {
      for (const item of progressItems(snapshot)) printIfDue(item);
    },
    say: (text) => {
      stream.write(`${text}\n`);
    },
    close: () => {},
  };
}
