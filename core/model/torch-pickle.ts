// The pickles of PyTorch's state files: dictionaries of tensors, and numbers and text beside them. Of all
// globals that a file may name only OrderedDict, the tensor constructor and the storage types are known, and
// they are performed here as plain descriptions: a tensor comes out as a view (offset, shape, strides) of a
// numbered storage.

import {
  type Dialect,
  line,
  type Machine,
  pop,
  popToMark,
  refused,
  spend,
  textOf,
  top,
} from '../pickle-machine.ts';
import { excerpt } from '../text/printable.ts';
import { DIMENSIONS_MAX, type ElementType, elementCount, shapeText } from './element-types.ts';

export interface Storage {
  readonly kind: 'storage';
  readonly type: ElementType;
  /** Its name in the file. */
  readonly key: string;
  /** Elements. */
  readonly length: number;
}

/** A strided view of a storage; offset and strides in elements. */
export interface TensorView {
  readonly kind: 'tensor';
  readonly storage: Storage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

type Global = { readonly kind: 'global'; readonly name: string };

/** torch.save's storage classes by element type. */
const STORAGES: Readonly<Record<string, ElementType>> = {
  'torch FloatStorage': 'F32',
  'torch DoubleStorage': 'F64',
  'torch HalfStorage': 'F16',
  'torch BFloat16Storage': 'BF16',
  'torch LongStorage': 'I64',
  'torch IntStorage': 'I32',
  'torch ShortStorage': 'I16',
  'torch CharStorage': 'I8',
  'torch ByteStorage': 'U8',
  'torch BoolStorage': 'BOOL',
};

/**
 * Elements of a tensor, far above those of any layer; a stride of 0 makes any number of elements from one.
 */
const ELEMENTS_MAX = 2 ** 31;

const ORDERED_DICT = 'collections OrderedDict';
const REBUILD_TENSOR = 'torch._utils _rebuild_tensor_v2';
/** A parameter is its tensor, whether it is to be trained, and hooks; some versions add attributes. */
const REBUILD_PARAMETER = /^torch\._utils _rebuild_parameter(_with_state)?$/;

export const TORCH: Dialect = {
  opcodes: {
    125: (m) => void m.stack.push(new Map()), // EMPTY_DICT
    100: (m) => dict(m), // DICT
    115: (m) => setItems(m, [pop(m), pop(m)].reverse()), // SETITEM
    117: (m) => setItems(m, popToMark(m)), // SETITEMS
    81: (m) => void m.stack.push(storageOf(m, pop(m))), // BINPERSID
    80: (m) => void m.stack.push(storageOf(m, idOf(m, line(m)))), // PERSID
  },
  global: (name) =>
    name === ORDERED_DICT ||
    name === REBUILD_TENSOR ||
    REBUILD_PARAMETER.test(name) ||
    Object.hasOwn(STORAGES, name)
      ? ({ kind: 'global', name } satisfies Global)
      : undefined,
  call(machine, callee, args) {
    if (!isGlobal(callee)) return undefined;
    if (callee.name === ORDERED_DICT) return orderedDict(machine, args);
    if (callee.name === REBUILD_TENSOR) return tensorView(machine, args);
    if (REBUILD_PARAMETER.test(callee.name) && isTensorView(args[0])) return args[0];
    throw refused(machine, `REDUCE calls ${callee.name.replace(' ', '.')}; refused`);
  },
  // A module's state dict carries version numbers as an attribute, which are passed over.
  build: (_machine, target) => target instanceof Map,
};

/** OrderedDict(), or OrderedDict([[key, value], ...]) as Python 2 writes it. */
function orderedDict(machine: Machine, args: readonly unknown[]): Map<unknown, unknown> {
  const pairs = args[0] ?? [];
  if (!Array.isArray(pairs) || pairs.some((pair) => !Array.isArray(pair) || pair.length !== 2))
    throw refused(machine, 'an OrderedDict of something that is not pairs');
  spend(machine, pairs.length);
  return new Map(pairs as [unknown, unknown][]);
}

/** _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks) */
function tensorView(machine: Machine, args: readonly unknown[]): TensorView {
  const [storage, offset, shape, strides] = args;
  if (!isStorage(storage) || !isCount(offset) || !isCounts(shape) || !isCounts(strides))
    throw refused(machine, 'a tensor without storage, offset, sizes and strides');
  if (shape.length !== strides.length || shape.length > DIMENSIONS_MAX)
    throw refused(machine, `a tensor of ${shape.length} sizes and ${strides.length} strides`);
  if (elementCount(shape) > ELEMENTS_MAX)
    throw refused(machine, `a tensor ${shapeText(shape)} of more than ${ELEMENTS_MAX} elements`);
  const reach = shape.includes(0)
    ? offset
    : shape.reduce((last, size, axis) => last + (size - 1) * (strides[axis] ?? 0), offset) + 1;
  if (reach > storage.length)
    throw refused(
      machine,
      `a tensor ${shapeText(shape)} reaches element ${reach} of storage ${excerpt(storage.key)}, which has ${storage.length}`,
    );
  return { kind: 'tensor', storage, offset, shape, strides };
}

/** In protocol 0 the same as Python prints it: ('storage', <class 'torch.FloatStorage'>, '0', 'cpu', 24). */
function idOf(machine: Machine, text: string): readonly unknown[] {
  const parts =
    /^\('storage', <class '([\w.]+)\.(\w+)'>, '([^']*)', '([^']*)', (\d+)L?(?:, (None|\(.*\)))?\)$/.exec(
      text,
    );
  if (parts === null) throw refused(machine, 'PERSID of something that is not a storage; refused');
  const [, module, type, key, device, length, view = 'None'] = parts;
  const element: Global = { kind: 'global', name: `${module} ${type}` };
  return ['storage', element, key, device, Number(length), view === 'None' ? null : view];
}

/** ('storage', type, key, device, elements), and in old files a sixth entry for a view of another storage. */
function storageOf(machine: Machine, id: unknown): Storage {
  const [tag, type, key, , length, view = null] = Array.isArray(id) ? (id as unknown[]) : [];
  const element = isGlobal(type) ? STORAGES[type.name] : undefined;
  if (tag === undefined || textOf(machine, tag) !== 'storage' || element === undefined || !isCount(length))
    throw refused(machine, 'BINPERSID of something that is not a storage of known elements; refused');
  if (view !== null)
    throw refused(
      machine,
      `storage ${excerpt(textOf(machine, key))} is a view of another; save the file with a PyTorch newer than 0.4`,
    );
  return { kind: 'storage', type: element, key: textOf(machine, key), length };
}

function dict(machine: Machine): void {
  const items = popToMark(machine);
  machine.stack.push(new Map());
  setItems(machine, items);
}

function setItems(machine: Machine, items: readonly unknown[]): void {
  const target = top(machine);
  if (!(target instanceof Map)) throw refused(machine, 'SETITEM of something that is not a dictionary');
  if (items.length % 2 !== 0) throw refused(machine, 'a dictionary with a key that has no value');
  for (let i = 0; i < items.length; i += 2) {
    const key = items[i];
    target.set(key instanceof Uint8Array ? textOf(machine, key) : key, items[i + 1]);
  }
}

const isGlobal = (item: unknown): item is Global => isKind(item, 'global');
const isStorage = (item: unknown): item is Storage => isKind(item, 'storage');
export const isTensorView = (item: unknown): item is TensorView => isKind(item, 'tensor');

function isKind(item: unknown, kind: string): boolean {
  return item !== null && typeof item === 'object' && 'kind' in item && item.kind === kind;
}

const isCount = (item: unknown): item is number =>
  typeof item === 'number' && Number.isSafeInteger(item) && item >= 0;
const isCounts = (item: unknown): item is number[] => Array.isArray(item) && item.every(isCount);
