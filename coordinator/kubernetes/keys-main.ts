// The process that makes the keys of a fleet in a cluster, once: config, make, end. It ends with 0 when every
// key is there, with 1 and one sentence when that is not possible.

import { systemClock } from '../../core/clock.ts';
import { keysConfigSchema, loadConfig } from '../../core/config.ts';
import { toFleetError } from '../../core/errors.ts';
import { createLogger } from '../../core/log.ts';
import { programAnswer } from '../../core/system/program-help.ts';
import { brokerKeysIn, ensureKeys, tokensIn } from './keys.ts';
import { kubernetesConfig, namespaceOf } from './kube-config.ts';

async function main(): Promise<void> {
  const argv = process.argv.slice(2);
  const answer = programAnswer(argv, { program: 'keys', schema: keysConfigSchema });
  if (answer !== undefined) {
    process.stdout.write(answer);
    return;
  }
  const options = loadConfig(keysConfigSchema, argv);
  const log = createLogger({ program: 'keys', level: options.logLevel });
  const config = kubernetesConfig(
    'there is no Kubernetes configuration: set KUBECONFIG, or run in a pod with a service account token',
  );
  const { keySecret, brokerSecret, waitMs } = options;
  const namespace = options.podNamespace || namespaceOf(config);
  const wanted = [
    ...(keySecret === '' ? [] : [tokensIn(keySecret, options.keyNames.split(','))]),
    ...(brokerSecret === '' ? [] : [brokerKeysIn(brokerSecret)]),
  ];
  for (const secret of wanted) {
    const { made, kept } = await ensureKeys({ ...secret, config, namespace, waitMs, clock: systemClock });
    const name = secret.secret;
    log.info({ namespace, name, made, kept }, made.length > 0 ? 'keys made' : 'all keys are there');
  }
}

main().then(
  () => process.exit(0),
  (caught) => {
    process.stderr.write(`keys: ${toFleetError(caught).message}\n`);
    process.exit(1);
  },
);
