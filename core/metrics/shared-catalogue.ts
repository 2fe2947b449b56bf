// Metrics that both programs export under the same name; each program names the component that it is.

import { counter, gauge } from './description.ts';

/** Of one component. */
export const sharedMetrics = <const C extends string>(component: C) => ({
  buildInfo: gauge('pocketfleet_build_info', {
    help: 'Version and source revision of the program, always 1.',
    unit: 'info',
    subject: 'process',
    labels: { component: [component], version: 'open', revision: 'open', node_version: 'open' },
  }),
  certificateExpiry: gauge('pocketfleet_certificate_expiry_timestamp_seconds', {
    help: 'When the certificate of the program expires; absent without one.',
    unit: 'timestamp',
    subject: 'calls',
    labels: { component: [component] },
  }),
  natsConnected: gauge('pocketfleet_nats_connected', {
    help: '1 while connected to the broker.',
    unit: 'flag',
    subject: 'store',
    labels: { component: [component] },
  }),
  natsReconnects: counter('pocketfleet_nats_reconnects_total', {
    help: 'Times that the broker was reached again.',
    unit: 'count',
    subject: 'store',
    labels: { component: [component] },
  }),
});
