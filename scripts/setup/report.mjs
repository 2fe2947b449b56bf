// The output of set-up: one line for each step with its time, one sentence for a failure.

/** A failure that a person can act on; anything else is a defect of set-up and shows its stack. */
export class SetupError extends Error {}

/** Runs one step. Prints its name before (on a terminal) and its time afterwards. */
export async function step(title, work) {
  const start = performance.now();
  const terminal = process.stdout.isTTY === true;
  if (terminal) process.stdout.write(`  ...   ${title}`);
  try {
    const note = await work();
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    process.stdout.write(
      `${terminal ? '\r\x1b[K' : ''}${`${seconds} s`.padStart(7)}  ${title}${note ? `: ${note}` : ''}\n`,
    );
  } catch (caught) {
    if (terminal) process.stdout.write('\r\x1b[K');
    if (caught instanceof SetupError) throw new SetupError(`${title}: ${caught.message}`, { cause: caught });
    throw caught;
  }
}
