// Where in the journal the events about each thing stand, so that its story is read without reading all the
// rest. The story of a plan, sweep or trial has the events of its children too. It takes some hundred bytes a
// trial, in arrays of numbers: a text for each id would take ten times as much.

import type { Event } from '../model/events.ts';
import { type Noun, numberIn } from '../model/state.ts';
import { idsOf } from './why.ts';

/** Where the events of each thing stand. */
export interface JournalIndex {
  /** Takes the events of a message; sequences ascend, and messages that were cut out are not taken. */
  add(sequence: number, events: readonly Event[]): void;
  /** Messages that have events of this thing's story, ascending. */
  messagesAbout(id: string): number[];
  /** Whether an event belongs to the story of this thing. */
  isAbout(event: Event, id: string): boolean;
  /** The number of the message's first event, counted over the whole journal from 1. */
  firstEventOf(sequence: number): number;
  /** The number of the message's last event. */
  endOf(sequence: number): number;
  /** The last message that was taken; 0 before the first. */
  readonly last: number;
}

const NONE = -1;

/** A thing with a number, as its id names it. */
interface Thing {
  readonly noun: Noun;
  readonly number: number;
}

/** An index of no message. */
export function createJournalIndex(): JournalIndex {
  const index = emptyIndex();
  return {
    add: (sequence, events) => add(index, sequence, events),
    messagesAbout(id) {
      const thing = thingOf(id);
      const found: number[] = [];
      let place =
        thing === undefined ? (index.workers.get(id) ?? NONE) : index.heads[thing.noun].at(thing.number);
      for (; place !== NONE; place = index.before.at(place)) found.push(index.messages.at(place));
      return found.reverse();
    },
    isAbout(event, id) {
      const wanted = thingOf(id);
      return idsOf(event).some((one) => {
        if (one === undefined || one === id || wanted === undefined) return one === id;
        for (let thing = thingOf(one); thing !== undefined; thing = parentOf(index, thing))
          if (thing.noun === wanted.noun && thing.number === wanted.number) return true;
        return false;
      });
    },
    firstEventOf: (sequence) => index.firstEvents.at(sequence),
    endOf: (sequence) => index.lastEvents.at(sequence),
    get last() {
      return Math.max(0, index.lastEvents.length - 1);
    },
  };
}

/** For each thing a chain of places, from its newest message to its oldest. */
interface Index {
  events: number;
  /** By place: the message, and the place before it in the same chain. */
  readonly messages: NumberList;
  readonly before: NumberList;
  /** By noun, then by number: the newest place. */
  readonly heads: Readonly<Record<Noun, NumberList>>;
  /** Workers have names; their newest places. */
  readonly workers: Map<string, number>;
  /** By number of the child: its parent's. A run has a trial, or perhaps a plan. */
  readonly trialOfRun: NumberList;
  readonly planOfRun: NumberList;
  readonly sweepOfTrial: NumberList;
  readonly planOfSweep: NumberList;
  /** By message: the numbers of its first and its last event. */
  readonly firstEvents: NumberList;
  readonly lastEvents: NumberList;
}

function emptyIndex(): Index {
  return {
    events: 0,
    messages: new NumberList(),
    before: new NumberList(),
    heads: {
      plan: new NumberList(),
      sweep: new NumberList(),
      trial: new NumberList(),
      run: new NumberList(),
    },
    workers: new Map(),
    trialOfRun: new NumberList(),
    planOfRun: new NumberList(),
    sweepOfTrial: new NumberList(),
    planOfSweep: new NumberList(),
    firstEvents: new NumberList(),
    lastEvents: new NumberList(),
  };
}

function add(index: Index, sequence: number, events: readonly Event[]): void {
  index.firstEvents.set(sequence, index.events + 1);
  index.lastEvents.set(sequence, index.events + events.length);
  for (const event of events) {
    index.events += 1;
    takeParents(index, event);
    for (const id of idsOf(event)) {
      if (id === undefined) continue;
      let thing = thingOf(id);
      if (thing === undefined) {
        const newest = index.workers.get(id) ?? NONE;
        index.workers.set(id, chained(index, newest, sequence));
      }
      for (; thing !== undefined; thing = parentOf(index, thing)) {
        const heads = index.heads[thing.noun];
        heads.set(thing.number, chained(index, heads.at(thing.number), sequence));
      }
    }
  }
}

/** The newest place of a chain once it has this message. */
function chained({ messages, before }: Index, newest: number, sequence: number): number {
  if (newest !== NONE && messages.at(newest) === sequence) return newest;
  const place = messages.length;
  messages.set(place, sequence);
  before.set(place, newest);
  return place;
}

function takeParents(index: Index, event: Event): void {
  if (event.kind === 'trial.attempted') link(index.trialOfRun, event.runId, event.trialId);
  if (event.kind === 'trial.proposed') link(index.sweepOfTrial, event.trialId, event.sweepId);
  if (event.kind === 'sweep.submitted') link(index.planOfSweep, event.sweepId, event.planId);
  if (event.kind === 'run.created') link(index.planOfRun, event.runId, event.planId);
}

function link(parents: NumberList, child: string, parent: string | undefined): void {
  const [from, to] = [thingOf(child), parent === undefined ? undefined : thingOf(parent)];
  if (from !== undefined && to !== undefined) parents.set(from.number, to.number);
}

function parentOf(index: Index, { noun, number }: Thing): Thing | undefined {
  const parent = (of: Noun, list: NumberList): Thing | undefined => {
    const found = list.at(number);
    return found === NONE ? undefined : { noun: of, number: found };
  };
  switch (noun) {
    case 'run':
      return parent('trial', index.trialOfRun) ?? parent('plan', index.planOfRun);
    case 'trial':
      return parent('sweep', index.sweepOfTrial);
    case 'sweep':
      return parent('plan', index.planOfSweep);
    case 'plan':
      return undefined;
  }
}

function thingOf(id: string): Thing | undefined {
  for (const noun of NOUNS) {
    const number = numberIn(noun, id);
    if (number !== undefined) return { noun, number };
  }
  return undefined;
}

const NOUNS = ['run', 'trial', 'sweep', 'plan'] as const satisfies readonly Noun[];

/** A list of numbers that grows where it is written; what was never written is NONE. */
class NumberList {
  length = 0;
  #numbers = new Int32Array(64).fill(NONE);

  at(place: number): number {
    return place < this.length ? this.#numbers[place]! : NONE;
  }

  set(place: number, number: number): void {
    if (place >= this.#numbers.length) {
      const grown = new Int32Array(Math.max(place + 1, 2 * this.#numbers.length)).fill(NONE);
      grown.set(this.#numbers);
      this.#numbers = grown;
    }
    this.#numbers[place] = number;
    this.length = Math.max(this.length, place + 1);
  }
}
