// The thread that digests large parts of checkpoints (digesting.ts). Decides nothing.

import { answerPool } from '../thread-pool.ts';
import { type DigestWork, digested } from './digest-work.ts';

answerPool<DigestWork>(digested);
