// The number of the protocol between worker and coordinator. It grows when one of them would misunderstand the
// other: a report or command of another meaning, names that are made otherwise, another digest by which members of a
// gang compare, other messages between them. A field that may be absent is no reason.

/** What this release speaks. */
export const PROTOCOL = 3;
