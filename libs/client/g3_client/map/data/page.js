"use strict";
(() => {
  const map = document.querySelector("svg.map"), tip = document.querySelector(".tip");
  const marks = [...map.querySelectorAll(".m")];
  let view = { x: -180, y: -90, w: 360, h: 180 };

  const draw = () => {
    // fill the window: the view grows in the direction that has room
    const box = map.getBoundingClientRect(), ratio = box.width / Math.max(1, box.height);
    const w = Math.max(view.w, view.h * ratio), h = w / ratio;
    const x = view.x - (w - view.w) / 2, y = view.y - (h - view.h) / 2;
    map.setAttribute("viewBox", `${x} ${y} ${w} ${h}`);
    const unit = w / Math.max(1, box.width);
    for (const m of marks) m.setAttribute("transform", `translate(${m.dataset.x} ${m.dataset.y}) scale(${unit})`);
    return { x, y, w, h, box, unit };
  };
  const zoom = (factor, cx, cy) => {
    const now = draw();
    const w = Math.min(540, Math.max(0.05, now.w * factor)), k = w / now.w;
    view = { x: cx - (cx - now.x) * k, y: cy - (cy - now.y) * k, w, h: now.h * k };
    // the world goes round: stay where the three copies are
    const middle = view.x + view.w / 2;
    view.x -= 360 * Math.round(middle / 360);
    view.y = Math.min(90 - view.h / 2, Math.max(-90 - view.h / 2, view.y));
    draw();
  };
  const whole = () => { view = { x: -180, y: -90, w: 360, h: 180 }; choose(null); draw(); };
  const choose = (id) => {
    for (const a of document.querySelectorAll("article")) a.classList.toggle("chosen", a.dataset.photo === id);
    // by attributes, which the copies of the world take over; rules of the sheet do not see what a copy stands in
    for (const m of map.querySelectorAll("[data-photo]")) {
      const chosen = m.dataset.photo === id;
      m.setAttribute("display", m.classList.contains("detail") && !chosen ? "none" : "inline");
      m.setAttribute("opacity", id === null || chosen ? 1 : 0.3);
    }
  };
  const visit = (article) => {
    choose(article.dataset.photo);
    if (!article.dataset.x) return;
    const half = Number(article.dataset.half);
    view = { x: Number(article.dataset.x) - half * 1.5, y: Number(article.dataset.y) - half, w: half * 3, h: half * 2 };
    draw();
  };

  map.addEventListener("wheel", (e) => {
    e.preventDefault();
    const now = draw();
    zoom(Math.exp(e.deltaY * 0.0015), now.x + (e.clientX - now.box.left) * now.unit, now.y + (e.clientY - now.box.top) * now.unit);
  }, { passive: false });
  let held = null;
  map.addEventListener("pointerdown", (e) => { held = { x: e.clientX, y: e.clientY }; map.setPointerCapture(e.pointerId); });
  map.addEventListener("pointerup", () => { held = null; });
  map.addEventListener("pointercancel", () => { held = null; });
  map.addEventListener("pointermove", (e) => {
    if (held) {
      const now = draw();
      view = { x: now.x - (e.clientX - held.x) * now.unit, y: now.y - (e.clientY - held.y) * now.unit, w: now.w, h: now.h };
      held = { x: e.clientX, y: e.clientY };
      zoom(1, view.x + view.w / 2, view.y + view.h / 2);
    }
    const mark = document.elementsFromPoint(e.clientX, e.clientY).map((n) => n.closest && n.closest(".m")).find(Boolean);
    tip.hidden = !mark || held !== null;
    if (mark) {
      const box = map.getBoundingClientRect();
      tip.textContent = mark.querySelector("title").textContent;
      tip.style.left = `${Math.min(e.clientX - box.left + 12, box.width - 200)}px`;
      tip.style.top = `${e.clientY - box.top + 12}px`;
    }
  });
  map.addEventListener("pointerleave", () => { tip.hidden = true; });
  const center = () => { const n = draw(); return [n.x + n.w / 2, n.y + n.h / 2]; };
  document.querySelector("#in").addEventListener("click", () => zoom(0.6, ...center()));
  document.querySelector("#out").addEventListener("click", () => zoom(1 / 0.6, ...center()));
  document.querySelector("#all").addEventListener("click", whole);
  for (const article of document.querySelectorAll("article")) {
    article.querySelector("button").addEventListener("click", () => visit(article));
  }
  window.addEventListener("resize", draw);
  if (document.querySelectorAll("article").length === 1) visit(document.querySelector("article"));
  else whole();
})();
