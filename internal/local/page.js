// Renews the page in place with what the agent tells. It asks nobody but where the page is from.
"use strict";
(() => {
  const body = document.body, main = document.getElementById("main"), cut = document.getElementById("cut");
  const silence = 20000; // ms; the agent says something at least every few seconds
  let source = null, watch = 0, failing = 0, again = 0;

  // morph makes a what b is and keeps what need not change: elements, focus, what is unfolded, what is selected.
  const morph = (a, b) => {
    if (a.nodeType === Node.TEXT_NODE) {
      if (a.data !== b.data) a.data = b.data;
      return;
    }
    for (const { name } of [...a.attributes]) if (name !== "open" && !b.hasAttribute(name)) a.removeAttribute(name);
    for (const { name, value } of b.attributes) if (name !== "open" && a.getAttribute(name) !== value) a.setAttribute(name, value);
    children(a, b);
  };
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");
  const children = (a, b) => {
    const known = new Map();
    for (const c of a.children) if (c.id) known.set(c.id, c);
    let at = a.firstChild;
    for (const want of [...b.childNodes]) {
      const same = want.id && known.get(want.id);
      if (same && same.nodeName === want.nodeName) {
        if (same === at) at = at.nextSibling; else a.insertBefore(same, at);
        morph(same, want);
      } else if (at && !at.id && alike(at, want)) {
        const next = at.nextSibling;
        morph(at, want);
        at = next;
      } else {
        a.insertBefore(document.importNode(want, true), at);
      }
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  };
  const renew = (change) => {
    const focus = document.activeElement;
    change();
    if (focus && focus !== document.activeElement && focus.isConnected) focus.focus({ preventScroll: true });
    const head = document.getElementById("headline");
    if (head && head.dataset.title && head.dataset.title !== document.title) document.title = head.dataset.title;
  };
  const parsed = (html) => new DOMParser().parseFromString(html, "text/html").body;

  const quiet = () => {
    clearTimeout(watch);
    clearTimeout(failing);
    clearTimeout(again);
    failing = 0;
  };
  const heard = () => {
    quiet();
    watch = setTimeout(lost, silence);
    if (cut.textContent) cut.textContent = "";
    body.classList.remove("cut");
  };
  const lost = () => {
    if (body.classList.contains("cut")) return;
    body.classList.add("cut");
    cut.textContent = "No connection to the agent since " + new Date().toLocaleTimeString() + ". What is shown here is old.";
  };
  const stop = () => {
    quiet();
    if (source) source.close();
    source = null;
  };
  const start = () => {
    stop();
    source = new EventSource(body.dataset.live);
    watch = setTimeout(lost, silence);
    source.addEventListener("assets", (e) => {
      heard();
      if (e.data !== body.dataset.assets) location.reload(); // the agent is another version
    });
    source.addEventListener("whole", (e) => {
      heard();
      renew(() => children(main, parsed(e.data)));
    });
    source.addEventListener("part", (e) => {
      heard();
      renew(() => {
        for (const want of parsed(e.data).children) {
          const there = document.getElementById(want.id);
          if (there) morph(there, want);
        }
      });
    });
    source.addEventListener("beat", heard);
    source.addEventListener("gone", () => {
      stop();
      lost();
      cut.textContent = "What was shown here is not there any more.";
    });
    source.onerror = () => {
      if (source && source.readyState !== EventSource.CLOSED) { // the browser tries again by itself
        failing ||= setTimeout(lost, 3000);
        return;
      }
      stop(); // refused
      lost();
      again = setTimeout(start, 10000);
    };
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (e) => e.persisted && start());
  if (!document.hidden) start();
})();
