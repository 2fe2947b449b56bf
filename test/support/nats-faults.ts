// Loses and repeats messages of the gradient exchange on their way to the broker, for a proxy in front of it.
// Reads as much of the NATS protocol as shows where a publication begins and ends; the test chooses which
// ones are hit.

import type { Filter } from './tcp-proxy.ts';

export type MessageFault = 'drop' | 'duplicate';

export interface NatsFaults {
  /**
   * The next publication of the exchange that passes on any connection gets this fault; resolves when it has.
   */
  arm(fault: MessageFault): Promise<void>;
  /** Faults that have happened. */
  readonly done: Readonly<Record<MessageFault, number>>;
  /** Publications of the exchange that have passed. */
  readonly passed: number;
  filter(): Filter;
}

const EXCHANGE = /^pf\.[a-z0-9-]+\.ar\./;
const LINE_END = Buffer.from('\r\n');

interface Armed {
  readonly fault: MessageFault;
  readonly happened: () => void;
}

export function createNatsFaults(): NatsFaults {
  const armed: Armed[] = [];
  const done = { drop: 0, duplicate: 0 };
  const counts = { passed: 0 };

  function filter(): Filter {
    /** Bytes of an incomplete control line. */
    let line: Buffer = Buffer.alloc(0);
    /** Of the publication in hand: bytes still to come, its line end included. */
    let left = 0;
    let fate: Armed | undefined;
    /** Of one that is repeated: all of it so far. */
    let kept: Buffer[] = [];

    const takeBody = (part: Buffer, out: Buffer[]): void => {
      left -= part.length;
      if (fate?.fault !== 'drop') out.push(part);
      if (fate?.fault === 'duplicate') kept.push(part);
      if (left > 0) return;
      if (fate !== undefined) {
        out.push(...kept);
        done[fate.fault] += 1;
        fate.happened();
      }
      fate = undefined;
      kept = [];
    };

    const takeLine = (whole: Buffer, out: Buffer[]): void => {
      const words = whole.toString('latin1').trimEnd().split(' ');
      const isPublication = words[0] === 'PUB' || words[0] === 'HPUB';
      if (isPublication) left = Number(words.at(-1)) + LINE_END.length;
      if (isPublication && EXCHANGE.test(words[1] ?? '')) {
        counts.passed += 1;
        fate = armed.shift();
      }
      if (fate?.fault !== 'drop') out.push(whole);
      if (fate?.fault === 'duplicate') kept.push(whole);
    };

    return (chunk) => {
      const out: Buffer[] = [];
      let at = 0;
      while (at < chunk.length) {
        if (left > 0) {
          const part = chunk.subarray(at, at + left);
          at += part.length;
          takeBody(part, out);
          continue;
        }
        const end = endOfLine(line, chunk, at);
        if (end < 0) {
          line = Buffer.concat([line, chunk.subarray(at)]);
          break;
        }
        takeLine(Buffer.concat([line, chunk.subarray(at, end)]), out);
        line = Buffer.alloc(0);
        at = end;
      }
      return out;
    };
  }

  return {
    arm: (fault) => new Promise((happened) => armed.push({ fault, happened })),
    done,
    get passed() {
      return counts.passed;
    },
    filter,
  };
}

/** Where the line that began with `before` ends in the chunk, behind its line end; -1 when it does not. */
function endOfLine(before: Buffer, chunk: Buffer, from: number): number {
  // The two bytes of a line end may come apart.
  if (before.at(-1) === 13 && chunk[from] === 10) return from + 1;
  const at = chunk.indexOf(LINE_END, from);
  return at < 0 ? -1 : at + LINE_END.length;
}
