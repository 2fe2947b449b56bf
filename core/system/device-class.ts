// What follows from the text of one device class. Two classes are otherwise compared as whole texts.

const GPU_KINDS: readonly string[] = ['cuda', 'rocm', 'oneapi'];

/**
 * Whether equal steps give equal bits on a device of this class. On a CPU they always do; on a GPU they do
 * when the library or the compiler was set to be deterministic, which is a part of the class.
 */
export function isDeterministic(deviceClass: string): boolean {
  const [kind, ...parts] = deviceClass.split('/');
  return !GPU_KINDS.includes(kind!) || parts.includes('deterministic=1');
}

/**
 * Whether a worker of this class computes products in a precision (`training.precision`): TensorFlow's session has
 * float32 alone.
 */
export function hasPrecision(deviceClass: string, precision = 'float32'): boolean {
  return precision === 'float32' || deviceClass.split('/').includes('engine=pjrt');
}
