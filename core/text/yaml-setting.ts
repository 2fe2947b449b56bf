// A setting that is more than a word: a mapping or a list in a file, and its YAML text in a flag or the environment.

import { readYaml } from './yaml-text.ts';

/** What the YAML text of a setting means, `empty` where it is blank; anything else, and a text that is no YAML, as it is. */
export function yamlSetting(value: unknown, empty: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return readYaml(value)[0]?.value ?? empty;
  } catch {
    return value;
  }
}
