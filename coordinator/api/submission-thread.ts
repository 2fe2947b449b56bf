// The thread in which submitted texts are read.

import { answerPool } from '../../core/thread-pool.ts';
import { readSubmission, type Submission } from './submission.ts';

answerPool((submission: Submission) => readSubmission(submission));
