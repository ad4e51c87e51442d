// SPDX-License-Identifier: MIT
// map.js - draws a heap map, or two before and after, from the lines that `sinter map` writes.
'use strict';

const $ = id => document.getElementById(id);
const PAGES = 16;

// ---- data ---------------------------------------------------------------------------------------

// A file that is cut off is shown as far as it goes.
function readLines(id) {
    const lines = [];
    for (const line of $(id).textContent.split('\n')) {
        if (!line.trim())
            continue;
        try {
            lines.push(JSON.parse(line));
        } catch (error) {
            break;
        }
    }
    return lines;
}

function readMap(id, label) {
    const lines = readLines(id);
    if (!lines.length)
        return null;
    const [head, ...rest] = lines;
    const last = rest.find(line => line.stats);
    const map = { head, label, runs: rest.filter(line => line.at), damage: last?.damage ?? [] };
    map.stats = last ? last.stats : {};
    map.high = Math.max(1, ...map.runs.map(run => run.at + run.blocks));
    return map;
}

const before = readMap('data-before', 'before');
const after = readMap('data-after', 'after');
const maps = after ? [before, after] : [before];
const series = readLines('data-series');

const STEPS = [
    ['requested', '--live', 'asked for by live objects'],
    ['rounding', '--rounding', 'class rounding'],
    ['header', '--header', 'headers'],
    ['free_slot', '--free', 'free slots in spans in use'],
    ['waiting', '--waiting', 'thread caches and limbo'],
    ['empty_span', '--empty', 'empty spans kept'],
    ['table', '--table', 'handle table'],
    ['metadata', '--metadata', 'metadata'],
];

// ---- numbers and words --------------------------------------------------------------------------

const fixed = (x, n) =>
    x.toLocaleString('en', { minimumFractionDigits: n, maximumFractionDigits: n });
const whole = x => (x || 0).toLocaleString('en');
const arrow = texts => texts.every(text => text === texts[0]) ? texts[0] : texts.join(' → ');
const each = of => arrow(maps.map(of));

// The unit in which a number of bytes is easily read, and a number in a unit.
const UNITS = [[1048576, 'MiB'], [1024, 'KiB'], [1, 'B']];
const unitFor = bytes => UNITS.find(([unit]) => bytes >= unit) ?? UNITS[2];
const inUnit = (bytes, [unit]) => fixed((bytes || 0) / unit, unit > 1 ? 1 : 0);
const size = (...values) => {
    const unit = unitFor(Math.max(...values.map(value => value || 0)));
    return arrow(values.map(value => inUnit(value, unit))) + ' ' + unit[1];
};
const eachSize = key => size(...maps.map(map => map.stats[key]));

function element(name, properties, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
}

function legendEntry(color, text) {
    const swatch = element('i');
    swatch.style.background = color;
    return element('li', {}, swatch, text);
}

const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// ---- title, facts, breakdown --------------------------------------------------------------------

function showFacts() {
    $('name').textContent = 'Store ' + before.head.store;
    const time = map => new Date(map.head.time * 1000).toISOString().slice(0, 19) + ' UTC';
    $('subtitle').textContent =
        after ? `${time(before)} and ${time(after)}` : `as of ${time(before)}`;
    document.title = `Heap map of store ${before.head.store}`;
    const ratio = map => map.stats.requested
        ? fixed(map.stats.committed / map.stats.requested, 2) : '–';
    const facts = [
        [eachSize('requested'), 'asked for by live objects'],
        [eachSize('committed'), 'committed'],
        [each(ratio), 'committed / asked for'],
        [each(map => whole(map.stats.objects)), 'objects'],
    ];
    if (after && before.stats.committed > after.stats.committed)
        facts.push([size(before.stats.committed - after.stats.committed), 'given back']);
    for (const [number, text] of facts)
        $('facts').append(element('div', {}, element('b', { textContent: number }),
            element('span', { textContent: text })));
}

function showBreakdown() {
    const most = Math.max(...maps.map(map => map.stats.committed || 1));
    for (const map of maps) {
        const steps = element('div');
        steps.style.width = `${78 * (map.stats.committed || 0) / most}%`;
        for (const [key, name, text] of STEPS) {
            const step = element('i', { title: `${text}: ${size(map.stats[key])}` });
            step.style.flex = `${map.stats[key] || 0} 0 0`;
            step.style.background = `var(${name})`;
            steps.append(step);
        }
        const label = after ? [element('label', { textContent: map.label })] : [];
        const sum = element('em', { textContent: size(map.stats.committed) });
        $('breakdown').append(element('div', { className: 'bar' }, ...label, steps, sum));
    }
    for (const [key, name, text] of STEPS)
        if (maps.some(map => map.stats[key]))
            $('breakdown-legend').append(legendEntry(`var(${name})`, `${text} ${eachSize(key)}`));
}

// ---- the map ------------------------------------------------------------------------------------

const layout = {};
let chosen = null; // a class, or null
let cut = 0.5; // where before ends and after begins
let block = 1; // that the keyboard is at

function layOut() {
    layout.width = $('map').clientWidth;
    layout.high = Math.max(...maps.map(map => map.high));
    const wanted = Math.sqrt(layout.high * layout.width / 430);
    layout.page = Math.max(1, Math.min(6, Math.floor((layout.width / Math.max(8, wanted) - 1) / 4)));
    layout.tile = 4 * layout.page + 1;
    layout.columns = Math.floor(layout.width / layout.tile);
    layout.rows = Math.ceil(layout.high / layout.columns);
    layout.height = layout.rows * layout.tile;
}

const channels = text => [1, 3, 5].map(at => parseInt(text.slice(at, at + 2), 16));
const mix = (from, to, share) => 'rgb(' +
    channels(from).map((x, i) => Math.round(x + (channels(to)[i] - x) * share)) + ')';

// The colour of each character of a run's pages.
function palette() {
    const free = color('--free'), live = color('--live'), shades = {};
    for (let i = 0; i < 16; i++)
        shades[i.toString(16)] = mix(free, live, i / 15);
    shades.w = color('--waiting');
    shades['.'] = color('--kernel');
    return { shades, large: color('--large'), empty: color('--empty'), hatch: color('--hatch') };
}

function colorOf(run, character, colors) {
    if (character !== '.' && run.state === 'large' && character === 'f')
        return colors.large;
    if (character !== '.' && run.state === 'empty')
        return colors.empty;
    return colors.shades[character] ?? colors.shades['.'];
}

function hatch(pen, x, y, colors) {
    const size = layout.tile - 1;
    pen.strokeStyle = colors.hatch;
    pen.lineWidth = Math.max(1, layout.page / 3);
    pen.beginPath();
    pen.moveTo(x, y + size);
    pen.lineTo(x + size, y);
    pen.moveTo(x, y + size / 2);
    pen.lineTo(x + size / 2, y);
    pen.stroke();
}

function drawRun(pen, map, run, colors) {
    const { page, tile, columns } = layout;
    pen.globalAlpha = chosen === null || run.class === chosen ? 1 : 0.13;
    for (let i = 0; i < run.blocks; i++) {
        const at = run.at + i, x = at % columns * tile, y = Math.floor(at / columns) * tile;
        map.byBlock[at] = run;
        for (let p = 0; p < PAGES; p++) {
            pen.fillStyle = colorOf(run, run.pages[i * PAGES + p] ?? '.', colors);
            pen.fillRect(x + p % 4 * page, y + (p >> 2) * page, page, page);
        }
        if (run.why?.includes('p'))
            hatch(pen, x, y, colors);
    }
}

function draw(map) {
    const scale = window.devicePixelRatio || 1, canvas = element('canvas'), colors = palette();
    canvas.width = layout.width * scale;
    canvas.height = layout.height * scale;
    canvas.style.width = layout.width + 'px';
    canvas.style.height = layout.height + 'px';
    const pen = canvas.getContext('2d');
    pen.scale(scale, scale);
    pen.fillStyle = colors.shades['.'];
    for (let at = 0; at < layout.high; at++)
        pen.fillRect(at % layout.columns * layout.tile,
            Math.floor(at / layout.columns) * layout.tile, layout.tile - 1, layout.tile - 1);
    map.byBlock = new Array(layout.high);
    for (const run of map.runs)
        drawRun(pen, map, run, colors);
    return canvas;
}

const WHY = { p: 'an object in it is pinned', u: 'its objects are unmovable',
    t: 'compaction could not empty it', d: 'a header in it is damaged' };

function describe(map, at) {
    const run = map.byBlock[at], where = `${after ? map.label + ', ' : ''}block ${at}`;
    if (!run)
        return `${where}: with the kernel`;
    const [object] = map.head.classes[run.class] ?? [];
    const lines = [`${where}: ` + (run.state === 'slots'
        ? `objects up to ${whole(object)} bytes, ${run.live} of ${run.slots} slots live` +
            (run.waiting ? `, ${run.waiting} wait` : '')
        : run.state === 'large' ? `an object of ${whole(run.requested)} bytes`
            : run.state === 'empty' ? 'an empty span, not given back yet' : run.state)];
    for (const letter of run.why ?? '')
        lines.push(WHY[letter]);
    return lines.join('\n');
}

const mapAt = x => after && x >= cut * layout.width ? after : before;

function setCut(share) {
    cut = Math.max(0, Math.min(1, share));
    const over = $('map').querySelector('.over'), grip = $('map').querySelector('.grip');
    if (!over)
        return;
    over.style.width = cut * layout.width + 'px';
    grip.style.left = cut * layout.width + 'px';
    grip.setAttribute('aria-valuenow', Math.round(cut * 100));
}

function makeGrip() {
    const grip = element('button', { className: 'grip', type: 'button' });
    for (const [name, value] of [['role', 'slider'], ['aria-valuemin', 0], ['aria-valuemax', 100],
        ['aria-label', 'how much is shown as before, the rest as after']])
        grip.setAttribute(name, value);
    grip.addEventListener('keydown', event => {
        const moves = { ArrowLeft: cut - 0.02, ArrowRight: cut + 0.02, PageDown: cut + 0.2,
            PageUp: cut - 0.2, Home: 0, End: 1 };
        if (!(event.key in moves))
            return;
        setCut(moves[event.key]);
        event.preventDefault();
        event.stopPropagation();
    });
    grip.addEventListener('pointerdown', event => grip.setPointerCapture(event.pointerId));
    grip.addEventListener('pointermove', event => {
        if (grip.hasPointerCapture(event.pointerId))
            setCut((event.clientX - $('map').getBoundingClientRect().left) / layout.width);
    });
    return grip;
}

function showMap() {
    const box = $('map'), focused = document.activeElement?.className;
    box.replaceChildren();
    layOut();
    box.style.height = layout.height + 2 + 'px';
    box.append(draw(after ?? before));
    if (!after)
        return;
    const over = element('div', { className: 'over' }, draw(before));
    over.style.height = layout.height + 'px';
    const tags = ['before', 'after'].map(text =>
        element('span', { className: 'tag', textContent: text }));
    tags[0].style.left = tags[1].style.right = '8px';
    box.append(over, makeGrip(), ...tags);
    setCut(cut);
    if (focused === 'grip')
        box.querySelector('.grip').focus();
}

function blockAt(event) {
    const box = $('map').getBoundingClientRect();
    const x = event.clientX - box.left - 1, y = event.clientY - box.top - 1;
    const column = Math.floor(x / layout.tile);
    const at = Math.floor(y / layout.tile) * layout.columns + column;
    return column < layout.columns && at > 0 && at < layout.high ? [mapAt(x), at] : null;
}

function showTip(event) {
    const found = blockAt(event), tip = $('tip');
    tip.hidden = !found;
    if (!found)
        return;
    tip.textContent = describe(...found);
    tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px';
    tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8) + 'px';
}

function moveCursor(by) {
    block = Math.max(1, Math.min(layout.high - 1, block + by));
    let cursor = $('map').querySelector('.cursor');
    if (!cursor) {
        cursor = element('div', { className: 'cursor' });
        $('map').append(cursor);
    }
    const x = block % layout.columns * layout.tile;
    cursor.style.left = x - 1 + 'px';
    cursor.style.top = Math.floor(block / layout.columns) * layout.tile - 1 + 'px';
    cursor.style.width = cursor.style.height = layout.tile + 2 + 'px';
    $('block').textContent = describe(mapAt(x), block).replaceAll('\n', '; ');
}

function listenToMap() {
    const box = $('map');
    box.tabIndex = 0;
    box.setAttribute('role', 'application');
    box.setAttribute('aria-label', 'heap map: arrow keys go from block to block');
    box.addEventListener('pointermove', showTip);
    box.addEventListener('pointerleave', () => { $('tip').hidden = true; });
    box.addEventListener('keydown', event => {
        const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -layout.columns,
            ArrowDown: layout.columns, Home: -layout.high, End: layout.high };
        if (!(event.key in moves))
            return;
        moveCursor(moves[event.key]);
        event.preventDefault();
    });
    $('map-help').textContent = maps.every(map => map.high === 1) ? 'nothing lies in it' : 'a square is a block of 64 KiB, with its 16 pages; rest on one' +
        (after ? ', drag the line to compare' : '') + ', or use the arrow keys';
}

function showMapLegend() {
    const entries = [['--live', 'live'], ['--free', 'free, page in memory'],
        ['--waiting', 'waits: thread caches, limbo'], ['--large', 'large object'],
        ['--empty', 'empty span, kept'], ['--kernel', 'with the kernel']];
    const some = of => maps.some(map => map.runs.some(of));
    const slots = some(run => run.state === 'slots');
    const occurs = { '--live': slots, '--free': slots, '--waiting': some(run => run.waiting),
        '--large': some(run => run.state === 'large'),
        '--empty': some(run => run.state === 'empty'), '--kernel': true };
    for (const [name, text] of entries.filter(([name]) => occurs[name]))
        $('map-legend').append(legendEntry(`var(${name})`, text));
    if (some(run => run.why?.includes('p')))
        $('map-legend').append(element('li', { textContent: 'hatched: something in it is pinned' }));
    if (slots)
        $('map-legend').append(element('li',
            { textContent: 'the redder a page, the more of its bytes are live' }));
    $('proof').textContent = maps.filter(map => map.stats.resident_arena !== undefined).map(map => {
        const arena = map.stats.committed - map.stats.table - map.stats.metadata;
        return `${after ? map.label + ': ' : ''}the kernel holds ` +
            `${size(map.stats.resident_arena)} of the arena, the breakdown says ${size(arena)}`;
    }).concat(maps.flatMap(map => map.damage)).join(' · ');
}

// ---- over time ----------------------------------------------------------------------------------

function plotOptions(width) {
    const axis = { stroke: color('--dim'), grid: { stroke: color('--line'), width: 1 },
        ticks: { stroke: color('--line') } };
    const area = ([key, name, text], index) => ({
        label: text, fill: color(name), stroke: color(name), width: 0, points: { show: false },
        value: (plot, value, at, i) => i == null ? '' : fixed(series[i][key] / 1048576, 1),
    });
    return {
        width, height: 300, cursor: { drag: { x: true, y: false } },
        scales: { x: { time: false }, y: { range: (plot, low, high) => [0, high * 1.05] } },
        axes: [{ ...axis, label: 'seconds', size: 46 }, { ...axis, label: 'MiB', size: 58 }],
        series: [{ label: 'seconds', value: (plot, value) => value == null ? '' : value.toFixed(2) },
            ...STEPS.map(area).reverse(),
            { label: 'RSS of the process', stroke: color('--ink'), width: 1.6,
                points: { show: false }, value: (plot, value) => value == null ? '' : fixed(value, 1) }],
    };
}

function showSeries() {
    if (!series.length)
        return;
    $('series-section').hidden = false;
    const sum = new Array(series.length).fill(0);
    const stacked = STEPS.map(([key]) =>
        series.map((line, i) => sum[i] += (line[key] || 0) / 1048576));
    $('plot').replaceChildren();
    new uPlot(plotOptions($('plot').clientWidth), [series.map(line => line.t),
        ...stacked.reverse(), series.map(line => line.rss / 1048576)], $('plot'));
}

// ---- classes ------------------------------------------------------------------------------------

function classesOf(map) {
    const classes = new Map();
    for (const run of map.runs.filter(run => run.state === 'slots')) {
        const [object, slot] = map.head.classes[run.class];
        const sum = classes.get(run.class) ??
            { id: run.class, object, slot, live: 0, spans: 0, full: 0, bytes: 0 };
        sum.live += run.live;
        sum.spans++;
        sum.full += run.live + (run.waiting || 0) === run.slots ? 1 : 0;
        sum.bytes += 4096 * [...run.pages].filter(page => page !== '.').length;
        classes.set(run.class, sum);
    }
    return classes;
}

function choose(id) {
    chosen = chosen === id ? null : id;
    for (const row of $('classes').querySelectorAll('tr[tabindex]'))
        row.setAttribute('aria-selected', chosen === Number(row.dataset.id));
    showMap();
}

// most: bytes of the largest class, in whose unit all are.
function classRow(id, sums, most) {
    const some = sums.find(sum => sum), get = (sum, key) => sum ? sum[key] : 0;
    const waste = sum => sum ? Math.max(0, sum.bytes - sum.live * sum.slot) : 0;
    const bars = sums.map(sum => {
        const bar = element('div'), live = element('i');
        bar.style.width = `${get(sum, 'bytes') / most * 250}px`;
        live.style.width = sum?.bytes ? `${Math.min(100, sum.live * sum.slot / sum.bytes * 100)}%` : 0;
        bar.append(live);
        return bar;
    });
    const cells = [whole(some.object) + ' B',
        arrow(sums.map(sum => whole(get(sum, 'live')))),
        arrow(sums.map(sum => whole(get(sum, 'spans')))),
        arrow(sums.map(sum => whole(get(sum, 'full')))),
        arrow(sums.map(sum => inUnit(get(sum, 'bytes'), unitFor(most)))),
        arrow(sums.map(sum => inUnit(waste(sum), unitFor(most))))];
    const row = element('tr', { tabIndex: 0 },
        ...cells.map(textContent => element('td', { textContent })), element('td', {}, ...bars));
    row.dataset.id = id;
    row.addEventListener('click', () => choose(id));
    row.addEventListener('keydown', event => {
        if (event.key !== 'Enter' && event.key !== ' ')
            return;
        choose(id);
        event.preventDefault();
    });
    return row;
}

function showClasses() {
    const sums = maps.map(classesOf), shown = 24;
    const bytes = id => Math.max(...sums.map(classes => classes.get(id)?.bytes ?? 0));
    const ids = [...new Set(sums.flatMap(classes => [...classes.keys()]))]
        .sort((a, b) => bytes(b) - bytes(a));
    const most = Math.max(1, ...ids.map(bytes));
    $('classes-section').hidden = ids.length === 0;
    const names = ['objects to', 'live', 'spans', 'full', unitFor(most)[1], 'of it not live',
        after ? 'upper bar before, lower bar after' : ''];
    $('classes').append(element('tr', {}, ...names.map(textContent =>
        element('th', { textContent, scope: 'col' }))));
    for (const id of ids.slice(0, shown).sort((a, b) => a - b))
        $('classes').append(classRow(id, sums.map(classes => classes.get(id)), most));
    $('footer').textContent = (ids.length > shown
        ? `The ${shown} largest of ${ids.length} size classes. ` : '') +
        'Made by sinter map. This page loads nothing, and has no address in it.';
}

// ---- all of it ----------------------------------------------------------------------------------

function redraw() {
    showMap();
    showSeries();
}

if (before) {
    showFacts();
    showBreakdown();
    listenToMap();
    showMapLegend();
    showClasses();
    redraw();
    window.addEventListener('resize', redraw);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
    document.addEventListener('keydown', event => {
        if (event.key === 'Escape' && chosen !== null)
            choose(chosen);
    });
} else {
    $('name').textContent = 'No map is in this page';
}
