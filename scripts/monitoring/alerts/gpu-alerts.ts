// Alerts on GPUs, from NVIDIA's dcgm-exporter: without it none of them ever fires.

import type { AlertGroup } from '../rule.ts';

export const GPU_ALERTS: AlertGroup = {
  name: 'gpu',
  alerts: [
    {
      name: 'PocketfleetGpuIdleWhileAllocated',
      expr: 'avg by (Hostname, gpu) (DCGM_FI_DEV_GPU_UTIL) < 10 and on () sum(pocketfleet_gpus{state="busy"}) > 0',
      for: '30m',
      severity: 'info',
      summary: 'GPU {{ $labels.gpu }} of {{ $labels.Hostname }} does next to nothing while runs hold GPUs.',
    },
    {
      name: 'PocketfleetGpuXid',
      expr: 'max by (Hostname, gpu) (DCGM_FI_DEV_XID_ERRORS) > 0',
      for: '1m',
      severity: 'critical',
      summary: 'GPU {{ $labels.gpu }} of {{ $labels.Hostname }} has reported an XID.',
    },
    {
      name: 'PocketfleetGpuMemoryNearlyFull',
      expr: 'max by (Hostname, gpu) (DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE)) > 0.97',
      for: '10m',
      severity: 'warning',
      summary: 'The memory of GPU {{ $labels.gpu }} of {{ $labels.Hostname }} is nearly full.',
    },
    {
      name: 'PocketfleetGpuHot',
      expr: 'max by (Hostname, gpu) (DCGM_FI_DEV_GPU_TEMP) > 88',
      for: '10m',
      severity: 'warning',
      summary: 'GPU {{ $labels.gpu }} of {{ $labels.Hostname }} is at its limit and becomes slow.',
    },
  ],
};
