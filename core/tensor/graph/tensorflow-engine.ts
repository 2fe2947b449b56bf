// TensorFlow's session as an engine.

import { compileGraph } from './compiled.ts';
import type { Engine } from './engine.ts';
import { keepOnHost } from './host-vectors.ts';
import { compileTwoPart } from './two-part.ts';

/** Computes on the device of TensorFlow's addon. */
export const tensorflowEngine: Engine = {
  name: 'tensorflow',
  devices: 1,
  compile: compileGraph,
  compileTwoPart,
  keep: keepOnHost,
};
