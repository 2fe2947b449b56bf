// Which part of a member a message is for. Pure: the kind of the message and what the member knows of its
// step go in.
//
// A message may be early, late or for nobody, and each of these is normal: members are up to one step apart,
// a stop may have been lost, and a generation may have ended at one member and not at another. What cannot be
// used is dropped and never kept for later, with one exception: contributions of members that are ahead.

import type { Kind } from './message.ts';

export type Destination =
  /** Another member has ended the exchange. */
  | 'ending'
  /** The exchange has ended here, and the sender does not know: it gets the stop again. */
  | 'repeat-stop'
  | 'sync'
  /** Who reads whose memory. */
  | 'neighbours'
  /** The sum of the message's step. */
  | 'reduction'
  /** A request for what is not there yet or not any more: the asker is answered that this member is there. */
  | 'answer-here'
  | 'nothing';

/** For each message, hence three values and no object. */
export function destinationOf(
  kind: Kind,
  /** The exchange has ended here, with whatever reason. */
  hasEnded: boolean,
  /** This member works on the message's step. */
  isStepKnown: boolean,
): Destination {
  if (kind === 'stop') return 'ending';
  if (hasEnded) return 'repeat-stop';
  switch (kind) {
    case 'hello':
    case 'ask-state':
    case 'state':
      return 'sync';
    case 'neighbour':
      return 'neighbours';
    case 'missing':
      return isStepKnown ? 'reduction' : 'answer-here';
    // Outside its step its arrival is all that it carries; that was noted when its header was read.
    case 'here':
    case 'contribution':
    case 'result':
      return isStepKnown ? 'reduction' : 'nothing';
  }
}

/**
 * Where the data of a message is read into: the place that the sum of its step has for it, or memory of its
 * own. `begins`: a contribution may begin a step here; a result may not, since none can exist without this
 * member's contribution.
 */
export function placementOf(kind: Kind, hasEnded: boolean): 'own' | 'begins' | 'known' {
  // After the end a message is read for its sender alone, who gets the stop again.
  if (hasEnded || (kind !== 'contribution' && kind !== 'result')) return 'own';
  return kind === 'contribution' ? 'begins' : 'known';
}
