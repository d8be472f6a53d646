// The chapter's waves, made anew: those that models were trained on have other frequencies.
// Source: A. Géron, Hands-On Machine Learning, chapter 15.

/** A generator of numbers in [0, 1) that repeats itself for the same seed (mulberry32 by T. Ettinger). */
export function makeRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** `count` waves of `length` points: two sines of random frequency and phase, and uniform noise. */
export function makeWaves(count, length, seed, noise = 0.1) {
  const random = makeRandom(seed);
  return Array.from({ length: count }, () => {
    const [first, second, firstPhase, secondPhase] = [random(), random(), random(), random()];
    return Array.from({ length }, (_, i) => {
      const time = i / (length - 1);
      return 0.5 * Math.sin((time - firstPhase) * (first * 10 + 10)) + 0.2 * Math.sin((time - secondPhase) * (second * 20 + 20)) + noise * (random() - 0.5);
    });
  });
}
