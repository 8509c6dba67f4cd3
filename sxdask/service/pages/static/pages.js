// Updates what moves on a page, in its place, while something runs. All of the
// page is there without it.
"use strict";

(() => {
  const EVERY = 2000; // ms between two looks
  const SLOWEST = 30000; // ms between two looks when the service does not answer
  const PATIENCE = 10000; // ms for one answer

  const live = document.querySelector("[data-live-url]");
  const pulse = document.querySelector("[data-pulse]");
  const pulseText = document.querySelector("[data-pulse-text]");
  const announced = document.getElementById("announce");
  const seen = new Map(); // the files of each request when the page was made
  let timer = 0;
  let failures = 0;

  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function setAttribute(element, name, value) {
    if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  }

  function announce(text) {
    announced.textContent = text;
  }

  function showBar(bar, view) {
    setAttribute(bar, "aria-valuenow", Math.round(view.done));
    setAttribute(bar, "aria-valuetext", view.bar);
    const failed = bar.querySelector("[data-failed]");
    setAttribute(bar.querySelector("[data-done]"), "width", view.done);
    setAttribute(failed, "x", view.done);
    setAttribute(failed, "width", view.failed);
  }

  function showView(place, view) {
    const badge = place.querySelector("[data-status]");
    if (badge.textContent !== view.status) {
      announce(`${place.dataset.title}: ${view.status}`);
    }
    setText(badge, view.status);
    setAttribute(badge, "class", `badge ${view.tone}`);
    for (const bar of place.querySelectorAll("[data-bar]")) showBar(bar, view);
    for (const cell of place.querySelectorAll("[data-cell]")) {
      const text = view.cells[cell.dataset.cell];
      if (text !== undefined) setText(cell, text);
    }
    for (const part of place.querySelectorAll("[data-off]")) part.classList.toggle("off", !view.work);
    for (const part of place.querySelectorAll("[data-while-active]")) {
      part.hidden = !view.active;
    }
  }

  function showNews(text) {
    const link = document.querySelector("[data-news-link]");
    if (!link) return;
    setText(link, text);
    link.href = location.href;
    link.hidden = false;
  }

  function lookForNews(views) {
    let unknown = 0;
    for (const [name, view] of Object.entries(views)) {
      const place = document.querySelector(`[data-view="${CSS.escape(name)}"]`);
      if (!place) {
        unknown += 1;
        continue;
      }
      const before = seen.get(name);
      if (live.dataset.one !== undefined && before !== undefined) {
        if (!view.active) showNews("It has ended: show its files and what can be done");
        else if (before !== view.cells.files + view.cells["failed-files"]) showNews("Show the files that came since");
      }
    }
    if (unknown) showNews(unknown === 1 ? "Show 1 new request" : `Show ${unknown} new requests`);
  }

  function show(news) {
    for (const place of document.querySelectorAll("[data-view]")) {
      const view = news.views[place.dataset.view];
      if (view) showView(place, view);
    }
    for (const cell of document.querySelectorAll("[data-sum]")) {
      const text = news.cells[cell.dataset.sum];
      if (text !== undefined) setText(cell, text);
    }
    lookForNews(news.views);
  }

  function showPulse(text, state) {
    pulse.hidden = false;
    setText(pulseText, text);
    setAttribute(pulse, "class", `pulse ${state}`);
  }

  async function look() {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      const answer = await fetch(live.dataset.liveUrl, {
        headers: { accept: "application/json" },
        signal: AbortSignal.timeout(PATIENCE),
      });
      if (answer.status === 401 || answer.status === 403 || answer.status === 404) {
        showPulse("reload the page", "lost");
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      const news = await answer.json();
      failures = 0;
      show(news);
      showPulse(news.running ? "live" : "up to date", news.running ? "" : "idle");
      if (news.running) timer = setTimeout(look, EVERY);
    } catch {
      failures += 1;
      showPulse("no answer, trying again", "lost");
      timer = setTimeout(look, Math.min(EVERY * 2 ** failures, SLOWEST));
    }
  }

  function startLive() {
    for (const place of document.querySelectorAll("[data-view]")) {
      const text = (name) => place.querySelector(`[data-cell="${name}"]`)?.textContent ?? "";
      seen.set(place.dataset.view, text("files") + text("failed-files"));
    }
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) look();
    });
    if (live.dataset.running === "yes") {
      showPulse("live", "");
      timer = setTimeout(look, EVERY);
    }
  }

  function startPlan(plan) {
    const load = async () => {
      if (!plan.open || plan.dataset.planWaits === undefined) return;
      const answer = await fetch(plan.dataset.plan, { signal: AbortSignal.timeout(4 * PATIENCE) });
      if (!answer.ok) return;
      const whole = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = whole.querySelector("#plan pre, #plan p.pre");
      if (!found) {
        setTimeout(load, EVERY);
        return;
      }
      delete plan.dataset.planWaits;
      plan.querySelector("[data-plan-place]").replaceWith(document.importNode(found, true));
    };
    plan.addEventListener("toggle", load);
  }

  function startCopy(button) {
    const text = document.querySelector("[data-select]");
    text.addEventListener("focus", () => text.select());
    if (!navigator.clipboard) return;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text.value);
      setText(button, "Copied");
      announce("The token is copied");
    });
  }

  if (live) startLive();
  document.querySelectorAll("[data-plan-waits]").forEach(startPlan);
  document.querySelectorAll("[data-copy]").forEach(startCopy);
})();
