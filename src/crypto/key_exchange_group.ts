/** What a group of the key exchange is made of. Where the peer's share is invalid its functions throw; `key_exchange.ts`
 * alone calls them, and makes a value of it. */

export interface KeyResponse {
  /** key_exchange of the server's KeyShareEntry. */
  readonly share: Uint8Array;
  /** Owned and wiped by the caller. */
  readonly secret: Uint8Array;
}

export interface Group {
  /** Random bytes that a client's private key is made of. */
  readonly clientSeedLen: number;
  /** Random bytes that a server's response is made of. */
  readonly serverSeedLen: number;
  readonly clientShareLen: number;
  readonly serverShareLen: number;
  /** A client's private key of uniformly random `seed`, which the caller wipes. */
  privateKey(seed: Uint8Array): Uint8Array;
  clientShare(privateKey: Uint8Array): Uint8Array;
  /** The secret out of the server's share, which has `serverShareLen` bytes. Throws if that is invalid. */
  finish(privateKey: Uint8Array, serverShare: Uint8Array): Uint8Array;
  /** The server's part, out of uniformly random `seed` and the client's share of `clientShareLen` bytes. Throws if that
   * is invalid. */
  respond(seed: Uint8Array, clientShare: Uint8Array): KeyResponse;
}
