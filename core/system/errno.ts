// What the operating system's error codes mean, in words for a person. Decides wording only.

/** Words by code. Each of these codes has its place in the error family too, which a test checks. */
export const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'a part of the path is a file and no folder',
  EISDIR: 'it is a folder, a file is expected',
  EACCES: 'this user may not read or change it',
  EPERM: 'the system does not permit it',
  EEXIST: 'something of that name is there already',
  ENOTEMPTY: 'the folder is not empty',
  ELOOP: 'its symbolic links lead in a circle',
  ENAMETOOLONG: 'a name in the path is too long',
  EINVAL: 'the system does not take this there',
  ENOSPC: 'no space is left on its disk',
  EDQUOT: "this user's share of the disk is used up",
  EROFS: 'its file system is read-only',
  EIO: 'its disk does not answer as it should',
  ESTALE: 'its file system was replaced meanwhile',
  ENODEV: 'there is no such device',
  ENXIO: 'nobody is at the other end of it',
  EMFILE: 'this program has too many files open',
  ENFILE: 'this machine has too many files open',
  ENOMEM: 'the machine has no memory left',
  EFBIG: 'it is too large for its file system',
  EXDEV: 'it lies on another disk',
  ETXTBSY: 'a program is running from it',
  EBUSY: 'something else is using it',
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection was cut by the other side',
  ECONNABORTED: 'the connection was cut',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network of the host cannot be reached',
  ETIMEDOUT: 'there was no answer in time',
  EPIPE: 'the other side has closed',
  EADDRINUSE: 'another program has this port',
  EADDRNOTAVAIL: 'this machine has no such address',
  ERR_FS_FILE_TOO_LARGE: 'it is too large to be read at once',
};

/** A sentence for a system error, with its code and its path; undefined for every other failure. */
export function systemErrorText(caught: unknown, doing = ''): string | undefined {
  if (!(caught instanceof Error)) return undefined;
  const { code, path, syscall } = caught as NodeJS.ErrnoException;
  // A relative path is meant from there, and so is what a command looks for by itself.
  if (syscall === 'uv_cwd') return `the current folder was removed; change to one that is there (${code})`;
  const words = typeof code === 'string' && Object.hasOwn(WORDS, code) ? WORDS[code] : undefined;
  if (words === undefined) return undefined;
  const about = typeof path === 'string' && !doing.includes(path) ? `${path}: ` : '';
  return `${about}${words} (${code})`;
}
