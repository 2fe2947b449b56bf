// The thread that reads submitted texts; what is right is submission.ts'.

import { answerPool } from '../../core/thread-pool.ts';
import { readSubmission, type Submission } from './submission.ts';

answerPool((submission: Submission) => readSubmission(submission));
