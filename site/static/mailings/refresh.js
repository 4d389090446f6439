/* Parts of a page that change while letters go out: `data-refresh` holds the address that gives
   the part anew. When the new part has no such address, the work is done. */

(() => {
  const PAUSE = 3000;
  const PAUSE_AFTER_ERROR = 15000;

  async function load(url) {
    const response = await fetch(url, { headers: { "X-Requested-With": "XMLHttpRequest" } });
    if (!response.ok || response.redirected) throw new Error(response.status);
    const template = document.createElement("template");
    template.innerHTML = await response.text();
    return template.content.firstElementChild;
  }

  async function refresh(part) {
    let pause = PAUSE;
    try {
      // Whoever is about to press a button in the part keeps it.
      if (!document.hidden && !part.contains(document.activeElement)) {
        const fresh = await load(part.dataset.refresh);
        part.replaceWith(fresh);
        part = fresh;
      }
    } catch {
      pause = PAUSE_AFTER_ERROR;
    }
    if (part.dataset.refresh) setTimeout(refresh, pause, part);
  }

  document.querySelectorAll("[data-refresh]").forEach((part) => setTimeout(refresh, PAUSE, part));
})();
