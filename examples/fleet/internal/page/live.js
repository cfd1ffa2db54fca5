"use strict";
// Puts each element that the center sends in the place of the one with its id.
const live = new EventSource("live?since=" + document.body.dataset.version);
const show = (id, is) => { document.getElementById(id).hidden = !is; };
live.onopen = () => show("lost", false);
live.onerror = () => { const ended = live.readyState === EventSource.CLOSED; show("ended", ended); show("lost", !ended); };
live.onmessage = event => {
  const parts = document.createElement("template"), focus = document.activeElement.id;
  parts.innerHTML = event.data;
  for (const part of [...parts.content.children]) {
    for (const field of [part, ...part.querySelectorAll("*")].filter(x => x.matches("input[type=text], input[type=radio], details"))) {
      const was = document.getElementById(field.id); // what a person has begun stays
      if (was) { field.value = was.value; field.checked = was.checked; field.open = was.open; }
    }
    document.getElementById(part.id)?.replaceWith(part);
  }
  if (focus && document.activeElement.id !== focus) document.getElementById(focus)?.focus();
};
