// The definition of FleetService with one change: a message that goes to many watchers is encoded once. The
// encoding of a message object is kept for as long as the object is.

import { FleetServiceService } from '../../proto/gen/pocketfleet/v1/fleet.ts';

/** What a server registers for FleetService. */
export const fleetServiceDefinition = {
  ...FleetServiceService,
  watch: {
    ...FleetServiceService.watch,
    responseSerialize: encodedOnce(FleetServiceService.watch.responseSerialize),
  },
};

function encodedOnce<T extends object>(encode: (message: T) => Buffer): (message: T) => Buffer {
  const encodings = new WeakMap<T, Buffer>();
  return (message) => {
    const known = encodings.get(message);
    if (known !== undefined) return known;
    const encoding = encode(message);
    encodings.set(message, encoding);
    return encoding;
  };
}
