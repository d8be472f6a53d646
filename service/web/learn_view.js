// A tour of the chapter. Its figures are computed by the service while one reads.

import { html, useEffect, useRef, useState } from "./html.js";
import { CellLesson } from "./lessons/cell.js";
import { GatesLesson } from "./lessons/gates.js";
import { HorizonLesson } from "./lessons/horizon.js";
import { ReceptiveFieldLesson } from "./lessons/receptive_field.js";
import { ScalingLesson } from "./lessons/scaling.js";

const LESSONS = [
  ["cell", "A recurrent cell, unrolled", CellLesson],
  ["horizon", "Ten steps ahead, three ways", HorizonLesson],
  ["gates", "The gates of an LSTM", GatesLesson],
  ["receptive-field", "How far back WaveNet sees", ReceptiveFieldLesson],
  ["scaling", "What scaling changes", ScalingLesson],
];

export function LearnView({ models, reloadModels }) {
  return html`<div class="view">
    <section class="panel">
      <h1>How sequence models forecast</h1>
      <p>A short tour after A. Géron's <em>Hands-On Machine Learning</em>, chapter 15. Nothing here is a picture: every figure is asked of the models of this service as you scroll to it, and you can change what they are given.</p>
      <nav aria-label="Lessons"><ol>${LESSONS.map(([id, title]) => html`<li><a href="#${id}" onClick=${(event) => jump(event, id)}>${title}</a></li>`)}</ol></nav>
    </section>
    ${LESSONS.map(([id, title, Lesson]) => html`<${Section} key=${id} id=${id} title=${title}><${Lesson} models=${models} reload=${reloadModels} /></${Section}>`)}
  </div>`;
}

// The address says which view is shown, so that a fragment of its own can't say where in it.
function jump(event, id) {
  event.preventDefault();
  const target = document.getElementById(id);
  target.scrollIntoView();
  target.focus({ preventScroll: true });
}

/** A lesson; it is computed once somebody comes near. */
function Section({ id, title, children }) {
  const place = useRef(null);
  const [isNear, setNear] = useState(false);
  useEffect(() => {
    const watcher = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) setNear(true); }, { rootMargin: "300px" });
    watcher.observe(place.current);
    return () => watcher.disconnect();
  }, []);
  return html`<section id=${id} class="panel lesson" ref=${place} tabindex="-1" aria-labelledby=${`${id}-title`}>
    <h2 id=${`${id}-title`}>${title}</h2>
    ${isNear ? children : html`<p class="hint">It is computed when you come to it.</p>`}
  </section>`;
}
