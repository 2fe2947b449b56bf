// The names of a state dict without what training scripts put around a network: DataParallel, torch.compile
// and FSDP add components to every name, and a network that is a part of another has that part's name before
// its own. Decides what is taken off, so that the network's own names are left.

/** Components that PyTorch itself adds, wherever a module was wrapped. */
const WRAPPERS = new Set(['_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module']);
/**
 * A part of a training module that is the network; what stands beside it (a head, a loss) is no part of it.
 */
const BACKBONE = 'backbone';
/** With fewer names a common beginning may well be a layer's own. */
const NAMES_MIN = 5;

/** The tensors under their network's own names, in their order. */
export function unwrapped<T>(tensors: ReadonlyMap<string, T>): ReadonlyMap<string, T> {
  const plain = renamed(tensors, (name) =>
    name
      .split('.')
      .filter((part) => !WRAPPERS.has(part))
      .join('.'),
  );
  return plain === undefined ? tensors : withoutBeginnings(plain);
}

function withoutBeginnings<T>(tensors: ReadonlyMap<string, T>): ReadonlyMap<string, T> {
  const names = [...tensors.keys()];
  const beginning = beginningOf(names);
  if (beginning === undefined) return tensors;
  const own = new Map([...tensors].filter(([name]) => name.startsWith(beginning)));
  return withoutBeginnings(renamed(own, (name) => name.slice(beginning.length)) ?? own);
}

/** What all names begin with, or those of the backbone. */
function beginningOf(names: readonly string[]): string | undefined {
  const first = `${names[0]?.split('.')[0]}.`;
  if (names.length >= NAMES_MIN && names.every((name) => name.startsWith(first))) return first;
  for (const known of [`${BACKBONE}.`, 'module.'])
    if (names.length > 0 && names.every((name) => name.startsWith(known))) return known;
  const ofBackbone = names.filter((name) => name.startsWith(`${BACKBONE}.`)).length;
  return ofBackbone > names.length / 2 ? `${BACKBONE}.` : undefined;
}

/** Undefined where two tensors would have one name. */
function renamed<T>(
  tensors: ReadonlyMap<string, T>,
  change: (name: string) => string,
): Map<string, T> | undefined {
  const result = new Map([...tensors].map(([name, tensor]) => [change(name), tensor]));
  return result.size === tensors.size && !result.has('') ? result : undefined;
}
