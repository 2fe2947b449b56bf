// DIR/broker: the keys of the broker of a fleet on this machine. They are made at the first start and stay,
// because the fleet's streams belong to one of them. Decides what happens when a part of them is gone.

import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FleetError } from '../../../core/errors.ts';
import { BROKER_KEYS, type BrokerKeys, makeBrokerKeys } from '../../../core/net/broker-keys.ts';
import { fileFailure } from '../../../core/system/folder.ts';
import { shellWord } from '../shell-word.ts';
import { writePrivate } from './fleet-file.ts';

/** The texts, and the files that the coordinator reads. */
export interface KeptKeys {
  readonly server: string;
  readonly account: string;
  readonly coordinatorFile: string;
  readonly workersFile: string;
}

/** The keys of the fleet in this folder, made where there are none. Readable by their owner alone. */
export async function keepBrokerKeys(dir: string): Promise<KeptKeys> {
  const folder = join(dir, 'broker');
  const fileOf = (name: keyof BrokerKeys) => join(folder, BROKER_KEYS[name]);
  if (!existsSync(folder)) await makeFolderOfKeys(dir, folder);
  const names = Object.keys(BROKER_KEYS) as (keyof BrokerKeys)[];
  const missing = names.filter((name) => !existsSync(fileOf(name)));
  if (missing.length > 0)
    throw new FleetError(
      'failedPrecondition',
      `${folder} lacks ${missing.map((name) => BROKER_KEYS[name]).join(' and ')}; put that back, or delete the folder (rm -r ${shellWord(folder)}), and the next start makes new keys and keeps the fleet's data`,
    );
  return {
    server: readFileSync(fileOf('server'), 'utf8'),
    account: readFileSync(fileOf('account'), 'utf8').trim(),
    coordinatorFile: fileOf('coordinator'),
    workersFile: fileOf('workers'),
  };
}

/** The folder appears with all of them, so that a start that is cut off leaves no part. */
async function makeFolderOfKeys(dir: string, folder: string): Promise<void> {
  const keys = await makeBrokerKeys();
  let made: string | undefined;
  try {
    // Mode 0700.
    made = mkdtempSync(join(dir, 'broker-'));
    for (const [name, file] of Object.entries(BROKER_KEYS))
      writePrivate(join(made, file), keys[name as keyof BrokerKeys]);
    renameSync(made, folder);
  } catch (caught) {
    if (made !== undefined) rmSync(made, { recursive: true, force: true });
    throw fileFailure(caught, { path: folder, doing: 'the keys of the broker cannot be written' });
  }
}
