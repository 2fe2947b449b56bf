// A folder in which this process supervises others. Decides that nobody else uses it meanwhile, and that an exception
// that nobody caught, or a second Ctrl-C, leaves nothing behind either.

import { type Children, superviseChildren } from './children.ts';
import { forgetFleet, lockDir } from './fleet-file.ts';

/** The folder, until it is given back. */
export interface HeldFolder {
  readonly children: Children;
  /** Ends the children and gives the folder back. */
  release(): Promise<void>;
}

/** Throws when a live supervisor uses the folder. */
export function holdFolder(dir: string, say: (text: string) => void): HeldFolder {
  const unlock = lockDir(dir);
  const children = superviseChildren(dir, say);
  const giveBack = () => {
    forgetFleet(dir);
    unlock();
  };
  const abandon = () => {
    children.kill();
    giveBack();
  };
  process.once('exit', abandon);
  return {
    children,
    async release() {
      await children.stop();
      process.removeListener('exit', abandon);
      giveBack();
    },
  };
}
