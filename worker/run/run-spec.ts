// The spec of a run as an assignment carries it. Decides what a worker says to one that it does not understand.

import { anyRunSchema, type RunSpec } from '../../core/spec/run.ts';
import { shapedJson } from '../../core/text/shape.ts';

/** The spec in a canonical JSON text. Throws `invalidArgument` with the fields that are wrong. */
export function parseSpec(text: string): RunSpec {
  return shapedJson(anyRunSchema, text, "this worker does not understand the run's spec");
}
