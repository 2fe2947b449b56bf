// The process that runs before the broker in its pod: the streams of a fleet that was begun with other keys, or
// with a token, become those of the account of today. It ends with 0 when the broker may start.

import { adoptStoreConfigSchema, loadConfig } from '../../core/config.ts';
import { toFleetError } from '../../core/errors.ts';
import { createLogger } from '../../core/log.ts';
import { textOfFile } from '../../core/net/broker-address.ts';
import { adoptStore } from '../../core/net/broker-store.ts';
import { programAnswer } from '../../core/system/program-help.ts';

function main(): void {
  const argv = process.argv.slice(2);
  const answer = programAnswer(argv, { program: 'adopt-store', schema: adoptStoreConfigSchema });
  if (answer !== undefined) {
    process.stdout.write(answer);
    return;
  }
  const { storeDir, accountFile, logLevel } = loadConfig(adoptStoreConfigSchema, argv);
  const log = createLogger({ program: 'adopt-store', level: logLevel });
  const account = textOfFile(accountFile, 'the name of the account').trim();
  const before = adoptStore(storeDir, account);
  if (before !== undefined)
    log.info({ before, account }, "the fleet's streams are those of another account now");
}

try {
  main();
} catch (caught) {
  process.stderr.write(`adopt-store: ${toFleetError(caught).message}\n`);
  process.exit(1);
}
