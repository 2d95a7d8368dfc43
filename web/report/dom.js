// Builds elements; text is never parsed as markup.
const dom = (() => {
  const SVG = 'http://www.w3.org/2000/svg';

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? '' : value);
    }
    for (const child of children.flat(Infinity)) {
      if (child === null || child === undefined) continue;
      node.append(child);
    }
    return node;
  }

  // el('p', {class: 'note'}, 'text', node, …)
  const el = (tag, attributes, ...children) =>
      fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) =>
      fill(document.createElementNS(SVG, tag), attributes, children);

  // columns: {label, title?, left?, cell(row) -> node or text, sort?(row) -> number or text, foot?: [text]}.
  // Columns with `sort` get a button in their header. `rowClass(row)` names a class or null.
  // `foot`: last rows that sorting leaves where they are: the columns' `foot`, one text for each.
  function table(columns, rows, {caption, rowClass, foot} = {}) {
    const body = el('tbody');
    const cells = (text) => columns.map((column, i) => el(
        i === 0 ? 'th' : 'td', {class: column.left ? 'left' : null, scope: i === 0 ? 'row' : null},
        text(column)));
    const draw = (sorted) => body.replaceChildren(...sorted.map((row) => el(
        'tr', {class: rowClass ? rowClass(row) : null}, cells((column) => column.cell(row)))));
    const heads = columns.map((column) => el(
        'th', {scope: 'col', class: column.left ? 'left' : null, title: column.title},
        column.sort ? el('button', {type: 'button', class: 'sort'}, column.label) :
                      column.label));
    columns.forEach((column, i) => {
      if (!column.sort) return;
      heads[i].firstChild.addEventListener('click', () => {
        const rising = heads[i].getAttribute('aria-sort') !== 'ascending';
        heads.forEach((head) => head.removeAttribute('aria-sort'));
        heads[i].setAttribute('aria-sort', rising ? 'ascending' : 'descending');
        draw(sortRows(rows, column.sort, rising));
      });
    });
    draw(rows);
    const lines = foot ? Math.max(...columns.map((column) => column.foot?.length || 0)) : 0;
    const last = Array.from({length: lines}, (_, i) => el(
        'tr', {}, cells((column) => column.foot?.[i] || '')));
    const scroll = el('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption},
                      el('table', {}, el('caption', {class: 'unseen'}, caption),
                         el('thead', {}, el('tr', {}, heads)), body,
                         foot ? el('tfoot', {}, last) : null));
    // The visible caption stays in place when a wide table is scrolled.
    return el('div', {class: 'box'},
              el('div', {class: 'title', 'aria-hidden': 'true'}, caption, hintOf(scroll)), scroll);
  }

  // Says that columns are hidden to the right, as long as they are.
  function hintOf(scroll) {
    const hint = el('span', {class: 'hint'}, 'more columns →');
    hint.hidden = true;
    const update = () => {
      hint.hidden = !(scroll.scrollWidth - scroll.clientWidth - (scroll.scrollLeft || 0) > 8);
    };
    scroll.addEventListener('scroll', update);
    if (typeof ResizeObserver === 'function') new ResizeObserver(update).observe(scroll);
    return hint;
  }

  // A sorted copy; what is not known comes last in either direction; equal rows keep their order.
  function sortRows(rows, key, rising) {
    const missing = (value) => value === null || value === undefined || Number.isNaN(value);
    return rows.map((row) => ({row, value: key(row)})).sort((a, b) => {
      if (missing(a.value) || missing(b.value)) return missing(a.value) - missing(b.value);
      const order = a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
      return rising ? order : -order;
    }).map(({row}) => row);
  }

  // One row of mutually exclusive choices; `choose(value)` is called for each click.
  function choices(label, options, chosen, choose) {
    const buttons = options.map(([value, text]) => el(
        'button', {type: 'button', 'aria-pressed': String(value === chosen), 'data-value': value},
        text));
    const press = (value) => buttons.forEach(
        (b) => b.setAttribute('aria-pressed', String(b.dataset.value === value)));
    for (const button of buttons) {
      button.addEventListener('click', () => {
        press(button.dataset.value);
        choose(button.dataset.value);
      });
    }
    return el('div', {class: 'choices', role: 'group', 'aria-label': label}, buttons);
  }

  function selector(label, options, choose) {
    const select = el('select', {onchange: () => choose(select.value)},
                      options.map(([value, text]) => el('option', {value}, text)));
    return {node: el('label', {class: 'selector'}, `${label} `, select), select};
  }

  // A chart with its figures as a table one click away.
  function withTable(chart, tableNode) {
    const details = el('details', {class: 'twin'}, el('summary', {}, 'View as table'), tableNode);
    return el('div', {class: 'figure'}, chart, details);
  }

  return {el, svg, table, sortRows, choices, selector, withTable};
})();
