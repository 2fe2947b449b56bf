// The named states of a run on this worker and what may follow what. Decides nothing but names and sentences; run.ts moves
// between them, logs each change once and shows the sentence.

export type Phase =
  /** Opens the data, builds the network, compiles its step. */
  | { readonly kind: 'preparing' }
  /** Waits for the gang's hellos and the state of the newest step. */
  | { readonly kind: 'joining'; readonly generation: number; readonly members: number }
  | { readonly kind: 'training'; readonly generation: number; readonly step: number }
  /** A student whose teacher has not stored the stage it needs. */
  | { readonly kind: 'waiting'; readonly teacherRunId: string; readonly stage: number }
  /** Has something to store or to read, and the broker's store is full or does not answer. */
  | { readonly kind: 'storing'; readonly reason: string }
  | { readonly kind: 'evaluating' }
  /** Done here; keeps the state and answers the gang until it is released. */
  | { readonly kind: 'holding'; readonly step: number }
  /** Reported; keeps nothing but the lease until it is released or assigned anew. */
  | { readonly kind: 'failed'; readonly reason: string };

export function sentenceOf(phase: Phase): string {
  switch (phase.kind) {
    case 'preparing':
      return 'opening the data and compiling the step';
    case 'joining':
      return `joining generation ${phase.generation} of ${phase.members} worker${phase.members === 1 ? '' : 's'}`;
    case 'training':
      return `training in generation ${phase.generation} from step ${phase.step}`;
    case 'waiting':
      return `waiting for stage ${phase.stage} of teacher ${phase.teacherRunId}`;
    case 'storing':
      return `waiting for the store: ${phase.reason}`;
    case 'evaluating':
      return 'verifying on held-out identities';
    case 'holding':
      return `holds the state after step ${phase.step} until it is released`;
    case 'failed':
      return `failed: ${phase.reason}`;
  }
}
