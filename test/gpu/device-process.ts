// Prints the device as a worker describes it, in a process of its own.

import { deviceInfo } from '../../core/tensor/tf.ts';
import { describeDevice } from '../../worker/compute/device.ts';
import { proveDevice } from '../../worker/compute/prove.ts';

const { deviceClass, kind } = describeDevice(proveDevice({ name: 'tensorflow', instead: undefined }), 1);
process.stdout.write(`${JSON.stringify({ kind, deviceClass, name: deviceInfo().name })}\n`);
