// Who runs this process, for what a command notes of it.

import { userInfo } from 'node:os';

/**
 * The name of the user of this process. A container may run as a number that no list of users has, which is no reason
 * to fail.
 */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `user ${process.getuid?.() ?? 'unknown'}`;
  }
}
