// What a device class says of itself. Classes are compared whole; this one question is asked of a single class.

/**
 * Whether equal steps give equal bits on a device of this class. A CPU always does; a GPU when TensorFlow was set to be
 * deterministic before it was loaded, which its class says.
 */
export function isDeterministic(deviceClass: string): boolean {
  const [kind, ...parts] = deviceClass.split('/');
  return kind !== 'cuda' || parts.includes('deterministic=1');
}
