// Opens a plugin of PJRT in a process of its own, and prints why it cannot, or nothing.

import { toFleetError } from '../../core/errors.ts';
import { openPluginDevice, type TrialRequest } from './plugin-device.ts';

const { plugin, request } = JSON.parse(process.argv[2]!) as TrialRequest;
let refused = '';
try {
  openPluginDevice(plugin, request);
} catch (caught) {
  refused = toFleetError(caught).message;
}
process.stdout.write(JSON.stringify({ refused }));
