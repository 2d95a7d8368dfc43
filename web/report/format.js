// Numbers for people. Every function accepts null (a figure that could not be measured).
const format = (() => {
  const NONE = 'n/a';
  const THIN = '\u202f';
  const SUPERSCRIPTS = '⁰¹²³⁴⁵⁶⁷⁸⁹';

  // A true minus before numbers, none before a zero.
  const signed = (text) => text.replace(/^-(?=[0.]*$)/, '').replace(/^-/, '−');

  const known = (value) => typeof value === 'number' && Number.isFinite(value);

  function superscript(exponent) {
    const digits = String(Math.abs(exponent)).split('').map((d) => SUPERSCRIPTS[d]).join('');
    return (exponent < 0 ? '⁻' : '') + digits;
  }

  // "3.1 × 10⁻⁹", with at most two digits
  function scientific(value, digits = 2) {
    const [front, exponent] = value.toExponential(Math.min(digits, 2) - 1).split('e');
    return `${signed(front)}${THIN}×${THIN}10${superscript(Number(exponent))}`;
  }

  // Groups of three digits: "10 240".
  function count(value) {
    if (!known(value)) return NONE;
    return signed(String(Math.round(value))).replace(/\B(?=(\d{3})+$)/g, THIN);
  }

  // `digits` significant digits, with an exponent only below 0.0001 and from 1e15.
  function significant(value, digits = 3) {
    if (!known(value)) return NONE;
    const size = Math.abs(Number(value.toPrecision(digits)));
    if (size === 0) return '0';
    if (size < 1e-4 || size >= 1e15) return scientific(value, digits);
    const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
    const text = signed(value.toFixed(Math.min(decimals, 20)));
    return size >= 9999.5 ? count(Number(value.toPrecision(digits))) : text;
  }

  function fixed(value, decimals) {
    if (!known(value)) return NONE;
    return Math.abs(value) >= 1e9 ? scientific(value) : signed(value.toFixed(decimals));
  }

  // Decimal units, as disks and model hubs use them: "105 MB".
  function size(bytes) {
    if (!known(bytes)) return NONE;
    const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
    let unit = 0;
    let value = bytes;
    while (Math.abs(value) >= 999.5 && unit + 1 < units.length) {
      value /= 1000;
      unit += 1;
    }
    return `${unit === 0 ? signed(String(Math.round(value))) : significant(value)}${THIN}${units[unit]}`;
  }

  function percent(share, decimals = 1) {
    return known(share) ? `${signed((100 * share).toFixed(decimals))}${THIN}%` : NONE;
  }

  // A loss or estimate in the unit of its gate.
  function inUnit(value, unit) {
    if (unit === 'ratio') return fixed(value, 3);
    if (unit === 'points') return fixed(value, 1);
    return significant(value);
  }

  // "0.0293 to 0.0313"; files write infinite ends (one chunk alone) as null.
  function range(interval, show = significant) {
    const end = (value, infinity) =>
        (known(interval.value) && !known(value) ? infinity : show(value));
    return `${end(interval.low, '−∞')} to ${end(interval.high, '∞')}`;
  }

  return {known, count, significant, fixed, size, percent, inUnit, range, NONE};
})();
