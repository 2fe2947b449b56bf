// Which network a set of named tensors is, from their names and shapes. Sizes always follow from the shapes.
// The cells of a PocketNet do not: the tensors show the operation of an edge, but not which input it reads,
// and maximum and average pooling have the same tensors. So the published genotypes are tried, and any other
// must be given by the file's metadata or by the user. Every tensor is compared: the first that does not fit
// is named.

import { FleetError } from '../errors.ts';
import { buildNetwork } from '../nn/build.ts';
import { type Cell, GENOTYPES } from '../nn/genotype.ts';
import { layoutOf, type Slot } from '../nn/layout.ts';
import type { Network } from '../nn/network.ts';
import { isReduction } from '../nn/pocketnet.ts';
import { type Genotype, genotypeSchema, type NetworkSpec, networkSchema } from '../spec/network.ts';
import { excerpt, foundText } from '../text/printable.ts';
import { checkShape, sentences } from '../text/shape.ts';
import { shapeText } from './element-types.ts';

export interface Recognised {
  readonly network: Network;
  /** How it was recognised, and which part of that the tensors cannot prove; a sentence for a person. */
  readonly reason: string;
}

export interface Recognition {
  /** Shape of each tensor by its state_dict name, in the file's order. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** A safetensors file's; may name the network or its genotype. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** The network as the user gives it; it goes before metadata. */
  readonly hint?: NetworkHint | undefined;
  /** The file's name in errors. */
  readonly where: string;
}

export type NetworkHint =
  | { readonly kind: 'network'; readonly network: NetworkSpec }
  | { readonly kind: 'genotype'; readonly genotype: Genotype };

export function recognise(recognition: Recognition): Recognised {
  const { shapes, hint, where } = recognition;
  const spec = hint?.kind === 'network' ? hint.network : specInMetadata(recognition);
  if (spec !== undefined) {
    const network = buildNetwork(spec);
    checkFit(network, shapes, where);
    const reason =
      hint?.kind === 'network' ? 'the network was given' : "the file's metadata names the network";
    return { network, reason };
  }
  const found = fromTensors(recognition);
  const parsed = checkShape(networkSchema, found.spec);
  if (!parsed.ok)
    throw misfit(where, `its sizes make no network here: ${sentences(parsed.problems).join('; ')}`);
  const network = buildNetwork(parsed.data);
  checkFit(network, shapes, where);
  return { network, reason: found.reason };
}

/**
 * Throws for the first parameter or running statistic without its tensor, then for the first tensor without a
 * use.
 */
function checkFit(network: Network, shapes: ReadonlyMap<string, readonly number[]>, where: string): void {
  const layout = layoutOf(network);
  const slots = byLayer([...layout.parameters, ...layout.running]);
  const kind = network.spec.kind;
  for (const slot of slots) {
    const shape = shapes.get(slot.name);
    if (shape === undefined)
      throw misfit(where, `${kind} has a tensor ${slot.name} [${slot.torchShape}], the file has not`);
    if (shape.join() !== slot.torchShape.join())
      throw misfit(where, `tensor ${slot.name} is ${shapeText(shape)}, [${slot.torchShape}] in ${kind}`);
  }
  const known = new Set(slots.map((slot) => slot.name));
  for (const name of shapes.keys())
    if (!known.has(name) && !name.endsWith('.num_batches_tracked'))
      throw misfit(where, `tensor ${excerpt(name)} ${shapeText(shapes.get(name)!)} has no place in ${kind}`);
}

/** In the order of the network, so that the first misfit is where file and network begin to differ. */
function byLayer(slots: readonly Slot[]): Slot[] {
  return [...slots].sort((a, b) => a.layer - b.layer);
}

/**
 * Metadata key `network` as this project's exports write it; other programs may use the key for something
 * else.
 */
function specInMetadata({ metadata = {} }: Recognition): NetworkSpec | undefined {
  const value = jsonOf(metadata.network);
  const parsed = networkSchema.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}

interface Found {
  readonly spec: unknown;
  readonly reason: string;
}

/** A family of networks, recognised by the names of its modules. */
interface Family {
  readonly name: string;
  readonly names: RegExp;
  /** A tensor that every member has, for a person who looks for one. */
  readonly example: string;
  found(recognition: Recognition): Found;
}

const FAMILIES: readonly Family[] = [
  { name: 'PocketNet', names: /^(stem|cells|tail)\./, example: 'stem.0.weight', found: pocketnet },
  {
    name: 'IResNet',
    names: /^(layer[1-4]\.\d+|conv1|bn1|bn2|prelu|fc|features)\.(?!\d)/,
    example: 'layer1.0.conv1.weight',
    found: iresnet,
  },
  {
    name: 'MobileFaceNet',
    names: /^(conv1|conv2_dw|bottleneck\d+\.\d+\.\w+|conv_sep|conv_dw|linear)\.(conv|bn|prelu)\./,
    example: 'conv2_dw.conv.weight',
    found: (recognition) => ({
      spec: { kind: 'mobilefacenet', embedding: size(recognition, 'linear.conv.weight', 0) },
      reason: 'names and shapes are those of MobileFaceNet',
    }),
  },
  {
    name: "PocketNet's MobileFaceNet",
    names: /^(conv1\.\d|dw_conv\.\w+|features\.\d+\.conv|conv2\.\d|gdconv\.\w+|conv3|bn)\./,
    example: 'dw_conv.depthwise.weight',
    found: ({ where }) => {
      throw misfit(
        where,
        "it is the MobileFaceNet of PocketNet's repository, which is another network than the one of the paper that is built here: it has ReLU6 in place of PReLU, a pointwise convolution in dw_conv, and a bias in conv3. It cannot be imported; a run with `network: { kind: mobilefacenet }` trains the one of the paper",
      );
    },
  },
];

/**
 * The family to which most names belong, so that the refusal of a file that lacks a tensor names that tensor.
 */
function fromTensors(recognition: Recognition): Found {
  const { shapes, where } = recognition;
  const names = [...shapes.keys()];
  const shares = FAMILIES.map((family) => ({
    family,
    share: names.filter((name) => family.names.test(name)).length / names.length,
  }));
  const [nearest] = shares.sort((a, b) => b.share - a.share);
  if (nearest !== undefined && nearest.share > 0.5) return nearest.family.found(recognition);
  const [first] = shapes;
  const families = FAMILIES.slice(0, 3).map(({ name, example }) => `${name} (${example})`);
  throw misfit(
    where,
    first === undefined
      ? 'it has no tensors'
      : `tensor ${excerpt(first[0])} ${shapeText(first[1])} and most others are not of ${families.slice(0, -1).join(', ')} or ${families.at(-1)}`,
  );
}

function iresnet(recognition: Recognition): Found {
  const stages = [1, 2, 3, 4];
  return {
    spec: {
      kind: 'iresnet',
      blocks: stages.map((stage) => count(recognition, `layer${stage}.`)),
      widths: stages.map((stage) => size(recognition, `layer${stage}.0.conv1.weight`, 0)),
      stem: size(recognition, 'conv1.weight', 0),
      embedding: size(recognition, 'fc.weight', 0),
    },
    reason: 'blocks and widths follow from the tensors of IResNet',
  };
}

function pocketnet(recognition: Recognition): Found {
  const sizes = {
    kind: 'pocketnet',
    channels: size(recognition, 'stem.0.weight', 0) / 4,
    layers: count(recognition, 'cells.'),
    embedding: size(recognition, 'tail.6.weight', 0),
  };
  const { genotype, reason } = genotypeOf(recognition, sizes);
  return { spec: { ...sizes, genotype }, reason };
}

/**
 * Missing tensors up to which a file is still taken for a published network; every operation has more, so it
 * has the same cells.
 */
const MISSING_MAX = 2;

/** Whether all tensors belong to a network, and only a tensor or two of it are not there. */
function isNearly(spec: unknown, shapes: Recognition['shapes']): boolean {
  const parsed = networkSchema.safeParse(spec);
  if (!parsed.success) return false;
  const layout = layoutOf(buildNetwork(parsed.data));
  const names = [...layout.parameters, ...layout.running].map((slot) => slot.name);
  const known = new Set(names);
  const missing = names.filter((name) => !shapes.has(name)).length;
  const hasOthers = [...shapes.keys()].some(
    (name) => !known.has(name) && !name.endsWith('.num_batches_tracked'),
  );
  return missing > 0 && missing <= MISSING_MAX && !hasOthers;
}

function genotypeOf(
  recognition: Recognition,
  sizes: { readonly kind: string; readonly channels: number; readonly layers: number },
): { genotype: Genotype; reason: string } {
  const { layers } = sizes;
  const { hint, metadata = {}, where } = recognition;
  if (hint?.kind === 'genotype') return { genotype: hint.genotype, reason: 'the genotype was given' };
  const written = genotypeSchema.safeParse(jsonOf(metadata.genotype));
  if (written.success) return { genotype: written.data, reason: "the file's metadata holds the genotype" };
  const operations = cellOperations(recognition, layers);
  for (const [name, genotype] of Object.entries(GENOTYPES))
    if (traces(genotype) === operations)
      return {
        genotype,
        reason: `its operations are those of the published genotype ${name}; inputs of edges and kind of pooling are taken from there, for tensors do not tell them`,
      };
  // What is missing is named when the tensors are compared one by one.
  for (const [name, genotype] of Object.entries(GENOTYPES))
    if (isNearly({ ...sizes, genotype }, recognition.shapes))
      return { genotype, reason: `nearly all of its tensors are those of the published genotype ${name}` };
  throw new FleetError(
    'invalidArgument',
    `${where} is a PocketNet with other cells than the published ones (${operations}), and its tensors tell neither which input an edge reads nor maximum from average pooling; give its genotype`,
  );
}

/**
 * What the tensors of a genotype show, in one line: operations of each edge of the normal and of the
 * reduction cell.
 */
function traces(genotype: Genotype): string {
  const cell = (nodes: Cell, reduction: boolean) =>
    nodes.map((edges) => edges.map(([op, from]) => trace(op, reduction && from < 2)).join('+')).join(', ');
  return cellsText(cell(genotype.normal, false), cell(genotype.reduce, true));
}

function trace(op: string, strided: boolean): string {
  if (op.endsWith('pool_3x3')) return 'pool';
  if (op === 'skip_connect') return strided ? 'strided skip' : 'skip';
  return op;
}

/** The same for the tensors of a file, read from its first normal cell and its first reduction cell. */
function cellOperations({ shapes }: Recognition, layers: number): string {
  const first = (reduction: boolean) =>
    Array.from({ length: layers }, (_, i) => i).find((i) => isReduction(i, layers) === reduction);
  const cell = (index: number | undefined) =>
    [0, 1, 2, 3]
      .map((node) => [0, 1].map((edge) => edgeTrace(shapes, `cells.${index}.dag.${node}.${edge}`)).join('+'))
      .join(', ');
  return cellsText(cell(first(false)), cell(first(true)));
}

function edgeTrace(shapes: Recognition['shapes'], prefix: string): string {
  const kernel = shapes.get(`${prefix}.net.1.weight`)?.[2];
  if (kernel !== undefined) return `dw_conv_${kernel}x${kernel}`;
  if (shapes.has(`${prefix}.conv11.weight`)) return 'strided skip';
  return shapes.has(`${prefix}.bn.running_mean`) ? 'pool' : 'skip';
}

const cellsText = (normal: string, reduction: string): string =>
  `normal cell: ${normal}; reduction cell: ${reduction}`;

function size({ shapes, where }: Recognition, name: string, axis: number): number {
  const shape = shapes.get(name);
  if (shape?.[axis] === undefined) {
    const module = name.slice(0, name.lastIndexOf('.') + 1);
    const siblings = [...shapes.keys()].filter((other) => other.startsWith(module) && other !== name);
    const there =
      siblings.length === 0
        ? ''
        : `; of that layer it has ${siblings
            .slice(0, 8)
            .map((name) => excerpt(name))
            .join(', ')}`;
    throw misfit(where, `it lacks tensor ${name}${there}`);
  }
  return shape[axis];
}

/**
 * How many numbers follow a prefix: cells.0 to cells.17 are 18. There are no more than tensors, so that a name
 * with a large number in it costs nothing.
 */
function count({ shapes, where }: Recognition, prefix: string): number {
  let most = -1;
  for (const name of shapes.keys()) {
    const number = name.startsWith(prefix) ? /^\d+/.exec(name.slice(prefix.length))?.[0] : undefined;
    if (number === undefined) continue;
    if (Number(number) >= shapes.size)
      throw misfit(
        where,
        `tensor ${foundText(name)} has number ${excerpt(number, 20)} of ${shapes.size} tensors`,
      );
    most = Math.max(most, Number(number));
  }
  return 1 + most;
}

function jsonOf(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return undefined;
  }
}

function misfit(where: string, what: string): FleetError {
  return new FleetError('invalidArgument', `${where}: ${what}`);
}
