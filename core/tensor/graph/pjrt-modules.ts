// Recordings as modules of StableHLO, as an entry of the graph cache: one module, or two for a function in two
// parts, the first of which also returns what the second reads of it.

import { z } from 'zod';
import { sha256Hex } from '../../digest.ts';
import { FleetError } from '../../errors.ts';
import { type LoweredModule, lower, recordLowerable } from '../lowering/lower.ts';
import { cutOf, type FirstPart } from '../passes/cut.ts';
import { liveNodes } from '../recording/consumers.ts';
import type { Edge, Recording } from '../recording/record.ts';
import { contentOf, type StoredGraph } from './graph-cache.ts';
import type { CompileOptions, Precision } from './obtain.ts';
import type { SavedGraph } from './saved-model.ts';

const valueSchema = z.strictObject({
  element: z.enum(['f64', 'f32', 'bf16', 'i64', 'i32', 'ui8', 'i1']),
  shape: z.array(z.int()),
});
const modulesSchema = z.array(
  z.strictObject({ text: z.string(), inputs: z.array(valueSchema), outputs: z.array(valueSchema) }),
);

/** Records without operations of our own, which only the CPU build of TensorFlow has. */
export const recordForPjrt = (options: CompileOptions): Recording => recordLowerable(options);

/** One module. */
export const saveWhole = (recording: Recording, precision: Precision): SavedGraph =>
  saved(recording, [lower(recording, { precision })]);

/** Two modules: the first returns its outputs and then what is kept, which the second takes behind all inputs. */
export function saveParts(recording: Recording, first: FirstPart, precision: Precision): SavedGraph {
  const cut = cutOf(recording, first);
  const kept = cut.kept.filter((edge) => isLowered(recording, edge));
  const inputs = inputEdges(recording);
  const { outputs } = recording;
  const modules = [
    lower(recording, {
      precision,
      feeds: inputs.slice(0, first.inputs),
      fetches: [...outputs.slice(0, first.outputs), ...kept],
    }),
    lower(recording, {
      precision,
      feeds: [...inputs, ...kept],
      fetches: outputs.slice(first.outputs),
    }),
  ];
  const names = kept.map(({ node, output }) => `${node}:${output}`);
  return { ...saved(recording, modules), kept: { names, bytes: cut.bytes } };
}

/**
 * Whether the result exists in a module. The last output of a batch norm is cuDNN's own workspace, which no
 * lowering of a gradient reads.
 */
function isLowered({ nodes }: Recording, { node, output }: Edge): boolean {
  const found = nodes[node]!;
  return !(found.kind === 'operation' && found.op === 'FusedBatchNormV3' && output === 5);
}

function saved(recording: Recording, modules: readonly LoweredModule[]): SavedGraph {
  const { nodes, outputs } = recording;
  return {
    content: 'modules.json',
    bytes: Buffer.from(JSON.stringify(modules)),
    digest: sha256Hex(modules.map(({ text }) => text).join('\0')),
    nodes: liveNodes(recording).size,
    outputShapes: outputs.map(({ node, output }) => nodes[node]!.outputs[output]!.shape),
  };
}

/** The modules of an entry. */
export function readModules(stored: StoredGraph): readonly LoweredModule[] {
  try {
    return modulesSchema.parse(JSON.parse(Buffer.from(contentOf(stored)).toString('utf8')));
  } catch (cause) {
    throw new FleetError('dataLoss', `${stored.folder} holds no modules of StableHLO`, { cause });
  }
}

/** The declared inputs, in their order. */
function inputEdges({ nodes, inputs }: Recording): Edge[] {
  const edges: Edge[] = inputs.map(() => ({ node: -1, output: 0 }));
  for (const [node, recorded] of nodes.entries())
    if (recorded.kind === 'input') edges[recorded.input] = { node, output: 0 };
  return edges;
}
