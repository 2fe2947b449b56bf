// The digest of the files of a folder, for what must not outlive a change of any of them.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256Hex } from '../digest.ts';

/** SHA-256, hex, of the names and contents of the files whose names fit, in all folders below this one. */
export function folderDigest(folder: string, fits: RegExp): string {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  const lines = entries.map((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return `${entry.name}/ ${folderDigest(path, fits)}`;
    return fits.test(entry.name) ? `${entry.name} ${sha256Hex(readFileSync(path))}` : '';
  });
  return sha256Hex(lines.join('\n'));
}
