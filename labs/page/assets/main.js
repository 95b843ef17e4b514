import { setLanguage, language, t, post } from './words.js';
import * as task from './task.js';
import * as cluster from './cluster.js';
import * as walk from './walk.js';
import * as terminal from './terminal.js';

const hello = await fetch('hello').then(answer => answer.json());
const last = {};
let stream;

const show = {
  state: task.show,
  world: cluster.showWorld,
  reach(message) {
    cluster.showReach(message);
    walk.showReach(message);
  },
  trouble(message) {
    const e = document.getElementById('trouble');
    e.hidden = !message;
    e.textContent = message;
  },
};

// speak chooses the language, and opens the stream of what is known: a message has the newest state of its topic.
function speak(to) {
  setLanguage(to);
  history.replaceState(null, '', '?lang=' + to);
  document.title = `${t(hello.course ? 'exercises' : 'cluster')} – svclab`;
  cluster.begin(hello);
  walk.begin(hello);
  terminal.note(hello.terminal);
  for (const topic of ['world', 'reach']) if (last[topic]) show[topic](last[topic]);
  stream?.close();
  stream = new EventSource('events?lang=' + to);
  for (const topic of Object.keys(show)) {
    stream.addEventListener(topic, event => {
      last[topic] = JSON.parse(event.data);
      show[topic](last[topic]);
    });
  }
  stream.addEventListener('error', () => show.trouble(t('gone')));
  stream.addEventListener('open', () => show.trouble(last.trouble ?? ''));
}

for (const button of document.querySelectorAll('[data-language]')) {
  button.addEventListener('click', () => {
    speak(button.dataset.language);
    if (hello.course) post('do', { verb: 'language', language });
  });
}
speak(new URLSearchParams(location.search).get('lang') === null ? hello.language : new URLSearchParams(location.search).get('lang') === 'zh' ? 'zh' : 'en');
if (hello.course) {
  for (const id of ['exercises', 'shell']) document.getElementById(id).hidden = false;
  terminal.begin(hello.terminal);
}
