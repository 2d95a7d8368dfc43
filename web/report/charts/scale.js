// Axes: from values to pixels, and where the ticks go.
const scale = (() => {
  function linear([low, high], [start, end]) {
    const span = high - low || 1;
    return (value) => start + ((value - low) / span) * (end - start);
  }

  function log([low, high], range) {
    const inner = linear([Math.log10(low), Math.log10(high)], range);
    return (value) => inner(Math.log10(value));
  }

  // About `count` round numbers within [low, high]: steps of 1, 2 or 5 times a power of ten.
  function linearTicks(low, high, count) {
    const rough = (high - low) / Math.max(count, 1);
    if (!(rough > 0)) return [low];
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * (1 - 1e-9));
    const ticks = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) {
      ticks.push(Number((i * step).toPrecision(12)));
    }
    return ticks;
  }

  // Powers of ten within [low, high], with 2 and 5 between them where few decades are shown.
  function logTicks(low, high) {
    const decades = Math.log10(high / low);
    const steps = decades > 4 ? [1] : decades > 2.2 ? [1, 3] : [1, 2, 5];
    const ticks = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e += 1) {
      for (const step of steps) {
        const tick = Number((step * 10 ** e).toPrecision(6));
        if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) ticks.push(tick);
      }
    }
    return ticks;
  }

  return {linear, log, linearTicks, logTicks};
})();
