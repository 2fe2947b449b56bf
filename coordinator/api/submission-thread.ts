// The thread that reads submitted texts; what is right is submission.ts'.

import { answerThreadCalls } from '../../core/thread-calls.ts';
import { readSubmission, type Submission } from './submission.ts';

answerThreadCalls((submission: Submission) => readSubmission(submission));
