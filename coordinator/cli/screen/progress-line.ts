// One line on stderr that shows how far the inspection of a data set is. Decides how often it is printed: a
// terminal's line is overwritten in place, other streams get a new line every few seconds.

import { systemClock } from '../../../core/clock.ts';
import type { DataProgress } from '../../../core/data/progress-pace.ts';
import { formatBytes } from '../../../core/report/format.ts';
import { printable } from '../../../core/text/printable.ts';

export interface ProgressLine {
  show(path: string, progress: DataProgress): void;
  /** Ends the line, so that the next output begins on a line of its own. */
  close(): void;
}

/** Shortest time between two lines in a pipe, milliseconds. */
const PIPE_EVERY_MS = 5_000;

export function progressLine(stream: NodeJS.WriteStream = process.stderr): ProgressLine {
  // Work that ends within a second needs no line.
  let printedAt = systemClock.monotonic() - PIPE_EVERY_MS + 1_000;
  let drawn = false;
  return {
    show(path, progress) {
      const text = `${path}: ${sentence(progress)}`;
      if (stream.isTTY) {
        stream.write(`\r\u001b[2K${printable(text).slice(0, Math.max(20, stream.columns - 1))}`);
        drawn = true;
      } else if (systemClock.monotonic() - printedAt >= PIPE_EVERY_MS) {
        printedAt = systemClock.monotonic();
        stream.write(`${text}\n`);
      }
    },
    close() {
      if (drawn) stream.write('\r\u001b[2K');
      drawn = false;
    },
  };
}

function sentence({ doing, done, total, unit }: DataProgress): string {
  // A wait counts nothing.
  if (unit === '') return doing;
  const share = total > 0 ? `, ${Math.floor((100 * done) / total)} %` : '';
  const counted =
    unit === 'bytes'
      ? `${formatBytes(done)} of ${formatBytes(total)}`
      : `${done.toLocaleString('en-US')} of ${total.toLocaleString('en-US')} ${unit}`;
  return `${doing}: ${counted}${share}`;
}
