// Tables whose cells are shaded by their values: tasks and the error map.
const heat = (() => {
  const {el} = dom;

  // Answers lost and gained for each lane and task set, as bars left and right of a line.
  function tasks(report) {
    const names = Object.keys(report.reference.tasks);
    if (names.length === 0) return null;
    const most = Math.max(1, ...report.lanes.flatMap(
        (lane) => Object.values(lane.quality.tasks).flatMap((t) => [t.lost, t.gained])));
    const bars = (task, counted) => {
      if (!task) return format.NONE;
      const bar = (kind, count) => {
        const node = el('span', {class: `bar ${counted ? kind : 'chance'}`});
        node.style.width = `${(100 * count) / most}%`;
        return el('span', {class: `half ${kind}`}, node);
      };
      return el('div', {class: 'swing', title: `of ${task.n}: reference ${task.reference} right, ` +
                                               `lane ${task.lane} right`},
                el('span', {class: 'figure-left'}, `−${task.lost}`), bar('lost', task.lost),
                bar('gained', task.gained), el('span', {class: 'figure-right'}, `+${task.gained}`));
    };
    const columns = [{
      label: 'lane',
      cell: (lane) => marks.named(model.family(lane), lane.name),
      sort: (lane) => lane.name,
    }];
    for (const name of names) {
      const set = report.reference.tasks[name];
      const counted = model.counts(report, name);
      columns.push({
        label: `${name} (${set.reference}/${set.n}${counted ? '' : ', at chance: not counted'})`,
        title: 'sorted by the net loss',
        cell: (lane) => bars(lane.quality.tasks[name], counted),
        sort: (lane) => {
          const task = lane.quality.tasks[name];
          return task ? task.lost - task.gained : null;
        },
      });
    }
    return dom.table(columns, report.lanes,
                     {caption: 'Answers lost (left) and gained (right) against the reference; in ' +
                               'brackets what the reference answers'});
  }

  // 0..1 on a logarithmic scale between the least and the largest value of all lanes.
  function shade(value, low, high) {
    if (!(value > 0) || !(high > low)) return 0;
    return Math.log(value / low) / Math.log(high / low);
  }

  // The error map of one lane.
  function layers(map, low, high, show) {
    const columns = [{
      label: 'layer',
      cell: (layer) => (layer < 0 ? '–' : String(layer)),
    }];
    for (const role of map.roles) {
      columns.push({
        label: role,
        cell: (layer) => {
          const cell = map.cell(layer, role);
          if (!cell) return '';
          const strength = shade(cell.value, low, high);
          const node = el('span', {class: 'cell',
                                   title: `layer ${layer}, ${role}: ${cell.format}, relative ` +
                                       `error ${format.percent(cell.value, 2)}`},
                          show === 'format' ? cell.format :
                                              format.significant(100 * cell.value, 2));
          node.style.setProperty('--shade', `${Math.round(6 + 94 * strength)}%`);
          return node;
        },
      });
    }
    const unit = show === 'format' ? 'Format of each tensor' : 'Relative error of each tensor in %';
    return dom.table(columns, map.layers, {caption: `${unit}, rows are layers`});
  }

  return {tasks, layers, shade};
})();
