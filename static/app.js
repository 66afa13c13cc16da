/* releasemgr's own script. Every page works without it, but for live updates, shortcuts and selecting ranges.
   It finds its work by data attributes; docs/pages.md lists them. */
"use strict";

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);
const announce = (text) => { one("#announce").textContent = text; };

/* ---- search, dialogs, copying ---- */

function focusSearch() {
  const field = one("#search");
  if (field.offsetParent === null) { window.location = field.form.action; return; }
  field.focus();
  field.select();
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open]");
  if (opener) one("#" + opener.dataset.open).showModal();
  const closer = event.target.closest("[data-close]");
  if (closer) closer.closest("dialog").close();
  const copier = event.target.closest("[data-copy]");
  if (copier) navigator.clipboard.writeText(copier.dataset.copy).then(() => announce(one("#announce").dataset.copied));
});

function closePicks(event) {
  if (event.key && event.key !== "Escape") return;
  all("details.pick[open]").filter((pick) => event.key || !pick.contains(event.target)).forEach((pick) => { pick.open = false; });
}
document.addEventListener("click", closePicks);
document.addEventListener("keydown", closePicks);

function hideWhatCannotCopy() {
  if (!navigator.clipboard) all("[data-copy]").forEach((button) => { button.hidden = true; });
}

document.addEventListener("pointerover", (event) => {
  const time = event.target.closest?.("time[datetime]");
  if (time && !time.title) time.title = new Date(time.dateTime).toLocaleString([], { dateStyle: "full", timeStyle: "long" });
});

/* ---- selecting rows: form.selectable holds the table and .bulk ---- */

let lastBox = null;

function countSelected(form) {
  const boxes = all("[data-select]", form);
  const chosen = boxes.filter((box) => box.checked).length;
  const matching = one("[data-select-matching]", form);
  const count = one("[data-selected-count]", form);
  if (count) count.textContent = matching?.checked ? matching.dataset.selectMatching : chosen;
  const every = one("[data-select-all]", form);
  if (every) {
    every.checked = chosen > 0 && chosen === boxes.length;
    every.indeterminate = chosen > 0 && chosen < boxes.length;
  }
}

function selectRange(form, from, to) {
  const boxes = all("[data-select]", form);
  const [first, last] = [boxes.indexOf(from), boxes.indexOf(to)].sort((a, b) => a - b);
  if (first >= 0) boxes.slice(first, last + 1).forEach((box) => { box.checked = to.checked; });
}

document.addEventListener("click", (event) => {
  const form = event.target.closest("form.selectable");
  if (!form) return;
  if (event.target.matches("[data-select]")) {
    if (event.shiftKey && lastBox) selectRange(form, lastBox, event.target);
    lastBox = event.target;
  } else if (event.target.matches("[data-select-all], [data-select-matching]")) {
    all("[data-select]", form).forEach((box) => { box.checked = event.target.checked; });
  } else if (event.target.closest("[data-select-none]")) {
    all("[data-select]", form).forEach((box) => { box.checked = false; });
  } else {
    return;
  }
  /* one site less is not any more all that match */
  if (!event.target.checked) all("[data-select-matching]", form).forEach((box) => { box.checked = false; });
  countSelected(form);
});

/* ---- keys ---- */

function rowLinks() {
  return all("#main table.tbl tbody tr").map((row) => one("a[href]", row)).filter((link) => link && link.offsetParent);
}

function moveRow(step) {
  const links = rowLinks();
  if (!links.length) return;
  const here = links.findIndex((link) => link.closest("tr").contains(document.activeElement));
  const next = here < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(here + step, 0), links.length - 1);
  links[next].focus();
  links[next].scrollIntoView({ block: "nearest", behavior: "instant" });
}

function editPage() {
  const edit = one("[data-edit]");
  if (!edit) return;
  if (edit.matches("a, button")) edit.click();
  else edit.focus();
}

const KEYS = {
  "/": focusSearch,
  "?": () => one("#shortcuts").showModal(),
  e: editPage,
  j: () => moveRow(1),
  k: () => moveRow(-1),
  x: () => one("[data-select]", document.activeElement.closest("tr") || document.createElement("i"))?.click(),
  f: () => one("[data-follow-toggle]")?.click(),
  n: () => moveError(1),
  p: () => moveError(-1),
};

let goUntil = 0;

function writing(target) {
  return target.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable], dialog[open]");
}

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && one("#search")) {
    event.preventDefault();
    focusSearch();
    return;
  }
  if (document.body.dataset.keys !== "on" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (writing(event.target) || one("dialog[open]")) return;
  if (event.timeStamp < goUntil) {
    goUntil = 0;
    one(`[data-go="${CSS.escape(event.key)}"]`)?.click();
  } else if (event.key === "g") {
    goUntil = event.timeStamp + 1500;
  } else if (Object.hasOwn(KEYS, event.key)) {
    event.preventDefault();
    KEYS[event.key]();
  }
});

/* ---- logs: [data-log] holds .ln lines, .follow follows its end ---- */

let following = true;
let unseen = 0;

function atEnd() {
  return window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 80;
}

function showFollowing() {
  const pill = one("[data-follow]");
  if (!pill) return;
  const words = one("[data-follow-words]", pill);
  words.textContent = following ? words.dataset.following : words.dataset.paused.replace("%d", unseen);
  const toggle = one("[data-follow-toggle]", pill);
  toggle.setAttribute("aria-pressed", String(following));
  one("[data-follow-verb]", toggle).textContent = following ? toggle.dataset.pause : toggle.dataset.resume;
}

function follow(on) {
  following = on;
  if (on) {
    unseen = 0;
    window.scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
  }
  showFollowing();
}

function watchLog(log) {
  new MutationObserver((changes) => {
    const added = changes.flatMap((change) => [...change.addedNodes]).filter((node) => node.nodeType === 1);
    const lines = added.reduce((sum, node) => sum + (node.matches(".ln:not(.rest)") ? 1 : all(".ln:not(.rest)", node).length), 0);
    if (!lines || !one("[data-follow]")) return;
    if (following) follow(true);
    else { unseen += lines; showFollowing(); }
  }).observe(log, { childList: true, subtree: true });
}

let watched = null;
let scrollWatched = false;

function startLogs() {
  const log = one("[data-log]");
  if (!log || log === watched) return;
  watched = log;
  watchLog(log);
  markLines();
  if (!one("[data-follow]")) return;
  if (window.location.hash) following = false;
  follow(following);
  if (!scrollWatched) watchScroll();
}

function watchScroll() {
  scrollWatched = true;
  let before = window.scrollY;
  window.addEventListener("scroll", () => {
    if (window.scrollY < before && following) follow(false);
    else if (!following && unseen && atEnd()) follow(true);
    before = window.scrollY;
  }, { passive: true });
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-follow-toggle]")) follow(!following);
  const number = event.target.closest("[data-log] .ln > a");
  if (number && event.shiftKey) {
    event.preventDefault();
    const start = window.location.hash.match(/^#L(\d+)/)?.[1] || number.hash.slice(2);
    const ends = [Number(start), Number(number.hash.slice(2))].sort((a, b) => a - b);
    window.history.replaceState(null, "", `#L${ends[0]}-L${ends[1]}`);
    markLines();
  }
});

function markLines() {
  all(".ln.hl").forEach((line) => line.classList.remove("hl"));
  const range = window.location.hash.match(/^#L(\d+)-L(\d+)$/);
  if (!range) return;
  for (let number = Number(range[1]); number <= Math.min(Number(range[2]), Number(range[1]) + 2000); number += 1) {
    one(`#L${number}`)?.classList.add("hl");
  }
  one(`#L${range[1]}`)?.scrollIntoView({ block: "center", behavior: "instant" });
}
window.addEventListener("hashchange", markLines);

function moveError(step) {
  const errors = all("[data-log] .ln.e");
  if (!errors.length) return;
  const middle = window.innerHeight / 2;
  const place = (line) => line.getBoundingClientRect().top - middle;
  const onward = errors.filter((line) => (step > 0 ? place(line) > 12 : place(line) < -32));
  const line = step > 0 ? onward[0] || errors[0] : onward[onward.length - 1] || errors[errors.length - 1];
  line.closest("details")?.setAttribute("open", "");
  line.scrollIntoView({ block: "center", behavior: "instant" });
  one("a", line)?.focus({ preventScroll: true });
}

/* ---- a form that is on its way is not sent again; one that htmx sends says so itself ---- */

const setSent = (form, sent) => [...form.elements].forEach((element) => { if (element.type === "submit") element.disabled = sent; });

document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.method !== "post") return;
  setTimeout(() => setSent(event.target, true)); /* the browser has to read first which button it was */
});
window.addEventListener("pageshow", (event) => { if (event.persisted) all("form[method=post]").forEach((form) => setSent(form, false)); });

/* ---- htmx ---- */

let fresh = new Date();

function showStale() {
  one("[data-stale-since]").textContent = fresh.toISOString().slice(11, 19);
  one("#stale").hidden = false;
}

function showRefused(event) {
  if (event.detail.requestConfig?.verb === "get") showStale();
  else one("#refused").hidden = false;
}

document.addEventListener("htmx:responseError", showRefused);
document.addEventListener("htmx:sendError", showRefused);
document.addEventListener("htmx:timeout", showRefused);
document.addEventListener("htmx:afterOnLoad", (event) => {
  if (!event.detail.successful) return;
  fresh = new Date();
  one("#stale").hidden = one("#refused").hidden = true;
});

document.addEventListener("htmx:afterSwap", () => {
  const theme = one("#theme")?.dataset.theme;
  if (theme) document.documentElement.dataset.bsTheme = theme;
  else delete document.documentElement.dataset.bsTheme;
  all("form.selectable").forEach(countSelected);
  hideWhatCannotCopy();
  startLogs();
});

/* What had the focus may be gone: it goes to the first error, else to the heading of what changed. */
document.addEventListener("htmx:afterSettle", (event) => {
  const changed = event.detail.elt;
  const error = one("[aria-invalid=true], .is-invalid", changed);
  if (error) { error.focus(); return; }
  if (document.activeElement !== document.body || event.detail.requestConfig?.verb === "get") return;
  const heading = one("h1, h2, h3", changed);
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus();
});

hideWhatCannotCopy();
all("form.selectable").forEach(countSelected);
startLogs();
