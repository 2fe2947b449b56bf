// A block of lines that is drawn over itself on a terminal; elsewhere each new state is printed once, below the last.

export interface Screen {
  show(lines: readonly string[]): void;
  columns(): number;
  close(): void;
}

/** In a pipe a state is printed at most this often, milliseconds. */
const PIPE_EVERY_MS = 2000;

export function liveScreen(stream: NodeJS.WriteStream): Screen {
  let drawn = 0;
  let last = '';
  let printedAt = Number.NEGATIVE_INFINITY;
  let pending: string | undefined;
  return {
    columns: () => (stream.isTTY ? stream.columns : 160),
    show: (lines) => {
      const text = lines.join('\n');
      if (text === last) return;
      if (stream.isTTY) {
        const visible = lines.slice(0, Math.max(1, stream.rows - 1));
        const up = drawn === 0 ? '' : `\u001b[${drawn}A`;
        stream.write(`${up}\u001b[J${visible.join('\n')}\n`);
        drawn = visible.length;
        last = text;
      } else if (performance.now() - printedAt >= PIPE_EVERY_MS) {
        stream.write(`${text}\n\n`);
        printedAt = performance.now();
        last = text;
        pending = undefined;
      } else pending = text;
    },
    // The last state is what a reader of a pipe came for.
    close: () => {
      if (pending !== undefined && pending !== last) stream.write(`${pending}\n`);
    },
  };
}
