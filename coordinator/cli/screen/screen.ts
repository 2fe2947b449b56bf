// The whole terminal, while a command watches something: the alternate screen, so that nothing scrolls and
// the former content comes back, whatever ends the command. The last picture stays on the normal screen.
// `drawsOn` decides whether a stream takes pictures at all.

import { plainOutputWanted } from '../../../core/config.ts';
import { clip } from '../../../core/report/format.ts';

export interface Size {
  readonly rows: number;
  readonly columns: number;
}

export interface Screen {
  /** Draws what `render` gives for the present size, now and again when the size changes. */
  show(render: (size: Size) => readonly string[]): void;
  /** A line of talk on the last row, until the next picture. */
  say(text: string): void;
  /** Leaves the last picture on the normal screen. */
  close(): void;
}

/** True for a terminal that understands escapes, unless the user asked for plain text. */
export function drawsOn(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && !plainOutputWanted();
}

const ENTER = '\u001b[?1049h\u001b[?25l\u001b[?7l';
const LEAVE = '\u001b[?7h\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';

/** Size of the terminal. A terminal inside another program may report none. */
const SIZE_DEFAULT: Size = { rows: 24, columns: 80 };

export function openScreen(stream: NodeJS.WriteStream): Screen {
  let render: (size: Size) => readonly string[] = () => [];
  let notice = '';
  let drawn = '';
  let entered = false;

  const size = (): Size => ({
    // The last row is reserved for the notice.
    rows: Math.max(1, (stream.rows || SIZE_DEFAULT.rows) - 1),
    columns: stream.columns || SIZE_DEFAULT.columns,
  });
  const picture = (): string[] => {
    const { rows, columns } = size();
    return render({ rows, columns })
      .slice(0, rows)
      .map((line) => clip(line, columns));
  };
  const draw = () => {
    if (!entered) return;
    const { rows, columns } = size();
    const lines = picture();
    const last = notice === '' ? [] : [...Array(rows - lines.length).fill(''), clip(notice, columns)];
    // Never a line end after the last row: that would scroll.
    const text = `${HOME}${[...lines, ...last].map((line) => `${line}${CLEAR_LINE}`).join('\r\n')}${CLEAR_BELOW}`;
    if (text === drawn) return;
    drawn = text;
    stream.write(text);
  };
  const enter = () => {
    if (entered) return;
    entered = true;
    drawn = '';
    stream.write(ENTER);
    draw();
  };
  const leave = () => {
    if (!entered) return;
    entered = false;
    stream.write(LEAVE);
  };
  const suspend = () => {
    leave();
    process.kill(process.pid, 'SIGSTOP');
  };
  const listeners = [
    ['SIGTSTP', suspend],
    ['SIGCONT', enter],
    // The screen is left at any end of the process. After a crash this happens before the report, so that the
    // report stays visible.
    ['uncaughtExceptionMonitor', leave],
    ['exit', leave],
  ] as const;
  for (const [event, listener] of listeners) process.on(event, listener);
  stream.on('resize', draw);
  enter();

  return {
    show(next) {
      render = next;
      notice = '';
      draw();
    },
    say(text) {
      notice = text;
      draw();
    },
    close() {
      for (const [event, listener] of listeners) process.removeListener(event, listener);
      stream.removeListener('resize', draw);
      const last = picture();
      leave();
      if (last.length > 0) stream.write(`${last.join('\n')}\n`);
      if (notice !== '') stream.write(`${notice}\n`);
    },
  };
}
