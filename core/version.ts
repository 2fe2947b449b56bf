// The version of this package. Every program and the command give the same one.

import { existsSync, readFileSync } from 'node:fs';

/** package.json stands beside `core`, or above the folder of the compiled programs. */
export function packageVersion(): string {
  const file = ['../package.json', '../../package.json']
    .map((path) => new URL(path, import.meta.url))
    .find((url) => existsSync(url));
  if (file === undefined) throw new Error('assertion: package.json is not there');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
