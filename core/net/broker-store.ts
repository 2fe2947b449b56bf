// The store of a broker that gets other keys. The server keeps the streams of an account in a folder of the
// account's name, and an account's name is its public key; a broker without accounts calls its one `$G`. Decides
// which folder becomes that of the account of today: the streams of a fleet outlive its keys.

import { existsSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { FleetError, toFleetError } from '../errors.ts';

/** The account of a broker that was not told of any. */
const NO_ACCOUNT = '$G';
const ACCOUNT = /^A[A-Z2-7]{55}$/;

/**
 * Gives the streams in the store to this account, while no server runs. Returns the name of the account that they
 * were of; undefined where there was nothing to do.
 */
export function adoptStore(storeDir: string, account: string): string | undefined {
  const folder = join(storeDir, 'jetstream');
  if (!existsSync(folder) || existsSync(join(folder, account))) return undefined;
  const others = readdirSync(folder).filter((name) => name === NO_ACCOUNT || ACCOUNT.test(name));
  if (others.length > 1)
    throw new FleetError(
      'failedPrecondition',
      `${folder} has the streams of ${others.length} accounts (${others.join(', ')}) and none of ${account}; rename the folder of the fleet's streams to that name`,
    );
  const [other] = others;
  if (other === undefined) return undefined;
  try {
    renameSync(join(folder, other), join(folder, account));
  } catch (caught) {
    throw toFleetError(caught, `giving the streams in ${join(folder, other)} to account ${account}`);
  }
  return other;
}
