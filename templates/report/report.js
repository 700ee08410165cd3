'use strict';
// Sorting, filtering and searching of pairs, the threshold slider, light and dark. Everything that the report says is on
// the page without this script: it makes its own controls, and only chooses among what is there. It fetches nothing,
// stores nothing, computes no statistics, and writes text as text.
(() => {
  // --- elements ---

  /** An element with attributes and children; a child that is a string becomes text. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  function makeSvg(tag, attributes) {
    const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) {
      element.setAttribute(name, value);
    }
    return element;
  }

  let made = 0;
  const newId = () => `control-${(made += 1)}`;

  /** A form control with its label before it. */
  function labelled(words, control) {
    control.id = newId();
    return make('span', { class: 'field' }, make('label', { for: control.id }, words), control);
  }

  function button(words, pressed) {
    const element = make('button', { type: 'button' }, words);
    element.addEventListener('click', pressed);
    return element;
  }

  const countOf = (number) => number.toLocaleString('en-GB');

  // --- light and dark ---

  function offerDark() {
    if (!CSS.supports('color', 'light-dark(red, red)')) {
      return; // such a browser shows the light page only
    }
    const root = document.documentElement;
    const preferred = matchMedia('(prefers-color-scheme: dark)');
    const isDark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : preferred.matches);
    const toggle = button('Dark', () => {
      root.dataset.theme = isDark() ? 'light' : 'dark';
      show();
    });
    const show = () => toggle.setAttribute('aria-pressed', String(isDark()));
    toggle.classList.add('theme');
    preferred.addEventListener('change', show);
    show();
    document.getElementById('top').append(toggle);
  }

  // --- what is wider than the window can be scrolled by keyboard ---

  function letKeyboardScroll() {
    const observer = new ResizeObserver((entries) => {
      for (const { target } of entries) {
        const wide = target.scrollWidth > target.clientWidth + 1;
        target.toggleAttribute('tabindex', wide);
        if (wide) {
          target.setAttribute('tabindex', '0');
        }
      }
    });
    for (const region of document.querySelectorAll('.scroll')) {
      region.setAttribute('role', 'group');
      region.setAttribute('aria-label', region.closest('figure') ? 'Figure, scrolls sideways' : 'Table, scrolls sideways');
      observer.observe(region);
    }
  }

  // --- pairs: sort, filter, search ---

  const collator = new Intl.Collator('en', { numeric: true });
  const ORDERS = {
    number: { words: 'number', of: (item) => Number(item.data.number) },
    dataset: { words: 'dataset', of: (item) => item.data.dataset },
    view: { words: 'view', of: (item) => item.data.view },
    score: { words: 'score', of: (item) => Number(item.data.score), highestFirst: true },
    levenshtein: { words: 'Levenshtein similarity', of: (item) => Number(item.data.levenshtein), highestFirst: true },
    place: { words: 'place of the record', of: (item) => item.data.place },
  };

  const IN_A_GROUP = 10; // rows of a tbody, which the browser lays out only when it comes into sight
  const ROW_HEIGHT = 11; // rem, about

  class Pairs {
    constructor(section) {
      this.section = section;
      this.tables = [...section.querySelectorAll('table.pairlist')].map((table) => ({
        table,
        items: [...table.querySelectorAll('.item')].map((row) => ({ row, data: row.dataset, words: null })),
      }));
      this.items = this.tables.flatMap(({ items }) => items);
      this.noun = section.dataset.noun;
      this.order = { key: 'number', falling: false };
      this.waiting = 0;
      section.prepend(this.controls());
      this.offerOrders();
      this.filter();
    }

    controls() {
      const changed = () => this.filterSoon();
      const search = make('input', { type: 'search', autocomplete: 'off', spellcheck: 'false' });
      const redacted = this.section.querySelector('.bar') !== null;
      const [low, high] = [1, 2].map(() => make('input', { type: 'number', min: '0', max: '1', step: '0.01' }));
      const chosen = [
        ['dataset', 'Dataset'], ['view', 'View'], ['measure', 'Measure'], ['attack', 'Attack'], ['waived', 'Waived'],
      ].map(([key, words]) => this.choice(key, words)).filter(Boolean);
      const clear = button('Clear', () => this.clear());
      this.count = make('p', { role: 'status', class: 'count' });
      this.asked = { search, low, high, chosen: chosen.map(({ key, select }) => ({ key, select })) };
      const controls = make('div', { class: 'controls', role: 'search', 'aria-label': `Find among the ${this.noun}` },
        labelled(redacted ? 'Search ids and places (every word)' : 'Search texts and ids (every word)', search),
        ...chosen.map(({ field }) => field),
        labelled('Score from', low), labelled('to', high), clear, this.count,
        make('p', { class: 'note' }, `Printing shows all ${countOf(this.items.length)}, whatever is chosen here.`));
      controls.addEventListener('input', changed);
      this.inputs = [search, low, high, ...chosen.map(({ select }) => select)];
      return controls;
    }

    /** A select of the values that occur, where there are several to choose from; null elsewhere. */
    choice(key, words) {
      const values = new Set(this.items.map(({ data }) => this.valueOf(data, key)));
      if (values.size < 2) {
        return null;
      }
      const options = [...values].sort(collator.compare).map((value) => make('option', { value }, value.replace(/_/g, ' ')));
      const select = make('select', {}, make('option', { value: '' }, 'all'), ...options);
      return { key, select, field: labelled(words, select) };
    }

    valueOf(data, key) {
      return key === 'waived' ? data.waived || 'not waived' : data[key];
    }

    clear() {
      for (const input of this.inputs) {
        input.value = '';
      }
      this.filter();
      this.asked.search.focus();
    }

    /** Once a frame at most, however fast somebody types. */
    filterSoon() {
      cancelAnimationFrame(this.waiting);
      this.waiting = requestAnimationFrame(() => this.filter());
    }

    filter() {
      const words = this.asked.search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const from = this.asked.low.value === '' ? -Infinity : this.asked.low.valueAsNumber;
      const to = this.asked.high.value === '' ? Infinity : this.asked.high.valueAsNumber;
      const chosen = this.asked.chosen.filter(({ select }) => select.value !== '');
      let shown = 0;
      for (const item of this.items) {
        const score = Number(item.data.score);
        const fits = score >= from && score <= to &&
          chosen.every(({ key, select }) => this.valueOf(item.data, key) === select.value) &&
          (words.length === 0 || this.holds(item, words));
        shown += fits;
        if (item.row.hidden === fits) {
          item.row.hidden = !fits;
        }
      }
      for (const { table, items } of this.tables) {
        table.closest('.band')?.toggleAttribute('hidden', items.every(({ row }) => row.hidden));
        [...table.tBodies].forEach((body) => this.fitGroup(body));
      }
      this.tell(shown);
    }

    /** A group that is out of sight takes about the room of the rows that are left in it. */
    fitGroup(body) {
      const left = [...body.rows].filter((row) => !row.hidden).length;
      body.hidden = left === 0;
      body.style.containIntrinsicHeight = left === body.rows.length ? '' : `${left * ROW_HEIGHT}rem`;
    }

    holds(item, words) {
      item.words ??= item.row.textContent.toLowerCase();
      return words.every((word) => item.words.includes(word));
    }

    tell(shown) {
      const total = this.items.length;
      const { key, falling } = this.order;
      const order = key === 'number' ? '' : `, by ${ORDERS[key].words}, ${falling ? 'falling' : 'rising'}`;
      const words = `${countOf(shown)} of ${countOf(total)} ${this.noun} shown${order}`;
      if (this.count.textContent !== words) {
        this.count.textContent = words;
      }
      this.shown = shown;
    }

    /** Buttons in the headings of a single table; one select for tables that stand apart. */
    offerOrders() {
      if (this.tables.length > 1) {
        this.offerOrderSelect();
        return;
      }
      this.headings = [...this.section.querySelectorAll('th[data-sort]')];
      for (const heading of this.headings) {
        const key = heading.dataset.sort;
        const sort = button(heading.textContent, () => this.sortBy(key));
        heading.replaceChildren(sort);
      }
      this.markHeadings();
    }

    offerOrderSelect() {
      const options = [['number', 'as drawn'], ['score', 'highest score first'], ['levenshtein', 'highest Levenshtein first']];
      const select = make('select', {}, ...options.map(([value, words]) => make('option', { value }, words)));
      select.addEventListener('change', () => {
        this.order = { key: select.value, falling: select.value !== 'number' };
        this.sort();
      });
      this.count.before(labelled('Order within a band', select));
    }

    sortBy(key) {
      const again = this.order.key === key;
      this.order = { key, falling: again ? !this.order.falling : Boolean(ORDERS[key].highestFirst) };
      this.sort();
      this.markHeadings();
    }

    sort() {
      const { key, falling } = this.order;
      const sign = falling ? -1 : 1;
      for (const { table, items } of this.tables) {
        const keyed = items.map((item) => ({ item, value: ORDERS[key].of(item), number: Number(item.data.number) }));
        const compare = (a, b) => (typeof a === 'number' ? a - b : collator.compare(a, b));
        keyed.sort((a, b) => sign * compare(a.value, b.value) || a.number - b.number);
        this.arrange(table, keyed.map(({ item }) => item.row));
      }
      this.tell(this.shown);
    }

    /** The rows of a table in this order; taken out meanwhile, which is quicker than moving each in place. */
    arrange(table, rows) {
      const groups = [...table.tBodies];
      groups.forEach((body) => body.remove());
      groups.forEach((body, place) => {
        body.replaceChildren(...rows.slice(place * IN_A_GROUP, (place + 1) * IN_A_GROUP));
        this.fitGroup(body);
      });
      table.append(...groups);
    }

    markHeadings() {
      for (const heading of this.headings) {
        const here = heading.dataset.sort === this.order.key;
        heading.toggleAttribute('aria-sort', here);
        if (here) {
          heading.setAttribute('aria-sort', this.order.falling ? 'descending' : 'ascending');
        }
      }
    }
  }

  // --- the threshold slider ---

  const SIDES = ['Members', 'Controls', 'Difference'];

  class Slider {
    constructor(data, place) {
      this.data = data;
      this.start = data.inUse ?? 0;
      this.range = make('input', { type: 'range', min: '0', max: String(data.thresholds.length - 1), step: '1' });
      this.shown = make('span', { class: 'value', 'aria-hidden': 'true' });
      this.standing = make('p', { class: 'standing', role: 'status' });
      this.caption = make('caption');
      this.rows = data.readings.map((reading) => this.row(reading));
      this.marks = data.readings.map((reading) => reading.marks && this.mark(reading.marks, place)).filter(Boolean);
      this.range.addEventListener('input', () => this.show(this.range.valueAsNumber));
      this.back = button(`Back to ${data.inUse === null ? 'the lowest' : `the threshold in use, ${this.words(this.start)}`}`,
        () => { this.show(this.start); this.range.focus(); });
      place.append(this.panel());
      this.show(this.start);
    }

    words(step) {
      return this.data.thresholds[step];
    }

    panel() {
      const { data } = this;
      const stands = data.inUse === null
        ? 'There is no threshold in use here: no verdict hangs on any of these.'
        : `The verdict stands at the threshold in use, ${this.words(this.start)} (${data.source}); moving the slider changes nothing in it.`;
      return make('div', { class: 'slide', role: 'group', 'aria-label': `Threshold, ${data.title}` },
        make('div', { class: 'handle' }, labelled(`Threshold, ${data.title}`, this.range), this.shown, this.back),
        this.standing,
        make('div', { class: 'scroll' },
          make('table', { class: 'grid compact reading' }, this.caption,
            make('thead', {}, make('tr', {}, ...['Attack, draw', ...SIDES].map((words) => make('th', { scope: 'col' }, words)))),
            make('tbody', {}, ...this.rows.map(({ row }) => row)))),
        make('p', { class: 'note' }, `${stands} Shown are the ${data.thresholds.length} thresholds that were counted; nothing ` +
          'lies between them. Under each rate its 95 % interval, as the audit computed it, and the generations that reach the ' +
          'threshold (the mean of the draws).'));
    }

    row(reading) {
      const cells = SIDES.map(() => make('td'));
      return { row: make('tr', {}, make('th', { scope: 'row' }, reading.name), ...cells), cells, reading };
    }

    mark(marks, place) {
      const svg = place.querySelector('svg');
      const line = makeSvg('line', { y1: marks.top, y2: marks.bottom });
      const points = ['members', 'controls'].map((side) => ({ side, dot: makeSvg('circle', { r: 3, class: side }) }));
      const group = makeSvg('g', { class: 'mark', 'aria-hidden': 'true' });
      group.append(line, ...points.map(({ dot }) => dot));
      svg.append(group);
      return { marks, line, points };
    }

    show(step) {
      const inUse = step === this.data.inUse;
      const words = `${this.words(step)}${inUse ? ', in use' : ''}`;
      this.range.value = String(step);
      this.range.setAttribute('aria-valuetext', words);
      this.shown.textContent = words;
      this.caption.textContent = `Rates at ${this.words(step)}`;
      this.back.disabled = step === this.start;
      this.standing.textContent = inUse || this.data.inUse === null ? ''
        : `These rates are at ${this.words(step)}, not at the threshold of the verdict, ${this.words(this.start)}.`;
      this.showCells(step);
      this.showMarks(step);
    }

    showCells(step) {
      for (const { cells, reading } of this.rows) {
        cells.forEach((cell, side) => {
          const [rate, interval, count] = reading.cells[step]?.[side] ?? ['–', 'not counted here', ''];
          cell.replaceChildren(make('span', { class: 'fig' }, rate), make('span', { class: 'ival' }, interval),
            ...(count ? [make('span', { class: 'ival' }, count)] : []));
        });
      }
    }

    showMarks(step) {
      for (const { marks, line, points } of this.marks) {
        line.setAttribute('x1', marks.across[step]);
        line.setAttribute('x2', marks.across[step]);
        for (const { side, dot } of points) {
          dot.setAttribute('cx', marks.across[step]);
          dot.setAttribute('cy', marks[side][step]);
        }
      }
    }
  }

  // --- print: what is folded is opened, and folded again afterwards ---

  function openForPrint() {
    let opened = [];
    addEventListener('beforeprint', () => {
      opened = [...document.querySelectorAll('details:not([open])')];
      opened.forEach((details) => { details.open = true; });
    });
    addEventListener('afterprint', () => opened.forEach((details) => { details.open = false; }));
  }

  offerDark();
  openForPrint();
  for (const section of document.querySelectorAll('.pairs')) {
    new Pairs(section);
  }
  const data = document.getElementById('sliders');
  for (const slider of data ? JSON.parse(data.textContent) : []) {
    new Slider(slider, document.getElementById(slider.id));
  }
  letKeyboardScroll();
})();
