// The journal: its messages, and what is folded from them.

import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { BEGINNING } from '../../../coordinator/journal/chain.ts';
import { inflatedTogether } from '../../../coordinator/journal/deflated.ts';
import { createJournalIndex, type JournalIndex } from '../../../coordinator/journal/journal-index.ts';
import { groupAfter, truncationIn } from '../../../coordinator/journal/journal-reader.ts';
import { encodeGroup, readableText } from '../../../coordinator/journal/message.ts';
import { foldedAt } from '../../../coordinator/journal/opening.ts';
import {
  chunksOf,
  decodeSnapshot,
  frameBytes,
  framesOf,
  partsOf,
} from '../../../coordinator/journal/snapshot-chunks.ts';
import { initialState, type State } from '../../../coordinator/model/state.ts';
import { rowsOf } from '../../../coordinator/model/table.ts';
import { systemClock } from '../../../core/clock.ts';
import { namesOf, PREFIXES_OF_OLD, prefixesOf } from '../../../core/net/subjects.ts';
import type { RandomStream } from '../../../core/rng.ts';
import { journalFixture } from '../../support/journal-fixtures.ts';
import { draw, hostileValue } from '../mutators.ts';
import type { Sections, Target } from '../target.ts';

const first = (name: string): Sections =>
  journalFixture(name)
    .slice(0, 4)
    .map(({ data }) => data);

const FORMATS = [
  'format-1/plan-in-mid-training',
  'format-2/plan-in-mid-training',
  'format-3/plan-in-mid-training',
];

function folded(messages: Sections): void {
  const [, old] = messages;
  const prefixes = old?.[0] === 0x7b ? PREFIXES_OF_OLD : prefixesOf('local', '0');
  const identity = { names: namesOf(prefixes), fleet: 'local' };
  let [place, state] = [BEGINNING, initialState];
  const texts = inflatedTogether(messages);
  for (const [i, data] of messages.entries()) {
    readableText(data);
    truncationIn(data);
    const sequence = i + 1;
    const group = groupAfter(identity, place, { sequence, subject: 'x', atMs: 0, data }, texts[i]);
    place = group.place;
    for (const event of group.events) state = foldedAt({ stream: 'PF_JOURNAL', sequence }, state, event);
  }
}

/** A first group, whose events are changed before it is deflated. */
function otherEvents(random: RandomStream): Sections {
  const [data] = journalFixture(draw.pick(random, FORMATS.slice(1)));
  const text = JSON.parse(readableText(data!.data)!) as Record<string, never> & { events: unknown[] };
  const events = hostileValue(random, text.events);
  const { journal, group, before, writer } = text;
  const list = Array.isArray(events) ? events : [events];
  return [encodeGroup({ journal, group, before, writer } as never, list)];
}

const journal: Target = {
  name: 'journal',
  decoders: [
    'coordinator/journal/message.ts',
    'coordinator/journal/deflated.ts',
    'coordinator/journal/chain.ts',
    'coordinator/journal/journal-reader.ts',
    'coordinator/journal/formats/reader.ts',
    'coordinator/journal/formats/rows.ts',
    'coordinator/journal/formats/format-1.ts',
    'coordinator/journal/formats/event-checker.ts',
  ],
  corpus: () => FORMATS.map(first),
  compose: otherEvents,
  decode: folded,
  cases: 40,
  charsMax: 4_000,
};

function stateOf(): { readonly state: State; readonly index: JournalIndex } {
  let state = initialState;
  const index = createJournalIndex();
  const prefixes = prefixesOf('local', '0');
  let place = BEGINNING;
  for (const { data, sequence } of journalFixture(FORMATS[2]!)) {
    const identity = { names: namesOf(prefixes), fleet: 'local' };
    const group = groupAfter(identity, place, { sequence, subject: 'x', atMs: 0, data });
    place = group.place;
    index.add(sequence, group.events);
    for (const event of group.events) state = foldedAt({ stream: 'PF_JOURNAL', sequence }, state, event);
  }
  return { state, index };
}

async function storedSnapshot(): Promise<Sections> {
  const { state, index } = stateOf();
  const chunks: Uint8Array[] = [];
  const options = { clock: systemClock, signal: undefined };
  for await (const chunk of chunksOf(partsOf(state, index.encoded()), options)) chunks.push(chunk);
  return chunks;
}

/** A part of a snapshot is changed before it is deflated. */
function otherParts(random: RandomStream, corpus: readonly Sections[]): Sections {
  const [chunk = new Uint8Array()] = draw.pick(random, corpus);
  const frames = framesOf(chunk);
  const at = random.integer(frames.length);
  const { bytes, ...frame } = frames[at]!;
  frames[at] = { ...frame, bytes: deflateRawSync(otherBytes(random, inflateRawSync(bytes)), { level: 1 }) };
  return [Buffer.concat(frames.map(frameBytes))];
}

/** JSON with another value in it; of numbers of the index a part. */
function otherBytes(random: RandomStream, bytes: Uint8Array): Uint8Array {
  const isJson = bytes[0] === 0x7b || bytes[0] === 0x5b;
  if (!isJson) return bytes.subarray(0, random.integer(bytes.length));
  return Buffer.from(JSON.stringify(hostileValue(random, JSON.parse(Buffer.from(bytes).toString()))));
}

const snapshot: Target = {
  name: 'snapshot',
  decoders: [
    'coordinator/journal/snapshot-chunks.ts',
    'coordinator/journal/number-list.ts',
    'coordinator/model/snapshot-decoder.ts',
  ],
  corpus: async () => [await storedSnapshot()],
  compose: otherParts,
  async decode(chunks) {
    const { state, index } = decodeSnapshot(chunks);
    for (const part of index.encoded()) if (part.of === 'numbers') part.page.bytes();
    // Every page is looked at.
    for (const table of [state.trials, state.runs, state.time.runs]) for (const _ of rowsOf<unknown>(table));
  },
  cases: 25,
};

export const journalTargets: readonly Target[] = [journal, snapshot];
