// The check of a server that takes one token, as an administrator's.

import { type Access, createAccess } from '../../core/net/grpc-access.ts';
import { createTokenBook } from '../../core/net/token-book.ts';

/** Takes calls with this token; all of them where it is empty. */
export const accessWith = (token: string): Access => createAccess({ book: createTokenBook({ token }) });
