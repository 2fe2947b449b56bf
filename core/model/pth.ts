// PyTorch's files of tensors (torch.save): the zip format, and the one before 1.6. Finds the tensors by
// running the file's pickle on a restricted machine, and decides where their bytes lie. Nothing that a file
// names is executed, and a file that holds more than tensors in dictionaries is refused with the name of what
// it holds.

import type { FileHandle } from 'node:fs/promises';
import { FleetError } from '../errors.ts';
import { ENDS_EARLY, runPickle, textOf } from '../pickle-machine.ts';
import { excerpt, foundText, nameText } from '../text/printable.ts';
import { elementBytes, elementCount, gather, type StateTensor } from './element-types.ts';
import { damaged, readAt } from './file-bytes.ts';
import { isTensorView, type Storage, type TensorView, TORCH } from './torch-pickle.ts';
import { readZip, type ZipMember } from './zip.ts';

type Tensors = Map<string, StateTensor>;
/** Elements [from, to) of a storage. */
type ReadElements = (storage: Storage, from: number, to: number) => Promise<Uint8Array>;

export async function openZipPth(file: FileHandle, where: string): Promise<Tensors> {
  const members = await readZip(file, where);
  const pickle = [...members.keys()].find((name) => /^([^/]+\/)?data\.pkl$/.test(name));
  if (pickle === undefined)
    throw new FleetError(
      'invalidArgument',
      `${where} is a zip file without data.pkl, so torch.save has not written it (members: ${listed(members.keys(), 5)})`,
    );
  const folder = pickle.slice(0, -'data.pkl'.length);
  const order = members.get(`${folder}byteorder`);
  if (
    order !== undefined &&
    new TextDecoder().decode(await readSmall(order, BYTEORDER_BYTES_MAX, where)) !== 'little'
  )
    throw new FleetError('invalidArgument', `${where} was written on a big-endian machine; save it anew`);
  const bytes = await readSmall(members.get(pickle)!, PICKLE_BYTES_MAX, where);
  const { value } = runPickle(bytes, { name: where, dialect: TORCH });
  const found = views(value, where);
  const nameOf = ({ key }: Storage) => `${folder}data/${key}`;
  for (const { storage } of found.values()) {
    const size = members.get(nameOf(storage))?.size ?? 0;
    const needed = storage.length * elementBytes(storage.type);
    if (size < needed)
      throw damaged(where, `storage ${excerpt(nameOf(storage))} has ${size} bytes, ${needed} expected`);
  }
  return tensorsOf(found, (storage, from, to) => {
    const width = elementBytes(storage.type);
    return members.get(nameOf(storage))!.read(from * width, to * width);
  });
}

/** `little` or `big`. */
const BYTEORDER_BYTES_MAX = 64;
/** A thousand tensors take some 150 kB: names, shapes and places, no numbers. */
const PICKLE_BYTES_MAX = 64 * 2 ** 20;

/** A member that describes the others: refused by what it claims, before any of it is read or inflated. */
async function readSmall(member: ZipMember, bytesMax: number, where: string): Promise<Uint8Array> {
  if (member.size > bytesMax)
    throw damaged(
      where,
      `member ${excerpt(member.name)} claims ${member.size} bytes where ${bytesMax} are the limit`,
    );
  return member.read();
}

/** The first pickle of an old file is a fixed number: ten bytes, or text in protocols 0 and 1. */
const LEGACY_MAGIC = Buffer.from('8a0a6cfc9c46f9206aa850192e', 'hex');
const LEGACY_MAGIC_TEXT = Buffer.from('L119547037146038801333356L\n.', 'latin1');
/** Format 1001, the only one there ever was. */
const LEGACY_VERSION = 1001;

export function isLegacyPth(start: Uint8Array): boolean {
  if (LEGACY_MAGIC_TEXT.equals(start.subarray(0, LEGACY_MAGIC_TEXT.length))) return true;
  // From protocol 4 on a frame's length stands before it.
  return [2, 11].some(
    (at) => start[0] === 0x80 && LEGACY_MAGIC.equals(start.subarray(at, at + LEGACY_MAGIC.length)),
  );
}

/**
 * Pickles in a row: magic number, version, facts about the writer, the object, storage keys; then the
 * storages.
 */
export async function openLegacyPth(file: FileHandle, where: string): Promise<Tensors> {
  const { value, keys, end } = await legacyPickles(file, where);
  const found = views(value, where);
  const storages = new Map<string, Storage>();
  for (const { storage } of found.values()) storages.set(storage.key, storage);
  const starts = new Map<string, number>();
  let at = end;
  for (const key of keys) {
    const storage = storages.get(key);
    const length = Number(new DataView((await readAt(file, at, 8, where)).buffer).getBigInt64(0, true));
    // A storage of another part of the file (an optimiser's) has an unknown type, hence an unknown size.
    if (storage === undefined || storage.length !== length)
      throw new FleetError(
        'dataLoss',
        `${where}: storage ${excerpt(key)} has ${length} elements where ${storage?.length ?? 'no tensor'} is expected; save the state_dict alone`,
      );
    starts.set(key, at + 8);
    at += 8 + length * elementBytes(storage.type);
  }
  return tensorsOf(found, (storage, from, to) => {
    const width = elementBytes(storage.type);
    const start = starts.get(storage.key);
    if (start === undefined)
      throw new FleetError(
        'dataLoss',
        `${where} is damaged: storage ${excerpt(storage.key)} is not in the file`,
      );
    return readAt(file, start + from * width, (to - from) * width, where);
  });
}

/** The length of the pickles stands nowhere, so more of the file is read until they end within it. */
async function legacyPickles(
  file: FileHandle,
  where: string,
): Promise<{ value: unknown; keys: string[]; end: number }> {
  const { size } = await file.stat();
  for (let length = Math.min(size, 1 << 20); ; length = Math.min(size, length * 8)) {
    const bytes = await readAt(file, 0, length, where);
    const next = (at: number) => runPickle(bytes, { name: where, dialect: TORCH, at });
    try {
      const version = next(next(0).end);
      if (version.value !== LEGACY_VERSION)
        throw new FleetError(
          'invalidArgument',
          `${where} has format ${foundText(version.value)}, 1001 is known`,
        );
      const object = next(next(version.end).end);
      const keys = next(object.end);
      if (!Array.isArray(keys.value)) throw new FleetError('dataLoss', `${where} has no list of storages`);
      return { value: object.value, keys: keys.value.map((key) => textOf(keys.machine, key)), end: keys.end };
    } catch (caught) {
      const endsEarly = caught instanceof FleetError && caught.details[ENDS_EARLY] === true;
      if (!endsEarly || length === size) throw caught;
    }
  }
}

function tensorsOf(found: ReadonlyMap<string, TensorView>, readElements: ReadElements): Tensors {
  return new Map([...found].map(([name, view]) => [name, stateTensor(view, readElements)]));
}

function stateTensor(view: TensorView, readElements: ReadElements): StateTensor {
  const { storage, shape, strides, offset } = view;
  return {
    shape,
    type: storage.type,
    async read() {
      if (shape.includes(0)) return new Float32Array(0);
      const last = shape.reduce((at, size, axis) => at + (size - 1) * strides[axis]!, offset);
      const bytes = await readElements(storage, offset, last + 1);
      return gather({ bytes, type: storage.type, shape, strides, offset: 0 });
    },
  };
}

/**
 * Keys under which training scripts put the state dict beside epoch and optimiser; the first that is there is
 * taken.
 */
const NESTED = [
  'state_dict',
  'model_state_dict',
  'state_dict_backbone',
  'backbone_state_dict',
  'backbone',
  'model_state',
  'model',
  'network',
  'net',
  'module',
  'encoder',
  'student',
  'weights',
  'params',
  'ema_state_dict',
  'model_ema',
  'ema',
];
/** Keys of other things that hold tensors: state of optimisers, classifier heads, random generators. */
const BESIDE =
  /optim|sched|scaler|loss|metric|softmax|head|(^|_)fc($|_)|classifier|criterion|rng|random|amp/i;
/**
 * Depth of dictionaries within each other that scripts have; a pickle can also make dictionaries that contain
 * each other.
 */
const DEPTH_MAX = 3;

interface StateDict {
  /** Keys that lead to it. */
  readonly path: readonly string[];
  readonly views: Map<string, TensorView>;
}

/**
 * How many elements views may make of each that is stored, and in any case. Layers that share weights are two
 * views of one storage; more of them make a file of a kilobyte fill any memory.
 */
const SHARED_TIMES = 4;
const SHARED_LEAST = 1 << 20;

/** The tensors of a state dict, or of the one inside a dictionary of other things. */
function views(value: unknown, where: string): Map<string, TensorView> {
  const found = stateDict(value, where);
  const stored = new Map<string, number>();
  let elements = 0;
  for (const { storage, shape } of found.values()) {
    stored.set(storage.key, Math.max(storage.length, stored.get(storage.key) ?? 0));
    elements += elementCount(shape);
  }
  const all = [...stored.values()].reduce((sum, length) => sum + length, 0);
  if (elements > SHARED_TIMES * all + SHARED_LEAST)
    throw damaged(where, `its tensors have ${elements} elements, of which ${all} are stored`);
  return found;
}

function stateDict(value: unknown, where: string): Map<string, TensorView> {
  if (!(value instanceof Map))
    throw new FleetError('invalidArgument', `${where} holds no dictionary; save the module's state_dict()`);
  const found = stateDicts(value, [], new Set());
  const own = found.find(({ path }) => path.length === 0);
  // Counters of a script may be tensors too; a network's have a module before the dot.
  if (own !== undefined && (found.length === 1 || [...own.views.keys()].some((name) => name.includes('.'))))
    return own.views;
  const nested = found.filter((one) => one !== own);
  const rank = ({ path }: StateDict) => NESTED.indexOf(path.at(-1)!.toLowerCase());
  const [preferred] = nested.filter((one) => rank(one) >= 0).sort((a, b) => rank(a) - rank(b));
  if (preferred !== undefined) return preferred.views;
  const networks = nested.filter(({ path }) => !path.some((key) => BESIDE.test(key)));
  if (networks.length === 1) return networks[0]!.views;
  throw new FleetError(
    'invalidArgument',
    networks.length === 0
      ? `${where} holds no tensors; its keys are ${listed(value.keys(), 8) || 'none'}`
      : `${where} holds several state dicts (${listed(
          networks.map(({ path }) => path.join('.')),
          8,
        )}); save the one that is meant`,
  );
}

/** The first keys of something, as text; a key of a pickle may be anything. */
const listed = (keys: Iterable<unknown>, most: number): string =>
  [...keys].slice(0, most).map(nameText).join(', ');

function stateDicts(value: Map<unknown, unknown>, path: readonly string[], seen: Set<unknown>): StateDict[] {
  if (seen.has(value) || path.length > DEPTH_MAX) return [];
  seen.add(value);
  const own = [...value].filter(
    (pair): pair is [string | number, TensorView] =>
      isTensorView(pair[1]) && (typeof pair[0] === 'string' || typeof pair[0] === 'number'),
  );
  const inside = [...value].flatMap(([key, item]) =>
    item instanceof Map && typeof key === 'string' ? stateDicts(item, [...path, key], seen) : [],
  );
  if (own.length === 0) return inside;
  return [{ path, views: new Map(own.map(([name, view]) => [String(name), view])) }, ...inside];
}
