// What a member gives to one that asks. Decides whether what is asked for is still the right answer, and that
// the state is taken from the replica once for all who ask for it.
//
// A request names the step T on which the members agreed. The replica holds the state of T until the sum of T
// has been applied to it. An asker whose request is older than that gets nothing: it asks again, or has
// learnt otherwise by then.

import type { Residual } from './residuals.ts';
import type { Subject } from './state-transfer.ts';
import type { Vectors } from './transfer-pieces.ts';
import type { State } from './wire.ts';

export function createStateGiver(
  options: {
    readonly provideState: () => State | Promise<State>;
    readonly stateNames: readonly string[];
    readonly residuals: () => readonly Residual[];
    readonly holds: (step: number) => boolean;
  },
  /** The step that this member announced; undefined before its first sync. */
  announced: () => number | undefined,
): (subject: Subject, step: number) => Promise<Vectors | undefined> {
  /** The state that is being given, and the step that it belongs to. */
  let given: { readonly step: number; readonly state: Promise<Vectors> } | undefined;
  /** One array for each residual: the digests of a transfer are kept by the array's identity. */
  const wrapped = new WeakMap<Float32Array, Vectors>();

  async function stateVectors(): Promise<Vectors> {
    const state = await options.provideState();
    return options.stateNames.map((name) => {
      const values = state[name];
      if (values === undefined) throw new Error(`assertion: the replica has no vector ${name}`);
      return values;
    });
  }

  function residualVectors({ values }: Residual): Vectors {
    const known = wrapped.get(values) ?? [values];
    wrapped.set(values, known);
    return known;
  }

  async function stateAt(step: number): Promise<Vectors | undefined> {
    if (given?.step !== step) {
      const asked = { step, state: stateVectors() };
      given = asked;
      // A failure is not kept: the asker asks again, and then the replica is asked again.
      asked.state.catch(() => {
        if (given === asked) given = undefined;
      });
    }
    const vectors = await given.state;
    if (options.holds(step)) return vectors;
    given = undefined;
    return undefined;
  }

  return async (subject, step) => {
    if (announced() === undefined || !options.holds(step)) return undefined;
    if (subject.kind === 'residual') {
      const found = options.residuals().find((item) => item.shard === subject.shard && item.step === step);
      return found && residualVectors(found);
    }
    return announced() === step ? stateAt(step) : undefined;
  };
}
