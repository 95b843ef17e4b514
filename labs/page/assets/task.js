import { language, t, element, post } from './words.js';

const byId = id => document.getElementById(id);
let task, busy = false;

export function show(state) {
  byId('summary').textContent = state.summary;
  byId('member').textContent = state.class ?? '';
  list(state.exercises);
  const before = task;
  task = state.task;
  byId('task').hidden = !task;
  if (!task) return;
  byId('h-task').textContent = task.heading;
  if (byId('goal').innerHTML !== task.goal) byId('goal').innerHTML = task.goal;
  byId('notes').replaceChildren(...(task.notes ?? []).map(n => element('li', {}, n)));
  questions(before?.id !== task.id);
  if (before && before.id !== task.id) byId('result').replaceChildren();
  const hint = document.querySelector('[data-verb=hint]');
  hint.textContent = `${t('hint')} ${Math.min(task.hints + 1, task.hintsOf)}/${task.hintsOf}`;
}

function list(exercises) {
  byId('list').replaceChildren(...exercises.map(e => {
    const button = element('button', { type: 'button', 'aria-current': e.current ? 'step' : undefined },
      element('span', { class: 'mark', 'aria-hidden': 'true' }, e.passed ? '✓' : e.current ? '›' : ' '),
      ` ${e.id} `, element('span', { class: 'muted' }, e.kind), ` ${e.title}`,
      e.passed ? element('span', { class: 'for-reader' }, ` (${t('passed')})`) : '',
      e.notes ? element('span', { class: 'muted' }, ` (${e.notes})`) : '');
    button.addEventListener('click', () => { document.querySelector('#exercises details').open = false; run('start', { exercise: e.id }); });
    return element('li', {}, button);
  }));
}

// questions shows those of the exercise. What is chosen and not sent yet stays.
function questions(anew) {
  const form = byId('questions'), chosen = anew ? new Map() : new Map([...new FormData(form)]);
  form.hidden = !task.questions?.length;
  form.replaceChildren(...(task.questions ?? []).map(q => {
    const legend = element('legend');
    legend.innerHTML = q.text;
    return element('fieldset', {}, legend, ...q.options.map(o => {
      const input = element('input', { type: 'radio', name: q.id, value: o.id, checked: (chosen.get(q.id) ?? q.answer) === o.id });
      const text = element('span');
      text.innerHTML = o.text;
      return element('label', {}, input, ' ', text);
    }));
  }));
  if (task.questions?.some(q => !q.answer)) {
    form.append(element('p', { class: 'muted' }, t('answerFirst')), element('button', { type: 'submit' }, t('answer')));
  }
}

const answers = () => [...new FormData(byId('questions'))].map(([id, option]) => `${id}=${option}`);

async function run(verb, more = {}) {
  if (busy) return;
  if (verb === 'check' && answers().length < (task.questions?.length ?? 0)) {
    byId('busy').textContent = t('answerFirst');
    [...byId('questions').querySelectorAll('fieldset')].find(f => !f.querySelector(':checked')).querySelector('input').focus();
    return;
  }
  if (verb === 'solution' && !task.passed && !confirm(t('sureSolution'))) return;
  if (verb === 'reset' && !confirm(t('sureReset'))) return;
  busy = true;
  const setsUp = ['start', 'next', 'reset'].includes(verb), began = Date.now(), seconds = element('span', { 'aria-hidden': 'true' });
  byId('busy').replaceChildren(t(verb === 'check' ? 'checking' : setsUp ? 'setting' : 'working'), seconds);
  const ticks = setInterval(() => { seconds.textContent = ` ${Math.round((Date.now() - began) / 1000)} s`; }, 1000);
  for (const b of document.querySelectorAll('[data-verb]')) b.disabled = true;
  const said = await post('do', { verb, language, ...more });
  for (const b of document.querySelectorAll('[data-verb]')) b.disabled = false;
  busy = false;
  clearInterval(ticks);
  byId('busy').textContent = verb === 'answer' && !said.error && answers().length === task.questions.length ? t('answered') : '';
  const result = byId('result');
  result.innerHTML = said.html ?? '';
  if (said.error) result.append(element('p', { class: 'bad' }, said.error));
  if (result.childElementCount) result.focus({ preventScroll: false });
  else if (verb === 'answer') document.querySelector('[data-verb=check]').focus();
  else byId('main').focus({ preventScroll: true });
  if (setsUp && !said.error) byId('task').scrollIntoView();
}

for (const button of document.querySelectorAll('[data-verb]')) {
  const verb = button.dataset.verb;
  button.addEventListener('click', () => run(verb, verb === 'check' ? { answers: answers() } : {}));
}
byId('questions').addEventListener('submit', event => {
  event.preventDefault();
  run('answer', { answers: answers() });
});
