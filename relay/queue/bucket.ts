/**
 * A token bucket: pure. Each message takes a token, and tokens come back at the rate allowed. It holds a
 * tenth of a second's worth, so that a second never carries much more than it may, however idle the one
 * before it was.
 */
export type Bucket = { readonly tokens: number; readonly atMs: number };

const secondsHeld = 0.1;
/** Against sums of fractions that fall just short of a whole token. */
const epsilon = 1e-9;

function capacityOf(perSecond: number): number {
  return Math.max(1, perSecond * secondsHeld);
}

export function fullBucket(perSecond: number, nowMs: number): Bucket {
  return { tokens: capacityOf(perSecond), atMs: nowMs };
}

/** The bucket as it is now; a clock that went back brings nothing and takes nothing. */
export function refilled(bucket: Bucket, perSecond: number, nowMs: number): Bucket {
  const earned = (Math.max(nowMs - bucket.atMs, 0) * perSecond) / 1000;
  return { tokens: Math.min(bucket.tokens + earned, capacityOf(perSecond)), atMs: nowMs };
}

/** The bucket after one message; undefined where there is no token for it. */
export function taken(bucket: Bucket): Bucket | undefined {
  return bucket.tokens < 1 - epsilon ? undefined : { ...bucket, tokens: bucket.tokens - 1 };
}

/** Until there is a token; 0 where there is one. */
export function waitMs(bucket: Bucket, perSecond: number): number {
  return bucket.tokens >= 1 - epsilon ? 0 : Math.ceil(((1 - bucket.tokens) * 1000) / perSecond);
}

/** Until it is as full as a new one; 0 where it is, so that it may be forgotten. */
export function fullInMs(bucket: Bucket, perSecond: number): number {
  const missing = capacityOf(perSecond) - bucket.tokens;
  return missing <= epsilon ? 0 : Math.ceil((missing * 1000) / perSecond);
}
