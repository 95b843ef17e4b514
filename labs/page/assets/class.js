import { t, element } from './words.js';
import { live } from './live.js';

const byId = id => document.getElementById(id);
const hello = await fetch('hello').then(answer => answer.json());
let newest, places = new Map();

function show(roster) {
  newest = roster;
  byId('summary').textContent = roster.summary;
  byId('join').textContent = roster.join;
  stuck(roster.stuck ?? []);
  const learners = roster.learners ?? [];
  byId('learners').hidden = !learners.length;
  byId('nobody').hidden = learners.length > 0;
  byId('rows').replaceChildren(...learners.map(row));
  const moved = learners.filter(l => places.size && places.get(l.code) !== place(l)).map(l => `${l.name || l.code}: ${place(l)}`);
  places = new Map(learners.map(l => [l.code, place(l)]));
  if (moved.length) byId('changes').textContent = moved.join('; ');
}

const place = l => [l.exercise, t('states.' + l.state), l.misconception].filter(Boolean).join(', ');

// row says with roles what it is: on a phone it is no table row to the browser, but a block, whose cells have labels.
function row(l) {
  const cell = (word, attributes, ...children) => element('td', { role: 'cell', 'data-word': t(word), ...attributes }, ...children);
  return element('tr', { role: 'row', 'data-code': l.code },
    element('th', { role: 'rowheader', scope: 'row' }, l.name || t('noName')),
    cell('code', {}, element('code', {}, l.code)),
    cell('exercise', { class: 'wrap' }, l.exercise || '–'),
    cell('state', { class: l.state === 'passed' ? 'reached' : l.misconception ? 'timeout' : 'denied' }, t('states.' + l.state)),
    cell('misconception', {}, l.misconception ? element('code', {}, l.misconception) : '–'),
    cell('started', { class: 'number' }, l.since ? t('minutes').replace('N', minutes(l.since)) : '–'),
    cell('hints', { class: 'number' }, String(l.hints)),
    cell('passedCount', { class: 'number' }, String(l.passed)),
    cell('heard', { class: 'number' }, t('ago').replace('N', minutes(l.heard))));
}

const minutes = since => String(Math.max(0, Math.floor((Date.now() - since) / 60000)));

// stuck lists the misconceptions. What the teacher has opened stays open.
function stuck(list) {
  const open = new Set([...document.querySelectorAll('#stuck details[open]')].map(d => d.dataset.id));
  const focused = document.activeElement?.closest('#stuck details')?.dataset.id;
  byId('none-stuck').hidden = list.length > 0;
  byId('stuck').replaceChildren(...list.map(s => {
    const text = element('div');
    text.innerHTML = s.text;
    const id = s.exercise + ' ' + s.id;
    return element('li', {}, element('details', { 'data-id': id, open: open.has(id) },
      element('summary', {}, element('strong', {}, String(s.learners.length)), ' ', element('code', {}, s.id), ` (${s.exercise}) `,
        element('span', { class: 'muted' }, s.learners.join(', '))), text));
  }));
  if (focused) document.querySelector(`#stuck details[data-id="${CSS.escape(focused)}"] summary`)?.focus();
}

live(hello, { roster: show }, () => {
  document.title = `${t('class')} – svclab`;
  places = new Map();
});
setInterval(() => newest && byId('rows').replaceChildren(...(newest.learners ?? []).map(row)), 15000); // time passes
