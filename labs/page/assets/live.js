import { setLanguage, language, t } from './words.js';

// live keeps a page up to date in the language that the person chooses. show has a function for each topic of messages. begin says
// what the page says by itself, with the newest messages by topic; chosen is called when the person has chosen a language.
export function live(hello, show, begin, chosen = () => {}) {
  const last = {};
  let stream;
  show.trouble = message => {
    const e = document.getElementById('trouble');
    e.hidden = !message;
    e.textContent = message;
  };
  // speak opens the stream of what is known: a message has the newest state of its topic.
  const speak = to => {
    setLanguage(to);
    history.replaceState(null, '', '?lang=' + to);
    begin(last);
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
  };
  for (const button of document.querySelectorAll('[data-language]')) {
    button.addEventListener('click', () => {
      speak(button.dataset.language);
      chosen(language);
    });
  }
  const asked = new URLSearchParams(location.search).get('lang') ?? hello.language;
  speak(asked === 'zh' ? 'zh' : 'en');
}
