// Where in the journal the events about each thing stand, so that its story is read without reading all the
// rest. The story of a plan, sweep or trial has the events of its children too.
//
// The index keeps, message by message, the things that the message's events name, and for each thing its parent
// and its first and last message. A story is looked for between those two. So what a message costs is a number
// for each thing that it names, some 40 bytes a trial, and all of it only grows: how it was at a message is the
// part of each list up to there.

import type { Event } from '../model/events.ts';
import { numberIn } from '../model/state.ts';
import { NumberList, type NumberPage } from './number-list.ts';
import { eachId, idsOf } from './why.ts';

/** Where the events of each thing stand. */
export interface JournalIndex {
  /** Takes the events of a message; sequences ascend, and messages that were cut out are not taken. */
  add(sequence: number, events: readonly Event[]): void;
  /**
   * Messages that have events of this thing's story behind event number `after`, ascending, as far as they are
   * known now; between them `undefined` after each hundred thousand numbers that were looked through.
   */
  messagesAbout(id: string, after?: number): Generator<number | undefined>;
  /** Whether an event belongs to the story of this thing. */
  isAbout(event: Event, id: string): boolean;
  /** The number of the message's first event, counted over the whole journal from 1. */
  firstEventOf(sequence: number): number;
  /** The index as plain data, part by part, as it is when this is called. */
  encoded(): Iterable<IndexPart>;
}

/** The lists of the index, in the order in which they are stored. */
const LISTS = ['lastEvents', 'lastPlaces', 'things', 'first', 'final', 'parents'] as const;

/** A part of the index: the named things and how far it reaches, or a page of one of its lists. */
export type IndexPart =
  | {
      readonly of: 'names';
      /** The last message. */
      readonly last: number;
      /** Things that have a name and no number, in the order of theirs. */
      readonly names: readonly string[];
      /** Those of them that are a parent. */
      readonly parents: readonly number[];
    }
  | {
      readonly of: 'numbers';
      /** Place of the list in the order above. */
      readonly list: number;
      readonly page: NumberPage;
    };

const LOOKED_AT_ONCE = 100_000;

// A thing is one number: three times its own, and its kind. Plans, sweeps and workers, of which there are few,
// are numbered here by their names, from 1. 0 is nothing.
const RUN = 0;
const TRIAL = 1;
const NAMED = 2;
const KINDS = 3;

interface Index {
  /** The last message; 0 before the first. */
  last: number;
  /** By message: the number of its last event, and of its last place in `things`. */
  readonly lastEvents: NumberList;
  readonly lastPlaces: NumberList;
  /** By place from 1: the things of the messages, one after the other, each once in a message. */
  readonly things: NumberList;
  /** By thing: its first and last message, its children's too, and its parent. */
  readonly first: NumberList;
  readonly final: NumberList;
  readonly parents: NumberList;
  readonly numbers: Map<string, number>;
  readonly names: string[];
  /** Those named things that are a parent. */
  readonly withChildren: Set<number>;
}

/** An index of no message, or of those that were encoded. */
export function createJournalIndex(encoded: Iterable<IndexPart> = []): JournalIndex {
  const index = emptyIndex();
  for (const part of encoded) takePart(index, part);
  const take = (id: string | undefined) => {
    if (id !== undefined) mention(index, thingNamed(index, id));
  };
  return {
    add(sequence, events) {
      begin(index, sequence, events.length);
      for (const event of events) {
        takeParents(index, event);
        eachId(event, take);
      }
    },
    messagesAbout: (id, after = 0) => messagesAbout(index, id, after),
    isAbout(event, id) {
      const wanted = knownThing(index, id);
      return idsOf(event).some((one) => {
        if (one === undefined || one === id) return one === id;
        return wanted !== undefined && isWithin(index, knownThing(index, one) ?? 0, wanted);
      });
    },
    firstEventOf: (sequence) => index.lastEvents.at(sequence - 1) + 1,
    encoded: () => encodedIndex(index),
  };
}

function emptyIndex(): Index {
  return {
    ...{ last: 0, names: [], numbers: new Map(), withChildren: new Set() },
    ...{ lastEvents: new NumberList(), lastPlaces: new NumberList(), things: new NumberList() },
    ...{ first: new NumberList(), final: new NumberList() },
    parents: new NumberList(),
  };
}

/** A message that has named nothing yet; one that was cut out before it has no events. */
function begin(index: Index, sequence: number, events: number): void {
  const { lastEvents, lastPlaces } = index;
  const [event, place] = [lastEvents.at(index.last), lastPlaces.at(index.last)];
  for (let cut = index.last + 1; cut < sequence; cut++) {
    lastEvents.set(cut, event);
    lastPlaces.set(cut, place);
  }
  lastEvents.set(sequence, event + events);
  lastPlaces.set(sequence, place);
  index.last = sequence;
}

/** The last message names this thing. */
function mention(index: Index, thing: number): void {
  const { last, final, first, parents, lastPlaces } = index;
  if (final.at(thing) === last) return;
  const place = lastPlaces.at(last) + 1;
  index.things.set(place, thing);
  lastPlaces.set(last, place);
  for (let one = thing; one !== 0 && final.at(one) !== last; one = parents.at(one)) {
    if (final.at(one) === 0) first.set(one, last);
    final.set(one, last);
  }
}

function takeParents(index: Index, event: Event): void {
  switch (event.kind) {
    case 'trial.attempted':
      link(index, event.runId, event.trialId);
      return;
    case 'trial.proposed':
      link(index, event.trialId, event.sweepId);
      return;
    case 'sweep.submitted':
      link(index, event.sweepId, event.planId);
      return;
    case 'run.created':
      link(index, event.runId, event.trialId ?? event.planId);
      return;
  }
}

function link(index: Index, child: string, parent: string | undefined): void {
  if (parent === undefined) return;
  const thing = thingNamed(index, parent);
  index.parents.set(thingNamed(index, child), thing);
  if (thing % KINDS === NAMED) index.withChildren.add(thing);
}

function* messagesAbout(index: Index, id: string, after: number): Generator<number | undefined> {
  const wanted = knownThing(index, id);
  if (wanted === undefined) return;
  const { things, lastPlaces } = index;
  const final = index.final.at(wanted);
  const isParent = wanted % KINDS === TRIAL || index.withChildren.has(wanted);
  const from = index.first.at(wanted);
  let looked = 0;
  for (let sequence = messageBehind(index, after, from, final); sequence <= final; sequence++) {
    const end = lastPlaces.at(sequence);
    for (let place = lastPlaces.at(sequence - 1) + 1; place <= end; place++) {
      looked += 1;
      const thing = things.at(place);
      if (thing !== wanted && !(isParent && isWithin(index, thing, wanted))) continue;
      yield sequence;
      break;
    }
    if (looked < LOOKED_AT_ONCE) continue;
    yield undefined;
    looked = 0;
  }
}

/** The first message from `low` to `high` whose last event has a higher number than `after`; else `high` + 1. */
function messageBehind({ lastEvents }: Index, after: number, from: number, to: number): number {
  let [low, high] = [Math.max(1, from), to + 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (lastEvents.at(middle) > after) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Whether a thing is another one, or a child of it. */
function isWithin({ parents }: Index, thing: number, wanted: number): boolean {
  for (let one = thing; one !== 0; one = parents.at(one)) if (one === wanted) return true;
  return false;
}

/** The thing with this id, which is numbered where it was not known. */
function thingNamed(index: Index, id: string): number {
  const known = knownThing(index, id);
  if (known !== undefined) return known;
  index.names.push(id);
  const thing = KINDS * index.names.length + NAMED;
  index.numbers.set(id, thing);
  return thing;
}

/** The thing with this id; undefined: nothing has ever had this name. */
function knownThing(index: Index, id: string): number | undefined {
  const run = numberIn('run', id);
  if (run !== undefined) return KINDS * run + RUN;
  const trial = numberIn('trial', id);
  if (trial !== undefined) return KINDS * trial + TRIAL;
  return index.numbers.get(id);
}

/** Every part; the pages are those of this moment. */
function encodedIndex(index: Index): IndexPart[] {
  const { last, names, withChildren } = index;
  const named: IndexPart = { of: 'names', last, names: [...names], parents: [...withChildren] };
  const lists = LISTS.map((name) => index[name].pages());
  return [
    named,
    ...lists.flatMap((pages, list) => pages.map((page): IndexPart => ({ of: 'numbers', list, page }))),
  ];
}

function takePart(index: Index, part: IndexPart): void {
  if (part.of === 'names') {
    for (const name of part.names) thingNamed(index, name);
    for (const parent of part.parents) index.withChildren.add(parent);
    index.last = part.last;
    return;
  }
  const list = LISTS[part.list];
  if (list === undefined) throw new RangeError(`the index has no list ${part.list}`);
  index[list].take(part.page);
}
