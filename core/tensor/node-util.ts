// Three functions of node:util that TensorFlow.js for Node calls. Node warns of them from 22 on and has them
// no longer from 23 on, so they are replaced before that package is loaded.

/**
 * `util`: the exports of `node:util` as `require` gives them, which all CommonJS modules of the process
 * share.
 */
export function restoreUtil(util: Record<string, unknown>): void {
  util.isNullOrUndefined = (value: unknown) => value === null || value === undefined;
  util.isArray = Array.isArray;
  util.isString = (value: unknown) => typeof value === 'string';
}
