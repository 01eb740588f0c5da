// The gateway's public keys: fetched when the first token comes, kept for five minutes, and fetched once more for a `kid`
// that is not there, at most every 30 seconds. However many calls wait, one fetch runs. While keys can't be had, old ones
// serve for an hour.

import { errors, importJWK, type CryptoKey, type JWK } from 'jose';
import { CannotTell, Refused } from './verifier.ts';
import { isObject, readStrictly } from './strict.ts';

interface Key {
  alg: string;
  kid: string | undefined;
  key: CryptoKey;
}

const FRESH = 300;
const STALE = 3600;
const COOL_DOWN = 30;
const ALGORITHMS = /^([RP]S(256|384|512)|ES(256|384|512)|EdDSA|Ed25519|ML-DSA-44)$/;
const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'];

export class Keys {
  readonly #load: () => Promise<Uint8Array>;
  readonly #now: () => number;
  #keys: Key[] = [];
  #fetchedAt = -Infinity;
  #failedAt: number | undefined; // of the last fetch, if it failed
  #refetchedAt = -Infinity; // for a kid that was not there
  #flight: Promise<void> | undefined;

  /** load: gets the JWKS. now: seconds that never go back. */
  constructor(load: () => Promise<Uint8Array>, now: () => number = () => performance.now() / 1000) {
    this.#load = load;
    this.#now = now;
  }

  /** The keys under the issuer's well-known address: https, or http on this machine. */
  static of(issuer: string): Keys {
    const address = new URL(`${issuer.replace(/\/$/, '')}/.well-known/jwks.json`);
    const loopback = address.protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(address.hostname);
    if (address.protocol !== 'https:' && !loopback)
      throw new Error('the issuer must be an https address, or http on this machine');
    return new Keys(async () => {
      const answer = await fetch(address, { redirect: 'error', signal: AbortSignal.timeout(5000) });
      if (answer.status !== 200) throw new Error(`status ${answer.status}`);
      return new Uint8Array(await answer.arrayBuffer());
    });
  }

  /** The key of a `kid`, or without one the only key for the algorithm. Throws Refused or CannotTell. */
  async find(alg: string, kid: string | undefined): Promise<CryptoKey> {
    if (!ALGORITHMS.test(alg)) throw new Refused('algorithm', 'not an algorithm that is taken here');
    const stale = this.#mustFetch();
    if (stale) await this.#fetch();
    let found = this.#look(alg, kid);
    if (found === undefined && !stale && this.#mayRefetch()) {
      await this.#fetch();
      found = this.#look(alg, kid);
    }
    if (this.#age() >= FRESH + STALE) throw new CannotTell("the gateway's keys cannot be had");
    if (found === undefined && this.#failedAt !== undefined)
      throw new CannotTell('an unknown key, and the keys cannot be had');
    if (found === undefined) throw new Refused('key_unknown', "no key has the token's kid");
    if (same(found.alg) !== same(alg)) throw new Refused('algorithm', "the key is not for the token's algorithm");
    return found.key;
  }

  #look(alg: string, kid: string | undefined): Key | undefined {
    const fit = this.#keys.filter(key => (kid === undefined ? same(key.alg) === same(alg) : key.kid === kid));
    return fit.length === 1 ? fit[0] : undefined; // two keys of one kid: neither is named by it
  }

  #age(): number {
    return this.#now() - this.#fetchedAt;
  }

  #mustFetch(): boolean {
    if (this.#age() < FRESH) return false;
    const pause = this.#age() < FRESH + STALE ? COOL_DOWN : 1;
    return this.#flight !== undefined || this.#failedAt === undefined || this.#now() - this.#failedAt >= pause;
  }

  #mayRefetch(): boolean {
    if (this.#flight !== undefined) return true;
    if (this.#now() - this.#refetchedAt < COOL_DOWN) return false;
    this.#refetchedAt = this.#now();
    return true;
  }

  /** The fetch that is under way, or a new one. */
  #fetch(): Promise<void> {
    this.#flight ??= this.#load()
      .then(readJwks)
      .then(keys => {
        [this.#keys, this.#fetchedAt, this.#failedAt] = [keys, this.#now(), undefined];
      })
      .catch(error => {
        this.#failedAt = this.#now();
        console.warn("the gateway's keys could not be fetched:", String(error));
      })
      .finally(() => {
        this.#flight = undefined;
      });
    return this.#flight;
  }
}

/** The keys that can verify. What is not for that, or should never have been published, costs the others nothing. */
async function readJwks(bytes: Uint8Array): Promise<Key[]> {
  const document = bytes.length > 262144 ? null : readStrictly(bytes, 16, 10000);
  if (!isObject(document) || !Array.isArray(document.keys)) throw new Error('not a JWKS');
  const keys: Key[] = [];
  for (const entry of document.keys) {
    if (!isObject(entry) || (entry.use ?? 'sig') !== 'sig' || PRIVATE.some(name => name in entry)) continue;
    const { alg, kid } = entry;
    if (typeof alg !== 'string' || !ALGORITHMS.test(alg) || !(kid === undefined || typeof kid === 'string')) continue;
    try {
      const key = (await importJWK(entry as JWK, alg)) as CryptoKey;
      if (((key.algorithm as { modulusLength?: number }).modulusLength ?? 2048) < 2048)
        throw new Error('a weak RSA key');
      keys.push({ alg, kid, key });
    } catch (error) {
      console.warn('a key of the gateway was dropped:', error instanceof errors.JOSEError ? error.code : String(error));
    }
  }
  if (keys.length === 0) throw new Error('no usable key');
  return keys;
}

/** RFC 9864's name and RFC 8037's of one algorithm. */
function same(alg: string): string {
  return alg === 'EdDSA' ? 'Ed25519' : alg;
}
