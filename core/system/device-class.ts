// What follows from the text of one device class. Two classes are otherwise compared as whole texts.

/**
 * Whether equal steps give equal bits on a device of this class. On a CPU they always do; on a GPU they do
 * when TensorFlow was set to be deterministic before it was loaded, which is a part of the class.
 */
export function isDeterministic(deviceClass: string): boolean {
  const [kind, ...parts] = deviceClass.split('/');
  return kind !== 'cuda' || parts.includes('deterministic=1');
}
