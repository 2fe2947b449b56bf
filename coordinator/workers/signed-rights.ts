// The rights of one worker's process on the broker, as its stream carries them: with the welcome, and renewed
// long before they expire. Decides that rights are signed for a process that may attach, and for no other.

import type { WorkerUsers } from '../../core/net/worker-user.ts';

/** What was signed for the process on one stream. */
export interface SignedRights {
  /** The newest JWT. */
  readonly jwt: string;
  /** The worker was heard of: a JWT that is due is signed again and given to `send`. */
  heard(send: (jwt: string) => void): void;
}

/** Signs for a process with this key. */
export async function signRights(
  users: WorkerUsers,
  worker: { readonly workerId: string; readonly publicKey: string },
): Promise<SignedRights> {
  let signed = await users.sign(worker);
  let isSigning = false;
  return {
    get jwt() {
      return signed.jwt;
    },
    heard(send) {
      if (isSigning || !users.isDue(signed)) return;
      isSigning = true;
      void users.sign(worker).then((renewed) => {
        signed = renewed;
        isSigning = false;
        send(renewed.jwt);
      });
    },
  };
}
