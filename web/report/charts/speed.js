// Speed and memory, measured and projected: two tables that never share a bar.
const speed = (() => {
  const {el} = dom;

  function bar(value, most, text, kind) {
    const node = el('span', {class: `length ${kind}`});
    node.style.width = `${most > 0 && value > 0 ? Math.max(1, (100 * value) / most) : 0}%`;
    return el('div', {class: 'measure'}, el('span', {class: 'rail'}, node),
              el('span', {class: 'number'}, text));
  }

  // rows: {name, family, values}; quantities: {key, label, show}
  function table(rows, quantities, kind, caption, extra = []) {
    const columns = [{
      label: 'lane',
      cell: (row) => marks.named(row.family, row.name),
      sort: (row) => row.name,
    }];
    for (const {key, label, show} of quantities) {
      const most = Math.max(0, ...rows.map((row) => row.values[key]).filter(format.known));
      columns.push({
        label,
        left: true,
        cell: (row) => bar(row.values[key], most, show(row.values[key]), kind),
        sort: (row) => row.values[key],
      });
    }
    return dom.table([...columns, ...extra], rows, {caption});
  }

  const rowsOf = (report, values) =>
      [{name: 'reference', family: null, values: values(report.reference)},
       ...report.lanes.map((lane) => ({name: lane.name, family: model.family(lane),
                                       values: values(lane)}))].filter((row) => row.values);

  const rate = (value) => format.significant(value);

  function measured(report) {
    const rows = rowsOf(report, (r) => ({...r.speed, peak_rss_bytes: r.peak_rss_bytes}));
    return table(rows,
                 [{key: 'prefill_tok_s', label: 'prefill, tok/s', show: rate},
                  {key: 'decode_tok_s', label: 'decode, tok/s', show: rate},
                  {key: 'spread', label: 'spread of rounds', show: format.percent},
                  {key: 'peak_rss_bytes', label: 'peak memory', show: format.size}],
                 'measured', `Measured on this machine: ${report.machine.cpu}, ` +
                     `${report.machine.threads} threads, ${report.machine.isa}`);
  }

  function projected(report) {
    const rows = rowsOf(report, (r) => r.projection);
    if (rows.length === 0) return null;
    return table(rows,
                 [{key: 'prefill_tok_s', label: 'prefill, tok/s', show: rate},
                  {key: 'decode_tok_s', label: 'decode, tok/s', show: rate},
                  {key: 'memory_bytes', label: 'memory', show: format.size}],
                 'projected', `Projected on ${report.pick.target}: computed, not measured`,
                 [{label: 'arithmetic', left: true,
                   cell: (row) => (row.values.native ? 'native' : 'saves memory only')},
                  {label: 'fits', left: true, cell: (row) => (row.values.fits ? '✓ yes' : '✗ no')},
                  {label: 'decode limited by', left: true, cell: (row) => row.values.bound}]);
  }

  return {measured, projected};
})();
